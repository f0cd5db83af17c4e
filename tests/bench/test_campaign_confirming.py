"""Which measurements confirm what stood out: whom, in which phase, how often, and with whom."""

from collections import Counter
from typing import Any

import pytest

from campaign_book import finding
from nodeproof_bench.campaign.book import Measured
from nodeproof_bench.campaign.book_rows import FindingRow, Job, NodeRow, Task
from nodeproof_bench.campaign.confirming import ALL, Suspects, known_good, suspects, tasks
from nodeproof_bench.campaign.job_script import Orders
from nodeproof_bench.campaign.plan import Act, Phase, Plan, Results

MEASURED = [
    Measured("cpu.flops", "again", False),
    Measured("cpu.flops", "early", False),
    Measured("cpu.flops", "burn", False),
    Measured("net.latency spinning 1 B", "pairs", True),
]


def plan(confirmations: int = 2) -> Plan:
    phases = (
        Phase(kind="inventory"),
        Phase(kind="bench", name="early", benchmarks=("cpu.flops",)),
        Phase(kind="pairs"),
        Phase(kind="stress", name="burn"),
        Phase(kind="repeat", name="again"),
    )
    act = Act(confirmations=confirmations)
    return Plan(name="rack", nodes="n[1-6]", results=Results(spool="/shared"), act=act, phases=phases)


def found(*findings: FindingRow) -> dict[str, list[str]]:
    return {phase: sorted(nodes) for phase, nodes in suspects(findings, MEASURED, plan()).by_phase.items()}


def suspect(node: str = "n1", **values: Any) -> FindingRow:
    return finding("c", node, **values)


def made(by_phase: dict[str, list[str]], good: str = "", confirmations: int = 2, first: int = 1) -> list[Task]:
    times = {phase: {node: {ALL: confirmations} for node in nodes} for phase, nodes in by_phase.items()}
    return tasks("c", plan(confirmations), Suspects(times), good.split(), {}, first)


@pytest.mark.parametrize(
    ("metric", "phase"),
    [
        ("cpu.flops", "early"),
        ("cpu.flops sustained", "early"),
        ("cpu.flops sustained under stress", "burn"),
        ("cpu.flops after stress", "again"),
        ("net.latency spinning 1 B", "pairs"),
    ],
)
def test_a_suspect_is_measured_again_in_the_phase_in_which_it_stood_out(metric: str, phase: str) -> None:
    assert found(suspect(metric=metric)) == {phase: ["n1"]}


def test_a_node_that_stands_out_twice_in_a_phase_is_measured_once() -> None:
    twice = [suspect(), suspect(detector="history"), suspect("n2")]

    assert found(*twice) == {"early": ["n1", "n2"]}


def test_of_phases_that_measure_the_same_it_is_the_first_of_the_plan() -> None:
    late = [Measured("cpu.flops", "z", False), Measured("cpu.flops", "a", False)]
    phases = (Phase(kind="bench", name="z"), Phase(kind="bench", name="a"))
    given = plan().model_copy(update={"phases": phases})

    assert suspects([suspect()], late, given).by_phase == {"z": {"n1": {"cpu.flops": 2}}}


@pytest.mark.parametrize("detector", ["too_good", "disturbed", "check"])
def test_what_is_no_measured_fault_is_never_measured_again(detector: str) -> None:
    assert not suspects([suspect(detector=detector)], MEASURED, plan()).nodes


def test_what_is_in_doubt_is_measured_as_often_as_it_takes_and_each_node_as_often_as_its_worst_metric() -> None:
    doubts = {suspect("n2"): 3, suspect("n1", metric="cpu.flops sustained"): 5, suspect("n1", detector="history"): 4}

    assert suspects([suspect()], MEASURED, plan(), doubts).by_phase == {
        "early": {"n1": {"cpu.flops": 5}, "n2": {"cpu.flops": 3}}
    }


def test_a_check_of_what_was_measured_is_repeated_in_the_phase_in_which_it_failed() -> None:
    failed = suspect(detector="check", metric="cpu.flops")

    assert suspects([failed], MEASURED, plan(), {}, {("n1", "cpu.flops"): "burn"}).by_phase == {
        "burn": {"n1": {ALL: 2}}
    }
    assert not suspects([failed], MEASURED, plan(), {}, {("n2", "cpu.flops"): "burn"}).nodes


@pytest.mark.parametrize("state", ["confirmed", "cleared", "could-not-tell"])
def test_what_is_decided_is_not_measured_again(state: str) -> None:
    assert not suspects([suspect(state=state)], MEASURED, plan()).nodes


def test_paths_and_what_no_phase_measured_have_nothing_to_measure_again() -> None:
    assert not suspects([suspect("", path="leaf1 - leaf2")], MEASURED, plan()).nodes
    assert not suspects([suspect(metric="disk.latency")], MEASURED, plan()).nodes


@pytest.mark.parametrize("times", [1, 3])
def test_single_nodes_are_measured_as_often_as_the_plan_says(times: int) -> None:
    again = made({"early": ["n2", "n1"]}, confirmations=times, first=7)

    assert {(task.phase, task.kind, task.suite) for task in again} == {("confirm.early", "bench", "cpu.flops")}
    assert Counter(task.nodes for task in again) == {("n1",): times, ("n2",): times}
    assert {task.repeat for task in again} == set(range(1, times + 1))
    assert [task.task for task in again] == list(range(7, 7 + 2 * times))


def test_nodes_of_a_phase_may_be_measured_differently_often() -> None:
    again = tasks("c", plan(), Suspects({"early": {"n1": {ALL: 3}, "n2": {ALL: 1}}}), (), {}, 7)

    assert [(task.task, task.nodes, task.repeat) for task in again] == [
        (7, ("n1",), 1),
        (8, ("n2",), 1),
        (9, ("n1",), 2),
        (10, ("n1",), 3),
    ]


@pytest.mark.parametrize(("detector", "what"), [("class", "cpu.flops"), ("part", ALL), ("distribution", ALL)])
def test_what_is_about_many_metrics_is_measured_again_as_a_whole(detector: str, what: str) -> None:
    found = suspects([suspect(detector=detector)], MEASURED, plan())

    assert found.by_phase == {"early": {"n1": {what: 2}}}


def test_what_a_node_calls_a_metric_need_not_be_a_benchmark() -> None:
    odd = Measured("evil/x", "early", False)

    assert suspects([suspect(metric="evil/x")], [odd], plan()).by_phase == {"early": {"n1": {ALL: 2}}}


def test_only_what_is_in_question_is_measured_again_and_a_stress_as_a_whole() -> None:
    wanted = {"n1": {"memory.copy": 2, "cpu.flops": 1}, "n2": {"disk.latency": 1, ALL: 1}}
    again = tasks("c", plan(), Suspects({"again": wanted, "burn": {"n1": {"cpu.flops": 1}}}), (), {}, 1)

    assert [(task.nodes, task.suite) for task in again] == [
        (("n1",), "burnin"),
        (("n1",), "cpu.flops memory.copy"),
        (("n2",), "quick"),
        (("n1",), "memory.copy"),
    ]


@pytest.mark.parametrize(("wanted", "only"), [("memory.copy", ("memory.copy",)), (ALL, ())])
def test_the_job_is_told_what_it_is_about(wanted: str, only: tuple[str, ...]) -> None:
    (task,) = tasks("c", plan(), Suspects({"again": {"n1": {wanted: 1}}}), (), {}, 7)
    order = Orders(plan(), {}, {}).order(task, Job("c", 7, 1, "n1", "np-c-7-1-n1"))

    assert (order.phase, order.benchmarks, order.only) == ("confirm.again", ("quick",), only)


def test_in_pairs_each_suspect_meets_other_good_nodes_only() -> None:
    again = made({"pairs": ["n1", "n2"]}, good="n1 n3 n4 n5", confirmations=3)

    for one, other in [("n1", "n2"), ("n2", "n1")]:
        met = [({*task.nodes} - {one}).pop() for task in again if one in task.nodes]
        assert sorted(met) == ["n3", "n4", "n5"]
        assert other not in met
    assert {(task.phase, task.kind) for task in again} == {("confirm.pairs", "pairs")}


def test_tasks_of_several_phases_are_numbered_through() -> None:
    again = made({"again": ["n1"], "pairs": ["n2"], "early": ["n3"]}, good="n4 n5", first=4)

    assert [task.task for task in again] == list(range(4, 10))
    assert list(dict.fromkeys(task.phase for task in again)) == ["confirm.early", "confirm.pairs", "confirm.again"]


def test_nothing_to_confirm_is_no_task() -> None:
    assert made({}, good="n1 n2") == []
    assert made({"early": ["n1"], "pairs": ["n2"]}, good="n3 n4", confirmations=0) == []
    assert made({"pairs": ["n1"]}, good="n1") == []


def test_good_nodes_take_part_have_no_fault_and_have_done_all_their_tasks() -> None:
    nodes = [NodeRow("c", f"n{n}", state="skipped" if n == 6 else "included") for n in range(1, 8)]
    findings = [
        suspect("n1"),
        suspect("n2", state="cleared"),
        suspect("n3", detector="too_good"),
        suspect("n7", detector="check", metric="memory.size"),
    ]
    over = [
        Task("c", 1, "burn", "stress", "", 1, 0, ("n3",), state="done"),
        Task("c", 2, "burn", "stress", "", 1, 0, ("n4",), state="failed"),
        Task("c", 3, "pairs", "pairs", "", 1, 1, ("n4", "n5"), state="failed"),
    ]

    assert known_good(nodes, findings, over) == {"n3", "n5"}
