"""How a campaign goes on, for people: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import click

from nodeproof.verdict import harmless, plural
from nodeproof_bench.campaign.book_rows import FINAL_TASK_STATES, Task
from nodeproof_bench.campaign.ledger import ACTIVE, Ledger
from nodeproof_bench.campaign.times import shown

#: How long nothing is said where there is no terminal, though something changed.
QUIET_S = 30.0


class Standing(NamedTuple):
    """How many tasks there are in each state, and how long the rest may take: None while nothing tells."""

    total: int
    over: int
    active: int
    waiting: int
    failed: int
    skipped: int
    left_s: float | None

    def __str__(self) -> str:
        parts = [
            f"{self.over} of {plural(self.total, 'task')} over",
            f"{self.active} at work",
            f"{self.waiting} waiting",
        ]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        return ", ".join(parts) + (f", about {shown(self.left_s)} left" if self.left_s else "")


def standing(tasks: Sequence[Task], expected_s: Mapping[int, float], at_once: int) -> Standing:
    """Return where a campaign stands. `expected_s`: what each task should take."""
    states = [task.state for task in tasks]
    over = sum(state in FINAL_TASK_STATES for state in states)
    rest = [task for task in tasks if task.state not in FINAL_TASK_STATES]
    left_s = sum(expected_s.get(task.task, 0.0) * len(task.nodes) for task in rest) / max(1, at_once)
    return Standing(
        len(tasks),
        over,
        sum(state in ACTIVE for state in states),
        states.count("waiting"),
        states.count("failed"),
        states.count("skipped"),
        left_s if rest and expected_s else None,
    )


class Progress:
    """Shows how a campaign goes on, on standard error. A context manager."""

    def __init__(self, expected_s: Mapping[int, float], at_once: int) -> None:
        self._expected_s = expected_s
        self._at_once = at_once
        self._said_at = 0.0
        self._said = ""
        self._bar: Any = None
        self._row: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Tell of something that happened."""
        line = harmless(text, 1000)
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)

    def show(self, ledger: Ledger) -> None:
        """Show how far it is."""
        now = standing(list(ledger.tasks.values()), self._expected_s, self._at_once)
        if self._bar is not None:
            if self._row is None:
                self._row = self._bar.add_task("", total=now.total)
            self._bar.update(self._row, completed=now.over, total=now.total, description=str(now))
            return
        text = str(now)
        if text != self._said and (time.monotonic() - self._said_at > QUIET_S or now.over == now.total):
            self._said, self._said_at = text, time.monotonic()
            self.say(text)
