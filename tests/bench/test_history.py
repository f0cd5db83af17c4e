"""Results that were kept, read back as a fact: what is the latest, what came before, and what is no history."""

import json
from typing import Any

import pytest

from fake_bench import result, run
from nodeproof.errors import FactError
from nodeproof_bench.result import HISTORY, BenchHistory, run_of
from nodeproof_bench.store import content
from support import Machine


def failed(name: str, kind: str = "crashed", reason: str = "ended by signal 11") -> dict[str, Any]:
    return {"name": name, "args": ["--node", "1"], "kind": kind, "reason": reason}


def history(*runs: dict[str, Any]) -> BenchHistory:
    return BenchHistory(tuple(run_of(json.loads(json.dumps(r))) for r in runs))


def read(machine: Machine, text: str) -> BenchHistory:
    return BenchHistory.read(machine({HISTORY: text}))


def test_what_was_kept_is_read_back_as_a_fact(machine: Machine) -> None:
    kept = [run(result(value=1.0, pages="huge")), run(result(value=2.0, points=[{"cpu": 1, "value": 3.0}]))]
    found = read(machine, content(kept).decode())

    assert found == history(*kept)
    (line,) = found.latest("memory.triad")
    assert (line.value, line.unit, line.cpus, line.node, line.threads) == (2.0, "B/s", "0-1", 0, 2)
    assert line.interval == (2.0 * 0.998, 2.0 * 1.002)
    assert line.points == ({"cpu": 1, "value": 3.0},)
    assert line.fields["compiler"] == "GCC 12.2.0"
    assert found.runs[0].results[0].fields["pages"] == "huge"


def test_a_count_is_its_own_median() -> None:
    count = {
        k: v
        for k, v in result("cpu.verify", 2).items()
        if k not in ("sustained", "stability", "interval", "is_converged")
    }
    (line,) = history(run(count)).latest("cpu.verify")

    assert (line.value, line.sustained, line.stability, line.interval, line.is_converged) == (2, 2, 1, None, True)


def test_no_history_is_absent(machine: Machine) -> None:
    with pytest.raises(FactError) as caught:
        BenchHistory.read(machine({}))

    assert caught.value.kind == "absent"


def spoilt(**changes: Any) -> str:
    made = run(result(), failures=(failed("cpu.flops"),)) | changes
    return json.dumps({key: value for key, value in made.items() if value is not ...})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "Expecting value"),
        ("[]", "expected an object of schema"),
        ("{", "Expecting property name"),
        ("[" * 100_000, ""),
        ('{"schema": "nodeproof.benchrun/2"}', "expected an object of schema"),
        (spoilt(time_s="now"), "\"time_s\" is 'now', expected a number"),
        (spoilt(time_s=True), '"time_s" is True, expected a number'),
        (spoilt(time_s=10**400), '"time_s" is 1000'),
        (spoilt(host=...), '"host" is None, expected str'),
        (spoilt(results={}), '"results" is {}, expected list'),
        (spoilt(results=[1]), '"results", 0: "value" is 1, expected dict'),
        (spoilt(results=[result() | {"value": "fast"}]), '"results", 0: "value" is \'fast\', expected a number'),
        (spoilt(results=[result() | {"sustained": None}]), '"results", 0: "sustained" is None, expected a number'),
        (spoilt(results=[result(points=[1])]), '"results", 0: "points", 0'),
        (spoilt(results=[result(samples=2.5)]), '"results", 0: "samples" is 2.5, expected int'),
        (spoilt(results=[result(node="0")]), '"results", 0: "node" is \'0\', expected int'),
        (spoilt(results=[result() | {"args": "x"}]), '"results", 0: "args" is \'x\', expected a list of words'),
        (spoilt(failures=[failed("a.b", kind="odd")]), '"failures", 0: "kind" is \'odd\''),
        (spoilt().replace("1800000000.0", "NaN"), "NaN is no number of JSON"),
        (spoilt().replace("1800000000.0", "1e999"), "1e999 is too large a number"),
    ],
)
def test_a_line_that_is_no_run_is_malformed_and_named(machine: Machine, line: str, why: str) -> None:
    with pytest.raises(FactError) as caught:
        read(machine, content([run(result())]).decode() + line + "\n")

    assert (caught.value.kind, caught.value.source) == ("malformed", f"{HISTORY}:2")
    assert why in caught.value.detail


def test_the_newest_run_that_tried_a_benchmark_counts() -> None:
    runs = run(result(value=1.0), result("cpu.flops", 9.0)), run(result(value=2.0)), run(result("memory.copy"))
    found = history(*runs)

    assert [r.value for r in found.latest("memory.triad")] == [2.0]
    assert [r.value for r in found.latest("cpu.flops")] == [9.0]
    assert found.latest("no.such") == ()


def test_a_crash_is_not_covered_by_an_older_result() -> None:
    found = history(run(result(value=1.0)), run(failures=(failed("memory.triad"),)))

    assert found.latest("memory.triad") == ()
    assert [f.reason for f in found.failures("memory.triad")] == ["ended by signal 11"]
    with pytest.raises(FactError) as caught:
        found.need("memory.triad")
    assert str(caught.value) == "bench memory.triad --node 1: crashed (ended by signal 11)"


def test_what_is_needed_and_was_never_measured_is_absent() -> None:
    with pytest.raises(FactError) as caught:
        history(run(result())).need("cpu.flops")

    assert (caught.value.kind, caught.value.source) == ("absent", "bench cpu.flops")


def test_a_crash_on_one_node_is_worse_than_what_the_other_does_not_have() -> None:
    found = history(run(failures=(failed("a.b", kind="absent", reason="no SVE"), failed("a.b"))))

    with pytest.raises(FactError) as caught:
        found.need("a.b")
    assert caught.value.kind == "crashed"


def test_own_history_is_of_the_same_place_and_way_undisturbed_and_before_the_latest() -> None:
    doubtful = {**result(value=3.0), "is_inconclusive": True}
    other_node, other_isa = result(value=4.0, node=1), result(value=5.0, isa="sse2")
    longer = {**result(value=6.0), "args": ["--node", "0", "--seconds", "9"]}
    found = history(run(result(value=1.0)), run(doubtful, other_node, other_isa, longer), run(result(value=7.0)))
    (latest,) = found.latest("memory.triad")

    assert [r.value for r in found.earlier(latest)] == [1.0, 6.0]
