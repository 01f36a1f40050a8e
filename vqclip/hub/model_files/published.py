"""Recognition of published models by the shapes of their weights."""

from collections.abc import Mapping

from torch import Tensor

_CODEBOOKS = ("quantize.embedding.weight", "quantize.embed.weight")

# (number of codes, length of a code, image channels, number of halvings)
_VQGANS: dict[tuple[int, ...], tuple[str, ...]] = {
    (1024, 256, 3, 4): ("imagenet-f16-1024", "wikiart-1024", "faceshq-vqgan", "imagenet-vqgan"),
    (16384, 256, 3, 4): ("imagenet-f16-16384", "wikiart-16384"),
    (8192, 256, 3, 3): ("gumbel-f8",),
    (8192, 256, 3, 4): ("coco-8k", "coco-openimages-8k"),
    (4096, 256, 3, 4): ("ade20k's first stage",),
    (1024, 256, 1, 4): ("imagenet-depth-vqgan",),
    (1024, 256, 182, 4): ("sflckr's condition",),
    (1024, 256, 183, 4): ("coco's condition",),
    (1024, 256, 151, 4): ("ade20k's condition",),
    (16384, 4, 3, 3): ("vq-f8",),
    (256, 4, 3, 3): ("vq-f8-n256",),
}
# (number of codes, longest sequence, layers, width)
_TRANSFORMERS: dict[tuple[int, ...], tuple[str, ...]] = {
    (1024, 512, 24, 1024): ("sflckr", "faceshq", "drin"),
    (8192, 512, 32, 1280): ("coco",),
    (4096, 512, 28, 1024): ("ade20k",),
    (1024, 256, 24, 1664): ("ffhq", "celebahq"),
    (16384, 256, 48, 1536): ("cin",),
    (8192, 348, 40, 1408): ("scenes-coco",),
    (8192, 348, 36, 1536): ("scenes-openimages",),
}


def lookalikes(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the published models whose weights have these shapes, or () if there are none.

    >>> lookalikes({})
    ()
    """
    if is_transformer(state):
        return _TRANSFORMERS.get(_transformer_shape(state), ())
    return _VQGANS.get(_vqgan_shape(state), ())


def is_transformer(state: Mapping[str, Tensor]) -> bool:
    """Return whether ``state`` contains a transformer, with or without VQGANs."""
    return "transformer.tok_emb.weight" in state


def advice(state: Mapping[str, Tensor]) -> str:
    """Return a note that names the published models with these shapes, or "" if there are none."""
    names = lookalikes(state)
    return f" (its shapes match {' or '.join(names)})" if names else ""


def _vqgan_shape(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    codebook = next((state[key] for key in _CODEBOOKS if key in state), None)
    first = state.get("encoder.conv_in.weight")
    if codebook is None or first is None or (codebook.ndim, first.ndim) != (2, 4):
        return ()
    return (*codebook.shape, first.shape[1], count(state, "encoder.down.{}.downsample.conv.bias"))


def _transformer_shape(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    head, positions = state.get("transformer.head.weight"), state.get("transformer.pos_emb")
    if head is None or positions is None or (head.ndim, positions.ndim) != (2, 3):
        return ()
    layers = count(state, "transformer.blocks.{}.ln1.weight")
    return head.shape[0], positions.shape[1], layers, positions.shape[2]


def count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Count the consecutive numbers, from 0, for which ``pattern`` gives a name in ``state``."""
    number = 0
    while pattern.format(number) in state:
        number += 1
    return number
