"""Nodes without a token on a real Slurm: what they do by themselves in `test_drain`, by way of a drain controller."""

import pytest

from lab_bench import Bench
from labs.slurm import test_drain, test_outage

pytestmark = pytest.mark.slurm

#: Scenarios in which it matters that the node writes by itself.
NOT_HERE = {
    "test_a_batch_with_an_unknown_name_drains_the_others",
    "test_a_node_name_that_slurm_does_not_know_is_told",
    "test_a_unix_socket_needs_no_token",
    "test_the_guard_counts_what_others_took_out_of_service",
}

# All the others are run here as well, with the bench of this module.
globals().update({n: t for n, t in vars(test_drain).items() if n.startswith("test_") and n not in NOT_HERE})
test_slurmctld_down = test_outage.test_a_slurmctld_that_is_down_is_told_and_a_later_run_reconciles


@pytest.fixture
def bench(controlled_bench: Bench) -> Bench:
    """Give n1 without a token, in the place of one that has it."""
    return controlled_bench
