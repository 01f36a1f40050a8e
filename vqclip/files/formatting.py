"""Text formatting: readable sizes, encodable strings, JSON."""

import json
import re
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")  # stands for a byte that is not UTF-8


def readable(size: float) -> str:
    """Return a size in bytes in human-readable form.

    >>> readable(980092370)
    '935 MiB'
    """
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def encodable(text: str) -> str:
    """Replace surrogates, which stand for non-UTF-8 bytes (as in old file names), with U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def as_json(value: Any, *, sort_keys: bool = False) -> str:
    r"""Return ``value`` as JSON, reversibly escaping bytes that are not valid UTF-8.

    >>> as_json({"init": "caf\udce9 é.png"})
    '{"init": "caf\\udce9 é.png"}'
    """
    text = json.dumps(value, ensure_ascii=False, sort_keys=sort_keys)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
