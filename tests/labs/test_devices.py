"""Devices that leave a real kernel and come back, seen by the agent: taken away by hand, and fallen off the bus."""

import json
from pathlib import Path

import pytest

from vm_lab import boot

pytestmark = pytest.mark.vm

MACHINE = ("--cpus", "2", "--numa", "1", "--nvme", "NVME0001", "--nic", "2")

NVME, NIC = "nvme 0000:03:00.0 (1b36:0010)", "nic 0000:01:00.0 (8086:10d3)"

SCRIPT = """
set -e
for nic in /sys/class/net/eth*; do ip link set "${nic##*/}" up; done
nodeproof agent > /host/agent.log 2>&1 &
told() { for _ in $(seq 300); do grep -q "$1" /host/agent.log && sleep 1 && return; sleep 0.2; done; return 1; }
judge() { nodeproof check device.removed device.link_down --json > /host/$1.json || true; }
told 'device.present: . devices'; told 'device.present: . network ports'; judge healthy
echo 0000:03:00.0 > /sys/bus/pci/drivers/nvme/unbind; told 'removed: nvme.* has no driver'; judge unbound
echo 0000:03:00.0 > /sys/bus/pci/drivers/nvme/bind; told 'added: nvme.* is there'; judge bound
ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip link del v0
ip netns add container; ip link set eth1 netns container; told 'eth1 went to another network namespace'; judge moved
udevadm trigger --action=remove
echo 1 > /sys/bus/pci/devices/0000:01:00.0/remove; told 'removed: nic.* left the bus'; judge removed
echo 1 > /sys/bus/pci/rescan; told 'added: nic.* is there'; told 'added: network port eth0'; judge rescanned
vm-monitor 'device_del nvme0'; told 'removed: nvme.* left the bus'; judge fell_off
"""


@pytest.fixture(scope="module")
def share(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    share = tmp_path_factory.mktemp("share")
    boot(site, share, MACHINE, SCRIPT)
    return share


def verdict(share: Path, name: str, check_id: str = "device.removed") -> tuple[str, str]:
    results = {r["id"]: r for r in json.loads((share / f"{name}.json").read_text())["results"]}
    return results[check_id]["status"], results[check_id]["summary"]


@pytest.mark.parametrize("name", ["healthy", "bound", "moved", "rescanned"])
def test_nothing_is_missing_of_what_is_there_or_in_a_container(share: Path, name: str) -> None:
    assert verdict(share, name)[0] == "ok"
    assert verdict(share, name, "device.link_down")[0] == "ok"


def test_a_driver_that_is_taken_off_is_a_warning(share: Path) -> None:
    status, summary = verdict(share, "unbound")

    assert status == "warn"
    assert summary.startswith(f"without a driver: {NVME} has no driver any more (")


@pytest.mark.parametrize(("name", "device"), [("removed", NIC), ("fell_off", NVME)])
def test_a_device_that_left_the_bus_is_missing(share: Path, name: str, device: str) -> None:
    status, summary = verdict(share, name)

    assert status == "fail"
    assert summary.startswith(f"missing: {device} left the bus (")


def test_virtual_interfaces_and_events_that_were_asked_for_are_not_told(share: Path) -> None:
    told = [line for line in (share / "agent.log").read_text().splitlines() if line.startswith("device.")]

    assert not [line for line in told if " v0" in line or " v1" in line]
    assert len([line for line in told if line.startswith("device.removed")]) == 6
