"""Random command lines and damaged images cause one-line errors and leave no files.

To try many more, run python benchmarks/fuzz.py.
"""

import pytest
from hypothesis import HealthCheck, given, settings

from tests import fuzzing

few = settings(
    max_examples=25, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
@few
@given(words=fuzzing.command_lines())
def test_random_command_lines(words: list[str]) -> None:
    fuzzing.run(words)


@few
@given(picture=fuzzing.damaged())
def test_damaged_images(picture: tuple[str, bytes]) -> None:
    fuzzing.read(*picture)
