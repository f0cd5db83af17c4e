"""The labs: real Slurm in a chroot, real kernels in virtual machines, emulated CPUs. `make labs` runs them, as root."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vm_lab
from mini_slurm import SUITE, Slurm, mini_slurm
from native_lab import Builds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a lab where there is none, and say why."""
    why = "" if os.environ.get("NODEPROOF_LABS") == "1" else "needs a lab: make labs"
    why = why or ("" if os.geteuid() == 0 else "needs a lab, and that needs root")
    for item in items:
        if why and any(item.get_closest_marker(lab) for lab in ("isa", "slurm", "vm")):
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Start a Slurm 24.11 (the first time, a minute or two), and stop it after the last test."""
    mini_slurm("up", SUITE, "2")
    try:
        yield Slurm()
    finally:
        mini_slurm("down", SUITE)


@pytest.fixture
def n1(slurm: Slurm) -> str:
    """Return the name of a node that is idle and has no reason."""
    if {"DRAIN", "DOWN"} & set(slurm.node("n1")["state"]):
        slurm.update("n1", "state=resume")
    slurm.wait_for("n1", "IDLE")
    slurm.update("n1", "reason=")
    return "n1"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where nodeproof is installed for a virtual machine (the first time, one is made: two minutes)."""
    vm_lab.build()
    target = tmp_path_factory.mktemp("site")
    vm_lab.install(tmp_path_factory.mktemp("wheels"), target)
    return target


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    return Builds(tmp_path_factory.mktemp("builds"))
