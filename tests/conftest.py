"""Fixtures that all tests share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_judging import built
from nodeproof.host import Host
from support import plant


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers `-n auto` is: more than CPUs, for a third of the tests' time is waiting."""
    del config
    return (os.cpu_count() or 1) * 3 // 2 + 1


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Host]:
    """Plant a machine: `machine({"/sys/...": "text"}, calls={...}, links={...}, errors={...})`."""

    def build(*args: object, **kwargs: object) -> Host:
        return plant(tmp_path, *args, **kwargs)  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a libnvidia-ml.so.1 that does what a test tells it, and return its directory."""
    source = Path(__file__).parent / "fake_nvml" / "nvml.c"
    return built(source, tmp_path_factory.mktemp("fake_nvml") / "libnvidia-ml.so.1")
