"""Fixtures that all tests share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nodeproof.host import Host
from support import plant


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Host]:
    """Plant a machine: `machine({"/sys/...": "text"}, calls={...}, links={...}, errors={...})`."""

    def build(*args: object, **kwargs: object) -> Host:
        return plant(tmp_path, *args, **kwargs)  # type: ignore[arg-type]

    return build
