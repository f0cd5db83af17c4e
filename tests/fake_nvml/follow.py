"""Follow NVML's events with the fake library, and print what is told as JSON lines.

A program of its own because the loader reads LD_LIBRARY_PATH only when a process starts.
Usage: follow.py SECONDS AGAIN_S; ends when nothing was told for so long. The first line is our process id.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence

from nodeproof.daemon.sources.nvml import NvmlEvents
from nodeproof.events import Event


async def main(seconds: float, again_s: float) -> None:
    heard = asyncio.Event()

    def say(**words: object) -> None:
        print(json.dumps(words), flush=True)
        heard.set()

    def deliver(events: Sequence[Event]) -> None:
        say(events=[event._asdict() for event in events])

    source = NvmlEvents(deliver, lambda count: say(lost=count), "boot", again_s)
    say(pid=os.getpid())
    source.start(asyncio.get_running_loop())
    problem = ""
    while True:
        if source.problem != problem:
            problem = source.problem
            say(problem=problem, child=source._pid)
        heard.clear()
        for _ in range(int(seconds / 0.02)):
            await asyncio.sleep(0.02)
            if heard.is_set() or source.problem != problem:
                break
        else:
            break
    child = source._pid
    source.stop()
    say(stopped=source.problem, child=child)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), float(sys.argv[2])))
