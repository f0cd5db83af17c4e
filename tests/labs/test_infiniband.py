"""Two RDMA ports of a real kernel, from learning to findings: Soft-RoCE, since no machine here has an adapter.

Soft-RoCE has no firmware to be wrong, and its module needs ib_uverbs: a version that policy asks for and no driver
tells, and a device file that is missing in /dev, are the nearest faults.
"""

import json
from pathlib import Path

import pytest

from vm_lab import SOFT_ROCE, boot

pytestmark = pytest.mark.vm

MACHINE = ("--cpus", "2", "--numa", "1", "--nic", "2")

SCRIPT = """
mkdir -m 0755 /host/policy.d
nodeproof policy learn --name rdma > /host/policy.d/50-rdma.toml
judge() { nodeproof check --tag infiniband --policy /host/policy.d "${@:2}" --json > /host/$1.json || true; }
judge healthy
judge firmware -p 'ib.firmware.allowed={rxe0="28.*"}'
ip link set eth1 down
judge down
ip link set eth1 up
for _ in $(seq 100); do are_active && break; sleep 0.2; done
mv /dev/infiniband/uverbs0 /dev/infiniband/away
judge file
mv /dev/infiniband/away /dev/infiniband/uverbs0
judge repaired
"""


@pytest.fixture(scope="module")
def share(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    share = tmp_path_factory.mktemp("share")
    boot(site, share, MACHINE, f"set -e\n{SOFT_ROCE}{SCRIPT}")
    return share


def found(share: Path, name: str) -> dict[str, str]:
    results = json.loads((share / f"{name}.json").read_text())["results"]
    return {r["id"]: r["summary"] for r in results if r["status"] not in ("ok", "skip")}


@pytest.mark.parametrize("name", ["healthy", "repaired"])
def test_ports_that_are_as_they_were_learnt_give_no_finding(share: Path, name: str) -> None:
    assert found(share, name) == {}
    results = {r["id"]: r["status"] for r in json.loads((share / f"{name}.json").read_text())["results"]}
    assert {i for i, status in results.items() if status == "ok"} >= {
        "ib.port",
        "ib.firmware",
        "ib.device_files",
        "ib.netdev_binding",
    }


def test_a_port_without_a_link_is_named(share: Path) -> None:
    assert found(share, "down")["ib.port"].startswith("rxe1/1 has no link")


def test_a_firmware_that_policy_asks_for_is_missed(share: Path) -> None:
    (summary,) = found(share, "firmware").values()

    assert summary == "rxe0 runs no firmware that its driver says, allowed 28.*"


def test_a_missing_device_file_is_named(share: Path) -> None:
    (summary,) = found(share, "file").values()

    assert "/dev/infiniband/uverbs0 missing in /dev" in summary
