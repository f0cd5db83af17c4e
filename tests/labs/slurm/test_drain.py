"""A fault drains a node of a real Slurm, and its repair resumes it."""

import json
import re
import time
from random import Random

import pytest

from lab_bench import FAILED, OK, Bench, ended
from nodeproof.act import note_prolog_failure
from nodeproof.policy.settings import GuardSettings
from nodeproof.slurm import Denied, Drained, Wish, carry_out

pytestmark = pytest.mark.slurm


def test_observing_says_what_it_would_do_and_touches_nothing(bench: Bench) -> None:
    bench.set(mode="observe")
    before = bench.says()

    run = bench.check()

    assert run.exit_code == FAILED
    assert run.result == "would_drain"
    assert re.fullmatch(
        rf"would drain n1: nodeproof\[[0-9a-f]{{8}}\]: fs\.mounted: {bench.mount} is not mounted, expected tmpfs",
        run.action["summary"],
    )
    assert bench.says() == before


def test_a_fault_drains_with_reason_and_writer(bench: Bench) -> None:
    run = bench.check()

    assert (run.exit_code, run.result, run.loud) == (FAILED, "drained", "")
    says = bench.says()
    assert says["state"] == ["IDLE", "DRAIN"]
    assert says["reason"] == run.action["reason"]
    assert re.match(r"nodeproof\[[0-9a-f]{8}\]: fs\.mounted: /", says["reason"])
    assert says["reason_set_by_user"] == "slurm"
    assert len(bench.slurm.node("n2")["reason"]) == 0
    record = json.loads((bench.state_dir / "state.json").read_text())["drain"]
    assert record["id"] in says["reason"]
    assert record["reason_changed_at"] == says["reason_changed_at"]["number"]


def test_a_second_pass_writes_nothing(bench: Bench) -> None:
    bench.drain()
    says, writes = bench.says(), bench.slurm.writes()

    run = bench.check()

    assert run.result == "already_drained"
    assert bench.says() == says
    assert bench.slurm.writes() == writes > 0


def test_the_repair_resumes_after_enough_passes(bench: Bench) -> None:
    bench.drain()
    bench.repair()

    first = bench.check()
    assert (first.exit_code, first.result) == (OK, "already_drained")
    assert bench.says()["state"] == ["IDLE", "DRAIN"]

    second = bench.check()
    assert (second.exit_code, second.result) == (OK, "resumed")
    bench.slurm.wait_for("n1", "IDLE")
    assert not bench.says()["reason"].startswith("nodeproof[")
    assert bench.check().result == "nothing"


def test_a_relapse_starts_the_count_again(bench: Bench) -> None:
    bench.drain()
    bench.repair()
    bench.check()
    bench.break_it()
    assert bench.check().result == "already_drained"
    bench.repair()

    assert [bench.check().result for _ in range(2)] == ["already_drained", "resumed"]


def test_a_prolog_error_of_ours_is_adopted_and_no_other(bench: Bench) -> None:
    bench.slurm.update("n1", "state=drain", "reason=Prolog error")
    assert bench.check().result == "left_alone"
    bench.slurm.update("n1", "state=resume")

    note_prolog_failure(str(bench.state_dir), time.time())
    bench.slurm.update("n1", "state=drain", "reason=Prolog error")
    run = bench.check()

    assert run.result == "adopted"
    assert bench.says()["reason"] == run.action["reason"]
    assert bench.says()["reason_set_by_user"] == "slurm"
    bench.repair()
    assert [bench.check().result for _ in range(2)] == ["already_drained", "resumed"]


def test_a_batch_with_an_unknown_name_drains_the_others(bench: Bench) -> None:
    wishes = [Wish(name, "drain", "00c0ffee", "fs.mounted: x", ("fs.mounted",)) for name in ("n2", "nope", "n1")]
    try:
        with bench.client() as client:
            outcomes = carry_out(wishes, client, GuardSettings(), is_alone=True, random=Random(1))
            assert client.warnings == []

        assert {name: type(o) for name, o in outcomes.items()} == {"n1": Drained, "n2": Drained, "nope": Denied}
        assert {bench.slurm.node(n)["reason"] for n in ("n1", "n2")} == {"nodeproof[00c0ffee]: fs.mounted: x"}
    finally:
        bench.slurm.free("n2")


def test_the_guard_counts_what_others_took_out_of_service(bench: Bench) -> None:
    with open(bench.policy / "20-guard.toml", "w") as file:
        file.write("[guard]\nnodes = 1\n")
    bench.slurm.update("n2", "state=drain", "reason=bad fan")
    try:
        run = bench.check()
    finally:
        bench.slurm.free("n2")

    assert (run.exit_code, run.result, run.action["is_error"]) == (FAILED, "held_back", False)
    assert run.loud.startswith("nodeproof: would drain n1: nodeproof[")
    assert run.loud.endswith("(held back: 1 of 2 nodes are out of service, the limit is 1)\n")
    assert bench.says()["state"] == ["IDLE"]


def test_a_node_name_that_slurm_does_not_know_is_told(bench: Bench) -> None:
    policy = bench.policy / "10-lab.toml"
    policy.write_text(policy.read_text().replace('node_name = "n1"', 'node_name = "nope"'))

    run = bench.check()

    assert (run.exit_code, run.result) == (FAILED, "slurm_error")
    assert "Slurm knows no node nope; its name there is policy's slurm.node_name" in run.loud


def test_a_unix_socket_needs_no_token(bench: Bench) -> None:
    bench.set(mode="enforce", url=f"unix:{bench.slurm.socket}", token_file="")

    bench.drain()

    assert bench.says()["reason_set_by_user"] == "root"
    bench.repair()
    assert [bench.check().result for _ in range(2)] == ["already_drained", "resumed"]


def test_a_state_that_cannot_be_kept_drains_and_does_not_resume(bench: Bench) -> None:
    bench.state_dir.write_text("in the way")

    run = bench.check()
    assert run.result == "drained"
    assert "this drain of n1 cannot be remembered" in run.loud
    bench.repair()

    assert {bench.check().result for _ in range(3)} == {"nothing"}
    assert bench.says()["state"] == ["IDLE", "DRAIN"]


def test_of_overlapping_runs_one_drains(bench: Bench) -> None:
    processes = [bench.start() for _ in range(4)]

    results = [ended(p).result for p in processes]

    assert results.count("drained") == 1
    assert set(results) <= {"drained", "already_drained", "busy"}
