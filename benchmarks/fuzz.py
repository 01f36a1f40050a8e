"""Try random command lines and damaged images, in larger numbers than the tests.

    python benchmarks/fuzz.py --commands 10000 --pictures 500 --seed 1

It continues after a failure and prints each kind of failure once, with the words or bytes that
cause it. At the end it prints the counts, the longest time and the peak memory.
"""

import argparse
import os
import random
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
os.environ.setdefault("VQCLIP_HOME", f"/tmp/vqclip-fuzz-{random.getrandbits(32):08x}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--commands", type=int, default=1000)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    from tests import fuzzing

    warnings.simplefilter("ignore")
    trials: list[tuple[str, int, st.SearchStrategy[Any], Callable[[Any], None]]] = [
        ("pictures", wanted.pictures, fuzzing.damaged(), lambda one: fuzzing.read(*one)),
        ("commands", wanted.commands, fuzzing.command_lines(), fuzzing.run),
    ]
    failures: Counter[str] = Counter()
    for name, count, strategy, trial in trials:
        if count:
            trials_of(name, count, strategy, trial, wanted.seed, failures)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{failures.total()} failures of {len(failures)} kinds; peak {peak:.2f} GiB")
    sys.exit(bool(failures))


def trials_of(
    name: str,
    count: int,
    strategy: st.SearchStrategy[Any],
    trial: Callable[[Any], None],
    start: int,
    failures: Counter[str],
) -> None:
    longest, began, done = 0.0, time.monotonic(), 0

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(one: Any) -> None:
        nonlocal longest, done
        before = time.monotonic()
        try:
            trial(one)
        except Exception as error:
            frames = traceback.extract_tb(error.__cause__ and error.__cause__.__traceback__)
            kind = f"{type(error).__name__}: {str(error)[-160:]}"
            failures[kind] += 1
            if failures[kind] == 1:
                print(f"{name}: {one!r:.400}\n  {str(error)[:400]} {frames[-1:]}", flush=True)
        longest, done = max(longest, time.monotonic() - before), done + 1
        if done % 500 == 0:
            print(f"{done} {name}, {time.monotonic() - began:.0f} s", flush=True)

    each()
    seconds = time.monotonic() - began
    print(f"{done} {name} in {seconds:.0f} s, the longest {longest:.1f} s")


if __name__ == "__main__":
    main()
