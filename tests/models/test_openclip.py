"""The parts of open_clip that training needs."""

import pytest

from vqclip.errors import VqclipError
from vqclip.models import openclip
from vqclip.models.openclip import architecture, tokenize, vocabulary


def test_the_vocabulary_is_in_the_order_of_the_tokens() -> None:
    entries = vocabulary()
    assert len(entries) == 49408
    start, apple, end, padding = tokenize(["apple"], 4)[0].tolist()
    assert entries[apple] == "apple</w>"
    assert (entries[start], entries[end]) == ("<start_of_text>", "<end_of_text>")
    assert padding == 0


def test_architectures_by_name() -> None:
    assert architecture("RN50")["vision_cfg"]["layers"] == [3, 4, 6, 3]


def test_a_torchvision_that_does_not_fit_torch_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def misfit(name: str) -> None:
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    monkeypatch.setattr(openclip.importlib, "import_module", misfit)
    with pytest.raises(VqclipError, match=r"nms does not exist\): run vqclip doctor") as caught:
        openclip.import_open_clip.__wrapped__()
    assert "\n" not in str(caught.value)
