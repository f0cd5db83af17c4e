"""Machines of any shape, booted by `labs/vmlab` for one script each."""

import subprocess
import sys
from pathlib import Path

LABS = Path(__file__).parent / "labs"
REPOSITORY = LABS.parent.parent

#: What the guest's Python (Debian 12) can load, whatever runs these tests.
GUEST_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64", "linux_x86_64")

#: Makes `nodeproof` known to the guest.
_PREPARE = """
echo /ro > /usr/local/lib/python3.11/dist-packages/nodeproof.pth
nodeproof() { /usr/bin/python3 -I -m nodeproof "$@"; }
"""


def install(wheels: Path, target: Path) -> None:
    """Install nodeproof as a wheel for the guest's Python."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(REPOSITORY)], check=True)
    platforms = [word for p in GUEST_PLATFORMS for word in ("--platform", p)]
    (wheel,) = wheels.iterdir()
    for_guest = ["--python-version", "3.11", "--only-binary=:all:", *platforms, "--target", str(target), str(wheel)]
    subprocess.run([*pip, "install", *for_guest], check=True)


def build() -> None:
    """Make what machines boot from, if it is not there."""
    subprocess.run([LABS / "vmlab", "build"], check=True)


def boot(site: Path, share: Path, machine: tuple[str, ...], script: str, *, timeout_s: int = 280) -> None:
    """Run a script on a machine that has `nodeproof`, with `share` at /host."""
    options = ["--share", str(share), "--ro", str(site), "--timeout", str(timeout_s)]
    vmlab = [str(LABS / "vmlab"), "run", *machine, *options]
    done = subprocess.run([*vmlab, "--", "bash", "-c", _PREPARE + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
