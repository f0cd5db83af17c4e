"""What should become of this node: drained, resumed, or left as it is; and why, in one sentence."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from nodeproof.decide.history import History, can_drain
from nodeproof.decide.incidents import Relations, by_cause
from nodeproof.decide.reason import text_of
from nodeproof.engine import Result
from nodeproof.policy.settings import Settings
from nodeproof.verdict import Status, named, plural

Action = Literal["drain", "resume", "nothing"]


class Intent(NamedTuple):
    """One decision. `checks` are those that a drain or resume stands on, decisive first.

    `text` is what the reason of a drain says. `is_dry`: policy only observes, so this is what would be done.
    """

    action: Action
    why: str
    is_dry: bool
    checks: tuple[str, ...] = ()
    text: str = ""


def decide(
    results: Sequence[Result], history: History, settings: Settings, relations: Relations | None = None
) -> Intent:
    """Return what follows from this pass; `history` has it counted already. `relations` tell which parts are one."""
    is_dry = settings.mode != "enforce"
    if settings.doubts:
        return Intent("nothing", f"its classes are not known: {named(settings.doubts, 2)}", is_dry)
    failing = [r for r in results if r.verdict.status is Status.FAIL and can_drain(r)]
    ripe = by_cause([r for r in failing if history.of(r.spec.id).fails >= r.settings.after], relations)
    if ripe:
        checks = tuple(r.spec.id for r in ripe)
        return Intent("drain", _why_drain(ripe, history), is_dry, checks, text_of(ripe))
    if not history.drained_for:
        return Intent("nothing", _why_nothing(failing, history), is_dry)
    holding = [*_still_failing(failing, history), *_not_yet_clear(results, history, settings)]
    if holding:
        return Intent("nothing", f"it stays drained: {named(holding, 2)}", is_dry)
    if history.resumes >= settings.agent.flaps:
        return Intent("nothing", _why_quarantined(history, settings), is_dry)
    return Intent("resume", f"{named(history.drained_for)} passed again", is_dry, history.drained_for)


def _why_drain(ripe: Sequence[Result], history: History) -> str:
    first, fails = ripe[0], history.of(ripe[0].spec.id).fails
    times = f" {fails} times in a row" if fails > 1 else ""
    more = f" (and {named([r.spec.id for r in ripe[1:]])})" if len(ripe) > 1 else ""
    return f"{first.spec.id} failed{times}: {first.verdict.summary}{more}"


def _why_quarantined(history: History, settings: Settings) -> str:
    times, window_h = history.resumes, settings.agent.flap_window_h
    return (
        f"it stays drained, though {named(history.drained_for)} passed again: it was drained and resumed"
        f" {plural(times, 'time')} in {window_h:g} h (find the cause, then resume it by hand)"
    )


def _why_nothing(failing: Sequence[Result], history: History) -> str:
    if not failing:
        return "no check wants a drain"
    return named([f"{r.spec.id} failed {history.of(r.spec.id).fails} of {r.settings.after} times" for r in failing], 2)


def _still_failing(failing: Sequence[Result], history: History) -> list[str]:
    """Name failures that are not ripe for a drain, and yet no time to resume."""
    return [f"{r.spec.id} failed" for r in failing if r.spec.id not in history.drained_for]


def _not_yet_clear(results: Sequence[Result], history: History, settings: Settings) -> list[str]:
    """Name what our drain stands for and has not passed often enough; what policy released holds nothing."""
    now = {r.spec.id: r.verdict.status for r in results}
    waiting = []
    for check_id in history.drained_for:
        policy, passes = settings.of(check_id), history.of(check_id).passes
        if policy.on_fail != "drain" or passes >= policy.clear_after:
            continue
        status = now.get(check_id)
        if status in (Status.OK, Status.WARN) or (status is None and passes):
            waiting.append(f"{check_id} passed {passes} of {policy.clear_after} times")
        else:
            waiting.append(f"{check_id} is {'not judged' if status is None else _WORDS[status]}")
    return waiting


_WORDS = {Status.FAIL: "failing", Status.UNKNOWN: "unknown", Status.SKIP: "skipped"}
