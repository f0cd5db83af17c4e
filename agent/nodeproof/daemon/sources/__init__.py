"""Where events come from: one file for each source. All of them wake the agent's loop, and none of them waits."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from nodeproof.events import Event
from nodeproof.history import Position

Deliver = Callable[[Sequence[Event], Position | None], None]
Lose = Callable[[str, int], None]


class Source(Protocol):
    """`problem` is why it is not followed, in one sentence, and "" while it is."""

    name: str
    problem: str

    def start(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def stop(self) -> None: ...


class Sources:
    """All sources of this node."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def start(self) -> None:
        for source in self._sources:
            source.start(asyncio.get_running_loop())

    def stop(self) -> None:
        for source in self._sources:
            source.stop()

    def problems(self) -> Mapping[str, str]:
        return {source.name: source.problem for source in self._sources}


def all_sources(deliver: Deliver, lose: Lose, position: Position | None, boot_id: str) -> Sources:
    """Return every source. The kernel log is taken up after `position`; the others know no past."""
    from nodeproof.daemon.sources.kmsg import KernelLog
    from nodeproof.daemon.sources.nvml import NvmlEvents
    from nodeproof.daemon.sources.pstore import Pstore
    from nodeproof.daemon.sources.rtnetlink import Links
    from nodeproof.daemon.sources.uevent import Devices

    def told(events: Sequence[Event]) -> None:
        deliver(events, None)

    return Sources(
        [
            KernelLog(deliver, lambda count: lose("kmsg", count), position, boot_id),
            Pstore(told, boot_id),
            Devices(told, lambda count: lose("uevent", count), boot_id),
            Links(told, lambda count: lose("rtnetlink", count), boot_id),
            NvmlEvents(told, lambda count: lose("nvml", count), boot_id),
        ]
    )
