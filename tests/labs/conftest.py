"""The labs: a real Slurm in a chroot, and real kernels in virtual machines. `make labs` runs them, as root."""

import os
from collections.abc import Iterator

import pytest

from mini_slurm import SUITE, Slurm, mini_slurm


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a lab where there is none, and say why."""
    why = "" if os.environ.get("NODEPROOF_LABS") == "1" else "needs a lab: make labs"
    why = why or ("" if os.geteuid() == 0 else "needs a lab, and that needs root")
    for item in items:
        if why and (item.get_closest_marker("slurm") or item.get_closest_marker("vm")):
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
