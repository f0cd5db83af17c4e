"""What the agent saw, as checks read it: events and counters over time, in one small file.

The agent publishes it in /run; probes read it like any other file, so that a recording holds it and a pass without
the agent can still judge what the agent saw before it ended.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nodeproof.events.event import Event

SCHEMA = "nodeproof.ledger/1"
FILE_NAME = "ledger.json"

#: More points than these are merged, oldest first: a series stays small however long it is observed.
MOST_POINTS = 64

Points = tuple[tuple[float, int], ...]
"""When (seconds since the epoch) and how many, oldest first."""


class EventSeries(NamedTuple):
    """Events of one rule, part and variant. `text` and `fields` are the last one's."""

    rule: str
    part: str
    variant: str
    points: Points
    text: str
    fields: Mapping[str, str] = {}

    def since(self, start: float) -> int:
        return total(self.points, start)


class CounterSeries(NamedTuple):
    """Increases of one counter of one part since `observed_since`, within one boot.

    `read_at` is when it was read last, `value` what it said then. `is_saturated`: it stands at its largest value and
    counts no more, so that no increase says nothing. `resets` is how often it was seen to start again.
    """

    name: str
    part: str
    observed_since: float
    read_at: float
    value: int
    points: Points = ()
    is_saturated: bool = False
    resets: int = 0

    def since(self, start: float) -> int:
        return total(self.points, start)

    def hours(self, start: float) -> float:
        """Return how many hours since `start` this counter was observed for."""
        return max(0.0, self.read_at - max(start, self.observed_since)) / 3600


class Ledger(NamedTuple):
    """`lost` counts events by source that the kernel or we had to drop, `unfollowed` says why sources are not followed.

    What is not there may have happened then.
    """

    boot_id: str
    booted_at: float
    written_at: float
    events: tuple[EventSeries, ...] = ()
    counters: tuple[CounterSeries, ...] = ()
    lost: Mapping[str, int] = {}
    unfollowed: Mapping[str, str] = {}


def total(points: Points, start: float) -> int:
    """Return how many happened at or after `start`."""
    return sum(count for at, count in points if at >= start)


def merged(points: Iterable[tuple[float, int]], most: int = MOST_POINTS) -> Points:
    """Return at most `most` points in order of time; the closest neighbours become one, at the later one's time.

    The later time: a burst must not seem over before it is.
    """
    kept = sorted(points)
    while len(kept) > most:
        i = min(range(len(kept) - 1), key=lambda i: kept[i + 1][0] - kept[i][0])
        kept[i : i + 2] = [(kept[i + 1][0], kept[i][1] + kept[i + 1][1])]
    return tuple(kept)


def folded(series: Iterable[EventSeries], events: Iterable[Event]) -> tuple[EventSeries, ...]:
    """Return the series with these events counted, those of one second and kind together."""
    known = {(s.rule, s.part, s.variant): s for s in series}
    for event in events:
        key = (event.rule, event.part, event.variant)
        old = known.get(key)
        points = old.points if old else ()
        if points and points[-1][0] <= event.at and int(points[-1][0]) == int(event.at):
            points = (*points[:-1], (event.at, points[-1][1] + event.count))
        else:
            points = merged([*points, (event.at, event.count)])
        known[key] = EventSeries(*key, points, event.text, event.fields)
    return tuple(known.values())


def to_json(ledger: Ledger) -> bytes:
    """Return the file's content."""
    made = ledger._asdict() | {
        "schema": SCHEMA,
        "events": [s._asdict() for s in ledger.events],
        "counters": [s._asdict() for s in ledger.counters],
    }
    return json.dumps(made, separators=(",", ":")).encode() + b"\n"


def from_json(raw: bytes) -> Ledger:
    """Return what a file holds. Raises ValueError: not what we write."""
    read = json.loads(raw)
    if not isinstance(read, dict) or read.pop("schema", None) != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}")
    try:
        events = tuple(EventSeries(**_with_points(s)) for s in read.pop("events"))
        counters = tuple(CounterSeries(**_with_points(s)) for s in read.pop("counters"))
        return Ledger(**read, events=events, counters=counters)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a ledger: {error}") from error


def _with_points(series: dict[str, Any]) -> dict[str, Any]:
    points = tuple((float(at), int(count)) for at, count in series["points"])
    return series | {"points": points}
