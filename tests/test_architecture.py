"""Rules that keep the code readable, checked on the syntax trees."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vqclip"
# A package imports only from the packages after it.
ROOMS = [
    "cli",
    "batch",
    "diagnostics",
    "video",
    "evaluation",
    "training",
    "runs",
    "sampling",
    "generation",
    "hub",
    "media",
    "models",
    "config",
    "files",
]
FILES = {"__init__.py", "__main__.py", "api.py", "errors.py", "py.typed", "registry.py"}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__main__.py")
COMMAND = re.compile(r"\b(vqclip|pip install) .*--")
LIBRARIES = {  # the packages or modules that may import each
    "typer": {"cli"},
    "rich": {"cli"},
    "open_clip": {"models/openclip"},
    "httpx2": {"hub/downloads"},
    "imageio": {"media"},
    "av": {"media"},
    "skimage": {"sampling/conditions"},
    "cv2": {"video/optical_flow"},
    "ray": {"batch/cluster", "batch/worker"},
}


def name(path: Path) -> str:
    """Return the module of a file as a path below vqclip, such as ``cli/app``."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return all nodes of a file's syntax tree."""
    return list(ast.walk(tree_of(path)))


@cache
def imports(path: Path) -> list[str]:
    """Return the absolute path of every name that a file imports: ``vqclip.errors.UsageError``."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = ["vqclip", *path.relative_to(PACKAGE).parent.parts]
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_package_names() -> None:
    entries = {p.name for p in PACKAGE.iterdir()} - {"__pycache__", "weights"}
    assert entries == {*ROOMS, *FILES}


def test_imports_go_down() -> None:
    up = []
    for path in MODULES:
        room = name(path).split("/")[0]
        for imported in imports(path):
            parts = imported.split(".")
            there = parts[1] if parts[0] == "vqclip" and len(parts) > 1 else ""
            inside = room in ROOMS and there in ROOMS
            if inside and ROOMS.index(there) < ROOMS.index(room):
                up.append(f"{name(path)} imports {imported}")
    assert not up


def test_no_modules_import_each_other() -> None:
    """Neither directly nor in a circle, not even for annotations."""
    modules = {f"vqclip/{name(path)}".removesuffix("/__init__"): path for path in MODULES}
    graph: dict[str, set[str]] = {}
    for own, path in modules.items():
        for imported in imports(path):
            place = imported.replace(".", "/")  # of a submodule, or of a name in a module
            found = place if place in modules else place.rpartition("/")[0]
            graph.setdefault(own, set()).update({found} & modules.keys() - {own})
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


def test_each_library_is_imported_only_in_its_package() -> None:
    strays = []
    for path in MODULES:
        for imported in imports(path):
            homes = LIBRARIES.get(imported.split(".")[0])
            if homes is not None and not any(f"{name(path)}/".startswith(f"{h}/") for h in homes):
                strays.append(f"{name(path)} imports {imported}")
    assert not strays


def defined(path: Path) -> Iterator[str]:
    """Yield the public names that a module defines; in ``cli``, without annotations of options."""
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign) and name(path).split("/")[0] != "cli":
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (each.id for each in targets if isinstance(each, ast.Name))


def test_no_public_name_is_defined_twice() -> None:
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for defines in {each for each in defined(path) if not each.startswith("_")}:
            places.setdefault(defines, []).append(name(path))
    assert not {defines: modules for defines, modules in places.items() if len(modules) > 1}


def texts(path: Path) -> Iterator[str]:
    """Yield the strings of a module, without docstrings and declarations of options."""
    skipped: set[ast.AST] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        elif (
            isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("setting", "Option")
        ) or (isinstance(node, ast.keyword) and node.arg == "help"):
            skipped.update(ast.walk(node))
        elif isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
            )
    yield from (
        node.value
        for node in nodes_of(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped
    )


def test_only_the_command_line_names_options() -> None:
    """Messages below cli name a setting `steps`; only complete shell commands contain options."""
    named = [
        f"{name(path)}: {text}"
        for path in MODULES
        if not name(path).startswith(("cli/", "training/examples/"))
        for text in texts(path)
        if re.search(r"(^|[\s(])--[a-z]", text) and not COMMAND.search(text)
    ]
    assert not named


def test_modules_and_functions_stay_small() -> None:
    large = []
    for path in MODULES:
        text = path.read_text()
        if len(text.splitlines()) > 300:
            large.append(name(path))
        for node in nodes_of(path):
            if not isinstance(node, ast.FunctionDef):
                continue
            if (node.end_lineno or 0) - node.body[0].lineno >= 50:
                large.append(f"{name(path)}:{node.name}")
    assert not large


LIGHT = [
    ["--help"],
    ["generate", "--help"],
    ["complete", "--help"],
    ["sample", "--help"],
    ["reconstruct", "--help"],
    ["animate", "--help"],
    ["again", "--help"],
    ["batch", "--help"],
    ["resume", "--help"],
    ["show", "--help"],
    ["weights", "--help"],
    ["weights", "get", "--help"],
    ["doctor", "--help"],
    ["evaluate"],
    ["evaluate", "clip", "--help"],
    ["sample", "--samples", "0"],
    ["--version"],
    ["x:1,5"],
]
WITHOUT_TORCH = """
import json, sys, vqclip
from vqclip.cli.app import app
for command in json.loads(sys.argv[1]):
    try: app(command)
    except SystemExit: pass
    for library in ("torch", "numpy"):
        assert library not in sys.modules, (command, library)
"""


def test_help_and_usage_errors_never_import_torch() -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, json.dumps(LIGHT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr


def test_all_public_names_exist() -> None:
    import vqclip

    assert set(vqclip.__all__) <= set(dir(vqclip))
    for name in vqclip.__all__:
        assert getattr(vqclip, name).__doc__
    with pytest.raises(AttributeError):
        vqclip.nothing  # noqa: B018
