"""The site's generated pages match the program."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

from vqclip.cli.app import app

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_command_with_every_option(hooks: ModuleType) -> None:
    sections = dict(
        part.split("\n", 1) for part in hooks.commands().split("\n## vqclip ") if "\n" in part
    )
    leaves = dict(hooks.leaves(typer.main.get_command(app)))
    assert {"generate", "weights get", "evaluate clip"} <= leaves.keys()
    for name, command in leaves.items():
        options = [o for p in command.params if not p.hidden for o in p.opts if o[0] == "-"]
        for option in set(options) - {"--help", "-h"}:
            assert f"`{option}`" in sections[name], (name, option)


def test_every_top_level_command_is_in_the_reference(hooks: ModuleType) -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    for name, _ in hooks.leaves(typer.main.get_command(app)):
        assert name.split()[0] in shown


def test_links_of_copied_pages_stay_inside_the_site(hooks: ModuleType) -> None:
    for page, source in hooks.COPIES.items():
        text = hooks.copied(page, source)
        for _, _, target, _ in hooks.LINK.findall(text):
            assert target in hooks.COPIES or (ROOT / "docs" / target).exists(), (page, target)


def test_equations_become_mathml(hooks: ModuleType) -> None:
    html = '<span class="arithmatex">\\(a &lt; \\pi\\)</span>'
    shown = hooks.on_page_content(html)
    assert "<math" in shown
    assert "&#x0003C;" in shown
    assert "arithmatex" not in shown


def test_files_of_the_architecture_page_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(
        r"(?:`|^ +)((?:[a-z_]+/)*[a-z_]+(?:\.py|\.yaml|/))(?:`|\s)", page, re.MULTILINE
    )
    assert len(named) > 20
    missing = [
        name for name in named if not (ROOT / "vqclip" / name.removeprefix("vqclip/")).exists()
    ]
    assert [name for name in missing if not (ROOT / name).exists()] == []


def test_options_in_prose_exist(hooks: ModuleType) -> None:
    leaves = dict(hooks.leaves(typer.main.get_command(app))).values()
    known = {o for c in leaves for p in c.params for o in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "--install-completion", "--index-url", "--head", "--check", "--figure"}
    known |= {"--train"}  # an option of examples/tasks.py
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {o for p in pages for o in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", p.read_text())}
    assert named - known == set()
