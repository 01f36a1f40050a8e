"""Settings that a run chooses for itself."""

from dataclasses import astuple, replace

import pytest

from vqclip.config import GenerateConfig
from vqclip.config.prompts import parse_prompts
from vqclip.hub import run_defaults
from vqclip.hub.run_defaults import derive, explicit, reopened

CONFIG = GenerateConfig(parse_prompts("x"))


@pytest.fixture(autouse=True)
def _transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_defaults, "has_transformer", lambda: True)


def test_config_keeps_open_settings() -> None:
    assert (CONFIG.init, CONFIG.learning_rate, CONFIG.init_weight) == ("auto", None, None)
    assert CONFIG.to_dict()["learning_rate"] is None


def test_rate_and_weight_depend_on_the_init() -> None:
    assert astuple(derive(CONFIG)) == ("draft", "default", 0.05, 1.0, 8.0)
    assert astuple(derive(replace(CONFIG, init="random"))) == ("random", None, 0.1, 0.0, 0.0)
    assert derive(replace(CONFIG, learning_rate=0.3)).learning_rate == 0.3
    assert derive(replace(CONFIG, init_weight=0)).init_weight == 0
    assert derive(replace(CONFIG, prior=0)).prior == 0


def test_prior_needs_the_transformer_for_any_init() -> None:
    assert derive(replace(CONFIG, init="random", prior=1.0)).transformer == "default"


def test_an_explicit_config_is_reopened() -> None:
    for config in (CONFIG, replace(CONFIG, init="noise"), replace(CONFIG, learning_rate=0.2)):
        recorded = explicit(config)
        assert None not in (recorded.learning_rate, recorded.init_weight, recorded.prior)
        assert derive(recorded) == derive(config)
        assert reopened(recorded) == config
    assert reopened(explicit(CONFIG), "init_weight") == replace(CONFIG, init_weight=1.0)
