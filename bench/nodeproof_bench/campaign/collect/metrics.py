"""What the figures of a benchmark run are called in a campaign, so that those of other nodes and days compare.

A metric is a benchmark with the options that say what was measured, not how long, by which role or at which address:
`memory.triad --node 1`. Of a pair, each operation and message size is one: `net.latency blocking 8 B`, and with it
the latency that one message in a hundred exceeds, `net.latency blocking 8 B p99`.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nodeproof.verdict import harmless
from nodeproof_bench.result import BenchResult, BenchRun, without_duration

#: Options whose value differs from job to job: how long, where files were made, who called whom.
_OF_THE_JOB = frozenset({"--path", "--listen", "--connect", "--session", "--share", "--seed"})

_METRIC_CHARS, _UNIT_CHARS, _REASON_CHARS = 200, 20, 300

#: Units of which less is better: times, and counts of what should not be.
_LESS_IS_BETTER = frozenset({"s", "1"})


class Measure(NamedTuple):
    """One figure, its fields the last ones of a sample."""

    metric: str
    unit: str
    is_higher_better: bool
    value: float
    sustained: float | None
    stability: float | None
    is_inconclusive: bool
    reason: str


def measures_of(run: BenchRun, *, is_pair: bool) -> list[Measure]:
    """Return the figures of a run. Raises ValueError for points that do not follow their format."""
    return [measure for result in run.results for measure in _of_result(result, is_pair=is_pair)]


def name_of(result: BenchResult) -> str:
    """Return the metric of a result's own figure."""
    words = without_duration(result.args)
    pairs = zip(words, ("", *words), strict=False)
    kept = [word for word, before in pairs if word not in _OF_THE_JOB and before not in _OF_THE_JOB]
    return " ".join([result.name, *kept])


def _of_result(result: BenchResult, *, is_pair: bool) -> Iterator[Measure]:
    name = name_of(result)
    if is_pair and result.points:
        for point in result.points:
            yield from _of_point(result, name, point)
        return
    yield _measure(result, name, result.unit, (result.value, result.sustained, result.stability))
    yield from _tail(result, name, result.fields)


def _of_point(result: BenchResult, name: str, point: Mapping[str, Any]) -> Iterator[Measure]:
    """Yield one link's figures. Several links between two hosts are told apart by their device."""
    operation, unit, size = (point.get(key) for key in ("operation", "unit", "message_bytes"))
    if not isinstance(operation, str) or not isinstance(unit, str) or type(size) is not int:
        raise ValueError(f"{result.name}: a point without operation, unit and message_bytes")
    devices = {p.get("device") for p in result.points}
    device = f" {point.get('device')}" if len(devices) > 1 else ""
    metric = f"{name} {operation} {size} B{device}"
    value, sustained, stability = (_figure(point, key) for key in ("value", "sustained", "stability"))
    if value is not None:
        yield _measure(result, metric, unit, (value, sustained, stability))
    yield from _tail(result, metric, point)


def _tail(result: BenchResult, metric: str, part: Mapping[str, Any]) -> Iterator[Measure]:
    tail = _figure(part, "p99_s")
    if tail is not None:
        yield _measure(result, f"{metric} p99", "s", (tail, None, None))


def _measure(result: BenchResult, metric: str, unit: str, figures: tuple[float, float | None, float | None]) -> Measure:
    return Measure(
        harmless(metric, _METRIC_CHARS),
        harmless(unit, _UNIT_CHARS),
        unit not in _LESS_IS_BETTER,
        *figures,
        result.is_inconclusive,
        harmless(result.reason, _REASON_CHARS),
    )


def _figure(part: Mapping[str, Any], key: str) -> float | None:
    """Return a number, or None where there is none (`null`: too few samples)."""
    value: Any = part.get(key)
    if type(value) not in (int, float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
