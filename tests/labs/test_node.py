"""One node from learning to findings, on a real kernel: SMBIOS, NUMA, PCIe, NVMe, NICs and device-mapper are real."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.vm

LABS = Path(__file__).parent
REPOSITORY = LABS.parent.parent

#: What the guest's Python (Debian 12) can load, whatever runs these tests.
GUEST_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64", "linux_x86_64")

MACHINE = ("--cpus", "4", "--numa", "2", "--nvme", "NVME0001")

#: Set up what a site would: the interfaces are up, and a file system lives on a device-mapper disk.
PREPARE = """
set -e
echo /ro > /usr/local/lib/python3.11/dist-packages/nodeproof.pth
for nic in /sys/class/net/eth*; do ip link set "${nic##*/}" up; done
modprobe loop; modprobe dm-mod; modprobe ext4
truncate -s 64M /tmp/disk
losetup /dev/loop0 /tmp/disk
echo "0 $((64 * 2048)) linear /dev/loop0 0" | dmsetup create scratch
mkfs.ext4 -q /dev/mapper/scratch
mkdir -p /scratch && mount /dev/mapper/scratch /scratch
nodeproof() { /usr/bin/python3 -I -m nodeproof "$@"; }
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
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install nodeproof as a wheel for the guest's Python."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(REPOSITORY)], check=True)
    platforms = [word for p in GUEST_PLATFORMS for word in ("--platform", p)]
    (wheel,) = wheels.iterdir()
    for_guest = ["--python-version", "3.11", "--only-binary=:all:", *platforms, "--target", str(target), str(wheel)]
    subprocess.run([*pip, "install", *for_guest], check=True)
    return target


@pytest.fixture(scope="module")
def share(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learn a healthy machine, then break that machine and check it: all reports end up in the shared folder."""
    subprocess.run([LABS / "vmlab", "build"], check=True)
    share = tmp_path_factory.mktemp("share")
    boot(site, share, [*MACHINE, "--bios", "2.7.1", "--nic", "2"], PREPARE + LEARN)
    boot(site, share, [*MACHINE, "--bios", "2.6.0", "--nic", "1"], PREPARE + BREAK)
    return share


def boot(site: Path, share: Path, machine: list[str], script: str) -> None:
    vmlab = [str(LABS / "vmlab"), "run", *machine, "--share", str(share), "--ro", str(site), "--timeout", "280"]
    done = subprocess.run([*vmlab, "--", "bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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
