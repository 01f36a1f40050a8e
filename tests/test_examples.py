"""The examples run with tiny settings."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import mostly_slow

EXAMPLES = Path(__file__).parents[1] / "examples"
TINY: dict[str, Any] = {"size": 32, "steps": 2, "num_cutouts": 2, "init": "random"}


@pytest.mark.parametrize(
    "name", mostly_slow(["one_image", "own_loss", "batch", "video"], "one_image", "own_loss")
)
def test_an_example_leaves_its_images(name: str) -> None:
    main = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    output = main.__defaults__[0]  # relative to the test's folder
    main(output, **TINY)
    made = sorted(output.iterdir()) if output.is_dir() else [output]
    assert made
    for file in made:
        with Image.open(file) as image:
            assert image.size == (32, 32)
