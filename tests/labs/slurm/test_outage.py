"""A real Slurm that is away, hangs, or does not take our token: nothing is lost, and nothing done twice."""

import threading
from contextlib import ExitStack
from random import Random

import pytest

from lab_bench import FAILED, Bench
from nodeproof.policy.settings import GuardSettings
from nodeproof.slurm import Drained, Record, Standing, Unsure, Wish, carry_out

pytestmark = pytest.mark.slurm


@pytest.mark.parametrize(
    ("user", "words"), [("alice", "Invalid user id (2010)"), ("", "expected one JSON web token and nothing else")]
)
def test_a_token_that_will_not_do_is_told_and_changes_no_verdict(bench: Bench, user: str, words: str) -> None:
    if user:
        bench.become(user)
        bench.policy.joinpath("20.toml").write_text(f'[slurm]\nuser_name = "{user}"\n')
    else:
        bench.token_file.write_text("")
    before = bench.says()

    run = bench.check()

    assert (run.exit_code, run.result) == (FAILED, "slurm_error")
    assert words in run.loud
    assert run.loud.startswith("nodeproof: cannot drain n1 (fs.mounted failed: ")
    assert bench.says() == before


def test_a_forged_token_is_told_and_repeated_nowhere(bench: Bench) -> None:
    forged = bench.slurm.token("slurm")[:-8] + "AAAAAAAA"
    bench.token_file.write_text(forged)

    run = bench.check()

    assert (run.exit_code, run.result) == (FAILED, "slurm_error")
    assert "Protocol authentication error (1007)" in run.loud
    assert forged not in run.loud + str(run.action)


def test_a_slurmctld_that_is_down_is_told_and_a_later_run_reconciles(bench: Bench) -> None:
    bench.set(mode="enforce", more="timeout_s = 3")
    with bench.slurm.stopped("slurmctld"):
        run = bench.check()
        assert (run.exit_code, run.result) == (FAILED, "unsure")
        assert run.loud.startswith("nodeproof: cannot drain n1 (fs.mounted failed: ")

    bench.slurm.wait_for("n1", "IDLE")
    assert bench.check().result == "drained"
    bench.repair()
    bench.check()
    with bench.slurm.stopped("slurmctld"):
        assert bench.check().result == "unsure"
    bench.slurm.wait_for("n1", "IDLE", "DRAIN")
    assert bench.check().result == "resumed"


def test_a_wanted_drain_is_carried_out_by_a_run_of_other_checks_once_slurmctld_is_back(bench: Bench) -> None:
    bench.set(mode="enforce", more="timeout_s = 1")
    with bench.slurm.hung("slurmctld"):
        assert bench.check().result == "unsure"

    run = bench.check("kernel.taint")

    assert run.result == "drained"
    assert f"fs.mounted: {bench.mount} is not mounted" in bench.says()["reason"]


def test_a_timeout_of_slurmctld_that_was_applied_all_the_same_is_a_drain(bench: Bench) -> None:
    """It hangs from before our write until slurmrestd gives up (MessageTimeout, 10 s), and then does as it was told."""
    wish = Wish("n1", "drain", "00c0ffee", "fs.mounted: x", ("fs.mounted",))
    before = bench.drains()
    with bench.client(40.0) as client, ExitStack() as stack:
        goes_on = threading.Timer(10.7, stack.close)

        def hang(_: Wish) -> None:
            stack.enter_context(bench.slurm.hung("slurmctld"))
            goes_on.start()

        random = Random(1)
        outcomes = carry_out([wish], client, GuardSettings(), is_alone=False, random=random, before_write=hang)
        goes_on.join()

    assert isinstance(outcomes["n1"], Drained)
    assert bench.drains() == before + 1


def test_a_lost_answer_loses_no_drain_and_writes_it_once(bench: Bench) -> None:
    wish = Wish("n1", "drain", "00c0ffee", "fs.mounted: x", ("fs.mounted",))
    before = bench.drains()
    with ExitStack() as stack, bench.client(1.5) as client:
        hang = lambda _: stack.enter_context(bench.slurm.hung("slurmctld"))  # noqa: E731
        lost = carry_out([wish], client, GuardSettings(), is_alone=False, random=Random(1), before_write=hang)
    again = wish._replace(id="11111111", record=Record(wish.id, wish.reason, wish.checks))
    with bench.client() as client:
        found = carry_out([again], client, GuardSettings(), is_alone=False, random=Random(1))

    assert isinstance(lost["n1"], Unsure)
    assert isinstance(found["n1"], Standing)
    assert bench.says()["reason"] == wish.reason
    assert bench.drains() == before + 1


def test_a_slurmrestd_that_is_down_is_told(bench: Bench) -> None:
    bench.set(mode="enforce", url="http://127.0.0.1:1", more="timeout_s = 1")

    run = bench.check()

    assert (run.exit_code, run.result) == (FAILED, "unsure")
    assert "no answer from slurmrestd at http://127.0.0.1:1" in run.loud
