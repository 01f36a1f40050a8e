"""The ``parameters`` text of other programs, such as AUTOMATIC1111's web UI.

::

    a fox in the snow
    Negative prompt: blurry, ugly
    Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: x
"""

import re
from collections.abc import Mapping
from typing import Any

from vqclip.config.prompts import NEGATIVE_WEIGHT, Prompt
from vqclip.files.formatting import encodable

PARAMETERS = "parameters"  # key of the text chunk, and of the metadata read from the chunk
NEGATIVE = "Negative prompt"
_PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_LEAST_PAIRS = 3  # in the last line, as the web UI requires to recognise settings
_EXTRA_NETWORK = re.compile(r"<[^<>]*>")
_EMPHASIS = re.compile(r":[\d.]+(?=\))|(?<!\\)[()\[\]]")


def parse_parameters(text: str) -> dict[str, Any] | None:
    """Return the prompt and the settings in ``text``, or None if it contains no settings.

    The result has the keys ``prompt`` and ``parameters``.
    """
    *lines, last = text.strip().split("\n")
    pairs = [(name.strip(), value.strip(' "')) for name, value in _PAIR.findall(last)]
    if len(pairs) < _LEAST_PAIRS:
        return None
    prompt, _, negative = "\n".join(lines).partition(f"{NEGATIVE}:")
    settings = {NEGATIVE: negative.strip()} if negative.strip() else {}
    return {"prompt": prompt.strip(), PARAMETERS: {**settings, **dict(pairs)}}


def plain_prompts(recorded: Mapping[str, Any]) -> tuple[Prompt, ...]:
    """Return the prompts found by :func:`parse_parameters`.

    Emphasis marks such as ``(…:1.2)`` and tags such as ``<lora:x:1>`` are removed.
    """
    texts = ((recorded["prompt"], 1.0), (recorded[PARAMETERS].get(NEGATIVE, ""), NEGATIVE_WEIGHT))
    cleaned = ((_cleaned(text), weight) for text, weight in texts)
    return tuple(Prompt(text, weight) for text, weight in cleaned if text)


def _cleaned(text: str) -> str:
    text = _EMPHASIS.sub("", _EXTRA_NETWORK.sub("", text)).replace("\\", "")
    return " ".join(text.split()).strip(" ,")


def write_parameters(metadata: Mapping[str, Any], size: tuple[int, int]) -> str:
    """Return an image's settings as ``parameters`` text; ``size`` is (width, height)."""
    settings = metadata.get("settings")
    settings = settings if isinstance(settings, Mapping) else {}
    texts = [prompt for prompt in settings.get("prompts", ()) if prompt.get("kind") == "text"]
    positive = ", ".join(prompt["content"] for prompt in texts if prompt["weight"] >= 0)
    negative = ", ".join(prompt["content"] for prompt in texts if prompt["weight"] < 0)
    values = {
        "Steps": settings.get("steps", 0),
        "Seed": settings.get("seed", 0),
        "Size": "x".join(map(str, size)),
        "Model": settings.get("vqgan") or settings.get("transformer"),
        "Version": f"vqclip {metadata.get('version', '')}".strip(),
    }
    last = ", ".join(f"{name}: {_quoted(value)}" for name, value in values.items() if value != "")
    negative = f"{NEGATIVE}: {negative}" if negative else ""
    return encodable("\n".join(line for line in (positive, negative, last) if line))


def _quoted(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if "," in text or ":" in text else text
