"""A batch on a real Ray cluster of two nodes on this machine, one of which is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import leftovers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="needs signals"),
    pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed"),
]

QUICK = ("--size", "16", "--cutouts", "1", "--init", "random", "--steps", "30")
LIST = "a red apple --gif --every 10\n{green,blue} car\na pear --seed 7 --optimizer sgd\na fox\n"
WAIT = 600.0
# By default workers have a low priority, which delays them for minutes on a busy machine.
ENVIRONMENT = {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

one = dict(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args=one)
other = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        cluster.remove_node(other, allow_graceful=False)
        print("killed", flush=True)
cluster.shutdown()
"""


class Nodes:
    """Two nodes of one core each, in a separate process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CLUSTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )
        self.address = self._line()

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill_one(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("kill\n")
        self.process.stdin.flush()
        assert self._line() == "killed"


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    # On a busy machine, Ray may give up before its processes have started.
    tries = (Nodes() for _ in range(5))
    cluster = next(nodes for nodes in tries if nodes.address)
    try:
        yield cluster
    finally:
        cluster.process.communicate(timeout=WAIT)  # the process ends when its input ends


def start(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "vqclip", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def jobs(folder: str) -> list[dict[str, Any]]:
    path = Path(folder, "jobs.jsonl")
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def done(folder: str) -> int:
    return sum(job["state"] == "done" for job in jobs(folder))


def test_killed_node_does_not_change_the_bytes(nodes: Nodes) -> None:
    Path("p.txt").write_text(LIST)
    batch = start("batch", "p.txt", *QUICK, "--ray", nodes.address, "-o", "ray")
    wait_for(lambda: done("ray") > 0, batch)
    nodes.kill_one()
    wait_for(lambda: done("ray") > 2, batch)
    batch.send_signal(signal.SIGINT)
    _, errors = batch.communicate(timeout=WAIT)
    if batch.returncode == 130:  # otherwise the batch finished first
        assert "images are done; continue with: vqclip resume ray" in " ".join(errors.split())
        again = start("resume", "ray", "--ray", nodes.address)
        shown, errors = again.communicate(timeout=WAIT)
        assert again.returncode == 0, errors
        assert "(5 of 5 images" in shown
    assert "raylet" not in errors
    assert "Traceback" not in errors
    local = start("batch", "p.txt", *QUICK, "-o", "local")
    local.communicate(timeout=WAIT)
    assert leftovers(Path("ray")) == leftovers(Path("local"))
    for path in sorted(Path("local/pictures").iterdir()):
        assert Path("ray/pictures", path.name).read_bytes() == path.read_bytes(), path.name
    key = ("file", "files", "score", "settings", "state", "wanted")
    assert [[job[k] for k in key] for job in jobs("ray")] == [
        [job[k] for k in key] for job in jobs("local")
    ]
