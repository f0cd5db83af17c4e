"""The labs: real Slurm in a chroot, real kernels in virtual machines, emulated CPUs. `make labs` runs them, as root."""

import os
from pathlib import Path

import pytest

import vm_lab
from native_lab import Builds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a lab where there is none, and say why."""
    why = "" if os.environ.get("NODEPROOF_LABS") == "1" else "needs a lab: make labs"
    why = why or ("" if os.geteuid() == 0 else "needs a lab, and that needs root")
    for item in items:
        if why and any(item.get_closest_marker(lab) for lab in ("agent", "isa", "slurm", "vm")):
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def site() -> Path:
    """Return where nodeproof is installed for a virtual machine (the first time, one is made: two minutes)."""
    return vm_lab.build()


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    return Builds(tmp_path_factory.mktemp("builds"))
