"""Machines of any shape, booted by `labs/vmlab` for one script each."""

import os
import subprocess
from pathlib import Path

import lab_site

LABS = Path(__file__).parent / "labs"

#: The Python of the guest, Debian 12.
_PYTHON = "3.11"

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
