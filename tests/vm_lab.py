"""Machines of any shape, booted by `labs/vmlab` for one script each."""

import os
import subprocess
import tempfile
from pathlib import Path

import lab_site

LABS = Path(__file__).parent / "labs"

#: The Python of the guest, Debian 12.
_PYTHON = "3.11"

#: Makes rxe0 and rxe1, Soft-RoCE devices on eth0 and eth1, and waits until both are active.
SOFT_ROCE = """
modprobe rdma_rxe
for i in 0 1; do
    ip link set eth$i up; ip address add 10.0.$i.1/24 dev eth$i
    rdma link add rxe$i type rxe netdev eth$i
done
are_active() { [ "$(cat /sys/class/infiniband/rxe*/ports/1/state | grep -c ACTIVE)" = 2 ]; }
for _ in $(seq 100); do are_active && break; sleep 0.2; done
sleep 2 # addresses of the link are tried before they are used
"""

#: Makes `nodeproof` known to the guest.
_PREPARE = """
echo /ro > /usr/local/lib/python3.11/dist-packages/nodeproof.pth
nodeproof() { /usr/bin/python3 -I -m nodeproof "$@"; }
"""


def build() -> Path:
    """Make what machines boot from, and nodeproof for them, if they are not there. Return where nodeproof is."""
    subprocess.run([LABS / "vmlab", "build"], check=True)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return lab_site.packages_for(Path(os.environ.get("VMLAB_DIR", cache / "vmlab")) / "sites", _PYTHON)


def boot(site: Path, share: Path, machine: tuple[str, ...], script: str, *, timeout_s: int = 280) -> None:
    """Run a script on a machine that has `nodeproof`, with `share` at /host."""
    options = ["--share", str(share), "--ro", str(site), "--timeout", str(timeout_s)]
    vmlab = [str(LABS / "vmlab"), "run", *machine, *options]
    done = subprocess.run([*vmlab, "--", "bash", "-c", _PREPARE + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def boot_pair(
    site: Path, shares: tuple[Path, Path], cables: int, scripts: tuple[str, str], *, timeout_s: int = 580
) -> None:
    """Run a script on each of two machines side by side, with so many cables between them, as `eth0`, `eth1` …

    Each machine has two CPUs, and its share at /host.
    """
    with tempfile.TemporaryDirectory(prefix="vmlab-") as directory:
        plugged = [word for n in range(cables) for word in ("--cable", f"{directory}/{n}")]
        machine = ["--cpus", "2", "--numa", "1", "--nic", "0", *plugged, "--timeout", str(timeout_s)]
        started = [
            subprocess.Popen(
                [
                    LABS / "vmlab",
                    "run",
                    *machine,
                    "--share",
                    share,
                    "--ro",
                    site,
                    "--",
                    "bash",
                    "-c",
                    _PREPARE + script,
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for share, script in zip(shares, scripts, strict=True)
        ]
        said = [process.communicate()[0] for process in started]
    for process, words in zip(started, said, strict=True):
        assert process.returncode == 0, words
