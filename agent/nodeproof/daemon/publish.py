"""What the agent leaves in its run directory for others: the ledger, the gate file, and metrics for a collector."""

import contextlib
import os
import time
from collections.abc import Callable

from nodeproof.daemon import gate
from nodeproof.daemon.gate import Gate
from nodeproof.events.ledger import FILE_NAME, Ledger, to_json
from nodeproof.files import replace_file


class Publisher:
    """Writes files in one step each. What cannot be written is said once, and tried again the next time."""

    def __init__(self, run_dir: str, say: Callable[[str], None]) -> None:
        self.run_dir = run_dir
        self._say = say
        self._failed: dict[str, str] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._failed.values())

    def ledger(self, ledger: Ledger) -> None:
        path = os.path.join(self.run_dir, FILE_NAME)
        self._try(path, lambda: replace_file(path, to_json(ledger), 0o644))

    def gate(self, answers: Gate) -> None:
        self._try(os.path.join(self.run_dir, "gate"), lambda: gate.write(self.run_dir, answers))

    def no_gate(self) -> None:
        """Take the gate file away: from now on every hook judges the node by itself."""
        path = os.path.join(self.run_dir, "gate")
        self._try(path, lambda: _remove(path))

    def _try(self, path: str, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            problem = f"cannot write {path}: {error.strerror}"
            if self._failed.get(path) != problem:
                self._say(problem)
            self._failed[path] = problem
        else:
            self._failed.pop(path, None)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def boottime_ns() -> int:
    """Return the time since boot: what a gate file is dated by. No clock that is set can make it fresh or stale."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
