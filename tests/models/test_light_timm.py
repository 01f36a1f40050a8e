"""The architecture that is asked for, without the others: the same model, and timm left whole."""

import sys

import pytest
import torch

from vqclip.models.light_timm import LightTimm, _light_timm, light_timm


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> LightTimm:
    """As in a process where nobody has imported timm yet."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    timm = _light_timm()
    assert timm is not None
    return timm


def test_the_model_is_timms_own(light: LightTimm) -> None:
    ours = light.create_model("test_efficientnet.r160_in1k", num_classes=3)
    assert "timm" not in sys.modules
    import timm

    assert "timm.models.vision_transformer" in sys.modules
    theirs = timm.create_model("test_efficientnet.r160_in1k", num_classes=3)
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(ours.eval()(image), theirs.eval()(image))
    assert type(ours) is not type(theirs)


def test_what_is_imported_already_stays(light: LightTimm) -> None:
    import timm

    with light_timm():
        import timm as seen
    assert seen is timm
    light.create_model("test_efficientnet")
    assert sys.modules["timm"] is timm


def test_an_unknown_name_is_refused_by_the_whole_timm(light: LightTimm) -> None:
    with pytest.raises(RuntimeError, match="Unknown model"):
        light.create_model("no_such_network")
