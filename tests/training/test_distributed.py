"""Training with two processes."""

import subprocess
import sys
from pathlib import Path

import pytest

GATHER = """
import sys, torch
from vqclip.training.distributed import gather
rank = int(sys.argv[2])
torch.distributed.init_process_group("gloo", f"file://{sys.argv[1]}", rank=rank, world_size=2)
print(gather(torch.tensor([[rank, 1], [rank, 2]])).flatten().tolist())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="gloo finds its way on Linux without set-up")
def test_gather_joins_the_values_of_all_processes(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", GATHER, str(tmp_path / "meet"), str(rank)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        assert process.communicate(timeout=120)[0] == "[0, 1, 0, 2, 1, 1, 1, 2]\n"
