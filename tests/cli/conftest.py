from collections.abc import Hashable
from functools import partial
from pathlib import Path

import pytest

from tests.tiny import with_tiny_clip
from vqclip.batch import engine
from vqclip.config import DEFAULT, GenerateConfig, SampleConfig
from vqclip.hub import loaders
from vqclip.hub.loaders import Models
from vqclip.hub.run_defaults import transformer_of
from vqclip.media.writers import palette
from vqclip.sampling import completion

REFERENCE = Path(__file__).parents[1] / "reference"
_load_models = loaders.load_models
_loaded: dict[Hashable, Models] = {}


@pytest.fixture(autouse=True)
def _quick_models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load models that do not change once for all tests.

    In quick tests, CLIP's image tower has only one layer, and the palette of a GIF is looked up in
    a coarser grid.
    """
    is_slow = request.node.get_closest_marker("slow") is not None
    load = partial(_shared_models, tiny_clip=not is_slow)
    for module in (loaders, engine, completion):
        monkeypatch.setattr(module, "load_models", load)
    if not is_slow:
        monkeypatch.setattr(palette, "_FINE_BITS", 4)


def _shared_models(config: GenerateConfig | SampleConfig, tiny_clip: bool) -> Models:
    clips = tuple(source for source, _ in config.clip)
    vqgan = [getattr(config, name, None) for name in ("vqgan", "vqgan_config")]
    files = (*vqgan, transformer_of(config), config.transformer_config, *clips)
    if not all(file in (None, DEFAULT) or Path(file).is_relative_to(REFERENCE) for file in files):
        return _load(config, tiny_clip)
    key = (type(config), bool(config.prompts), config.device, config.precision, files, tiny_clip)
    if key not in _loaded:
        _loaded[key] = _load(config, tiny_clip)
    return _loaded[key]


def _load(config: GenerateConfig | SampleConfig, tiny_clip: bool) -> Models:
    models = _load_models(config)
    return with_tiny_clip(models) if tiny_clip else models
