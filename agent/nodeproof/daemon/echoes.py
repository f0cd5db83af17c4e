"""One fact that two sources tell is one event. Pure.

The NVIDIA driver writes an XID to the kernel log and tells NVML of it: whichever comes first counts.
"""

from collections.abc import Sequence

from nodeproof.events import Event
from nodeproof.events.ledger import EventSeries

#: Rules whose events come from more than one source.
TWICE_TOLD = frozenset({"event.xid"})

#: How far apart in time the two may be, in seconds.
WITHIN_S = 5.0

#: The field by which an event says that it is not from the kernel log: a series knows its last event's fields alone.
TOLD_BY = "told_by"

_KERNEL_LOG = "kmsg"

_Key = tuple[str, str, str]


def without_echoes(events: Sequence[Event], series: Sequence[EventSeries]) -> list[Event]:
    """Return the events without those that another source has told already, be it among them or in the series.

    An event is an echo of the last one that counted, if that is of the same rule, part and variant, near in time, and
    from another source; two of one source never are.
    """
    last: dict[_Key, tuple[float, str]] = {}
    for s in series:
        if s.rule in TWICE_TOLD and s.points:
            last[s.rule, s.part, s.variant] = (s.points[-1][0], s.fields.get(TOLD_BY, _KERNEL_LOG))
    kept = []
    for event in events:
        key = (event.rule, event.part, event.variant)
        teller = event.fields.get(TOLD_BY, _KERNEL_LOG)
        if event.rule in TWICE_TOLD:
            at, by = last.get(key, (0.0, teller))
            if by != teller and abs(event.at - at) <= WITHIN_S:
                continue
            last[key] = (event.at, teller)
        kept.append(event)
    return kept
