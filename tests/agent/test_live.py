"""The live machine: what is not there is absent only where the kernel's file systems are."""

import os
import subprocess
import sys

import pytest

from nodeproof.errors import FactError
from nodeproof.host import Host


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a mount namespace")
def test_sysfs_that_is_not_mounted_is_no_proof_of_absence() -> None:
    """A hook in a container, or a sandboxed unit, must not find every part of the node absent."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("needs a mount namespace of its own (none in a chroot)")
    code = "from nodeproof.host import Host; Host().{}"
    for question in ('text("/sys/class/net/eth9/mtu")', 'glob("/sys/bus/pci/devices/*")', 'link("/sys/x")'):
        command = f"mount -t tmpfs none /sys && exec {sys.executable} -I -c '{code.format(question)}'"
        done = subprocess.run(["unshare", "-m", "sh", "-c", command], check=False, capture_output=True, text=True)
        assert "failed (/sys is not mounted)" in done.stderr


def test_what_a_mounted_sysfs_lacks_is_absent() -> None:
    with pytest.raises(FactError) as caught:
        Host().text("/sys/class/net/no-such-interface/mtu")
    assert caught.value.kind == "absent"
    assert Host().glob("/sys/class/net/no-such-*") == []
