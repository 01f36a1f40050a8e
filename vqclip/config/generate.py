"""Settings for images optimised towards prompts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vqclip.config import shared
from vqclip.config.checks import (
    AUTO,
    DEFAULT,
    FITS,
    NONE,
    NameOrFunction,
    Weighted,
    at_least,
    check_seed,
    check_size,
    config_of,
    finite,
    json_values,
    name_of,
    one_of,
)
from vqclip.config.prompts import Prompt
from vqclip.config.sampling import Sampling
from vqclip.config.setting import IMAGE, METHOD, MODELS, setting, shared_setting
from vqclip.config.spelling import LIST, NAME, WEIGHTED
from vqclip.config.typed import Typed
from vqclip.errors import UsageError

DRAWN = ("draft", "sample")  # values of init for which a transformer samples the initial image
DECAYS = ("constant", "harmonic")
TARGETS = ("start", "zero")
SCHEDULE_NAMES = ("constant", "linear", "cosine", "drop")


@dataclass(frozen=True)
class GenerateConfig(Typed):
    """All settings that affect the bytes of an image, and no others.

    prompts: text, image and noise prompts; see :func:`vqclip.parse_prompts`.
    size: (width, height) in pixels; None means the VQGAN's training size.
    steps: number of optimizer steps; 0 returns the initial image.
    seed: seed for all random numbers in the run, from 0 to 2⁶³−1.
    vqgan, vqgan_config: weights of the VQGAN, and its YAML file if it is not beside them.
    clip: pairs of a CLIP model and its weight in the loss.
    transformer, transformer_config: the transformer that samples drafts, and its YAML file if it is
        not beside the weights. The transformer's VQGAN is used unless ``vqgan`` names another.
    init: starting point of the run, which may be ``random`` (codes), ``noise``, ``gradient``,
        ``perlin``, an image (path or URL), or codes saved as ``.npz``. With ``draft``, a
        transformer samples the codes for the prompts; with ``sample``, it ignores the prompts.
        ``auto`` means ``draft`` if a transformer is given, or if the VQGAN is the built-in one and
        a transformer is built in; otherwise, it means ``random``. ``fit`` determines how an initial
        image is fitted to the size.
    drafts: number of drafts for CLIP to choose from.
    style: style of the drafts, if the transformer has styles: a name, ``auto`` or ``none``; see
        :func:`vqclip.generation.styles.chosen_styles`.
    guidance, temperature, top_k, top_p, recall: settings for drafts; see
        :class:`vqclip.config.sampling.Sampling`.
    init_weight, init_decay, init_target: w, d and t in the loss at step i, L_init = w · d(i) · ½ ·
        mean((z − t)²), which pulls z towards t. Here, t is the initial z (``start``) or 0
        (``zero``), and d(i) is 1 (``constant``) or 1/(2i + 1) (``harmonic``). A weight of None
        means 1 for a draft, which needs only refinement, and 0 otherwise; see
        :mod:`vqclip.hub.run_defaults`.
    prior: weight of the loss that pulls z towards codes that are likely under the transformer; see
        :mod:`vqclip.generation.prior`. None means 8 for a draft and 0 otherwise.
    num_cutouts, cut_method, cut_power, augment, noise: see :mod:`vqclip.generation.cutouts`.
    losses: pairs of an additional loss and its weight. A loss is a name in
        :data:`vqclip.generation.losses.LOSSES`, or a function from
        :class:`vqclip.generation.losses.Observation` to a scalar.
    augment, optimizer: ``augment`` may include functions (n, 3, h, w) -> (n, 3, h, w), and
        ``optimizer`` may be a function (params, lr) -> torch.optim.Optimizer. An image records only
        the names of these functions; to generate it again, pass the file that defines them (`vqclip
        again --python FILE`).
    optimizer, learning_rate, schedule: see :mod:`vqclip.generation.optimizers`. A learning rate of
        None means 0.05 for a draft and 0.1 otherwise.
    ema: decay of the running average of z from which the image is decoded; at least 0 (no
        averaging) and below 1.
    device, precision: chosen automatically if ``auto``; see :mod:`vqclip.models.runtime`. The
        precision ``portable`` is float32 with byte-identical results on every x86-64 processor. On
        CUDA, its results are byte-identical from run to run on the same GPU, and cutouts are taken
        on the CPU.
    cut_chunk: number of cutouts embedded at a time; smaller numbers need less memory. If None, the
        number depends on the device.

    Raises:
        UsageError: a value is out of range.
    """

    prompts: tuple[Prompt, ...]
    size: tuple[int, int] | None = shared_setting(None, shared.SIZE)
    steps: int = setting(
        20,
        *("--steps", "-n"),
        panel=IMAGE,
        help="Number of optimisation steps; 0 saves the starting image.",
    )
    seed: int = shared_setting(0, shared.SEED)
    vqgan: str = shared_setting(DEFAULT, shared.VQGAN)
    vqgan_config: str | None = shared_setting(None, shared.VQGAN_CONFIG)
    clip: tuple[Weighted, ...] = shared_setting(((DEFAULT, 1.0),), shared.CLIP)
    transformer: str | None = shared_setting(None, shared.TRANSFORMER)
    transformer_config: str | None = shared_setting(None, shared.TRANSFORMER_CONFIG)
    init: str = setting(
        AUTO,
        *("--init", "-i"),
        panel=IMAGE,
        metavar="START",
        help="Starting point: draft, random, noise, gradient, perlin or sample; the path or URL "
        "of an image; saved codes (.npz); or auto (a draft if a transformer is available, "
        "otherwise random codes).",
    )
    drafts: int = setting(
        8, "--drafts", panel=IMAGE, help="Number of drafts for CLIP to choose from."
    )
    style: str = shared_setting(AUTO, shared.STYLE)
    guidance: float = shared_setting(2.0, shared.GUIDANCE)
    temperature: float = shared_setting(0.5, shared.TEMPERATURE)
    top_k: int = shared_setting(100, shared.TOP_K)
    top_p: float = shared_setting(1.0, shared.TOP_P)
    recall: float = shared_setting(0.5, shared.RECALL)
    fit: str = shared_setting("cover", shared.FIT)
    init_weight: float | None = setting(
        None,
        "--init-weight",
        panel=IMAGE,
        help="Weight of the loss that keeps the image close to its starting point. Default: 1 "
        "when starting from a draft, otherwise 0.",
    )
    init_decay: str = setting(
        "constant",
        "--init-decay",
        panel=IMAGE,
        help="Decay of --init-weight: constant (no decay) or harmonic (multiply by 1/(2i+1) at "
        "step i).",
    )
    init_target: str = setting(
        "start",
        "--init-target",
        panel=IMAGE,
        help="Values towards which --init-weight pulls the codes: start (their starting values) "
        "or zero.",
    )
    prior: float | None = setting(
        None,
        "--prior",
        panel=IMAGE,
        help="Weight of the loss that pulls the codes towards those that the transformer predicts "
        "for the prompt. The loss applies only at the transformer's training size. Default: 8 "
        "when starting from a draft, otherwise 0.",
    )
    num_cutouts: int = setting(
        16, "--cutouts", panel=METHOD, help="Number of cutouts that CLIP sees at each step."
    )
    cut_method: str = setting(
        "normal-crops(mean=0.9,std=0.2,low=0.6)",
        "--cut-method",
        panel=METHOD,
        help="Method for placing the cutouts: a name from `vqclip list cut-methods`.",
    )
    cut_power: float = setting(
        1.0,
        "--cut-power",
        panel=METHOD,
        help="Exponent for the cutout sizes (only for the cut methods crops and avg-pooled); "
        "values above 1 make cutouts smaller.",
    )
    augment: tuple[NameOrFunction, ...] = setting(
        ("flip", "affine", "perspective", "jitter"),
        *("--augment", "-a"),
        panel=METHOD,
        metavar="A,B(x=1)",
        spelling=LIST,
        help="Augmentations to apply to the cutouts, in order (names from `vqclip list "
        "augmentations`), or none.",
    )
    noise: float = setting(
        0.1,
        "--noise",
        panel=METHOD,
        help="Standard deviation of the noise added to the cutouts.",
    )
    losses: tuple[tuple[NameOrFunction, float], ...] = setting(
        (),
        "--loss",
        panel=METHOD,
        metavar="NAME:WEIGHT",
        spelling=WEIGHTED,
        help="Additional loss: a name from `vqclip list losses`; may be repeated.",
    )
    optimizer: NameOrFunction = setting(
        "adam",
        "--optimizer",
        panel=METHOD,
        spelling=NAME,
        help="Optimizer: a name from `vqclip list optimizers`.",
    )
    learning_rate: float | None = setting(
        None,
        "--lr",
        panel=METHOD,
        help="Learning rate. Default: 0.05 when starting from a draft, otherwise 0.1.",
    )
    schedule: str = setting(
        "constant",
        "--schedule",
        panel=METHOD,
        help="Learning-rate schedule: constant, linear, cosine or drop.",
    )
    ema: float = setting(
        0.0,
        "--ema",
        panel=METHOD,
        help="Decode the image from a running average of the codes with this decay, such as 0.9; "
        "0 turns averaging off.",
    )
    device: str = shared_setting(AUTO, shared.DEVICE)
    precision: str = shared_setting(AUTO, shared.PRECISION)
    cut_chunk: int | None = setting(
        None,
        "--cut-chunk",
        panel=MODELS,
        help="Number of cutouts to embed at a time; smaller numbers use less memory. Default: "
        "depends on the device.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.prompts:
            raise UsageError("no prompt: describe the image, for example 'a red apple'")
        if not self.clip:
            raise UsageError("no CLIP model: name at least one")
        check_size(self.size)
        at_least("steps", self.steps, 0)
        at_least("cutouts", self.num_cutouts, 1)
        check_seed(self.seed)
        self._check_drafts()
        at_least("cut chunk", self.cut_chunk, 1)
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise UsageError(f"learning rate must be a number above 0, not {self.learning_rate}")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema must be at least 0 and below 1, not {self.ema}")
        finite("init weight", self.init_weight)
        finite("prior", self.prior)
        finite("noise", self.noise)
        finite("cut power", self.cut_power)
        for named, weight in (*self.clip, *self.losses):
            if not math.isfinite(weight):
                raise UsageError(
                    f"the weight of {name_of(named)} must be a finite number, not {weight}"
                )
        one_of("fit", self.fit, FITS)
        one_of("init decay", self.init_decay, DECAYS)
        one_of("init target", self.init_target, TARGETS)
        one_of("schedule", self.schedule, SCHEDULE_NAMES)

    def _check_drafts(self) -> None:
        at_least("drafts", self.drafts, 1)
        _ = self.sampling  # checks its values
        if self.transformer is not None and self.init not in (AUTO, *DRAWN):
            raise UsageError(
                f"a transformer samples the starting image: `init` must be draft or sample, not "
                f"{self.init!r}"
            )
        if self.style not in (AUTO, NONE) and self.init not in (AUTO, *DRAWN) and not self.prior:
            raise UsageError(
                f"`style` applies to drafts, but `init` is {self.init!r}: drop `style`, or set "
                "`prior`"
            )

    @property
    def sampling(self) -> Sampling:
        """The transformer's sampling parameters."""
        return Sampling.of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values; see :func:`vqclip.config.checks.json_values`."""
        return json_values(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GenerateConfig":
        """Return the config for values from :meth:`to_dict`; an unknown key raises UsageError."""
        return config_of(cls, values)
