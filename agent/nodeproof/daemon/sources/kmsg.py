"""The kernel log, followed: /dev/kmsg gives one record a read, and says with EPIPE that some were overwritten.

Source: Documentation/ABI/testing/dev-kmsg. The agent is woken once for a message and reads on until there is none, but
never for long at a time. What it has taken is known by the last record's number, which is kept together with the
events; so after a restart it goes on where it was, and a new boot begins at the start of the ring.
"""

import asyncio
import errno
import os
import re
import time
from collections.abc import Callable, Sequence

from nodeproof.events import Event
from nodeproof.events.catalogue import RULES
from nodeproof.events.kmsg import KERNEL, Record, parse
from nodeproof.events.match import Match
from nodeproof.events.recognise import Recogniser
from nodeproof.history import Position

#: Longer than any record: CONSOLE_EXT_LOG_MAX of kernel/printk/internal.h is 8192.
_RECORD_BYTES = 16384

#: Most records and seconds at a time, so that the loop does other things between; what is left wakes it again.
_MOST_RECORDS = 1000
_SLICE_S = 0.05

#: How long to wait for the other lines of a block, in seconds: the kernel writes them one after the other.
_BLOCK_S = 0.3

#: `___ratelimit` of lib/ratelimit.c: a function's messages that the kernel did not write. Of those that write no events
#: (the network's, audit's) nothing is lost.
_SUPPRESSED = re.compile(
    r"(?:blk_|print_req_error|buffer_io_error|quiet_error|aer_|pcie?_|dpc_|edac|mce|nvme|mlx5|port_module|_*ext4|xfs|btrfs"
    r"|dmar|iommu|amd_iommu|ptlrpc)\w{0,40}: (?P<count>\d{1,9}) callbacks suppressed"
)

_Deliver = Callable[[Sequence[Event], Position | None], None]


def open_kernel_log() -> int:
    """Return a descriptor of /dev/kmsg. Raises OSError."""
    return os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


class KernelLog:
    """Follows the kernel log after `position`. `problem` is why it is not followed, "" while it is."""

    name = "kmsg"

    def __init__(  # noqa: PLR0913, PLR0917  # what every source gets, and what stands for the kernel in a test
        self,
        deliver: _Deliver,
        lose: Callable[[int], None],
        position: Position | None,
        boot_id: str,
        open_log: Callable[[], int] = open_kernel_log,
        read: Callable[[int, int], bytes] = os.read,
    ) -> None:
        self.problem = "not started"
        self._deliver, self._lose, self._boot_id = deliver, lose, boot_id
        self._open, self._read = open_log, read
        self._taken = position.sequence if position is not None and position.boot_id == boot_id else None
        self._kept = self._taken
        self._recogniser = Recogniser(RULES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._descriptor = -1
        self._block_timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._descriptor = self._open()
        except OSError as error:
            self.problem = f"/dev/kmsg cannot be opened: {error.strerror}"
            return
        self._loop, self.problem = loop, ""
        loop.add_reader(self._descriptor, self._take_some)

    def stop(self) -> None:
        """Stop, and have kept how far the log was taken."""
        if self._descriptor >= 0:
            self._close("stopped")
            self._finish_block()
            self._hand_over([], is_last=True)

    def _close(self, problem: str) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor, self.problem = -1, problem

    def _take_some(self) -> None:
        """Take what is there, as much as one slice of time allows."""
        until_s = time.monotonic() + _SLICE_S
        wall_s = time.time() - time.monotonic()
        found: list[Event] = []
        for _ in range(_MOST_RECORDS):
            if time.monotonic() > until_s or (raw := self._next()) is None:
                break
            record = parse(raw)
            if record is not None and self._is_new(record):
                found += [_event(m, wall_s, self._boot_id) for m in self._recogniser.take(record)]
        self._await_block()
        self._hand_over(found)

    def _next(self) -> bytes | None:
        """Return a record, b"" for one that was lost or makes no sense, None if there is none."""
        try:
            raw = self._read(self._descriptor, _RECORD_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EINVAL, errno.EINTR):
                return b""  # overwritten (its number says how many) or longer than any record may be
            self._close(f"/dev/kmsg cannot be read: {error.strerror}")
            return None
        if not raw:
            self._close("/dev/kmsg ended")
            return None
        return raw

    def _is_new(self, record: Record) -> bool:
        """Tell whether a record was not taken before, and count those between it and the last one."""
        last, lost = self._taken, 0
        if last is not None and record.sequence <= last:
            return False
        if last is not None:
            lost = record.sequence - last - 1
        self._taken = record.sequence
        if record.facility == KERNEL and (found := _SUPPRESSED.match(record.text)):
            lost += int(found["count"])
        if lost:
            self._lose(lost)
        return True

    def _await_block(self) -> None:
        """See to it that a block is told of although no other line follows it."""
        if self._block_timer is None and self._recogniser.waits_since is not None and self._loop is not None:
            self._block_timer = self._loop.call_later(_BLOCK_S, self._finish_block)

    def _finish_block(self) -> None:
        if self._block_timer is not None:
            self._block_timer.cancel()
            self._block_timer = None
        wall_s = time.time() - time.monotonic()
        self._hand_over([_event(m, wall_s, self._boot_id) for m in self._recogniser.flush()])

    def _hand_over(self, events: list[Event], *, is_last: bool = False) -> None:
        """Deliver events with how far the log is taken: not beyond the begin of a block that is not told of yet."""
        if self._taken is None:
            return
        waits_since = self._recogniser.waits_since
        sequence = self._taken if waits_since is None else min(self._taken, waits_since - 1)
        is_far = self._kept is None or sequence - self._kept >= _MOST_RECORDS
        if events or ((is_last or is_far) and sequence != self._kept):
            self._kept = sequence
            self._deliver(put_together(events), Position(self._boot_id, sequence) if sequence >= 0 else None)


def _event(match: Match, wall_s: float, boot_id: str) -> Event:
    record = match.record
    return Event(
        rule=match.rule.id,
        at=min(wall_s + record.at_us / 1e6, time.time()),
        boot_id=boot_id,
        source="kmsg",
        text=record.text[:500],
        part=match.part,
        variant=match.variant,
        sequence=record.sequence,
        fields=match.fields,
        count=match.times,
    )


def put_together(events: Sequence[Event]) -> list[Event]:
    """Return events with those of one rule, part and variant as one, the last, counted: a flood stays small."""
    made: dict[tuple[str, str, str], Event] = {}
    for event in events:
        key = (event.rule, event.part, event.variant)
        before = made.pop(key, None)
        made[key] = event if before is None else event._replace(count=before.count + event.count)
    return list(made.values())
