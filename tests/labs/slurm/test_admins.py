"""Whatever somebody else says of a node of a real Slurm is neither overwritten nor lifted."""

import pytest

from lab_bench import FAILED, Bench

pytestmark = pytest.mark.slurm


def test_a_node_that_an_admin_drained_is_not_touched_but_gets_a_note(bench: Bench) -> None:
    bench.slurm.update("n1", "state=drain", "reason=bad fan, ticket 17", 'extra={"rack": 7}')
    says = bench.says()

    run = bench.check()

    assert (run.exit_code, run.result) == (FAILED, "left_alone")
    assert "n1 is IDLE+DRAIN by root (bad fan, ticket 17), not by us" in run.action["summary"]
    note = bench.notes()
    assert note["rack"] == 7
    assert note["nodeproof"]["finding"] == f"fs.mounted: {bench.mount} is not mounted, expected tmpfs"
    writes = bench.slurm.writes()
    assert bench.check().result == "left_alone"
    assert bench.slurm.writes() == writes

    bench.repair()
    assert [bench.check().result for _ in range(3)] == ["unnoted", "nothing", "nothing"]
    assert bench.notes() == {"rack": 7}
    assert bench.says() == says


def test_an_extra_that_is_no_json_stays_as_it_is(bench: Bench) -> None:
    bench.slurm.update("n1", "state=drain", "reason=bad fan", "extra=see ticket 17")

    run = bench.check()

    assert run.result == "left_alone"
    assert "its extra holds no JSON" in run.action["summary"]
    assert bench.slurm.node("n1")["extra"] == "see ticket 17"


def test_a_node_that_an_admin_set_down_is_neither_drained_nor_lifted(bench: Bench) -> None:
    bench.slurm.update("n1", "state=down", "reason=power supply")
    says = bench.says()

    assert bench.check().result == "left_alone"
    bench.repair()
    assert [bench.check().result for _ in range(3)] == ["unnoted", "nothing", "nothing"]
    assert bench.says() == says


def test_an_admin_who_sets_our_drained_node_down_has_it(bench: Bench) -> None:
    bench.drain()
    bench.slurm.update("n1", "state=down", "reason=power supply")
    says = bench.says()
    bench.repair()

    assert [bench.check().result for _ in range(3)] == ["left_alone", "nothing", "nothing"]
    assert bench.says() == says


def test_an_admin_who_edits_our_reason_takes_the_node_over(bench: Bench) -> None:
    reason = bench.drain()
    bench.slurm.update("n1", f"reason={reason}; kept for a look (jane)")
    bench.repair()

    assert [bench.check().result for _ in range(3)] == ["left_alone", "nothing", "nothing"]
    assert bench.says()["state"] == ["IDLE", "DRAIN"]


def test_an_admin_who_drains_for_our_very_reason_takes_the_node_over(bench: Bench) -> None:
    reason = bench.drain()
    bench.slurm.update("n1", "reason=mine now")
    bench.slurm.update("n1", "state=drain", f"reason={reason}")
    bench.repair()

    assert [bench.check().result for _ in range(3)] == ["left_alone", "nothing", "nothing"]
    assert bench.says()["reason"] == reason


def test_a_node_that_an_admin_resumed_by_hand_is_forgotten(bench: Bench) -> None:
    bench.drain()
    bench.slurm.update("n1", "state=resume")
    bench.repair()

    assert [bench.check().result for _ in range(2)] == ["already_resumed", "nothing"]


def test_a_node_that_reboots_keeps_our_drain_until_it_has_passed(bench: Bench) -> None:
    """Its slurmd goes away and registers anew; what nodeproof knows is on the disk."""
    bench.drain()
    with bench.slurm.stopped("n1"):
        assert bench.check().result == "already_drained"
    bench.slurm.wait_for("n1", "IDLE", "DRAIN")
    assert bench.check().result == "already_drained"
    bench.repair()

    assert [bench.check().result for _ in range(2)] == ["already_drained", "resumed"]


def test_a_resume_lifts_no_down_of_somebody_else(bench: Bench) -> None:
    bench.drain()
    with bench.client() as client:  # as when its slurmd dies: the reason stays
        client.update(["n1"], {"state": ["DOWN"]})
    bench.repair()

    assert [bench.check().result for _ in range(2)] == ["already_drained", "resumed"]
    state = bench.says()["state"]
    assert "DOWN" in state
    assert "DRAIN" not in state


def test_a_node_that_was_resumed_by_hand_and_still_fails_is_drained_anew(bench: Bench) -> None:
    first = bench.drain()
    bench.slurm.update("n1", "state=resume")

    assert bench.drain() != first
