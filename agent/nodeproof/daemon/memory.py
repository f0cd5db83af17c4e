"""What happened on this node: kept on disk first, then in memory as the ledger that checks judge."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence

from nodeproof.daemon.counters import observed
from nodeproof.daemon.echoes import without_echoes
from nodeproof.events import Event
from nodeproof.events.ledger import CounterSeries, EventSeries, Ledger, folded
from nodeproof.history import History, Position
from nodeproof.probes.counter import Counter

#: For how long events are kept in the ledger, in seconds: no check's window is longer.
WINDOW_S = 30 * 86400.0

#: Most series in the ledger: a driver that invents names must not fill the memory.
MOST_SERIES = 4096


class Memory:
    """Events and counters over time. `tally` counts events by rule, `lost` those that were dropped by source."""

    def __init__(self, history: History, boot_id: str, booted_at: float) -> None:
        self.history = history
        self.boot_id = boot_id
        self.booted_at = booted_at
        self.tally: Tally[str] = Tally()
        self.lost: Tally[str] = Tally()
        self.unfollowed: Callable[[], Mapping[str, str]] = dict
        self.events: tuple[EventSeries, ...] = history.series(time.time() - WINDOW_S)
        self.counters: tuple[CounterSeries, ...] = history.counters(boot_id)

    def take_events(self, events: Sequence[Event], position: Position | None) -> list[Event]:
        """Keep events and return those that are new: not seen before a restart, and told by no other source yet."""
        # echoes are not kept: after a restart nobody could tell them from a second event
        fresh = self.history.add_events(without_echoes(events, self.events), position)
        if fresh:
            for event in fresh:
                self.tally[event.rule] += event.count
            self.events = self._recent(folded(self.events, fresh))
        return fresh

    def take_counters(self, readings: Sequence[Counter]) -> None:
        self.counters = observed(self.counters, readings, time.time())[:MOST_SERIES]
        self.history.save_counters(self.boot_id, self.counters)

    def ledger(self) -> Ledger:
        return Ledger(
            boot_id=self.boot_id,
            booted_at=self.booted_at,
            written_at=time.time(),
            events=self.events,
            counters=self.counters,
            lost=dict(self.lost),
            unfollowed={name: problem for name, problem in self.unfollowed().items() if problem},
        )

    def _recent(self, series: tuple[EventSeries, ...]) -> tuple[EventSeries, ...]:
        """Return series that a check could still look at, the latest if there are too many."""
        start = time.time() - WINDOW_S
        kept = [s for s in series if s.points and s.points[-1][0] >= start]
        if len(kept) > MOST_SERIES:
            kept = sorted(kept, key=lambda s: s.points[-1][0])[-MOST_SERIES:]
        return tuple(kept)
