"""Nodes without a token on a real Slurm: whatever somebody else says of them stays, as in `test_admins`."""

import pytest

from lab_bench import Bench
from labs.slurm import test_admins

pytestmark = pytest.mark.slurm

globals().update({name: test for name, test in vars(test_admins).items() if name.startswith("test_")})


@pytest.fixture
def bench(controlled_bench: Bench) -> Bench:
    """Give n1 without a token, in the place of one that has it."""
    return controlled_bench
