"""One node from learning to findings, on a real kernel: SMBIOS, NUMA, PCIe, NVMe, NICs and device-mapper are real."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vm_lab import boot

pytestmark = pytest.mark.vm

MACHINE = ("--cpus", "4", "--numa", "2", "--nvme", "NVME0001")

#: Set up what a site would: the interfaces are up, and a file system lives on a device-mapper disk.
PREPARE = """
set -e
for nic in /sys/class/net/eth*; do ip link set "${nic##*/}" up; done
modprobe loop; modprobe dm-mod; modprobe ext4
truncate -s 64M /tmp/disk
losetup /dev/loop0 /tmp/disk
echo "0 $((64 * 2048)) linear /dev/loop0 0" | dmsetup create scratch
mkfs.ext4 -q /dev/mapper/scratch
mkdir -p /scratch && mount /dev/mapper/scratch /scratch
"""

LEARN = """
mkdir -m 0755 /host/policy.d
nodeproof policy learn --name hpc > /host/policy.d/50-hpc.toml
nodeproof policy check /host/policy.d
nodeproof check --policy /host/policy.d --json > /host/healthy.json || true
nodeproof record /host/healthy.tar.gz
"""

BREAK = """
echo 0 > /sys/devices/system/cpu/cpu3/online
dmsetup suspend --noflush --nolockfs scratch
began=$(date +%s%N)
nodeproof check --policy /host/policy.d --json > /host/faulty.json || true
echo $(( ($(date +%s%N) - began) / 1000000 )) > /host/took_ms
nodeproof record /host/faulty.tar.gz --deadline-s 2
dmsetup resume scratch
"""


@pytest.fixture(scope="module")
def share(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learn a healthy machine, then break that machine and check it: all reports end up in the shared folder."""
    share = tmp_path_factory.mktemp("share")
    boot(site, share, (*MACHINE, "--bios", "2.7.1", "--nic", "2"), PREPARE + LEARN)
    boot(site, share, (*MACHINE, "--bios", "2.6.0", "--nic", "1"), PREPARE + BREAK)
    return share


def report(share: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((share / f"{name}.json").read_text())
    return loaded


def found(report: dict[str, Any]) -> dict[str, str]:
    return {r["id"]: r["summary"] for r in report["results"] if r["status"] not in ("ok", "skip")}


def test_a_machine_that_was_just_learnt_has_no_finding(share: Path) -> None:
    healthy = report(share, "healthy")

    # the guest runs no time service, and says so
    assert set(found(healthy)) <= {"time.synchronised"}
    assert healthy["classes"] == ["hpc"]


def test_exactly_the_planted_faults_are_found(share: Path) -> None:
    findings = found(report(share, "faulty"))
    findings.pop("time.synchronised", None)

    # the missing NIC is missed twice: by its name, and on the PCI bus
    assert set(findings) == {"bios.version", "cpu.topology", "nic.link", "pci.devices", "fs.responsive"}
    assert "2.6.0" in findings["bios.version"]
    assert "2.7.1" in findings["bios.version"]
    assert "3" in findings["cpu.topology"]
    assert "eth1" in findings["nic.link"]
    assert "8086:10d3" in findings["pci.devices"]
    assert "/scratch" in findings["fs.responsive"]


def test_the_hang_keeps_nobody_waiting(share: Path) -> None:
    # a software-emulated CPU is slow, but the budget of a pass is wall time
    assert int((share / "took_ms").read_text()) < 30_000


def test_the_recording_of_a_machine_gives_its_findings_anywhere(share: Path) -> None:
    for name in ("healthy", "faulty"):
        command = [sys.executable, "-I", "-m", "nodeproof", "check", "--json", "--policy", str(share / "policy.d")]
        done = subprocess.run(
            [*command, "--root", str(share / f"{name}.tar.gz")], capture_output=True, text=True, check=False
        )
        assert set(found(json.loads(done.stdout))) == set(found(report(share, name)))
