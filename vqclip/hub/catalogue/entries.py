"""Catalogue entries: a model's name, description and addresses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from vqclip.config.sections import parse_section
from vqclip.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MIB = 1 << 20


@dataclass(frozen=True)
class Source:
    """The location of a file: its address, its hash, if known, and its name in a zip, if any."""

    url: str
    sha256: str | None = None
    member: str | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise UsageError(
                f"{self.url!r:.80} is not an http address; import your own files with: vqclip "
                "weights import"
            )
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise UsageError(f"sha256 must be 64 hexadecimal digits, not {self.sha256!r:.80}")

    @property
    def host(self) -> str:
        """The host name of the address."""
        return urlsplit(self.url).hostname or self.url


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that can be downloaded.

    size: exact size of the checkpoint in bytes. about_size: approximate size in MiB.
    checkpoint, config: sources for each file, in the order to try them.
    results: terms of use for results, if known.
    page: the model's web page, the only way to get a model without sources.
    """

    name: str
    kind: Literal["vqgan", "transformer"]
    model_class: str = "unknown"
    about: str = ""
    tasks: tuple[str, ...] = ()
    licence: str = "unknown"
    results: str | None = None
    size: int | None = None
    about_size: int | None = None
    checkpoint: tuple[Source, ...] = ()
    config: tuple[Source, ...] = ()
    page: str | None = None

    @property
    def expected_size(self) -> int | None:
        """The checkpoint's size in bytes, exact or approximate."""
        return self.size or (self.about_size and self.about_size * _MIB)

    @property
    def by_hand(self) -> str:
        """Instructions for a manual download, as a sentence."""
        where = f"Find it at {self.page}" if self.page else "Find it elsewhere"
        command = "vqclip weights import FILE --name"
        if self.config or self.kind == "transformer":
            command = "vqclip weights import FILE --config YAML --name"
        return f"{where}, then: {command} {self.name}"

    def check_fetchable(self) -> None:
        """Raise :class:`UsageError`, with instructions, if there is no direct download."""
        if not self.checkpoint:
            raise UsageError(f"{self.name} has no address for a direct download. {self.by_hand}")


def check_model_name(name: str) -> str:
    """Return ``name`` if it is a valid model name.

    Raises:
        UsageError: the name is a path, an option, or the name of the built-in models.
    """
    if name == "default" or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r:.80} cannot be the name of a model: use up to 64 letters, digits, - _ "
            "and ., and not 'default'"
        )
    return name


def parse_entry(name: str, values: Any, where: str) -> CatalogueEntry:
    """Return an entry parsed from ``values`` in the catalogue file ``where``.

    Raises:
        UsageError: the entry is invalid; the message names the file, the entry and the value.
    """
    try:
        if not isinstance(values, Mapping):
            raise UsageError("it is not a mapping of kind, checkpoint, config, …")
        plain = {"model_class" if key == "class" else key: value for key, value in values.items()}
        sha256 = plain.pop("sha256", None)
        plain["checkpoint"] = _sources(values.get("checkpoint"), {"sha256": sha256})
        plain["config"] = _sources(values.get("config"), {})
        return parse_section(CatalogueEntry, {**plain, "name": check_model_name(name)}, "")
    except UsageError as error:
        raise UsageError(f"{where}: {name!s:.80}: {error}") from None


def _sources(value: Any, more: Mapping[str, Any]) -> list[Any]:
    """Return sources as mappings; each may also be an address alone."""
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return [{**more, **(s if isinstance(s, Mapping) else {"url": s})} for s in listed]
