"""The Python API: load models once and generate any number of images.

>>> import vqclip
>>> model = vqclip.load()  # doctest: +SKIP
>>> model.draw("a red apple", steps=40, seed=7).save("apple.png")  # doctest: +SKIP

Images are float tensors (1, 3, h, w) with values in [0, 1].
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image
from torch import Tensor

from vqclip.config import AUTO, DEFAULT, DRAWN, CompleteConfig, GenerateConfig, SampleConfig
from vqclip.config.arguments import Prompts, config_from, weighted
from vqclip.config.prompts import Prompt
from vqclip.config.sample import IN_MEMORY
from vqclip.errors import UsageError
from vqclip.files.atomic import writing
from vqclip.files.environment import user_path
from vqclip.generation.frame import Frame
from vqclip.generation.losses import Loss
from vqclip.generation.optimizers import Optimizer
from vqclip.generation.step import generate
from vqclip.hub.loaders import Models, load_models
from vqclip.hub.sample_models import sample_models
from vqclip.media.images import flatten, image_format, save_image, to_pil, to_tensor
from vqclip.models.arithmetic import own_arithmetic
from vqclip.runs.render import metadata
from vqclip.runs.samples import sample_metadata
from vqclip.sampling.completion import (
    Sample,
    Task,
    collect,
    draw_samples,
    prepare,
    refine,
    refined,
)

_Config = TypeVar("_Config", GenerateConfig, SampleConfig, CompleteConfig)
_Source = str | Path
Weights = (
    _Source | Sequence[_Source | tuple[_Source, float]] | Mapping[str, float] | Mapping[Path, float]
)
Augmentation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Result:
    """A finished image.

    picture: the image as a PIL image.
    config: the image's settings; ``config.seed`` is its random seed.
    metadata: the settings and the hashes of the weights, as recorded in the saved file.
    score: CLIP similarity to the prompts, from -1 to 1; None if not measured.
    """

    picture: Image.Image
    config: GenerateConfig | SampleConfig
    metadata: Mapping[str, Any]
    score: float | None = None

    @property
    def image(self) -> Tensor:
        """The image as a tensor, (1, 3, h, w) in [0, 1]."""
        return to_tensor(flatten(self.picture))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Save the image as PNG, JPEG or WebP, with the settings that ``vqclip again`` needs.

        Raises:
            UsageError: the name is too long or its suffix is unknown, or the file exists and
                ``overwrite`` is not set.
            VqclipError: the file cannot be written.
        """
        path = user_path(path)
        picture = flatten(self.picture) if image_format(path) == "JPEG" else self.picture
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists: choose another name, or set overwrite=True")
        with writing():
            return save_image(picture, path, self.metadata, overwrite=overwrite)


class Model:
    """The models loaded by :func:`load`: a VQGAN, CLIP models and, optionally, a transformer.

    The methods take the fields of a config in :mod:`vqclip.config` as keyword arguments:
    :class:`vqclip.GenerateConfig` for ``draw`` and ``generate``, ``SampleConfig`` for ``sample``
    and ``CompleteConfig`` for ``complete``. To choose the models and their
    device, use :func:`load`.
    """

    def __init__(self, config: GenerateConfig, models: Models) -> None:
        self._loaded, self.models = config, models

    @property
    def device(self) -> str:
        """The models' device, such as ``cpu`` or ``cuda:0``."""
        return str(self.models.device)

    def draw(self, prompt: Prompts, **settings: Any) -> Result:
        """Generate an image for the prompt.

        See :meth:`generate` for the parameters. The default ``seed`` is random.

        Raises:
            UsageError: a setting or name is unknown, or a value is out of range.
            VqclipError: the optimisation diverges, or memory runs out.
        """
        config = self.settings(prompt, **settings)
        (last,) = deque(generate(config, self._for(config)), maxlen=1)
        return Result(to_pil(last.image), config, metadata(config, self._for(config)))

    def generate(
        self,
        prompt: Prompts,
        *,
        losses: Sequence[str | Loss | tuple[str | Loss, float]] = (),
        augment: Sequence[str | Augmentation] | None = None,
        optimizer: str | Optimizer = "adam",
        **settings: Any,
    ) -> Iterator[Frame]:
        """Yield the frames of a run: any drafts, the image before each step, and the final image.

        Args:
            prompt: ``"a red apple"``, ``"a castle:2 | blurry:-0.5"``, or a list of such prompts.
            losses: additional losses. Each is a name (``"symmetry"``, ``"symmetry:2"``), a function
                from :class:`vqclip.Observation` to a scalar tensor, or one of these paired with a
                weight, such as ``(loss, 0.5)``.
            augment: augmentations of the cutouts, in order; they replace the default ones. Each is
                a name, or a function from a batch (n, 3, h, w), with values roughly in [0, 1], to a
                batch of the same shape.
            optimizer: a name, or a function (params, learning rate) -> torch.optim.Optimizer. The
                learning rate is set before each step.
            settings: fields of :class:`vqclip.GenerateConfig`, such as ``steps`` and ``seed``.
                ``size`` is (width, height) in pixels, or a single number for a square.

        Raises:
            UsageError: a setting or name is unknown, or a value is out of range.
            VqclipError: the optimisation diverges, or memory runs out.
        """
        own = {"losses": losses, "augment": augment, "optimizer": optimizer}
        config = self.settings(prompt, **own, **settings)
        return generate(config, self._for(config))

    def settings(self, prompt: Prompts, **settings: Any) -> GenerateConfig:
        """Return the config that :meth:`draw` uses for the same arguments.

        Raises:
            UsageError: a setting is unknown or a value is out of range.
        """
        losses = weighted(settings.pop("losses", ()))
        if settings.get("augment", ()) is None:
            del settings["augment"]
        config = config_from(GenerateConfig, prompt, settings, losses=losses)
        return self._named(config)

    def sample(self, prompt: Prompts | None = None, **settings: Any) -> list[Result]:
        """Sample images from the transformer without optimisation; return the best match first.

        Args:
            prompt: prompts by which CLIP ranks the images; they also guide a CLIP-conditioned
                transformer.
            settings: fields of ``SampleConfig``, such as ``samples``, ``seed`` and ``size``;
                ``conditions`` is a dict such as ``{"class": "goldfish"}``.

        Raises:
            UsageError: no transformer is loaded, a setting is unknown, or a value is out of range.
        """
        return self._drawn(config_from(SampleConfig, prompt, settings))

    def complete(
        self,
        image: str | Path | Image.Image,
        keep: str | Path | None = None,
        prompt: Prompts | None = None,
        **settings: Any,
    ) -> list[Result]:
        """Keep part of an image and let the transformer generate the rest.

        Return the results, best match first.

        Args:
            image: a path, a URL or a PIL image. ``vqclip again`` cannot repeat the completion of a
                PIL image, because the saved file does not contain that image.
            keep: ``top``, ``bottom``, ``left`` or ``right`` to keep half of the image;
                ``box:x,y,w,h`` to keep a rectangle; or the path of a mask image. Default: all
                opaque pixels.
            prompt: prompts by which CLIP ranks the images; they also guide a CLIP-conditioned
                transformer.
            settings: fields of ``CompleteConfig``, such as ``samples``, ``extend`` and ``refine``.

        Raises:
            UsageError: no transformer is loaded, an input is unreadable, or a setting is invalid.
        """
        photo = image if isinstance(image, Image.Image) else None
        name = IN_MEMORY if photo else str(image)
        config = config_from(CompleteConfig, prompt, settings, picture=name, keep=keep)
        return self._drawn(config, photo)

    @own_arithmetic()
    def _drawn(self, config: SampleConfig, photo: Image.Image | None = None) -> list[Result]:
        if self.models.transformer is None:
            raise UsageError(
                "the model has no transformer: load one with vqclip.load(transformer=…)"
            )
        config = replace(self._placed(config), transformer=self._transformer)
        task = prepare(config, self._sample_models, photo)
        (drawn,) = deque(draw_samples(task), maxlen=1)
        samples = collect(task, drawn.indices)
        if isinstance(config, CompleteConfig) and config.refine:
            (last,) = deque(refine(task, samples[0], config.refine), maxlen=1)
            samples[0] = refined(task, samples[0], last)
        return [_result(task, sample) for sample in samples]

    @property
    def _transformer(self) -> str:
        return self._loaded.transformer or DEFAULT

    @cached_property
    def _sample_models(self) -> Models:
        return sample_models(self.models, self._transformer)

    def _placed(self, config: _Config) -> _Config:
        """Return a config with this model's CLIP models, device and precision."""
        loaded = self._loaded
        return replace(config, clip=loaded.clip, device=loaded.device, precision=loaded.precision)

    def _named(self, config: GenerateConfig) -> GenerateConfig:
        """Return a config that names this model's VQGAN and, if used, the transformer."""
        loaded = self._loaded
        vqgan, transformer = loaded.vqgan, loaded.transformer
        if config.init not in (AUTO, *DRAWN):
            vqgan = transformer if transformer and vqgan == DEFAULT else vqgan
            transformer = None
        return replace(self._placed(config), vqgan=vqgan, transformer=transformer)

    def _for(self, config: GenerateConfig) -> Models:
        drawn = config.init in (AUTO, *DRAWN)
        return self.models if drawn else replace(self.models, transformer=None, guide=None)


def load(
    vqgan: str | Path = DEFAULT,
    clip: Weights = DEFAULT,
    transformer: str | Path | None = None,
    device: str = AUTO,
    precision: str = AUTO,
) -> Model:
    """Load models once, for any number of images.

    Args:
        vqgan: ``"default"``, a name from :func:`vqclip.list_models`, or the path of a checkpoint or
            folder.
        clip: a name, a path, or an open_clip name such as ``"ViT-B-32/laion2b_s34b_b79k"``; or a
            list of these, with optional weights: ``[("default", 1.0), ("RN50/openai", 0.5)]``; or a
            mapping from each to its weight.
        transformer: name or path of a transformer for drafts, samples and completions. Default: the
            built-in transformer with the default VQGAN, otherwise none.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        precision: ``"auto"``, ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"portable"``.

    Raises:
        UsageError: a name, device or precision is unknown.
        CheckpointError: a model file cannot be read.
    """
    config = GenerateConfig(
        prompts=(Prompt(""),),  # CLIP is loaded only if there are prompts
        vqgan=str(vqgan),
        clip=weighted([clip] if isinstance(clip, str | Path) else clip),
        transformer=None if transformer is None else str(transformer),
        device=str(device),
        precision=precision,
    )
    return Model(config, load_models(config))


def _result(task: Task, sample: Sample) -> Result:
    config = replace(task.config, seed=sample.seed, samples=1)
    score = {} if sample.score is None else {"score": round(sample.score, 4)}
    recorded = {**sample_metadata(task, sample), **score}
    return Result(sample.picture, config, recorded, sample.score)
