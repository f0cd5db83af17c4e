"""From a decision, and what earlier passes left undone, to what this pass asks of Slurm. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nodeproof.decide import Intent
from nodeproof.engine import Result
from nodeproof.policy.settings import Settings
from nodeproof.slurm.wish import Wish
from nodeproof.state import LeftAlone, State
from nodeproof.verdict import Status

_PASSED = frozenset({Status.OK, Status.WARN})


class Moment(NamedTuple):
    """Which node, when (seconds since the epoch), and an id for a drain should there be one."""

    node: str
    now_s: int
    drain_id: str


class Step(NamedTuple):
    """What is asked of Slurm, if anything; `why` follows "though" or "cannot drain n1". `state` is what to remember."""

    wish: Wish | None
    why: str
    state: State


def step_of(intent: Intent, state: State, results: Sequence[Result], settings: Settings, moment: Moment) -> Step:
    """Return what to ask.

    A decision of this pass comes first. A drain that was decided and never carried out survives a pass that did
    not judge its decisive check; it ends when that passes. A resume is never kept: it follows from fresh verdicts.
    """
    if intent.is_dry:
        return Step(None, intent.why, state._replace(wanted=None, held=None))
    if settings.doubts:
        return Step(_look(state, moment), intent.why, state)
    now = {r.spec.id: r.verdict.status for r in results}
    state = state._replace(left_alone=_still_left(state, now, settings))
    fresh = _fresh(state, moment)
    if intent.action == "drain":
        drain_id, text = moment.drain_id, intent.text
        wish = fresh._replace(action="drain", id=drain_id, text=text, checks=intent.checks)
        return Step(wish, intent.why, state._replace(wanted=wish))
    if intent.action == "resume":
        resume = fresh._replace(action="resume", checks=intent.checks)
        return Step(resume, intent.why, state._replace(wanted=None, held=None))
    return _left_undone(intent, state, now, settings, moment)


def _left_undone(intent: Intent, state: State, now: Mapping[str, Status], settings: Settings, moment: Moment) -> Step:
    """Nothing is decided now: return what an earlier pass decided and could not do, or look after what it did."""
    pending = state.wanted
    if pending is not None:
        decisive = pending.checks[0] if pending.checks else ""
        is_over = now.get(decisive) in _PASSED or settings.of(decisive).on_fail != "drain"
        again = _fresh(state, moment)._replace(id=pending.id, text=pending.text, checks=pending.checks)
        if decisive not in now and not is_over:
            again = again._replace(action="drain", decided_at=pending.decided_at)
            return Step(again, f"an earlier pass found: {pending.text}", state)
        if is_over and state.prolog_failed_at is not None:  # a look, which makes the "Prolog error" ours
            return Step(again, intent.why, state._replace(held=None))
        if is_over:
            state = state._replace(wanted=None, held=None)
    if state.left_alone is not None and not state.left_alone.checks:
        if state.left_alone.is_noted:
            return Step(_fresh(state, moment)._replace(action="unnote"), intent.why, state)
        state = state._replace(left_alone=None)
    return Step(_look(state, moment), intent.why, state)


def _fresh(state: State, moment: Moment) -> Wish:
    return Wish(
        node=moment.node,
        action="look",
        record=state.drain,
        prolog_failed_at=state.prolog_failed_at,
        decided_at=moment.now_s,
        was_foreign=state.left_alone is not None,
    )


def _look(state: State, moment: Moment) -> Wish | None:
    return _fresh(state, moment) if state.drain is not None else None


def _still_left(state: State, now: Mapping[str, Status], settings: Settings) -> LeftAlone | None:
    """Return for which checks a node would not be in service, were it ours to say."""
    if state.left_alone is None:
        return None
    waiting = [c for c in state.left_alone.checks if now.get(c) not in _PASSED and settings.of(c).on_fail == "drain"]
    return state.left_alone._replace(checks=tuple(waiting))
