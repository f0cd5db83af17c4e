"""What the benchmarks are to reach, and whether this session's samples show it."""

import statistics
from collections.abc import Iterator
from typing import NamedTuple

from peers.compare import best_peer, ratio, repeated, shift, wall_s
from peers.quantities import QUANTITIES, Quantity, Row
from peers.samples import Samples, Series
from peers.stats import summary

_BY_ID = {quantity.id: quantity for quantity in QUANTITIES}


class Goal(NamedTuple):
    """`value` is None where it was not measured; `is_doubtful`: of rounds that were disturbed."""

    title: str
    value: float | None
    target: str
    is_met: bool | None
    low: float | None = None
    high: float | None = None
    is_doubtful: bool = False


def goals(samples: Samples) -> Iterator[Goal]:
    """Yield every goal, also those that could not be judged."""
    yield from _rates(samples)
    yield from _repeatability(samples)
    yield from _disturbed(samples)
    yield from _clocks(samples)
    yield from _latencies(samples)
    yield from _suite(samples)


def _at_least(title: str, series: Series | None, limit: float) -> Goal:
    """Judge the median of a series, which is shown with its interval."""
    if series is None:
        return Goal(title, None, f"≥ {limit:g}", None)
    found = summary(series.used)
    return Goal(title, found.median, f"≥ {limit:g}", found.median >= limit, found.low, found.high, series.is_doubtful)


def _within(title: str, series: Series | None, limit: float | None) -> Goal:
    """Judge how far from zero the median of a series is; without a limit it is shown only."""
    target = "" if limit is None else f"±{limit:g}"
    if series is None:
        return Goal(title, None, target, None)
    found = summary(series.used)
    is_met = None if limit is None else abs(found.median) <= limit
    return Goal(title, found.median, target, is_met, found.low, found.high, series.is_doubtful)


def _at_most(title: str, value: float | None, limit: float, *, is_doubtful: bool = False) -> Goal:
    return Goal(title, value, f"≤ {limit:g}", None if value is None else value <= limit, is_doubtful=is_doubtful)


def _to_best(samples: Samples, quantity: Quantity, ours: Row) -> Series | None:
    peer = best_peer(samples, quantity)
    return ratio(samples, ours, peer) if peer else None


def _rates(samples: Samples) -> Iterator[Goal]:
    for name, limit in (("triad", 1), ("copy", 1), ("read", 1), ("flops", 0.99)):
        for team in ("1", "all"):
            quantity = _BY_ID[f"{name}-{team}"]
            for row in quantity.ours:
                title = f"{quantity.title}: {row.label.split()[-1]} / best peer"
                yield _at_least(title, _to_best(samples, quantity, row), limit)


def _scatter_ratio(title: str, samples: Samples, ours: Row, theirs: Row, limit: float) -> Goal:
    (mine, is_doubtful), (other, is_other_doubtful) = repeated(samples, ours), repeated(samples, theirs)
    value = mine / other if mine is not None and other else None
    return _at_most(title, value, limit, is_doubtful=is_doubtful or is_other_doubtful)


def _repeatability(samples: Samples) -> Iterator[Goal]:
    for id_ in ("triad-1", "triad-all", "copy-1", "copy-all", "read-1", "read-all"):
        quantity = _BY_ID[id_]
        title = f"{quantity.title}: CV of two runs in a row / likwid's"
        yield _scatter_ratio(title, samples, quantity.ours[0], quantity.theirs[0], 0.5)
    for id_ in ("triad-1", "copy-1"):
        value, is_doubtful = repeated(samples, _BY_ID[id_].ours[0])
        yield _at_most(f"{_BY_ID[id_].title}: CV of two runs in a row", value, 0.01, is_doubtful=is_doubtful)


def _disturbed(samples: Samples) -> Iterator[Goal]:
    for id_, limit in (("triad-1", 0.01), ("latency-memory", 0.01), ("triad-all", 0.03)):
        title = f"{_BY_ID[id_].title}: shift beside a busy loop"
        yield _within(title, shift(samples, _BY_ID[id_].ours[0]), limit)


def _clocks(samples: Samples) -> Iterator[Goal]:
    per_clock = samples.series("flops-1", "fp64.flops_per_clock")
    promised = samples.about["machine"]["flops_per_clock"]
    error = per_clock.minus_one(promised) if per_clock and promised else None
    yield _within("Flop per clock: error against the core's documents", error, 0.01)
    value, is_doubtful = repeated(samples, Row("", "flops-1", "fp64.flops_per_clock"))
    yield _at_most("Flop per clock: CV of two runs in a row", value, 0.002, is_doubtful=is_doubtful)


def _latencies(samples: Samples) -> Iterator[Goal]:
    l1, memory = _BY_ID["latency-l1"], _BY_ID["latency-memory"]
    # multichase's figure is a mean of half a second, hence to be compared with a median and not with a quantile
    for row, limit in ((l1.ours[1], 0.02), (l1.ours[0], None)):
        found = ratio(samples, row, l1.theirs[0])
        title = f"L1 latency, {row.label.split()[-1]}: error against multichase's method"
        yield _within(title, found and found.minus_one(), limit)
    walls = ratio(samples, l1.ours[0]._replace(figure="wall_s"), l1.theirs[0]._replace(figure="wall_s"))
    value = statistics.median(walls.used) if walls else None
    yield _at_most("L1 latency: wall time / multichase's method", value, 0.2)
    sweep = next(row for row in memory.theirs if row.command == "sweep")
    yield _scatter_ratio("Memory latency: CV of two runs in a row / the sweep's", samples, memory.ours[0], sweep, 0.25)


def _suite(samples: Samples) -> Iterator[Goal]:
    series = samples.series("quick", "wall_s")
    value = statistics.median(series.used) if series else None
    yield _at_most("Quick suite: wall time, s", value, 20)
    covered = [quantity for quantity in QUANTITIES if quantity.in_quick]
    every = {row.command for quantity in covered for row in quantity.peers}
    best = {peer.command for quantity in covered if (peer := best_peer(samples, quantity))}
    every_s, best_s = wall_s(samples, every), wall_s(samples, best)
    yield _at_most(
        "Quick suite: wall time / all peers' for the same", value / every_s if value and every_s else None, 0.2
    )
    title = "Quick suite: wall time / that of the best peer of each quantity"
    yield Goal(title, value / best_s if value and best_s else None, "", None)
