"""The scripts in benchmarks/ as modules, under their own names."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
