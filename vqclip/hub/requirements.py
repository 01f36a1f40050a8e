"""Checks, before a run starts, for models that must be downloaded."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vqclip.config import DEFAULT, CodesConfig, GenerateConfig, SampleConfig
from vqclip.errors import UsageError
from vqclip.files.environment import user_path
from vqclip.files.formatting import readable
from vqclip.hub import store
from vqclip.hub.catalogue import catalogue
from vqclip.hub.catalogue.entries import CatalogueEntry
from vqclip.hub.run_defaults import transformer_of

if TYPE_CHECKING:
    from vqclip.hub.downloads import Listener

Named = tuple[str, str]  # the kind (vqgan, transformer or clip) and the source of a model


@dataclass(frozen=True)
class Missing:
    """A required model that is available for download but not yet on this computer.

    size: size in bytes, if known.
    where: host from which the model is downloaded.
    """

    name: str
    kind: str
    size: int | None
    where: str
    fetch: "Callable[[Listener], object]"

    def __str__(self) -> str:
        size = readable(self.size) if self.size else "size unknown"
        return f"{self.name} ({size}, from {self.where})"


def names_of(config: GenerateConfig | SampleConfig | CodesConfig) -> Iterator[Named]:
    """Yield the models named in ``config``."""
    if not isinstance(config, SampleConfig):
        yield "vqgan", config.vqgan
    if isinstance(config, CodesConfig):
        return
    if (transformer := transformer_of(config)) is not None:
        yield "transformer", transformer
    if config.prompts:
        yield from (("clip", source) for source, _ in config.clip)


def missing(named: Iterable[Named]) -> list[Missing]:
    """Return the models in ``named`` that must be downloaded first.

    Raises:
        UsageError: a model is of the wrong kind, or a CLIP model does not exist.
    """
    found = (_missing(kind, source) for kind, source in dict.fromkeys(named))
    return list({m.name: m for m in found if m is not None}.values())


def refuse_missing(absent: Sequence[Missing], otherwise: str = "") -> None:
    """If models are missing, raise UsageError with the command that downloads them.

    otherwise: an alternative to downloading, which is appended to the message.
    """
    if absent:
        commands = " && ".join(f"vqclip weights get {m.name}" for m in absent)
        what = ", ".join(map(str, absent))
        raise UsageError(f"not on this computer: {what}; download it first: {commands}{otherwise}")


def _missing(kind: str, source: str) -> Missing | None:
    if source == DEFAULT or user_path(source).exists() or store.find(source):
        return None
    if kind == "clip":
        return missing_clip(source)
    known = catalogue().get(source)
    if known is None:
        return None  # loading reports the error
    if kind == "transformer" and known.kind != kind:
        raise UsageError(f"{source} is a VQGAN, not a transformer: select it with `vqgan`")
    return missing_entry(known)


def missing_entry(known: CatalogueEntry) -> Missing:
    """Return a catalogue entry as a missing model.

    Raises:
        UsageError: the model cannot be downloaded automatically.
    """
    known.check_fetchable()
    size, where = known.expected_size, known.checkpoint[0].host
    return Missing(known.name, known.kind, size, where, partial(_get, known.name))


def _get(name: str, listener: "Listener") -> object:
    from vqclip.hub.install import get  # imported here because it imports torch

    return get(name, listener)


def missing_clip(source: str) -> Missing | None:
    """Return a CLIP model as a missing model, or None if it need not be downloaded.

    Raises:
        UsageError: the model does not exist.
    """
    from vqclip.hub.clip_hub import download_size
    from vqclip.models.perceptor import must_be_downloaded, perceptor_weights

    if not must_be_downloaded(source):
        return None
    size, where = download_size(source), "the Hugging Face hub"
    return Missing(source, "clip", size, where, lambda _: perceptor_weights(source))
