"""What a run is and what it leaves: frozen dataclasses, the only home of every default."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vqclip.errors import UsageError
from vqclip.prompts import Prompt

DEFAULT = "default"  # the embedded models
FITS = ("cover", "contain", "stretch")
DECAYS = ("constant", "harmonic")
TARGETS = ("start", "zero")
SCHEDULES = ("constant", "linear", "cosine", "drop")
MAX_SEED = 2**63 - 1
MAX_SIDE = 16384

Weighted = tuple[str, float]


@dataclass(frozen=True)
class GenerateConfig:
    """Everything that decides the bytes of a picture, and nothing else.

    prompts: text, image and noise prompts (:func:`vqclip.parse_prompts`).
    size: (width, height) in pixels; None is the size that the VQGAN was trained at.
    transformer, transformer_config, drafts: with the init ``sample``, the transformer that draws
        so many starts, of which CLIP takes the best; its VQGAN is the one that is used.
    steps: number of optimizer steps.
    seed: seeds every random number of the run, 0 to 2⁶³−1.
    vqgan, vqgan_config: weights and, where it does not lie beside them, their yaml.
    clip: perceptors with the weight of each.
    init: ``random`` codes, ``noise``, ``gradient``, ``perlin``, ``sample``, an image (path or URL),
        or codes saved as ``.npz``; ``fit`` says how an image takes the picture's shape.
    init_weight, init_decay, init_target: L_init = w · d(i) · ½ · mean((z − t)²) holds z to t, its
        start or zero; d(i) is 1 (constant) or 1/(2i + 1) (harmonic) at step i.
    num_cutouts, cut_method, cut_power, augment, noise: see :mod:`vqclip.cutouts`.
    losses: further losses of :data:`vqclip.losses.LOSSES` with their weights.
    optimizer, learning_rate, schedule: see :mod:`vqclip.optimizers`.
    ema: decay of the running average of z that is shown, 0 (none) up to but not 1.
    device, precision: ``auto`` chooses; see :mod:`vqclip.engines`.
    deterministic: refuse operations whose result varies from run to run (on CUDA).
    cut_chunk: cutouts embedded at a time; less needs less memory; None chooses.

    Raises:
        UsageError: a value that is out of range.
    """

    prompts: tuple[Prompt, ...]
    size: tuple[int, int] | None = None
    steps: int = 100
    seed: int = 0
    vqgan: str = DEFAULT
    vqgan_config: str | None = None
    clip: tuple[Weighted, ...] = ((DEFAULT, 1.0),)
    transformer: str | None = None
    transformer_config: str | None = None
    drafts: int = 4
    init: str = "random"
    fit: str = "cover"
    init_weight: float = 0.0
    init_decay: str = "constant"
    init_target: str = "start"
    num_cutouts: int = 16
    cut_method: str = "crops"
    cut_power: float = 1.0
    augment: tuple[str, ...] = ("flip", "affine", "perspective", "jitter")
    noise: float = 0.1
    losses: tuple[Weighted, ...] = ()
    optimizer: str = "adam"
    learning_rate: float = 0.1
    schedule: str = "constant"
    ema: float = 0.0
    device: str = "auto"
    precision: str = "auto"
    deterministic: bool = False
    cut_chunk: int | None = None

    def __post_init__(self) -> None:
        if not self.prompts:
            raise UsageError("no prompt: say what to draw, for instance 'a red apple'")
        if not self.clip:
            raise UsageError("no CLIP model: name at least one")
        if self.size is not None:
            _check_size(self.size)
        _at_least("steps", self.steps, 1)
        _at_least("cutouts", self.num_cutouts, 1)
        _check_seed(self.seed)
        _at_least("drafts", self.drafts, 1)
        self._check_transformer()
        if self.cut_chunk is not None:
            _at_least("cut chunk", self.cut_chunk, 1)
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"learning rate must be a number above 0, not {self.learning_rate}")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema must be at least 0 and below 1, not {self.ema}")
        for name in ("init_weight", "noise", "cut_power"):
            _finite(name.replace("_", " "), getattr(self, name))
        for name, weight in (*self.clip, *self.losses):
            if not math.isfinite(weight):
                raise UsageError(f"the weight of {name} must be a finite number, not {weight}")
        _one_of("fit", self.fit, FITS)
        _one_of("init decay", self.init_decay, DECAYS)
        _one_of("init target", self.init_target, TARGETS)
        _one_of("schedule", self.schedule, SCHEDULES)

    def _check_transformer(self) -> None:
        if (self.init == "sample") != (self.transformer is not None):
            raise UsageError("--init sample and --transformer PATH need each other")
        if self.transformer is not None and self.vqgan != DEFAULT:
            raise UsageError("--init sample uses the transformer's own VQGAN: leave out --vqgan")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values: tuples are lists, an endless stop is None."""
        return _json_values(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GenerateConfig":
        """Return the config that :meth:`to_dict` wrote; unknown keys are refused."""
        known = {f.name for f in fields(cls)}
        if strange := sorted(set(values) - known):
            raise UsageError(f"unknown settings: {', '.join(strange)}; made by a newer version?")
        settings = {name: _frozen(value) for name, value in values.items()}
        settings["prompts"] = tuple(
            Prompt(**{**p, "stop": -math.inf if p.get("stop") is None else p["stop"]})
            for p in values.get("prompts", ())
        )
        return cls(**settings)


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Everything that decides the bytes of pictures that a transformer draws.

    transformer, transformer_config: weights and, where it does not lie beside them, their yaml.
    conditions: what to draw, (kind, value): see :mod:`vqclip.conditioning`.
    relabel: ``"3=sky"``: what the numbers in a label map stand for; none, what they say.
    size: (width, height) in pixels; None is the condition's, or that of the VQGAN's training.
    samples: so many pictures; the i-th of them is drawn with the seed ``seed`` + i.
    temperature, top_k, top_p: see :class:`vqclip.models.sampling.Sampler`; top_k 0 keeps all.
    prompts, clip: by what the pictures are ranked.

    Raises:
        UsageError: a value that is out of range.
    """

    transformer: str
    transformer_config: str | None = None
    conditions: tuple[tuple[str, str], ...] = ()
    relabel: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    samples: int = 1
    seed: int = 0
    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 1.0
    prompts: tuple[Prompt, ...] = ()
    clip: tuple[Weighted, ...] = ((DEFAULT, 1.0),)
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.size is not None:
            _check_size(self.size)
        _at_least("samples", self.samples, 1)
        _at_least("top-k", self.top_k, 0)
        _check_seed(self.seed)
        _check_seed(self.seed + self.samples - 1)
        _finite("temperature", self.temperature)
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p must be above 0 and at most 1, not {self.top_p}")
        if self.relabel and "labels" not in dict(self.conditions):
            raise UsageError("--label explains the numbers of a map: give one with --labels")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return _json_values(self)


@dataclass(frozen=True, kw_only=True)
class CompleteConfig(SampleConfig):
    """Everything that decides the bytes of a completed picture.

    picture: a path or URL; ``size`` is one to resize it to first.
    keep: top, bottom, left or right (halves), ``box:x,y,w,h``, or the path of a mask, white where
        the picture is kept; None keeps all that is not transparent.
    extend: pixels to add on the left, at the top, on the right and at the bottom.
    refine: optimisation steps for the imagined codes of the best picture.
    paste: keep the kept pixels as they are; else they are what the VQGAN makes of them.
    """

    picture: str
    keep: str | None = None
    extend: tuple[int, int, int, int] = (0, 0, 0, 0)
    refine: int = 0
    paste: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least("refine", self.refine, 0)
        if self.refine and not self.prompts:
            raise UsageError("--refine needs a --prompt: it is what the picture is refined towards")
        if min(self.extend) < 0 or max(self.extend) > MAX_SIDE:
            raise UsageError(f"extend takes 0 to {MAX_SIDE} pixels a side, not {self.extend}")


@dataclass(frozen=True)
class CodesConfig:
    """What a picture, or codes, are sent through.

    source: the picture, a path or URL, or the ``.npz`` of codes.
    size: (width, height) that a picture takes first, as ``fit`` says; None is its own.
    """

    source: str
    size: tuple[int, int] | None = None
    fit: str = GenerateConfig.fit
    vqgan: str = DEFAULT
    vqgan_config: str | None = None
    device: str = GenerateConfig.device

    def __post_init__(self) -> None:
        if self.size is not None:
            _check_size(self.size)
        _one_of("fit", self.fit, FITS)


@dataclass(frozen=True)
class OutputConfig:
    """The files that a run is to leave; none of it changes a byte of the picture.

    path: the picture.
    every: a frame each so many steps, for ``frames`` (a folder) and ``films`` (.gif, .mp4).
    fps: frames a second of the films; None shows all in about eight seconds.
    codes: the result's code indices, as ``.npz``.
    """

    path: Path
    every: int = 5
    frames: Path | None = None
    films: tuple[Path, ...] = ()
    fps: float | None = None
    codes: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        _at_least("every", self.every, 1)
        if self.fps is not None and not 1 <= self.fps <= 120:
            raise UsageError(f"fps must be 1 to 120, not {self.fps}")


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


def _json_values(config: GenerateConfig | SampleConfig) -> dict[str, Any]:
    values = {name: _plain(value) for name, value in asdict(config).items()}
    for prompt in values["prompts"]:
        prompt["stop"] = None if prompt["stop"] == -math.inf else prompt["stop"]
    return values


def _check_seed(seed: int) -> None:
    _at_least("seed", seed, 0)
    if seed > MAX_SEED:
        raise UsageError(f"seed must be at most {MAX_SEED}, not {seed}")


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise UsageError(f"size must be 1 to {MAX_SIDE} pixels a side, not {width}x{height}")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{name} must be at least {least}, not {value}")


def _finite(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise UsageError(f"{name} must be a number of at least 0, not {value}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"unknown {name} {value!r}; known: {', '.join(known)}")
