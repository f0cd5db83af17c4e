"""What a job has to say so far: the lines of its result file."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from nodeproof.verdict import harmless

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

    def problem(self, text: str) -> None:
        """Say that something could not be done, here and in the job's own output."""
        self._problems += 1
        said = harmless(text, 300)
        print(f"nodeproof: {said}", flush=True)  # noqa: T201  # to the job's output
        if self._problems <= _MOST_PROBLEMS:
            self.all.append({"kind": "problem", "text": said})
