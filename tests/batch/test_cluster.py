"""Cluster addresses, and errors when there is no cluster."""

import sys

import pytest

from vqclip.batch.cluster import Cluster, check_address, join_cluster
from vqclip.errors import UsageError


@pytest.mark.parametrize(
    "address", ["foo", "ray://10.0.0.1:1", "a:b", "10.0.0.1", "x:123456", ":1"]
)
def test_invalid_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="cannot read the Ray address"):
        check_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "[::1]:9", "127.0.0.1:99999"])
def test_unreachable_addresses_fail_immediately(address: str) -> None:
    with pytest.raises(UsageError, match="no Ray cluster responds at"):
        check_address(address)


def test_without_ray_the_error_gives_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'vqclip\[ray\]'"), join_cluster("local"):
        pass


def test_workers_are_counted_per_node() -> None:
    class Ray:
        @staticmethod
        def nodes() -> list[dict[str, object]]:
            return [
                {"NodeID": "a", "Alive": True, "Resources": {"CPU": 7.0, "GPU": 2.0}},
                {"NodeID": "b", "Alive": True, "Resources": {"CPU": 1.0}},
                {"NodeID": "c", "Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
            ]

    assert Cluster(Ray, {"num_cpus": 2, "num_gpus": 0}).room() == 3
    assert Cluster(Ray, {"num_cpus": 1, "num_gpus": 1}).room() == 2
    assert Cluster(Ray, {"num_cpus": 4, "num_gpus": 1}).room() == 1
    assert Cluster(Ray, {"num_cpus": 1, "num_gpus": 0}).alive() == {"a", "b"}
