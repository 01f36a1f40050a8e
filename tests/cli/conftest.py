from collections.abc import Hashable

import pytest

from vqclip.batch import engine
from vqclip.config import DEFAULT, GenerateConfig, SampleConfig
from vqclip.hub import loaders
from vqclip.hub.loaders import Models
from vqclip.hub.run_defaults import transformer_of
from vqclip.sampling import completion

_load = loaders.load_models
_loaded: dict[Hashable, Models] = {}


@pytest.fixture(autouse=True)
def _load_embedded_models_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share the built-in models among tests; runs do not change them."""
    for module in (loaders, engine, completion):
        monkeypatch.setattr(module, "load_models", _shared_models)


def _shared_models(config: GenerateConfig | SampleConfig) -> Models:
    clips = tuple(source for source, _ in config.clip)
    files = {
        getattr(config, name, None) for name in ("vqgan", "vqgan_config", "transformer_config")
    }
    transformer = transformer_of(config)
    if (files | {transformer, *clips}) - {None, DEFAULT}:
        return _load(config)
    key = (type(config), transformer, clips, bool(config.prompts), config.device, config.precision)
    if key not in _loaded:
        _loaded[key] = _load(config)
    return _loaded[key]
