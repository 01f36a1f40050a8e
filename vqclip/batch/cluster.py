"""Ray clusters: joining, starting and capacity.

Ray writes its logs to /tmp/ray, so the terminal shows only the run's output.
"""

import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vqclip.errors import UsageError, VqclipError, reason_of

LOCAL = "local"  # address that stands for a new cluster on this machine
_HOST = re.compile(r"(\[[\da-fA-F:]+\]|[^\s:/]+):(\d{1,5})")
_REACH = 10.0  # seconds after which an unresponsive machine counts as unreachable
_STORE = 256 << 20  # bytes for images and checkpoints sent between processes
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # otherwise Ray warns about a future change
}


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process has joined.

    ray: the ``ray`` module.
    need: the resources of a worker, as the Ray options ``num_cpus`` and ``num_gpus``.
    """

    ray: Any
    need: Mapping[str, int]

    def alive(self) -> set[str]:
        """Return the ids of the connected nodes; a lost node remains listed for a few seconds."""
        return {node["NodeID"] for node in self._nodes()}

    def actor_here(self, actor: type, *values: Any) -> Any:
        """On this process's node, start an actor that reserves no resources; return its handle."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = self.ray.get_runtime_context().get_node_id()
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        made = self.ray.remote(actor).options(num_cpus=0, scheduling_strategy=here)
        return made.remote(*values)

    def room(self) -> int:
        """Return how many workers fit on the nodes if nothing else is running there."""
        needs = {"CPU": self.need["num_cpus"], "GPU": self.need["num_gpus"]}
        return sum(
            min(int(node["Resources"].get(kind, 0) // n) for kind, n in needs.items() if n)
            for node in self._nodes()
        )

    def _nodes(self) -> list[Any]:
        return [node for node in self.ray.nodes() if node["Alive"]]


@contextmanager
def join_cluster(address: str, cpus: int | None = None) -> Iterator[Cluster]:
    """Join the cluster at ``address`` or start one on this machine, and disconnect on exit.

    address: :data:`LOCAL`, ``auto`` (the cluster running on this machine), or ``host:port`` of
        a cluster that this machine belongs to.
    cpus: number of cores per worker; if set, workers use no GPU. If None, each worker uses one core
        and, if the cluster has GPUs, one GPU.

    Raises:
        UsageError: Ray is not installed, or the address is invalid or unreachable.
        VqclipError: the cluster cannot be used.
    """
    check_address(address)
    # Ray reads these variables on import. A cluster started here needs a token, because Ray listens
    # on every network interface.
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in {**_QUIET, **(own if address == LOCAL else {})}.items():
        os.environ.setdefault(name, value)
    ray = _ray()
    _join(ray, address)
    try:
        gpus = cpus is None and ray.cluster_resources().get("GPU", 0) >= 1
        yield Cluster(ray, {"num_cpus": cpus or 1, "num_gpus": int(gpus)})
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Check that an address can be reached.

    Without this check, Ray would retry an unreachable address for minutes.

    Raises:
        UsageError: the address is invalid or unreachable.
    """
    if address in (LOCAL, "auto"):
        return
    found = _HOST.fullmatch(address)
    if not found:
        raise UsageError(
            f"cannot read the Ray address {address!r}: write host:port, or auto for the cluster "
            "on this machine"
        )
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), _REACH).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"no Ray cluster responds at {address}: {reason_of(error)}") from None


def _ray() -> Any:
    try:
        import ray
        from ray._private import worker
    except ImportError as error:
        raise UsageError(
            f"Ray cannot be used ({error}): run pip install 'vqclip[ray]', or drop `ray`"
        ) from None
    # Ray would print node and worker events at any log level.
    worker._worker_logs_enabled = False
    return ray


def _join(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    if address == LOCAL:
        options |= {"include_dashboard": False, "object_store_memory": _STORE}
    try:
        ray.init(address, **options)
    except Exception as error:  # Ray raises many types, including plain exceptions
        raise VqclipError(f"cannot use the Ray cluster {address}: {first_words(error)}") from error


def first_words(error: BaseException) -> str:
    """Return only the start of a Ray error message, because the full text can be pages long."""
    return f"{' '.join(str(error).split()):.300}".rstrip()
