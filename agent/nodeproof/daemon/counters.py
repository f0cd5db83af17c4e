"""Counters over time: what they rose by, whether they started again, and whether they still count. Pure.

A counter's first reading is its baseline and no increase: what it counted before nobody was looking. Checks that
judge a counter since boot see that.
"""

import importlib
from collections.abc import Iterable

from nodeproof.events.ledger import CounterSeries, merged, total
from nodeproof.probes import FACTS
from nodeproof.probes.counter import Counter, Counts

#: How long a series is kept that is not read any more, and a point of one that is, in seconds: no window is longer.
KEEP_S = 30 * 86400.0

#: A counter that is smaller than before has wrapped if it was in the last part of its range and is in the first now.
_WRAP_SHARE = 4

#: Where facts that count are declared: some of them no check reads.
_PROBES = ("edac", "gpu", "ib_counters", "nic", "nvme", "pci", "throttle")


def fact_types() -> tuple[type, ...]:
    """Return the facts that hold counters: those of plug-ins too, once they are imported."""
    for name in _PROBES:
        importlib.import_module(f"nodeproof.probes.{name}")
    return tuple(fact for fact in FACTS if issubclass(fact, Counts))


def observed(series: tuple[CounterSeries, ...], readings: Iterable[Counter], now: float) -> tuple[CounterSeries, ...]:
    """Return the series after one more reading of all counters; what was not read any more comes last.

    Increases have the time of the reading that showed them: a burst must not seem over before it is.
    """
    known = {(s.name, s.part): s for s in series}
    read: dict[tuple[str, str], CounterSeries] = {}
    for one in readings:
        key = (one.name, one.part)
        if one.value >= 0 and key not in read:
            read[key] = _advanced(known[key], one, now) if key in known else _started(one, now)
    vanished = [s for key, s in known.items() if key not in read and now - s.read_at < KEEP_S]
    return (*read.values(), *vanished)


def job_deltas(before: tuple[CounterSeries, ...], after: tuple[CounterSeries, ...]) -> list[tuple[str, str, int]]:
    """Return name, part and increase of each counter that rose between two states of the series."""
    known = {(s.name, s.part): s for s in before}
    rises = ((s, _rise(known.get((s.name, s.part)), s)) for s in after)
    return [(s.name, s.part, rise) for s, rise in rises if rise > 0]


def _started(reading: Counter, now: float) -> CounterSeries:
    return CounterSeries(reading.name, reading.part, now, now, reading.value, is_saturated=_is_saturated(reading))


def _advanced(old: CounterSeries, reading: Counter, now: float) -> CounterSeries:
    is_reset = reading.value < old.value and not _has_wrapped(old.value, reading)
    if is_reset:
        rise = reading.value
    else:
        rise = reading.value - old.value + (0 if reading.value >= old.value else 1 << reading.bits)
    points = old.points
    if points and now - points[0][0] >= KEEP_S:
        points = tuple(point for point in points if now - point[0] < KEEP_S)
    return CounterSeries(
        old.name,
        old.part,
        observed_since=min(old.observed_since, now),
        read_at=now,
        value=reading.value,
        points=merged([*points, (now, rise)]) if rise else points,
        is_saturated=_is_saturated(reading),
        resets=old.resets + is_reset,
    )


def _has_wrapped(before: int, reading: Counter) -> bool:
    """Return whether a smaller value is the old one gone round.

    A driver that is loaded again starts at 0 too. Nothing tells that apart from a wrap but how far it would have
    gone: from near the end to near the beginning is taken for a wrap.
    """
    if not reading.bits or reading.saturates:
        return False
    near = (1 << reading.bits) // _WRAP_SHARE
    return before >= (1 << reading.bits) - near and reading.value < near


def _is_saturated(reading: Counter) -> bool:
    return reading.saturates and reading.bits > 0 and reading.value >= (1 << reading.bits) - 1


def _rise(before: CounterSeries | None, after: CounterSeries) -> int:
    """Return how much a counter rose; from its points only where its values cannot say, since old points merge."""
    if before is None:
        return total(after.points, 0.0)
    if after.resets == before.resets and after.value >= before.value:
        return after.value - before.value
    return sum(count for at, count in after.points if at > before.read_at)
