"""A Ray cluster: joining or starting it, and its capacity.

Ray's own words go to its log files below /tmp/ray: the terminal belongs to the run.
"""

import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vqclip.errors import UsageError, VqclipError

LOCAL = "local"  # the address of a cluster that is this machine, for as long as the run takes
_HOST = re.compile(r"(\[[\da-fA-F:]+\]|[^\s:/]+):(\d{1,5})")
_REACH = 10.0  # seconds until a machine that does not answer counts as away
_STORE = 256 << 20  # bytes for what is under way between processes: images and checkpoints
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # tells nobody anything
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning about a change to come
}


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process has joined.

    ray: the module.
    need: what a worker takes, in the words of Ray's options: num_cpus, num_gpus.
    """

    ray: Any
    need: Mapping[str, int]

    def alive(self) -> set[str]:
        """Return the nodes that are there; one that is lost stays for some seconds."""
        return {node["NodeID"] for node in self._nodes()}

    def actor_here(self, actor: type, *values: Any) -> Any:
        """Return Ray's handle of an actor on the node of this process, where it takes no room."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = self.ray.get_runtime_context().get_node_id()
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        made = self.ray.remote(actor).options(num_cpus=0, scheduling_strategy=here)
        return made.remote(*values)

    def room(self) -> int:
        """Return how many workers the nodes have room for, others' work set aside."""
        needs = {"CPU": self.need["num_cpus"], "GPU": self.need["num_gpus"]}
        return sum(
            min(int(node["Resources"].get(kind, 0) // n) for kind, n in needs.items() if n)
            for node in self._nodes()
        )

    def _nodes(self) -> list[Any]:
        return [node for node in self.ray.nodes() if node["Alive"]]


@contextmanager
def join_cluster(address: str, cpus: int | None = None) -> Iterator[Cluster]:
    """Join the cluster at ``address``, or start one on this machine; leave it in the end.

    address: :data:`LOCAL`, ``auto`` (the one that runs on this machine), or ``host:port`` of one
        that this machine belongs to.
    cpus: of a worker, which then takes no GPU; None is a GPU where there are any, else one.

    Raises:
        UsageError: Ray is not installed, or nothing answers at the address.
        VqclipError: the cluster cannot be used.
    """
    check_address(address)
    # Ray reads them when it is imported. It listens on every interface of the machine: nobody else
    # is to use a cluster that is only this run's.
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
    """Raise UsageError for an invalid or silent address; Ray itself would try for minutes.

    Raises:
        UsageError: it is one of those.
    """
    if address in (LOCAL, "auto"):
        return
    found = _HOST.fullmatch(address)
    if not found:
        raise UsageError(
            f"cannot read the address {address!r} of a Ray cluster: write host:port, or auto for "
            "the one on this machine"
        )
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), _REACH).close()
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"no Ray cluster answers at {address}: {reason}") from None


def _ray() -> Any:
    try:
        import ray
        from ray._private import worker
    except ImportError as error:
        raise UsageError(
            f"Ray cannot be used ({error}): pip install 'vqclip[ray]', or drop --ray"
        ) from None
    # What becomes of nodes and workers would be printed whatever the log level.
    worker._worker_logs_enabled = False
    return ray


def _join(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    if address == LOCAL:
        options |= {"include_dashboard": False, "object_store_memory": _STORE}
    try:
        ray.init(address, **options)
    except Exception as error:  # Ray raises whatever it likes, plain ones among them
        raise VqclipError(f"cannot use the Ray cluster {address}: {first_words(error)}") from error


def first_words(error: BaseException) -> str:
    """Return an error of Ray's, which may take pages, as the begin of a line."""
    return f"{' '.join(str(error).split()):.300}".rstrip()
