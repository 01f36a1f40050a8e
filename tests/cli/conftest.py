from collections.abc import Hashable
from functools import partial

import pytest

from tests.tiny import with_tiny_clip
from vqclip.batch import engine
from vqclip.config import DEFAULT, GenerateConfig, SampleConfig
from vqclip.hub import loaders
from vqclip.hub.loaders import Models
from vqclip.hub.run_defaults import transformer_of
from vqclip.sampling import completion

_load_models = loaders.load_models
_loaded: dict[Hashable, Models] = {}


@pytest.fixture(autouse=True)
def _load_embedded_models_once(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Share the built-in models among tests; runs do not change them.

    Only slow tests use CLIP's own image tower.
    """
    is_slow = request.node.get_closest_marker("slow") is not None
    load = partial(_shared_models, tiny_clip=not is_slow)
    for module in (loaders, engine, completion):
        monkeypatch.setattr(module, "load_models", load)


def _load(config: GenerateConfig | SampleConfig, tiny_clip: bool) -> Models:
    models = _load_models(config)
    return with_tiny_clip(models) if tiny_clip else models


def _shared_models(config: GenerateConfig | SampleConfig, tiny_clip: bool) -> Models:
    clips = tuple(source for source, _ in config.clip)
    files = {
        getattr(config, name, None) for name in ("vqgan", "vqgan_config", "transformer_config")
    }
    transformer = transformer_of(config)
    if (files | {transformer, *clips}) - {None, DEFAULT}:
        return _load(config, tiny_clip)
    kind = (type(config), bool(config.prompts), config.device, config.precision)
    key = (*kind, transformer, clips, tiny_clip)
    if key not in _loaded:
        _loaded[key] = _load(config, tiny_clip)
    return _loaded[key]
