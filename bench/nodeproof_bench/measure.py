"""One run of `nodeproof bench` from the first benchmark to the document that is kept, with a progress bar."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes.identity import host_name
from nodeproof_bench.conditions import lasting
from nodeproof_bench.execute import Collected, Executor
from nodeproof_bench.placement import Plan, Planned
from nodeproof_bench.result import RUN_SCHEMA


class Measured(NamedTuple):
    """What was measured, as it is kept. `signal` ended it early; it is to be raised again once all is said."""

    document: dict[str, Any]
    signal: BaseException | None

    @property
    def is_any(self) -> bool:
        return bool(self.document["results"] or self.document["failures"])


def measure(plan: Plan, executor: Executor, duration_s: float) -> Measured:
    """Run the plan. SIGINT and SIGTERM end it: what was measured until then is whole."""
    began_s, collected, signal = time.perf_counter(), Collected(), None
    made = {
        "schema": RUN_SCHEMA,
        "time_s": round(time.time(), 3),
        "boot_id": _boot_id(executor.host),
        "suite": plan.suite,
        "host": host_name(executor.host),
        "conditions": lasting(executor.host),
    }
    try:
        with _progress(plan, executor, duration_s):
            for outcome in executor.all_of(plan, duration_s):
                collected.add(outcome)
    except BaseException as error:
        if isinstance(error, Exception):  # a bug; signals are raised as what no `except Exception` catches
            raise
        signal = error
    made |= {
        "seconds": round(time.perf_counter() - began_s, 3),
        "is_complete": signal is None,
        "results": collected.results,
        "failures": collected.failures,
    }
    return Measured(made, signal)


def _boot_id(host: Host) -> str:
    try:
        return host.text("/proc/sys/kernel/random/boot_id")
    except FactError:
        return ""


@contextlib.contextmanager
def _progress(plan: Plan, executor: Executor, duration_s: float) -> Iterator[None]:
    """Show on a terminal what is being run, and how much of the time has passed; elsewhere nothing.

    Drawn when the runner ticks: a thread that draws would disturb what is measured, and take our signals.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=duration_s or plan.estimate_s)
        clock = _Clock(duration_s > 0)

        def tell(planned: Planned, attempt: int) -> None:
            clock.begin(planned, attempt)
            again = f" (again: {attempt})" if attempt > 1 else ""
            bar.update(task, description=f"{planned.words}{again}")
            tick()

        def tick() -> None:
            bar.update(task, completed=clock.passed_s(), refresh=True)

        executor.tell, executor.tick = tell, tick
        yield


class _Clock:
    """How far a plan has come in its own seconds: a run that takes longer, or is repeated, holds it up."""

    def __init__(self, is_by_duration: bool) -> None:
        self._is_by_duration = is_by_duration
        self._began_s = self._run_began_s = time.monotonic()
        self._done_s = self._estimate_s = 0.0

    def begin(self, planned: Planned, attempt: int) -> None:
        self._done_s += self._estimate_s if attempt == 1 else 0
        self._estimate_s, self._run_began_s = planned.estimate_s, time.monotonic()

    def passed_s(self) -> float:
        now_s = time.monotonic()
        if self._is_by_duration:
            return now_s - self._began_s
        return self._done_s + min(now_s - self._run_began_s, self._estimate_s)
