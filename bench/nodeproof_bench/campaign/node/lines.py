"""What a job has to say so far: the lines of its result file."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from nodeproof.verdict import Status, harmless

#: Problems beyond these say nothing more.
_MOST_PROBLEMS = 50


class Lines:
    """Collects lines. What a job said before it was stopped is in here."""

    def __init__(self) -> None:
        self.began_at = time.time()
        self.all: list[Mapping[str, Any]] = []
        self._problems = 0

    def check(self, report: Mapping[str, Any]) -> None:
        self.all.append({"kind": "check", "report": report})

    def bench(self, repeat: int, document: Mapping[str, Any]) -> None:
        self.all.append({"kind": "bench", "repeat": repeat, "document": document})

    def facts(self, facts: Mapping[str, str]) -> None:
        self.all.append({"kind": "facts", "facts": facts})

    def history(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.all.append({"kind": "history", "events": events})

    def unavailable(self, benchmarks: Sequence[str], why: str) -> None:
        """Say that these cannot be measured here, which is no failure: each is a check that is skipped."""
        skipped = [{"id": name, "status": Status.SKIP.word, "summary": why} for name in benchmarks]
        self.check({"results": skipped})
        self.problem(f"{', '.join(benchmarks)}: {why}")

    def problem(self, text: str) -> None:
        """Say that something could not be done, here and in the job's own output."""
        self._problems += 1
        said = harmless(text, 300)
        say(said)
        if self._problems <= _MOST_PROBLEMS:
            self.all.append({"kind": "problem", "text": said})


def say(text: str) -> None:
    """Say something in the job's own output, where an operator looks who finds no result."""
    print(f"nodeproof: {text}", flush=True)  # noqa: T201
