"""Words that Typer would misread are parsed as intended, or refused with a suggestion."""

import pytest

from tests.cli.runner import refused, vqclip
from vqclip.batch.formats import LIST_FORMATS
from vqclip.cli.messages import in_options
from vqclip.config.presets import PRESETS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["- a list item"], "must follow --: vqclip -- '- a list item'"),
        (["-a cat", "--steps", "3"], "must follow --: vqclip --steps 3 -- '-a cat'"),
        (["--help me draw"], "must follow --"),
        (["x", "--size", "64", "48"], "write the size as one word: --size 64x48"),
        (["x", "--lrr", "3"], "No such option: --lrr"),
        (["resume", "x", "--lrate", "3"], "No such option: --lrate"),
        (["story", "x", "--draft"], "--draft; it works only with vqclip generate, batch and again"),
        (["story", "x", "--steps", "3"], "did you mean --steps-per-scene?"),
        (["generate", "x", "--seeds", "1-4"], "it works only with vqclip batch"),
        (["x", "--lr", "0,5"], "Invalid value for '--lr'"),
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("list", "choose what to list: presets, cut-methods"),
        ("list presetz", "did you mean 'presets'?"),
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
    assert in_options("`name`, `overwrite`") == "--name, --overwrite"
    assert in_options("`nothing`, `vqclip list losses`") == "`nothing`, `vqclip list losses`"
