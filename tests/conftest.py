"""Fixtures that all tests share."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

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
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the fake libnvidia-ml.so.1")
    directory = tmp_path_factory.mktemp("fake_nvml")
    library = directory / "libnvidia-ml.so.1"
    flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", str(library), str(Path(__file__).parent / "fake_nvml/nvml.c")], check=True)
    return directory
