"""A lock keeps other processes out until its own process ends, even if it is killed."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vqclip.errors import UsageError
from vqclip.files.locking import locked

HOLD = """
import sys, time
from pathlib import Path
from vqclip.files.locking import locked
with locked(Path(".lock")):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_at_a_time() -> None:
    for _ in range(2):
        with locked(Path(".lock")):
            pass


def test_killed_process_releases_its_lock() -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(UsageError, match=rf"process {other.pid}\) is running"),
            locked(Path(".lock")),
        ):
            pass
    finally:
        other.kill()
        other.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while True:
        try:
            with locked(Path(".lock")):
                return
        except UsageError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
