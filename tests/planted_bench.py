"""Plant results of benchmarks for a test, and judge them as the engine does."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nodeproof.check import registry
from nodeproof.engine.run import judge
from nodeproof.engine.worker import Reading
from nodeproof.policy.settings import CheckSettings
from nodeproof.verdict import Verdict
from nodeproof_bench.result import BenchFailure, BenchHistory, BenchResult, BenchRun

Point = Mapping[str, Any]


def result(  # the parts of a result
    name: str,
    value: float,
    unit: str = "B/s",
    *,
    node: int | None = None,
    threads: int = 32,
    cpus: str = "0-31",
    isa: str = "avx512",
    stability: float = 0.95,
    points: Iterable[Point] = (),
    reason: str = "",
    args: Sequence[str] = (),
    **fields: Any,
) -> BenchResult:
    """Return a good result; `reason` makes it inconclusive."""
    return BenchResult(
        name=name,
        args=(*(("--node", str(node)) if node is not None else ()), *args),
        unit=unit,
        value=value,
        sustained=0.97 * value,
        stability=stability,
        interval=(0.999 * value, 1.001 * value),
        is_converged=True,
        samples=200,
        seconds=1.0,
        cpus=cpus,
        threads=threads,
        node=node,
        isa=isa,
        points=tuple(points),
        is_inconclusive=bool(reason),
        reason=reason,
        fields=fields,
    )


def point(value: float, **more: Any) -> dict[str, Any]:
    """Return an undisturbed point."""
    return {"value": value, "sustained": value, "stability": 0.97, "samples": 40, "is_contended": False, **more}


def run(*results: BenchResult, failures: Sequence[BenchFailure] = (), time_s: float = 1.7e9) -> BenchRun:
    """Return one run of `nodeproof bench`."""
    return BenchRun(time_s, "boot", "standard", "node1", {}, results, tuple(failures))


def history(
    *results: BenchResult, failures: Sequence[BenchFailure] = (), earlier: Iterable[BenchRun] = ()
) -> BenchHistory:
    """Return a history whose newest run has these results."""
    return BenchHistory((*earlier, run(*results, failures=failures)))


def failure(name: str, *args: str, kind: Any = "crashed", reason: str = "ended by signal 11") -> BenchFailure:
    """Return a benchmark that gave no result."""
    return BenchFailure(name, args, kind, reason)


def verdict(check_id: str, *facts: Any, **parameters: object) -> Verdict:
    """Return what the engine says of one check on literal facts; an error in place of a fact is (type, error)."""
    spec = registry()[check_id]
    values: dict[type, Any] = dict(
        f if isinstance(f, tuple) and isinstance(f[0], type) else (type(f), f) for f in facts
    )
    readings = {fact: Reading(values[fact], 0.0) for fact in spec.facts}
    return judge(spec, CheckSettings(parameters=parameters), readings)


def learnt(check_id: str, *facts: Any) -> Mapping[str, object]:
    """Return what a check learns from literal facts."""
    learn = registry()[check_id].learn
    assert learn is not None
    return learn(*facts)
