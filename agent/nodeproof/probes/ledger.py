"""What the agent of this node saw over time."""

from collections.abc import Mapping
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.events.ledger import CounterSeries, EventSeries, Ledger, from_json
from nodeproof.host import Host
from nodeproof.host.base import RUN_DIR
from nodeproof.host.clock import wall_clock_s
from nodeproof.probes import fact

LEDGER = f"{RUN_DIR}/ledger.json"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


@fact(LEDGER, BOOT_ID, "clock_gettime(2)")
class Seen(NamedTuple):
    """Events and counters that the agent saw, and the time now (seconds since the epoch).

    `by_rule` is the ledger's events once more, for whoever judges all rules at once.
    """

    now: float
    ledger: Ledger
    by_rule: Mapping[str, tuple[EventSeries, ...]] | None = None

    @property
    def booted_at(self) -> float:
        return self.ledger.booted_at

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where no agent has run since this boot."""
        try:
            ledger = from_json(host.data(LEDGER))
        except FactError as error:
            if error.kind == "absent":
                raise FactError(LEDGER, "absent", "no agent has run since this boot") from error
            raise
        except ValueError as error:
            raise FactError(LEDGER, "malformed", str(error)) from error
        if ledger.boot_id != host.text(BOOT_ID):
            raise FactError(LEDGER, "absent", "no agent has run since this boot")
        return cls.of(float(host.call(wall_clock_s)), ledger)

    @classmethod
    def of(cls, now: float, ledger: Ledger) -> Self:
        by_rule: dict[str, list[EventSeries]] = {}
        for series in ledger.events:
            by_rule.setdefault(series.rule, []).append(series)
        return cls(now, ledger, {rule: tuple(found) for rule, found in by_rule.items()})

    def events(self, rule: str) -> tuple[EventSeries, ...]:
        if self.by_rule is not None:
            return self.by_rule.get(rule, ())
        return tuple(s for s in self.ledger.events if s.rule == rule)

    def counted(self, name: str) -> tuple[CounterSeries, ...]:
        """Return the series of a counter. Not called `counters`: that method says that a fact counts (`Counts`)."""
        return tuple(s for s in self.ledger.counters if s.name == name)
