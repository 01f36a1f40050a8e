"""Shell completion offers only values that the options accept."""

import pytest

from vqclip.batch.formats import LIST_FORMATS
from vqclip.cli.app import app
from vqclip.cli.completion import completion_of
from vqclip.cli.options import parameters_of
from vqclip.config import GenerateConfig
from vqclip.config.presets import PRESETS
from vqclip.config.prompts import parse_prompts
from vqclip.generation.cutouts.augmentations import AUGMENTATIONS
from vqclip.generation.cutouts.methods import CUT_METHODS
from vqclip.generation.losses import LOSSES
from vqclip.generation.optimizers import OPTIMIZERS
from vqclip.media.timing import EASES
from vqclip.models.runtime import PRECISIONS
from vqclip.sampling.masks import SIDES


def completed(option: str, begun: str = "") -> list[str]:
    completion = completion_of(option)
    assert completion
    return [name for name, _ in completion(begun)]


@pytest.mark.parametrize(
    ("option", "known"),
    [
        ("--preset", PRESETS),
        ("--optimizer", OPTIMIZERS),
        ("--cut-method", CUT_METHODS),
        ("--augment", AUGMENTATIONS),
        ("--loss", LOSSES),
        ("--precision", PRECISIONS),
        ("--keep", SIDES),
        ("--ease", EASES),
        ("--format", LIST_FORMATS),
    ],
)
def test_values_come_from_registries(option: str, known: object) -> None:
    assert set(completed(option)) == set(known)  # type: ignore[call-overload]


def test_partial_words_are_completed() -> None:
    assert completed("--preset", "pix") == ["pixray"]
    assert completed("--augment", "flip,shar") == ["flip,sharpness"]
    assert "default" in completed("--vqgan")
    assert {"auto", "none"} <= set(completed("--style"))
    assert "presets" in completed("LIST")
    assert completed("MODEL", "imagenet-f16-16") == ["imagenet-f16-16384"]
    assert completion_of("--output") is None


@pytest.mark.parametrize("option", ["--init", "--schedule", "--fit", "--init-decay"])
def test_configs_accept_every_completed_value(option: str) -> None:
    name = option.removeprefix("--").replace("-", "_")
    assert name in parameters_of(GenerateConfig)
    for value in completed(option):
        GenerateConfig(parse_prompts("a"), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("vqclip generate fox --preset rk", ["rkhamilton", "rkhamilton-sg3"]),
        ("vqclip fox --preset rk", ["rkhamilton", "rkhamilton-sg3"]),
        ("vqclip lst --fit co", ["cover", "contain"]),
        ("vqclip list pre", ["presets"]),
        ("vqclip again fox.png --schedule l", ["linear"]),
    ],
)
def test_shell_receives_completions(
    line: str,
    values: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_VQCLIP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    with pytest.raises(SystemExit):
        app(prog_name="vqclip")
    assert capsys.readouterr().out.split() == values
