"""Run what was planned, one benchmark after the other: a failure is an entry, a disturbed run is repeated.

Deliberately not here: what is kept (`nodeproof_bench.store`), and how good a result is (`nodeproof_bench.checks`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from nodeproof.errors import BenchError
from nodeproof.host import Host
from nodeproof.verdict import harmless
from nodeproof_bench.conditions import Sensors, added, doubt, doubt_between, wrong_values
from nodeproof_bench.placement import Plan, Planned
from nodeproof_bench.result import result_of, without_duration
from nodeproof_bench.runner import BenchMalformed, Listed, as_fact_error, run

#: How often a run is made at most until it is undisturbed.
MOST_ATTEMPTS = 3

REASON_CHARS = 300

#: Benchmarks that ended as JSON values: the line with what Python adds to it, or why there is none.
Line = dict[str, Any]


class Outcome(NamedTuple):
    """What one planned run came to: a result line or a failure (`name`, `args`, `kind`, `reason`), never both."""

    line: Line | None = None
    failure: Line | None = None


class Executor:
    """Runs benchmarks with one program on one machine.

    `tell` hears of every run before it begins, with its attempt; `tick` is called every now and then while it runs.
    """

    def __init__(self, program: str, has: Mapping[str, Listed], host: Host, cpus: int) -> None:
        self.program = program
        self.has = has
        self.host = host
        self.cpus = cpus
        self.tell: Callable[[Planned, int], None] = _nobody
        self.tick: Callable[[], None] = lambda: None
        self._sensors = Sensors(host)

    def all_of(self, plan: Plan, duration_s: float = 0) -> Iterator[Outcome]:
        """Yield the outcome of each run in turn; of a plan that is repeated, until `duration_s` have passed."""
        began_s, to_come_s = time.monotonic(), plan.estimate_s
        if plan.is_repeated:
            for planned in _until(plan, began_s + duration_s):
                yield self._one(planned, began_s + duration_s)
            return
        for planned in plan.runs:
            to_come_s -= planned.estimate_s
            yield self._one(planned, began_s + plan.limit_s - to_come_s)

    def _one(self, planned: Planned, until_s: float) -> Outcome:
        """Run until nobody disturbs; a further attempt is begun only if it is likely to end before `until_s`."""
        if planned.name not in self.has:
            return _failed(planned, "absent", "this build of nodeproof-bench does not have it")
        for attempt in range(1, MOST_ATTEMPTS + 1):
            self.tell(planned, attempt)
            outcome, is_disturbed = self._attempt(planned, attempt)
            if not is_disturbed or time.monotonic() + planned.estimate_s > until_s:
                break
        return outcome

    def _attempt(self, planned: Planned, attempt: int) -> tuple[Outcome, bool]:
        """Return what came of one attempt, and whether it was disturbed."""
        before = self._sensors.look()
        try:
            line = run(self.program, planned.name, *planned.args, deadline_s=planned.deadline_s, tick=self.tick)
            line["conditions"] = _conditions(line) | added(before, self._sensors.look())
            why = doubt(line, self.cpus)
            line |= {"args": list(planned.args), "is_inconclusive": bool(why), "reason": why, "attempts": attempt}
            result_of(line)
        except BenchError as error:
            found = as_fact_error(planned.words, error)
        except ValueError as error:  # values of another kind than the format promises
            found = as_fact_error(planned.words, BenchMalformed([self.program], 0, str(error)))
        else:
            return Outcome(line=line), bool(why)
        why = doubt_between(before, self._sensors.look(), self.cpus) if found.kind == "failed" else ""
        return _failed(planned, found.kind, f"{found.detail} ({why})" if why else found.detail), bool(why)


def _conditions(line: Line) -> Line:
    found: Line = line.get("conditions", {})
    if type(found) is not dict:
        raise ValueError(f'"conditions" is {found!r:.80}, expected an object')
    return found


def _nobody(planned: Planned, attempt: int) -> None:
    del planned, attempt


def _failed(planned: Planned, kind: str, reason: str) -> Outcome:
    words = {"name": planned.name, "args": list(planned.args)}
    return Outcome(failure={**words, "kind": kind, "reason": harmless(reason, REASON_CHARS)})


def _until(plan: Plan, until_s: float) -> Iterator[Planned]:
    """Yield what still fits, round after round, until nothing does."""
    is_any = True
    while is_any:
        is_any = False
        for planned in plan.runs:
            if time.monotonic() + planned.estimate_s <= until_s:
                is_any = True
                yield planned


class Collected:
    """Outcomes of one command. Of a run that is repeated the newest result stands, with how far all of them went.

    Undisturbed results go before disturbed ones, and wrong values that were found once stay.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[str, ...], Line] = {}
        self.failures: list[Line] = []

    @property
    def results(self) -> list[Line]:
        return list(self._lines.values())

    def add(self, outcome: Outcome) -> None:
        """Take one outcome."""
        if outcome.failure is not None and outcome.failure not in self.failures:
            self.failures.append(outcome.failure)
        if outcome.line is None:
            return
        line = outcome.line
        key = (line["name"], *without_duration(line["args"]))
        known = self._lines.get(key)
        self._lines[key] = line if known is None else _merged(known, line)


def _merged(known: Line, line: Line) -> Line:
    stands = known if _ranks_below(line, known) else line
    before = {"rounds": 1, "lowest": known["value"], "highest": known["value"], **known}
    return {
        **stands,
        "rounds": before["rounds"] + 1,
        "lowest": min(line["value"], before["lowest"]),
        "highest": max(line["value"], before["highest"]),
    }


def _ranks_below(line: Line, known: Line) -> bool:
    if wrong_values(line) != wrong_values(known):
        return wrong_values(line) < wrong_values(known)
    return line["is_inconclusive"] and not known["is_inconclusive"]
