"""Fixtures that all tests share."""

import os
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
