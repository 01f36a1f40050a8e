"""Conditions for a transformer: classes, label maps, depth, edges, small images.

Each kind of user input is converted to an argument for ``Net2NetTransformer.encode_condition``
according to the conventions of the published models.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.media.images import load_image, open_image, to_tensor
from vqclip.models.condition_stages import coordinates
from vqclip.models.perceptor import imagenet_classes
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import with_channels
from vqclip.registry import unknown
from vqclip.sampling.labels import label_names

UPSCALE = 4  # default factor when no size is given

_COCO_LABELS = 183  # COCO-Stuff maps store the label minus 1, and 255 for no label
_WHITE = 128


def accepted(transformer: Net2NetTransformer) -> tuple[str, ...]:
    """Return the kinds of condition that a transformer accepts, or () if it needs none.

    The VQGAN that encodes the condition does not record the kind of image that it encodes.
    Therefore, the kind is inferred from the VQGAN's number of channels and from the condition's
    name in the training data (``cond_stage_key``). If these leave the kind open, both edges and
    small images are accepted.

    Raises:
        UsageError: this kind of condition is supported only in Python.
    """
    kind, channels = transformer.condition_kind, _channels(transformer)
    if kind == "codes":
        raise UsageError("this transformer needs boxes as codes, which only the Python API accepts")
    if kind in ("unconditional", "coordinates", "clip"):
        return ()
    if kind in ("class", "labels"):
        return (kind,)
    key = transformer.cond_stage_key.lower()
    if channels > 3 or "seg" in key:
        return ("labels",)
    if "edge" in key or "canny" in key:
        return ("edges",)
    if channels == 1:
        return ("depth",)
    return ("upscale",) if key in ("lr", "low_res") else ("edges", "upscale")


def _channels(transformer: Net2NetTransformer) -> int:
    config = getattr(transformer.cond_stage_model, "ddconfig", None)
    return config.in_channels if config else 0


def check_conditions(transformer: Net2NetTransformer, conditions: Mapping[str, str]) -> None:
    """Check that the transformer accepts the given conditions and that no required one is missing.

    Raises:
        UsageError: a condition is not accepted, the required one is missing, or there are several;
            the message lists the accepted conditions.
    """
    takes = accepted(transformer)
    names = " or ".join(f"`{kind}`" for kind in takes) or "no condition"
    if wrong := [kind for kind in conditions if kind not in takes]:
        kind = transformer.condition_kind
        raise UsageError(f"this transformer takes {names} ({kind}), not `{wrong[0]}`")
    if len(conditions) > 1:
        raise UsageError(f"this transformer takes one of {names}, not several")
    if takes and not conditions:
        raise UsageError(f"this transformer needs a condition: {names}")


def natural_size(conditions: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the (width, height) in pixels implied by a condition, or None."""
    for kind, value in conditions.items():
        if kind != "class":
            width, height = open_image(value).size
            scale = UPSCALE if kind == "upscale" else 1
            return width * scale, height * scale
    return None


def read_condition(
    transformer: Net2NetTransformer,
    conditions: Mapping[str, str],
    size: tuple[int, int],
    relabel: Sequence[str] = (),
) -> Tensor | None:
    """Return the input to ``encode_condition``, or None if the transformer needs no condition.

    size: (width, height) of the generated image in pixels.

    Raises:
        UsageError: the condition does not suit the transformer or cannot be read.
    """
    if transformer.condition_kind == "coordinates":
        return coordinates(size[1], size[0])
    for kind, value in conditions.items():
        if kind == "class":
            count = int(getattr(transformer.cond_stage_model, "n_classes", 0))
            own = getattr(transformer.cond_stage_model, "names", ())
            return torch.tensor([class_id(value, count, own)])
        channels = _channels(transformer)
        if kind == "labels":
            return labels_of(open_image(value), channels, size, relabel, value)
        if kind == "depth":
            return with_channels(depth_of(open_image(value), size, value), channels)
        if kind == "edges":
            return with_channels(edges_of(load_image(value), size, value), channels)
        enlarged = load_image(value).resize(size, Image.Resampling.BICUBIC)
        return with_channels(to_tensor(enlarged) * 2 - 1, channels)
    return None


def class_id(text: str, count: int, own: Sequence[str] = ()) -> int:
    """Return the number of the class that ``text`` specifies by number or name.

    ``own`` holds the model's own class names. If it is empty, a model with 1,000 classes uses the
    class names of ImageNet.

    Raises:
        UsageError: the class is unknown or out of range; the message lists the closest names.
    """
    if text.strip() in own:
        return own.index(text.strip())
    if text.strip().isdecimal():
        if int(text) >= count:
            raise UsageError(
                f"class {text} is out of range: this model has classes 0 to {count - 1}"
            )
        return int(text)
    names = [name.lower() for name in own or imagenet_classes()]
    if not own and count != len(names):
        raise UsageError(
            f"the names of this model's {count} classes are unknown: use a number from 0 to "
            f"{count - 1}"
        )
    wanted = text.strip().lower()
    if wanted in names:
        return names.index(wanted)
    near = [*get_close_matches(wanted, names, n=3), *(n for n in names if wanted in n)][:4]
    hint = f"; did you mean {', '.join(near)}?" if near else ":"
    every = f"the first classes are {', '.join(own[:20])}" if own else "see `vqclip list classes`"
    raise UsageError(f"unknown class {text!r}{hint} {every}")


def labels_of(
    image: Image.Image,
    count: int,
    size: tuple[int, int],
    relabel: Sequence[str] = (),
    path: str = "the map",
) -> Tensor:
    """Return a label map (a palette or greyscale image) as one-hot values (1, count, h, w).

    Pixel values are interpreted as in the model's data set. With the 183 labels of COCO-Stuff, a
    value is the label minus 1, and 255 means no label. With other label sets, a value is the label
    itself. If ``relabel`` is given, its entries ``"NUMBER=LABEL"`` determine the labels instead.

    Raises:
        UsageError: the image is not a label map, or contains a number that is not a label of the
            model.
    """
    numbers = torch.from_numpy(_numbers(image, size, path))  # (h, w)
    if relabel:
        numbers = _relabelled(numbers, relabel, count, path)
    elif count == _COCO_LABELS:
        numbers = torch.where(numbers == 255, 0, numbers + 1)
    if int(numbers.max()) >= count:
        raise UsageError(
            f"{path} has labels up to {int(numbers.max())}, but this model has {count} "
            f"labels, 0 to {count - 1}: choose another map, or map its numbers with "
            "`relabel`"
        )
    return F.one_hot(numbers, count).permute(2, 0, 1)[None].float()


def _numbers(
    image: Image.Image, size: tuple[int, int], path: str
) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    if image.mode not in ("P", "L", "1", "I", "I;16"):
        raise UsageError(
            f"{path} is not a label map: it must be a palette or greyscale image, not {image.mode}"
        )
    resized = image.resize(size, Image.Resampling.NEAREST)
    return np.asarray(resized).astype(np.int64)


def _relabelled(numbers: Tensor, relabel: Sequence[str], count: int, path: str) -> Tensor:
    table = dict(_label_pair(text, count) for text in relabel)
    there = sorted(set(numbers.flatten().tolist()))
    if missing := [number for number in there if number not in table]:
        raise UsageError(
            f"{path} also contains {missing!s:.60}: add `relabel={missing[0]}=NAME` too"
        )
    lookup = torch.zeros(max(there) + 1, dtype=torch.int64)
    for number in there:
        lookup[number] = table[number]
    return lookup[numbers]


def _label_pair(text: str, count: int) -> tuple[int, int]:
    """Parse ``3=sky`` or ``3=2`` into a pixel value and a label number."""
    number, _, label = (part.strip() for part in text.partition("="))
    if not number.isdecimal() or not label:
        raise UsageError(f"cannot read the label {text!r}: write NUMBER=LABEL, such as 3=sky")
    if label.isdecimal() and int(label) < count:
        return int(number), int(label)
    names = label_names(count)
    if not names or label.isdecimal():
        raise UsageError(f"this model's labels are 0 to {count - 1}, not {label!r}")
    if label.lower() not in names:
        raise unknown("label", label, names)
    return int(number), names.index(label.lower())


def depth_of(image: Image.Image, size: tuple[int, int], path: str = "the map") -> Tensor:
    """Return a depth map as (1, 1, h, w), scaled to [-1, 1]; larger values are nearer, as in MiDaS.

    The image must be 8-bit, 16-bit or float32 greyscale, or RGBA whose four bytes form a float32.

    Raises:
        UsageError: the image has another format.
    """
    pixels = np.asarray(image)
    if image.mode == "RGBA":
        depth = np.ascontiguousarray(pixels).view("<f4")[..., 0]
    elif image.mode == "RGB" and (pixels == pixels[..., :1]).all():
        depth = pixels[..., 0]
    elif pixels.ndim == 2 and image.mode != "P":
        depth = pixels
    else:
        raise UsageError(f"{path} is not a depth map: it must be greyscale, or float32 in RGBA")
    if not np.isfinite(depth).all():
        raise UsageError(f"{path} is not a depth map: its RGBA bytes are not float32 numbers")
    x = torch.from_numpy(depth.astype(np.float32))[None, None]
    x = F.interpolate(x, (size[1], size[0]), mode="bicubic", antialias=True)
    return (x - x.min()) / (x.max() - x.min()).clamp(min=1e-8) * 2 - 1


def edges_of(photo: Image.Image, size: tuple[int, int], path: str = "the image") -> Tensor:
    """Return edges (1, 3, h, w), 0 or 1, detected in a photo or read from a black-and-white map.

    Raises:
        UsageError: the image is a photo, but scikit-image is not installed.
    """
    if is_edge_map(photo):
        # box filter and lower threshold, so that thin lines survive downsizing
        small = photo.convert("L").resize(size, Image.Resampling.BOX)
        edges = np.asarray(small) >= (_WHITE if photo.size == size else _WHITE // 2)
    else:
        edges = canny_edges(photo.resize(size, Image.Resampling.LANCZOS), path)
    return torch.from_numpy(edges).float().expand(1, 3, *edges.shape)


def is_edge_map(image: Image.Image) -> bool:
    """Return whether more than 99% of an image's pixels are black or white."""
    grey = np.asarray(image.convert("L"))
    return bool(((grey < 16) | (grey > 239)).mean() > 0.99)


def canny_edges(photo: Image.Image, path: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Return the Canny edges in a photo, (h, w) bool, with sigma 2 as in the models' training.

    Raises:
        UsageError: scikit-image is not installed; the message names the photo by ``path``.
    """
    try:
        from skimage.feature import canny
    except ImportError:
        raise UsageError(
            f"{path} is not a black-and-white map, and detecting edges in a photo needs "
            "scikit-image: run pip install 'vqclip[edges]'"
        ) from None
    edges: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = canny(
        np.asarray(photo.convert("L")) / 255, sigma=2
    )
    return edges
