"""Judgement of results against this node's own earlier ones, and of what gave no result or a wrong one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn
from nodeproof_bench.checks.common import certain, number, place, wrong_values
from nodeproof_bench.result import HISTORY, BenchHistory, BenchResult
from nodeproof_bench.stats import LEAST_BEFORE, NEWEST, Change, drift, loss
from nodeproof_bench.units import scaled

#: Of two runs whose cache lines took times that differ by more, the threads were placed otherwise.
_SAME_PLACEMENT = 1.6

_LEAST_RESULTS = NEWEST + LEAST_BEFORE

#: What a part of a result is called that has a past of its own.
_PORT = "port"


class _Series(NamedTuple):
    """Conclusive results of the same hardware, measured in the same way, the newest last."""

    results: Sequence[BenchResult]

    @property
    def name(self) -> str:
        newest = self.results[-1]
        return f"{newest.name} {newest.fields.get(_PORT) or f'on {place(newest)}'}"

    @property
    def speeds(self) -> list[float]:
        """More is better: rates, or one over a time."""
        return [1 / r.value if r.is_time else r.value for r in self.results]

    def words(self, change: Change) -> str:
        before, newest = (1 / v if self.results[-1].is_time else v for v in (change.before, change.newest))
        unit = self.results[-1].unit
        return f"{self.name} went from {scaled(before, unit)} to {scaled(newest, unit)}, {change.share:.1%} slower"


@check(
    "bench.drift",
    tags="boot bench",
    beta=True,
    remedy="Run `nodeproof bench` again on the idle node. If the loss stays, look for what changed: DIMMs, "
    "temperature, BIOS, microcode and kernel. If the change was meant, move the history of results (bench.jsonl) "
    "away: the next runs become what the node is compared with.",
)
def drift_of_node(
    history: BenchHistory,
    *,
    max_loss_ratio: Annotated[float, "least loss of speed that is worth a word, as a share of what it was"] = 0.02,
) -> Verdict:
    """No figure of this node is worse than it was.

    A node is its own best reference: its figures repeat better than those of two nodes agree. The median of the five
    newest results is compared with that of the nine before; what falls too slowly for that is found by its
    cumulative sum. Results of a time when there was a loss are no baseline.
    """
    series = [s for name in _names(history) for s in _series(history, name) if len(s.results) >= _LEAST_RESULTS]
    if not series:
        raise FactError(HISTORY, "absent", f"no benchmark has {_LEAST_RESULTS} results to compare yet")
    lost = [(s, change) for s in series if (change := loss(s.speeds, max_loss_ratio))]
    drifted = [(s, change) for s in series if (change := drift(s.speeds, max_loss_ratio))]
    found = sorted(lost or drifted, key=lambda each: -each[1].share)
    words = named([s.words(change) for s, change in found], 2)
    evidence = {"loss_ratio": {s.name: round(change.share, 4) for s, change in found}, "compared": len(series)}
    if lost:
        return fail(words, **evidence)
    if drifted:
        return warn(f"bit by bit, {words}", **evidence)
    return ok(f"{plural(len(series), 'figure')} as good as before", **evidence)


def _names(history: BenchHistory) -> list[str]:
    return list(dict.fromkeys(r.name for run in history.runs for r in run.results))


def _series(history: BenchHistory, name: str) -> Iterator[_Series]:
    """Yield what the newest results of a benchmark can be compared with. Counts and shares of faults are no speed."""
    for result in history.latest(name):
        earlier = [part for r in history.earlier(result) for part in _parts(r)]
        for newest in certain(_parts(result)):
            if newest.unit == "1" or not newest.value > 0:
                continue
            alike = [r for r in certain(earlier) if r.fields.get(_PORT) == newest.fields.get(_PORT)]
            yield _Series([*(r for r in alike if r.value > 0 and _is_placed_alike(r, newest)), newest])


def _parts(result: BenchResult) -> list[BenchResult]:
    """Return the ports of a result one by one, or the whole: the figure of the worst port hides what others lose."""
    if not any("device" in point for point in result.points):
        return [result]
    return [
        result._replace(
            value=number(point, "value", result),
            stability=number(point, "stability", result),
            points=(),
            fields={**result.fields, _PORT: _port(point)},
        )
        for point in result.points
    ]


def _port(point: Mapping[str, Any]) -> str:
    device, peer, operation = (str(point.get(key)) for key in ("device", "peer", "operation"))
    return f"of {device}{f' to {peer}' if peer != device else ''} ({operation})"


def _is_placed_alike(result: BenchResult, other: BenchResult) -> bool:
    """Whether the threads of two results were as far apart: a hypervisor may move them in between."""
    times = [r.fields.get("fingerprint_s") for r in (result, other)]
    if other.threads < 2 or not all(isinstance(t, int | float) and t > 0 for t in times):
        return True
    one_s, other_s = (float(str(t)) for t in times)
    return max(one_s, other_s) <= _SAME_PLACEMENT * min(one_s, other_s)


@check(
    "bench.conclusive",
    tags="boot bench",
    remedy="Run `nodeproof bench` again when nobody else uses the node. What fails again says why: a crash of a "
    "benchmark on one node alone points at its hardware.",
)
def conclusive(history: BenchHistory) -> Verdict:
    """Every benchmark of the newest run gave a result that says something.

    A benchmark that crashed, timed out or was disturbed judges nothing: what it would have found is not known. A
    node must not pass for healthy because nobody could look.
    """
    if not history.runs:
        raise FactError(HISTORY, "absent", "nothing was measured yet: `nodeproof bench` does")
    run = history.runs[-1]
    failed = [f"{' '.join([f.name, *f.args])} ({f.reason})" for f in run.failures if f.kind != "absent"]
    doubtful = [f"{r.name} on {place(r)} ({r.reason})" for r in run.results if r.is_inconclusive]
    problems = [
        *([f"{plural(len(failed), 'benchmark')} without a result: {named(failed, 2)}"] if failed else []),
        *([f"{plural(len(doubtful), 'result')} inconclusive: {named(doubtful, 2)}"] if doubtful else []),
    ]
    if not run.results and not failed:
        problems.append("nothing was measured: none of the benchmarks is possible here")
    if problems:
        raise FactError("nodeproof bench", "failed", "; ".join(problems))
    return ok(f"{plural(len(run.results), 'result')} of the newest run, all conclusive")


@check(
    "bench.values",
    tags="boot bench",
    remedy="Drain the node. Run `nodeproof bench cpu.verify memory.verify` to find the core or the memory; for a disk, "
    "compare `nvme.health` and the kernel log, then replace it.",
)
def values(history: BenchHistory) -> Verdict:
    """No benchmark computed, stored or carried a wrong value.

    Benchmarks verify what they read back. A wrong value is data corruption that no error counter saw: results of jobs
    on this node cannot be trusted, however fast it is and whatever disturbed the measurement.
    """
    results = [r for name in _names(history) for r in history.latest(name)]
    if not results:
        raise FactError(HISTORY, "absent", "nothing was measured yet: `nodeproof bench` does")
    return wrong_values(results) or ok(f"no wrong value in {plural(len(results), 'result')}")
