"""The kernel log as a source: from where it is read, what is lost, floods, blocks, restarts, and the real thing."""

import asyncio
import errno
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest

from nodeproof.daemon.sources.kmsg import KernelLog, open_kernel_log, put_together
from nodeproof.events import Event
from nodeproof.history import Position

XID = "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
NVME = "nvme nvme0: I/O 161 QID 2 timeout, aborting"
BENIGN = "EXT4-fs (sda2): mounted filesystem with ordered data mode. Opts: (null)"


def raw(sequence: int, text: str, at_us: int = 1_000_000, priority: int = 4) -> bytes:
    return b"%d,%d,%d,-;%s\n" % (priority, sequence, at_us, text.encode())


class Ring:
    """Stands for /dev/kmsg below `os.read`: one record a read, errors in between; always looks readable."""

    def __init__(self, records: Sequence[bytes | OSError]) -> None:
        self.left = list(records)
        self.reader, self.writer = os.pipe()
        os.write(self.writer, b"!")

    def open(self) -> int:
        return os.dup(self.reader)

    def read(self, descriptor: int, size: int) -> bytes:
        assert size > 8192
        if not self.left:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        record = self.left.pop(0)
        if isinstance(record, OSError):
            raise record
        return record

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class Taken(NamedTuple):
    """What a source told: events with positions, and how much it lost."""

    deliveries: list[tuple[list[Event], Position | None]]
    lost: list[int]

    @property
    def events(self) -> list[Event]:
        return [event for events, _ in self.deliveries for event in events]

    @property
    def position(self) -> Position | None:
        return self.deliveries[-1][1] if self.deliveries else None


@pytest.fixture
def ring() -> Iterator[Callable[..., Ring]]:
    made = []

    def make(*records: bytes | OSError) -> Ring:
        made.append(Ring(records))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a test waits for; on a busy machine that may take a while."""
    give_up_s = time.monotonic() + 20
    while not condition() and time.monotonic() < give_up_s:  # noqa: ASYNC110  # it is told by a plain callback
        await asyncio.sleep(0.001)


def follow(ring: Ring, position: Position | None = None, boot_id: str = "b", wanted: int = 0) -> Taken:
    """Follow until all is read (and at least `wanted` events are told), then stop."""
    taken = Taken([], [])

    async def run() -> None:
        log = KernelLog(
            lambda events, at: taken.deliveries.append((list(events), at)),
            taken.lost.append,
            position,
            boot_id,
            ring.open,
            ring.read,
        )
        log.start(asyncio.get_running_loop())
        assert log.problem == ""
        await until(lambda: not ring.left and sum(e.count for e in taken.events) >= wanted)
        log.stop()
        assert log.problem == "stopped"

    asyncio.run(run())
    return taken


def test_lines_become_events_with_what_they_say(ring: Callable[..., Ring]) -> None:
    taken = follow(ring(raw(7, BENIGN), raw(8, XID), raw(9, BENIGN)))

    event = taken.events[0]
    assert len(taken.events) == 1
    assert (event.rule, event.part, event.variant, event.source) == ("event.xid", "pci:0000:3b:00.0", "79", "kmsg")
    assert (event.sequence, event.boot_id, event.text, event.count) == (8, "b", XID, 1)
    assert event.fields["what"] == "GPU has fallen off the bus."
    assert taken.lost == []
    assert taken.position == Position("b", 9)


def test_the_time_is_that_of_the_line(ring: Callable[..., Ring]) -> None:
    up_s = time.monotonic()
    taken = follow(ring(raw(1, XID, int((up_s - 5) * 1e6)), raw(2, NVME, int((up_s + 5000) * 1e6))))

    assert abs(taken.events[0].at - (time.time() - 5)) < 4
    assert taken.events[1].at <= time.time()


def test_it_goes_on_after_the_position_and_a_new_boot_begins_at_the_start(ring: Callable[..., Ring]) -> None:
    records = [raw(n, f"nvme nvme{n}: I/O 161 QID 2 timeout, aborting") for n in range(3, 9)]

    assert [e.sequence for e in follow(ring(*records), Position("b", 5)).events] == [6, 7, 8]
    assert [e.sequence for e in follow(ring(*records), Position("another boot", 5)).events] == [3, 4, 5, 6, 7, 8]
    assert [e.sequence for e in follow(ring(*records)).events] == [3, 4, 5, 6, 7, 8]
    nothing = follow(ring(*records), Position("b", 8))
    assert nothing.deliveries == []


def test_what_was_overwritten_is_counted_and_the_rest_is_read(ring: Callable[..., Ring]) -> None:
    taken = follow(ring(raw(1, BENIGN), BrokenPipeError(errno.EPIPE, "overwritten"), raw(41, XID), raw(42, NVME)))

    assert taken.lost == [39]
    assert [e.sequence for e in taken.events] == [41, 42]


def test_what_was_overwritten_while_nobody_read_is_counted_too(ring: Callable[..., Ring]) -> None:
    assert follow(ring(raw(100, XID)), Position("b", 89)).lost == [10]
    assert follow(ring(raw(100, XID)), Position("another boot", 89)).lost == []


def test_what_rate_limits_held_back_is_counted_where_it_may_have_been_an_event(ring: Callable[..., Ring]) -> None:
    taken = follow(
        ring(
            raw(1, "blk_print_req_error: 12 callbacks suppressed"),
            raw(2, "net_ratelimit: 23807 callbacks suppressed"),
            raw(3, "kauditd_printk_skb: 4 callbacks suppressed"),
            raw(4, "aer_print_error: 3 callbacks suppressed"),
            raw(5, "aer_print_error: 1000 callbacks suppressed", priority=12),
        )
    )

    assert taken.lost == [12, 3]


def test_what_makes_no_sense_stops_nothing(ring: Callable[..., Ring]) -> None:
    odd: list[bytes | OSError] = [
        b"\xff" * 500,
        b"6,x,y,z;",
        OSError(errno.EINVAL, "too long"),
        OSError(errno.EINTR, ""),
    ]

    assert [e.rule for e in follow(ring(*odd, raw(1, XID), *odd)).events] == ["event.xid"]


def test_a_flood_is_counted_truly_and_told_in_few_events(ring: Callable[..., Ring]) -> None:
    flood = [raw(n, NVME if n % 2 else XID) for n in range(10_000)]

    taken = follow(ring(*flood))
    assert sum(e.count for e in taken.events) == 10_000
    assert {e.part for e in taken.events} == {"nvme:nvme0", "pci:0000:3b:00.0"}
    assert all(len(events) <= 2 for events, _ in taken.deliveries)
    assert len(taken.deliveries) >= 10  # never more than a thousand records at a time
    assert taken.lost == []


def test_the_loop_does_other_things_during_a_flood(ring: Callable[..., Ring]) -> None:
    flood = ring(*(raw(n, BENIGN) for n in range(5_000)))
    left_at: list[int] = []

    async def run() -> None:
        log = KernelLog(lambda events, at: None, lambda count: None, None, "b", flood.open, flood.read)
        log.start(asyncio.get_running_loop())
        while flood.left:
            left_at.append(len(flood.left))
            await asyncio.sleep(0)
        log.stop()

    asyncio.run(run())
    assert len(left_at) >= 5
    assert max(a - b for a, b in itertools.pairwise(left_at)) <= 1000


def test_put_together_keeps_the_last_and_adds_up() -> None:
    a, b, c = (
        Event("event.xid", at, "b", "kmsg", f"line {at}", "pci:1", "79", sequence=int(at)) for at in (1.0, 2.0, 3.0)
    )
    other = a._replace(part="pci:2")

    assert put_together([a, other, b, c._replace(count=4)]) == [other, c._replace(count=6)]
    assert put_together([]) == []


@pytest.mark.parametrize("cut", range(7))
def test_whenever_it_is_stopped_nothing_is_told_twice_and_nothing_is_lost(ring: Callable[..., Ring], cut: int) -> None:
    records = [raw(n, f"nvme nvme{n}: I/O 161 QID 2 timeout, aborting" if n % 2 else BENIGN) for n in range(6)]

    first = follow(ring(*records[:cut]))
    second = follow(ring(*records), first.position)
    assert [e.sequence for e in first.events + second.events] == [1, 3, 5]
    assert first.lost == second.lost == []


def test_a_block_is_one_event_and_the_position_waits_for_it(ring: Callable[..., Ring]) -> None:
    taken = follow(
        ring(
            raw(1, "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 1"),
            raw(2, "{1}[Hardware Error]: event severity: corrected"),
            raw(3, NVME),
            raw(4, "{1}[Hardware Error]:   section_type: memory error"),
            raw(5, "{1}[Hardware Error]:   DIMM location: P1-DIMMA1"),
        ),
        wanted=2,
    )

    assert [(e.rule, e.part, e.sequence) for e in taken.events] == [
        ("event.nvme_timeout", "nvme:nvme0", 3),
        ("event.cper_corrected", "dimm:P1-DIMMA1", 1),
    ]
    assert taken.deliveries[0][1] == Position("b", 0)
    assert taken.position == Position("b", 5)
    assert taken.events[1].text == "firmware error record: corrected, memory error, P1-DIMMA1"


def test_a_block_that_nothing_follows_is_told_when_it_stops(ring: Callable[..., Ring]) -> None:
    taken = follow(ring(raw(1, "{1}[Hardware Error]: event severity: fatal")))

    assert [e.rule for e in taken.events] == ["event.cper_fatal"]


def test_a_log_that_cannot_be_read_is_said() -> None:
    def denied() -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    async def run() -> None:
        log = KernelLog(lambda events, at: None, lambda count: None, None, "b", denied)
        log.start(asyncio.get_running_loop())
        assert log.problem == "/dev/kmsg cannot be opened: Operation not permitted"
        log.stop()

    asyncio.run(run())


def test_a_log_that_breaks_is_said(ring: Callable[..., Ring]) -> None:
    broken = ring(raw(1, XID), OSError(errno.EIO, "Input/output error"))
    taken = Taken([], [])

    async def run() -> str:
        log = KernelLog(
            lambda events, at: taken.deliveries.append((list(events), at)),
            taken.lost.append,
            None,
            "b",
            broken.open,
            broken.read,
        )
        log.start(asyncio.get_running_loop())
        await until(lambda: bool(log.problem))
        log.stop()
        return log.problem

    assert asyncio.run(run()) == "/dev/kmsg cannot be read: Input/output error"
    assert [e.rule for e in taken.events] == ["event.xid"]


def test_it_is_woken_by_a_descriptor_that_gives_a_record_a_read() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    told: list[Event] = []

    async def run() -> None:
        log = KernelLog(
            lambda events, at: told.extend(events), lambda count: None, None, "b", lambda: os.dup(ours.fileno())
        )
        log.start(asyncio.get_running_loop())
        for n in range(3):
            theirs.send(raw(n, f"nvme nvme{n}: I/O 161 QID 2 timeout, aborting"))
            await until(lambda: len(told) == n + 1)  # noqa: B023  # awaited before n changes
        log.stop()

    with ours, theirs:
        asyncio.run(run())
    assert [e.part for e in told] == ["nvme:nvme0", "nvme:nvme1", "nvme:nvme2"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_real_kernel_log() -> None:
    """A line that root writes is an event; it is of a kind of which a thousand a day are none for a check.

    With its newline: the kernel shows no line that may still go on.
    """
    name = f"np{os.getpid()}"
    told: list[Event] = []

    async def run() -> str:
        log = KernelLog(lambda events, at: told.extend(events), lambda count: None, None, "b", open_kernel_log)
        log.start(asyncio.get_running_loop())
        os.write(
            writer, f"<4>Memory cgroup out of memory: Killed process {os.getpid()} ({name}) total-vm:1kB\n".encode()
        )
        await until(lambda: any(e.fields.get("process") == name for e in told))
        log.stop()
        return log.problem

    writer = os.open("/dev/kmsg", os.O_WRONLY)
    try:
        assert asyncio.run(run()) == "stopped"
    finally:
        os.close(writer)
    event = next(e for e in told if e.fields.get("process") == name)
    assert event.rule == "event.oom_cgroup"
    assert event.sequence is not None
    assert abs(event.at - time.time()) < 30
