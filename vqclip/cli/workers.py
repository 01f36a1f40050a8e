"""The workers for a batch: this process, or those of a Ray cluster."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from vqclip.cli.terminal import Terminal
from vqclip.errors import UsageError

if TYPE_CHECKING:
    from vqclip.batch.engine import Engine, OnStep
    from vqclip.batch.folder import RunFolder

PANEL = "Workers"
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Run on the Ray cluster at this address: host:port, or auto. Without an address, "
        "run Ray on this machine.",
        rich_help_panel=PANEL,
    ),
]
Cpus = Annotated[
    int | None,
    typer.Option(
        "--cpus",
        metavar="N",
        min=1,
        help="Number of CPU cores per --ray worker. Default: one GPU per worker, or one core if "
        "there is no GPU.",
        rich_help_panel=PANEL,
    ),
]
SideBySide = Annotated[
    int | None,
    typer.Option(
        "--side-by-side",
        metavar="N",
        min=1,
        help="Number of jobs with the same settings to run side by side. Default: on a GPU, "
        "chosen by timing the first steps; on a CPU, 1.",
        rich_help_panel=PANEL,
    ),
]
_ADDRESS = re.compile(r"auto|local|[^\s/]+:\d+")


class RayCommand(TyperCommand):
    """A command whose ``--ray`` takes an optional address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rewrite a ``--ray`` that has no address as ``--ray=local``."""
        words: list[str] = []
        for word, after in zip(args, [*args, ""][1:], strict=True):
            alone = word == "--ray" and not _ADDRESS.fullmatch(after)
            words += ["--ray=local"] if alone and "--" not in words else [word]
        return super().parse_args(ctx, words)


@dataclass(frozen=True)
class Workers:
    """The options for workers.

    ray: address of a cluster.
    cpus: cores per worker.
    side_by_side: number of jobs that each worker runs side by side.
    """

    ray: str | None = None
    cpus: int | None = None
    side_by_side: int | None = None

    def __post_init__(self) -> None:
        if self.cpus is not None and self.ray is None:
            raise UsageError("--cpus sets the cores of a --ray worker: add --ray, or drop --cpus")


@contextmanager
def engine(
    workers: Workers, folder: "RunFolder", on_step: "OnStep", terminal: Terminal
) -> "Iterator[Engine]":
    """Yield the engine; on exit, its workers stop and send their checkpoints.

    Raises:
        UsageError: Ray is not installed, or the cluster's address is invalid or unreachable.
    """
    if workers.ray is None:
        from vqclip.batch.engine import Local

        yield Local(folder, on_step, width=workers.side_by_side)
        return
    with terminal.console.status("joining the cluster") as status:
        from vqclip.batch.cluster import join_cluster
        from vqclip.batch.remote import Remote

        with join_cluster(workers.ray, workers.cpus) as cluster:
            status.stop()
            remote = Remote(
                folder,
                cluster,
                on_step,
                terminal.note,
                look=terminal.preview,
                width=workers.side_by_side,
            )
            with remote:
                yield remote
