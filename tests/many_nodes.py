"""Many nodes that ask one controller at once: processes of threads, each thread a node with its own credential.

A program as well, of which each process runs one: what it is to do comes as JSON, what came of it goes back so.
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from controlled import Controller
from nodeproof.controller.client import send
from nodeproof.policy.settings import ControllerSettings
from nodeproof.slurm.outcome import Outcome, from_json, to_json
from nodeproof.slurm.wish import Wish
from nodeproof.slurm.wish import from_json as wish_from_json
from nodeproof.slurm.wish import to_json as wish_to_json


class Asked(NamedTuple):
    """What many nodes were told. `took_s` is from the first question to the last answer, `each_s` by node."""

    outcomes: dict[str, Outcome]
    took_s: float
    each_s: dict[str, float]

    def __str__(self) -> str:
        each_s = sorted(self.each_s.values())
        return f"{self.kinds} in {self.took_s:.2f} s, half of them in {each_s[len(each_s) // 2]:.2f} s"

    @property
    def kinds(self) -> dict[str, int]:
        return dict(Counter(type(outcome).__name__ for outcome in self.outcomes.values()))


def ask_at_once(controller: Controller, wishes: Sequence[Wish], limit_s: float, processes: int = 2) -> Asked:
    """Have each node ask for its wish, all at the same moment."""
    parts = [wishes[k::processes] for k in range(processes)]
    started = [
        subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in parts
    ]
    for process, part in zip(started, parts, strict=True):
        settings = [controller.node(wish.node)._asdict() for wish in part]
        assert process.stdin is not None
        json.dump({"limit_s": limit_s, "wishes": [wish_to_json(w) for w in part], "settings": settings}, process.stdin)
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    started_s = time.monotonic()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said: dict[str, Any] = {}
    for process in started:
        said |= json.loads(process.communicate()[0])
    return Asked(
        {name: from_json(found["outcome"]) for name, found in said.items()},
        max(found["ended_s"] for found in said.values()) - started_s,
        {name: found["took_s"] for name, found in said.items()},
    )


def main() -> None:
    """Be a process of nodes."""
    read = json.loads(sys.stdin.readline())
    wishes = [wish_from_json(wish) for wish in read["wishes"]]
    settings = [ControllerSettings(**values) for values in read["settings"]]
    sys.setswitchinterval(0.1)  # so many threads would else fight for the interpreter
    go, said = threading.Event(), {}

    def be(wish: Wish, node: ControllerSettings) -> None:
        go.wait()
        started_s = time.monotonic()
        outcome = send(wish, node, read["limit_s"])
        ended_s = time.monotonic()
        said[wish.node] = {"outcome": to_json(outcome), "took_s": ended_s - started_s, "ended_s": ended_s}

    import httpx  # noqa: F401  # not all of them at once

    threads = [threading.Thread(target=be, args=pair) for pair in zip(wishes, settings, strict=True)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.readline()
    go.set()
    for thread in threads:
        thread.join()
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
