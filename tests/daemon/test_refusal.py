"""Whether the gate refuses a job: only for what fails now, and only where slurmd's own drain would be explained."""

import pytest

from nodeproof.daemon.refusal import Refusal, refusal_of
from nodeproof.policy.settings import Settings, SlurmSettings
from nodeproof.slurm import Record
from nodeproof.state import LeftAlone, State

ENFORCE = Settings(mode="enforce")
PASS = ENFORCE._replace(slurm=SlurmSettings(prolog_unsure="pass"))
QUIET = {"intent": "nothing", "result": "nothing", "reason": "", "summary": ""}
DRAINED = State(drain=Record("1", "nodeproof[1]: fs.mounted: no /scratch", ("fs.mounted",), 1000, "slurm"))
FAILING = {"fs.mounted"}


def drain(result: str) -> dict[str, object]:
    return {"intent": "drain", "result": result, "reason": "nodeproof[1]: fs.mounted: no", "summary": "cannot drain"}


def test_our_drain_refuses_while_its_check_fails() -> None:
    assert refusal_of(DRAINED, ENFORCE, QUIET, FAILING) == Refusal("nodeproof[1]: fs.mounted: no /scratch", True)


def test_a_node_that_waits_for_its_last_passes_is_not_refused() -> None:
    """Slurm keeps jobs off it as long as it is drained; when an administrator lifts that, it is theirs to say."""
    assert refusal_of(DRAINED, ENFORCE, QUIET, set()) == Refusal()


def test_who_observes_refuses_nobody() -> None:
    assert refusal_of(DRAINED, Settings(), drain("would_drain"), FAILING) == Refusal()


def test_a_drain_that_was_noted_and_not_confirmed_is_none() -> None:
    noted = State(drain=Record("1", "nodeproof[1]: fs.mounted: no", ("fs.mounted",)))

    assert refusal_of(noted, PASS, drain("unsure"), FAILING) == Refusal()
    assert refusal_of(noted, ENFORCE, drain("unsure"), FAILING) == Refusal("nodeproof[1]: fs.mounted: no")


@pytest.mark.parametrize("result", ["no_slurm_url", "held_back", "error", "busy"])
def test_our_own_mistakes_and_the_guard_refuse_nobody(result: str) -> None:
    assert refusal_of(State(), ENFORCE, drain(result), FAILING) == Refusal()


def test_somebody_elses_drain_refuses_only_while_ours_would_be_made() -> None:
    left = State(left_alone=LeftAlone(("fs.mounted", "nic.link"), is_noted=True))

    assert "nic.link failed" in refusal_of(left, ENFORCE, QUIET, {"nic.link"}).reason
    assert refusal_of(left, ENFORCE, QUIET, {"other.check"}) == Refusal()
