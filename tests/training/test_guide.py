"""The training guide lists every setting with its default."""

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from vqclip.training.data.settings import (
    CaptionConfig,
    CompositionConfig,
    ConditionConfig,
    DataConfig,
    HoldOutConfig,
    SourceConfig,
)
from vqclip.training.settings import LoopSettings
from vqclip.training.transformer.encoding import EncodingConfig
from vqclip.training.transformer.settings import TransformerLoss
from vqclip.training.vqgan.settings import VQGANLoss

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "training.md").read_text()
TABLES = [
    [line for line in part.partition("\n\n")[0].splitlines() if line.startswith("| `")]
    for part in re.split(r"\| [^\n]* \| default \| \|\n", GUIDE)[1:]
]


def documented(rows: list[str]) -> dict[str, str]:
    """Return the defaults of the settings in a table, as text."""
    cells = [re.split(r"(?<!\\) \| ", row.strip("| ")) for row in rows]
    return {name: cell[1] for cell in cells for name in re.findall(r"`(\w+)`", cell[0])}


@pytest.mark.parametrize(
    "settings",
    [
        LoopSettings, DataConfig, SourceConfig, HoldOutConfig, ConditionConfig, VQGANLoss,
        TransformerLoss, EncodingConfig, CompositionConfig, CaptionConfig,
    ],
)  # fmt: skip
def test_every_setting_is_documented_with_its_default(settings: Any) -> None:
    known = {field.name: field for field in fields(settings)}
    table = max(map(documented, TABLES), key=lambda t: len(t.keys() & known.keys()) - len(t))
    assert table.keys() - {"encode"} == known.keys()
    for name, field in known.items():
        default = field.default if field.default_factory is MISSING else field.default_factory()
        text = table[name]
        if default is MISSING:
            assert text == "required", name
        elif default in (None, "", (), {}):
            assert text == "none", name
        elif text != "below":
            assert yaml.safe_load(text) == default, name
