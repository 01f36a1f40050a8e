"""Catalogue entries: a model's name, description and addresses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from vqclip.errors import UsageError

MODEL_KINDS = ("vqgan", "transformer")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MIB = 1 << 20
_TEXTS = ("class", "about", "licence", "results", "page")
_KNOWN = {*_TEXTS, "kind", "tasks", "size", "about_size", "sha256", "checkpoint", "config"}


@dataclass(frozen=True)
class Source:
    """The location of a file.

    sha256: hash of the file, if known.
    member: name of the file in a zip file at this address, if any.
    """

    url: str
    sha256: str | None = None
    member: str | None = None

    @property
    def host(self) -> str:
        """The host name of the address."""
        return urlsplit(self.url).hostname or self.url


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that can be downloaded.

    size: exact size of the checkpoint in bytes.
    about_size: approximate size in bytes.
    checkpoint, config: sources of each file, in the order in which they are tried.
    results: terms of use for images made with the model, if known.
    page: the model's web page, from which a model without sources must be downloaded by hand.
    """

    name: str
    kind: str
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
        return self.size or self.about_size

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
        UsageError: the name contains invalid characters, is too long, or is reserved for the
            built-in models.
    """
    if name == "default" or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r:.80} cannot be the name of a model: use up to 64 letters, digits, - _ "
            "and ., and not 'default'"
        )
    return name


def parse_entry(name: str, values: Any, where: str) -> CatalogueEntry:
    """Parse the entry ``name`` from ``values`` in the catalogue file ``where``.

    Raises:
        UsageError: the entry is invalid; the message names the file, the entry and the value.
    """
    try:
        return _parse(check_model_name(name), values)
    except UsageError as error:
        raise UsageError(f"{where}: {name!s:.80}: {error}") from None


def _parse(name: str, values: Any) -> CatalogueEntry:
    if not isinstance(values, Mapping):
        raise UsageError("it is not a mapping of kind, checkpoint, config, …")
    if unknown := sorted(map(str, set(values) - _KNOWN)):
        raise UsageError(f"unknown key {unknown[0]!r:.80}; known: {', '.join(sorted(_KNOWN))}")
    if values.get("kind") not in MODEL_KINDS:
        raise UsageError(f"kind must be {' or '.join(MODEL_KINDS)}, not {values.get('kind')!r:.80}")
    texts = {key: _text(key, values[key]) for key in _TEXTS if key in values}
    sha256 = _sha256(values.get("sha256"))
    tasks = values.get("tasks", [])
    if not isinstance(tasks, list):
        raise UsageError("tasks must be a list")
    about_size = _size("about_size", values)
    return CatalogueEntry(
        name,
        values["kind"],
        texts.get("class", "unknown"),
        texts.get("about", ""),
        tuple(map(str, tasks)),
        texts.get("licence", "unknown"),
        texts.get("results"),
        _size("size", values),
        about_size * _MIB if about_size else None,
        _sources(values.get("checkpoint"), sha256),
        _sources(values.get("config"), None),
        texts.get("page"),
    )


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{key} must be text, not {value!r:.80}")
    return value


def _size(key: str, values: Mapping[str, Any]) -> int | None:
    value = values.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise UsageError(f"{key} must be a whole number above 0, not {value!r:.80}")


def _sha256(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and _SHA256.fullmatch(value.lower())):
        return value and value.lower()
    raise UsageError(f"sha256 must be 64 hexadecimal digits in quotes, not {value!r:.80}")


def _sources(value: Any, sha256: str | None) -> tuple[Source, ...]:
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(_source(entry, sha256) for entry in listed)


def _source(value: Any, sha256: str | None) -> Source:
    fields = value if isinstance(value, Mapping) else {"url": value}
    url, member = fields.get("url"), fields.get("member")
    if set(fields) - {"url", "sha256", "member"} or not isinstance(url, str):
        raise UsageError(
            f"a source must be an address, or {{url, sha256, member}}, not {value!r:.80}"
        )
    if not url.startswith(("https://", "http://")):
        raise UsageError(
            f"{url!r:.80} is not an http address; import your own files with: vqclip weights import"
        )
    if member is not None:
        _text("member", member)
    return Source(url, _sha256(fields.get("sha256")) or sha256, member)
