"""One XID that the kernel log and NVML both tell counts once; two that one of them tells count twice."""

from nodeproof.daemon.echoes import without_echoes
from nodeproof.events import Event
from nodeproof.events.event import Source
from nodeproof.events.ledger import EventSeries, folded

GPU = "pci:0000:3b:00.0"


def xid(at: float, source: Source = "kmsg", *, code: str = "79", part: str = GPU, rule: str = "event.xid") -> Event:
    fields = {"code": code} | ({} if source == "kmsg" else {"told_by": source})
    return Event(rule, at, "boot", source, f"Xid {code}", part, code, fields=fields)


def counted(*batches: list[Event]) -> list[float]:
    """Return when the events happened that count, of batches that come one after another."""
    series: tuple[EventSeries, ...] = ()
    kept = []
    for batch in batches:
        fresh = without_echoes(batch, series)
        series = folded(series, fresh)
        kept += fresh
    return [event.at for event in kept]


def test_whichever_source_comes_first_counts() -> None:
    assert counted([xid(100.0)], [xid(100.2, "nvml")]) == [100.0]
    assert counted([xid(100.2, "nvml")], [xid(100.0)]) == [100.2]
    assert counted([xid(100.0), xid(100.2, "nvml")]) == [100.0]


def test_what_one_source_tells_twice_happened_twice() -> None:
    assert counted([xid(100.0), xid(100.1)], [xid(100.5)]) == [100.0, 100.1, 100.5]
    assert counted([xid(100.0, "nvml"), xid(100.1, "nvml")]) == [100.0, 100.1]


def test_two_faults_that_both_sources_tell_are_two() -> None:
    assert counted([xid(100.0)], [xid(100.1, "nvml")], [xid(102.0)], [xid(102.1, "nvml")]) == [100.0, 102.0]
    assert counted([xid(100.0, "nvml")], [xid(100.1)], [xid(102.0, "nvml")], [xid(102.1)]) == [100.0, 102.0]


def test_another_code_gpu_or_time_is_no_echo() -> None:
    first = xid(100.0)

    assert len(counted([first], [xid(100.1, "nvml", code="31")])) == 2
    assert len(counted([first], [xid(100.1, "nvml", part="pci:0000:86:00.0")])) == 2
    assert len(counted([first], [xid(105.1, "nvml")])) == 2


def test_rules_that_one_source_tells_are_let_through() -> None:
    assert len(counted([xid(100.0, rule="event.oom")], [xid(100.1, "nvml", rule="event.oom")])) == 2
