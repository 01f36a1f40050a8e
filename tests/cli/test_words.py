"""Words that Typer would misread are parsed as intended, or refused with a suggestion."""

import pytest
import typer

from tests.cli.runner import refused, vqclip
from vqclip.batch.formats import LIST_FORMATS
from vqclip.cli.app import app
from vqclip.cli.messages import in_options
from vqclip.cli.words import numbers_joined
from vqclip.config.presets import PRESETS
from vqclip.errors import UsageError

OPTIONS = typer.main.get_command(app).commands["generate"].params  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("a --size 64 48 --steps 3", "a --size 64x48 --steps 3"),
        ("-s 64 48", "-s 64x48"),
        ("64 48", "64 48"),
        ("2024 --steps 3 -- 64", "2024 --steps 3 -- 64"),
        ("--size 64 -- 48", "--size 64 -- 48"),
        ("-- --size 64 48", "-- --size 64 48"),
        ("--image-prompt 3 4", "--image-prompt 3 4"),
        ("", ""),
    ],
)
def test_sizes_may_be_two_words(words: str, read: str) -> None:
    assert numbers_joined(words.split(), OPTIONS) == read.split()


@pytest.mark.parametrize(
    "words", ["--steps 3 64", "--size 64x64 3", "--lr 0.1 0,2", "-n 3 4 a", "-s 64 64 64"]
)
def test_stray_numbers_are_refused(words: str) -> None:
    with pytest.raises(UsageError, match="does not belong to any option"):
        numbers_joined(words.split(), OPTIONS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["- a list item"], "must follow --: vqclip -- '- a list item'"),
        (["-a cat", "--steps", "3"], "must follow --: vqclip --steps 3 -- '-a cat'"),
        (["--help me draw"], "must follow --"),
        (["generate", "- a cat"], "must follow --: -- '- a cat'"),
        (["x", "--lrr", "3"], "No such option: --lrr; did you mean --lr?"),
        (["resume", "x", "--lrate", "3"], "No such option: --lrate"),
        (["story", "x", "--draft"], "--draft; it works only with vqclip generate, batch and again"),
        (["story", "x", "--steps", "3"], "did you mean --steps-per-scene?"),
        (["generate", "x", "--seeds", "1-4"], "it works only with vqclip batch"),
        (["x", "--lr", "0,5"], "'--lr': '0,5' is not a number; write 0.5"),
        (["x", "--steps", "many"], "'many' is not a whole number"),
        (["x", "-o", "{prompt!r:>30}.png"], "cannot read the name"),
        (["x", "-o", "{n:03}.png"], "cannot read the name"),
    ],
)
def test_message_suggests_the_right_words(words: list[str], message: str) -> None:
    assert message in refused(*words)


def test_rows_that_start_with_a_dash_are_prompts() -> None:
    text = "- a list item --steps 3\n-a cat\n--image-prompt x.png\n"
    assert [row.words for row in LIST_FORMATS["text"](text)] == [
        ("--steps", "3", "--", "- a list item"),
        ("--", "-a cat"),
        ("--image-prompt", "x.png"),
    ]


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_decimal_commas_and_tabs_in_tables(mark: str) -> None:
    cells = [["Prompt", "Init Weight", "Seeds"], ["a, b", "0,5", "1,3"]]
    text = "\n".join(mark.join(f'"{cell}"' for cell in row) for row in cells)
    (row,) = LIST_FORMATS["csv"](text)
    assert row.words == ("--init-weight=0.5", "--seeds=1,3", "--", "a, b")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("list", "choose what to list: presets, cut-methods"),
        ("list presetz", "did you mean 'presets'?"),
        ("list foo", "unknown list 'foo'; known: ade20k"),
        ("list losses x", "only presets have settings"),
        ("weights remove default --yes", "default is part of vqclip and cannot be removed"),
        ("resume i.frames", "no such folder: i.frames"),
    ],
)
def test_missing_files_are_reported(words: str, message: str) -> None:
    assert message in refused(*words.split())


def test_presets_have_a_sentence_and_settings() -> None:
    told = vqclip("list", "presets").stdout.splitlines()
    assert [line.split()[0] for line in told] == list(PRESETS)
    assert all(line.endswith(".") and len(line) < 110 for line in told)
    settings = vqclip("list", "presets", "crowson").stdout
    assert "--size             480x480\n" in settings
    assert "--augment          none\n" in settings


def test_ctrl_c_before_a_step_reports_saved_files(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.runs.autosave import Autosave

    save = Autosave.save

    def interrupted(keeper: Autosave) -> None:
        save(keeper)
        raise KeyboardInterrupt

    monkeypatch.setattr(Autosave, "save", interrupted)
    quick = ("a fox", "--steps", "1", "--init", "random", "--size", "32", "-o", "fox.png")
    told = vqclip(*quick, "--checkpoint", code=130).stderr
    assert "continue with: vqclip resume fox.checkpoint.safetensors" in told
    assert "nothing" not in told


def test_messages_name_options_for_settings() -> None:
    assert in_options("`num_cutouts` or `init=draft`") == "--cutouts or --init draft"
    assert in_options("`name`, `overwrite`, `trust`") == "--name, --overwrite, --trust"
    assert in_options("`nothing`, `vqclip list losses`") == "`nothing`, `vqclip list losses`"
