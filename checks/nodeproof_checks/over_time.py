"""How much counters rose over a window of time that the agent saw, and how much of that is too much.

A limit is so many an hour, and what counts is how many there were in the whole window: nothing is extrapolated, so
that three errors in the first minute are three and not 180 an hour. When its window is over a burst is forgiven, and
so is what was before a repair.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nodeproof.errors import FactError
from nodeproof.events.ledger import CounterSeries
from nodeproof.events.rule import REPAIRED
from nodeproof.probes.ledger import LEDGER, Seen
from nodeproof.verdict import Verdict, fail, named, ok, plural

HOUR_S = 3600.0

#: A counter that was not read for so long says nothing of now.
_STALE_S = 3600.0


class Limit(NamedTuple):
    """How many of one counter may be, in words, and how many an hour.

    Where parts differ in what they may have, `by_part` says it, and a part that is not in it is not judged.
    """

    counter: str
    words: str
    per_hour: float
    by_part: Mapping[str, float] | None = None

    def judges(self, part: str) -> bool:
        return self.by_part is None or part in self.by_part

    def allowed(self, part: str, window_h: float) -> int:
        per_hour = self.per_hour if self.by_part is None else self.by_part[part]
        return int(per_hour * window_h + 1e-9)


def errors_allowed(bit_error_ratio: float, bits_per_s: float, seconds: float) -> int:
    """Return how many errors a link at full load may have in a time by the ratio that its standard allows."""
    return int(bit_error_ratio * bits_per_s * seconds + 1e-6)  # 1e-12 * 1e11 * 3600 is a little less than 360


def start_of(seen: Seen, window_h: float) -> float:
    """Return since when increases count: what was before a repair does not."""
    repairs = [at for series in seen.events(REPAIRED) for at, _ in series.points]
    return max(seen.now - window_h * HOUR_S, *repairs, 0.0)


def _judged(seen: Seen, limits: Sequence[Limit]) -> Iterator[tuple[Limit, CounterSeries]]:
    return ((limit, s) for limit in limits for s in seen.counted(limit.counter) if limit.judges(s.part))


def _series(seen: Seen, limits: Sequence[Limit]) -> list[tuple[Limit, CounterSeries]]:
    found = list(_judged(seen, limits))
    if not found:
        raise FactError(LEDGER, "absent", f"nothing counts {named([limit.counter for limit in limits])}")
    return found


def excess(seen: Seen, limits: Sequence[Limit], window_h: float) -> dict[str, str]:
    """Return by part what is above its limit; the limit named first comes first."""
    start, over = start_of(seen, window_h), dict[str, str]()
    for limit, series in _judged(seen, limits):
        count, allowed = series.since(start), limit.allowed(series.part, window_h)
        if count > allowed and series.part not in over:
            words = f"{series.part.partition(':')[2]} has {count} {limit.words}"
            hours = _hours(min(window_h, series.hours(start)))
            over[series.part] = f"{words} in {hours}, expected at most {allowed} in {window_h:g} h"
    return over


def _hours(hours: float) -> str:
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:.3g} h"


def raise_unsure(seen: Seen, limits: Sequence[Limit]) -> None:
    """Raise FactError where counters cannot tell whether there were errors."""
    found = [series for _, series in _series(seen, limits)]
    unread_s = seen.ledger.written_at - max(series.read_at for series in found)
    if unread_s > _STALE_S:
        raise FactError(LEDGER, "failed", f"counters were not read for {unread_s / HOUR_S:.1f} h")
    silent_s = seen.now - seen.ledger.written_at
    if silent_s > _STALE_S:
        raise FactError(LEDGER, "absent", f"no agent has run for {silent_s / HOUR_S:.1f} h")
    for series in found:
        if series.is_saturated:
            what = f"{series.name} of {series.part.partition(':')[2]}"
            raise FactError(what, "failed", f"it stands at {series.value}, its largest value, and counts no more")


def judged(seen: Seen, limits: Sequence[Limit], window_h: float) -> Verdict:
    """Return a failure that names every part above a limit, or that there is none."""
    if over := excess(seen, limits, window_h):
        return fail(named(list(over.values()), 2), parts=sorted(over), error_count=counts(seen, limits, window_h))
    raise_unsure(seen, limits)
    return fine(seen, limits, window_h)


def fine(seen: Seen, limits: Sequence[Limit], window_h: float) -> Verdict:
    """Return how much was counted, none of it above a limit."""
    found = _series(seen, limits)
    start = start_of(seen, window_h)
    hours = min(window_h, max(series.hours(start) for _, series in found))
    total = sum(series.since(start) for _, series in found)
    parts = plural(len({series.part for _, series in found}), "part")
    return ok(f"{parts} within limits: {total} counted in {_hours(hours)}", resets=sum(s.resets for _, s in found))


def counts(seen: Seen, limits: Sequence[Limit], window_h: float) -> dict[str, dict[str, int]]:
    """Return what rose in the window, by part and counter."""
    start, found = start_of(seen, window_h), dict[str, dict[str, int]]()
    for limit, series in _judged(seen, limits):
        if rise := series.since(start):
            found.setdefault(series.part, {})[limit.counter] = rise
    return found
