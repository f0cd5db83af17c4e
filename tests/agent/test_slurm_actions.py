"""Drain and resume against recorded answers: what is written, what is not, and what comes of it."""

import pytest

from nodeproof import slurm
from nodeproof.errors import SlurmRejected
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm import Client
from nodeproof.state import DrainRecord
from slurm_replay import Answer, Slurmrestd, said

REASON = "nodehealth: disk sda failing"  # of the recorded drain
IDLE, DRAINED = said("v0.0.42-node"), said("v0.0.42-update-drain-after")
UPDATED = said("v0.0.42-update-drain")
RECORD = DrainRecord("c0ffee", REASON, ("a.b",), 1795436536, "root")


def drain(server: Slurmrestd, record: DrainRecord | None = None, reason: str = REASON) -> slurm.Outcome:
    noted: list[int] = []
    with Client(SlurmSettings(url=server.url)) as c:
        outcome = slurm.drain(c, "n1", reason, record, lambda: noted.append(len(server.writes())))
    assert noted == [0] * len(server.writes())  # noted before, and only if, it was written
    return outcome


def resume(server: Slurmrestd, record: DrainRecord = RECORD) -> slurm.Outcome:
    with Client(SlurmSettings(url=server.url)) as c:
        return slurm.resume(c, "n1", record)


def test_a_drain_is_written_and_confirmed(server: Slurmrestd) -> None:
    server.on_node(IDLE, DRAINED, update=UPDATED)

    outcome = drain(server)

    assert type(outcome) is slurm.Drained
    assert server.writes() == [{"state": ["DRAIN"], "reason": REASON}]


@pytest.mark.parametrize(
    "found",
    [
        DRAINED.with_node(reason="bad disk, ticket 17"),
        DRAINED.with_node(reason=""),
        IDLE.with_node(state=["DOWN"]),
        IDLE.with_node(state=["ALLOCATED", "FAIL"]),
        DRAINED.with_node(state=["DOWN", "DRAIN"], reason="Not responding"),
    ],
)
def test_what_others_took_out_of_service_is_not_written(server: Slurmrestd, found: Answer) -> None:
    server.on_node(found, update=UPDATED)

    assert type(drain(server, RECORD)) is slurm.Foreign
    assert type(resume(server)) is slurm.Foreign
    assert server.writes() == []


def test_our_standing_drain_is_not_written_again(server: Slurmrestd) -> None:
    server.on_node(DRAINED, update=UPDATED)

    assert type(drain(server, RECORD, "nodeproof[other]: z")) is slurm.Standing
    assert server.writes() == []


def test_a_drain_whose_answer_was_lost_is_ours_by_its_reason(server: Slurmrestd) -> None:
    server.on_node(DRAINED, update=UPDATED)

    assert type(drain(server, RECORD._replace(reason_changed_at=None, user=""))) is slurm.Standing


def test_a_drain_that_another_overwrote_is_a_lost_race(server: Slurmrestd) -> None:
    server.on_node(IDLE, DRAINED.with_node(reason="admin was here"), update=UPDATED)

    assert type(drain(server)) is slurm.LostRace


def test_a_refusal_that_was_applied_all_the_same_is_a_drain(server: Slurmrestd) -> None:
    server.on_node(IDLE, DRAINED, update=said("v0.0.42-update-resume-idle"))

    assert type(drain(server)) is slurm.Drained


def test_a_refusal_that_changed_nothing_is_raised(server: Slurmrestd) -> None:
    server.on_node(IDLE, update=said("v0.0.42-perm-alice-update"))

    with pytest.raises(SlurmRejected, match="2010"):
        drain(server)


def test_resume_undrains_and_replaces_the_reason(server: Slurmrestd) -> None:
    server.on_node(DRAINED, said("v0.0.42-update-undrain-after"), update=said("v0.0.42-update-undrain"))

    assert type(resume(server)) is slurm.Resumed
    assert server.writes() == [{"state": ["UNDRAIN"], "reason": "nodeproof: resumed c0ffee"}]


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": f"{REASON}; kept for a look, jane"},
        {"reason_set_by_user": "jane"},
        {"reason_changed_at": {"set": True, "infinite": False, "number": 1795436537}},
    ],
)
def test_a_drain_that_somebody_touched_is_theirs(server: Slurmrestd, changes: dict[str, object]) -> None:
    server.on_node(DRAINED.with_node(**changes), update=UPDATED)

    assert type(resume(server)) is slurm.Foreign
    assert server.writes() == []


def test_a_node_in_service_is_not_resumed(server: Slurmrestd) -> None:
    server.on_node(IDLE.with_node(reason=REASON), update=UPDATED)

    assert type(resume(server)) is slurm.Free
    assert server.writes() == []


def test_a_node_that_slurmctld_does_not_know_yet_is_not_resumed(server: Slurmrestd) -> None:
    server.on_node(DRAINED.with_node(state=["UNKNOWN", "DRAIN"]), update=UPDATED)

    assert type(resume(server)) is slurm.NotReady
    assert server.writes() == []
