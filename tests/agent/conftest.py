"""Fixtures of the framework's tests."""

from collections.abc import Iterator

import pytest

from slurm_replay import Slurmrestd, serving


@pytest.fixture
def server() -> Iterator[Slurmrestd]:
    """A slurmrestd that plays what the test scripts."""
    with serving() as fake:
        yield fake
