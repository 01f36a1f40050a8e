"""Default settings of a run, derived from its start and the built-in models."""

from dataclasses import dataclass, replace
from typing import Any

from vqclip.config import AUTO, DEFAULT, DRAWN, GenerateConfig, SampleConfig
from vqclip.files.embedded import has_transformer

_OPEN = ("learning_rate", "init_weight", "prior")  # None until they are derived


@dataclass(frozen=True)
class Derived:
    """The settings of a run that depend on how it starts.

    init: how the run starts, never ``auto``.
    transformer: the transformer for drafts or the prior, or None if the run uses none.
    learning_rate, init_weight, prior: settings for the optimisation. A draft needs only refinement,
        so its default learning rate is lower and its default weights are higher.
    """

    init: str
    transformer: str | None
    learning_rate: float
    init_weight: float
    prior: float


def derive(config: GenerateConfig) -> Derived:
    """Return a run's derived settings, keeping those that ``config`` sets."""
    init = _best_init(config) if config.init == AUTO else config.init
    refines = init == "draft"
    rate, weight, prior = (0.05, 1.0, 8.0) if refines else (0.1, 0.0, 0.0)
    prior = prior if config.prior is None else config.prior
    transformer = DEFAULT if config.transformer is None else config.transformer
    return Derived(
        init,
        transformer if init in DRAWN or prior else None,
        rate if config.learning_rate is None else config.learning_rate,
        weight if config.init_weight is None else config.init_weight,
        prior,
    )


def explicit(config: GenerateConfig) -> GenerateConfig:
    """Return ``config`` with every setting filled in, as recorded in an image."""
    own = derive(config)
    values: dict[str, Any] = {name: getattr(own, name) for name in _OPEN}
    return replace(config, init=own.init, **values)


def reopened(config: GenerateConfig, *fixed: str) -> GenerateConfig:
    """Return ``config``, leaving open the settings that equal their derived values.

    A recorded config has a value for every setting. The settings left open here can adapt when
    ``init`` changes.

    fixed: names of settings to leave as they are.
    """
    chosen = derive(replace(config, learning_rate=None, init_weight=None, prior=None))
    init = derive(replace(config, init=AUTO)).init
    opened: dict[str, Any] = {}
    if config.init == init:
        opened["init"] = AUTO
    for name in _OPEN:
        if getattr(config, name) == getattr(chosen, name):
            opened[name] = None
    return replace(config, **{name: to for name, to in opened.items() if name not in fixed})


def transformer_of(config: GenerateConfig | SampleConfig) -> str | None:
    """Return the transformer used in a run, or None if there is none."""
    if isinstance(config, SampleConfig):
        return config.transformer
    return derive(config).transformer


def vqgan_source(config: GenerateConfig | SampleConfig) -> str:
    """Return the source of a run's VQGAN, which may be that of the run's transformer."""
    own = config.vqgan if isinstance(config, GenerateConfig) else DEFAULT
    return own if own != DEFAULT else transformer_of(config) or DEFAULT


def _best_init(config: GenerateConfig) -> str:
    own_vqgan = config.vqgan == DEFAULT and config.vqgan_config is None
    drafts = config.transformer is not None or (own_vqgan and has_transformer())
    return "draft" if drafts else "random"
