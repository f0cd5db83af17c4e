"""What to remember of what came of a wish. Pure."""

from nodeproof.slurm import (
    Denied,
    Drained,
    Foreign,
    Free,
    HeldBack,
    LostRace,
    Node,
    NotReady,
    Outcome,
    Record,
    Resumed,
    Standing,
    Unsure,
    Wish,
)
from nodeproof.slurm.plan import ADOPTABLE_S
from nodeproof.slurm.wish import parts
from nodeproof.state import LeftAlone, State

#: So many resumes are remembered: no policy can ask for more.
MOST_RESUMES = 1000


def after(state: State, wish: Wish, outcome: Outcome, before: Record | None, now_s: int) -> State:
    """Return the state after an outcome.

    `before` is our drain as it was known before the wish was sent: what was not done leaves that as it was.
    """
    match outcome:
        case Unsure():
            return state
        case Denied():
            return state._replace(drain=before)
        case HeldBack():
            return state._replace(drain=None)
    state = _done(state, wish, outcome, now_s)
    match outcome:
        case Drained(node):
            return state._replace(drain=_record(node, wish.checks), left_alone=None)
        case Standing(node) | NotReady(node):
            known = before.checks if before is not None else ()
            return state._replace(drain=_record(node, (*known, *wish.checks)), left_alone=None)
        case Foreign(_, is_noted) if wish.action == "drain":
            return state._replace(drain=None, left_alone=LeftAlone(wish.checks, is_noted))
        case Resumed():
            return state._replace(drain=None, resumed_at=(*state.resumed_at[1 - MOST_RESUMES :], now_s))
        case Free() | Foreign() | LostRace():
            return state._replace(drain=None)


def _done(state: State, wish: Wish, outcome: Outcome, now_s: int) -> State:
    """Return the state without what this outcome settles for good."""
    if wish.action == "unnote":
        return state._replace(left_alone=None)
    if not wish.text:
        return state
    if isinstance(outcome, Free) and wish.prolog_failed_at is not None and now_s - wish.prolog_failed_at < ADOPTABLE_S:
        return state  # its "Prolog error" may still come
    return state._replace(wanted=None, held=None, prolog_failed_at=None)


def _record(node: Node, checks: tuple[str, ...]) -> Record:
    ours = parts(node.reason)
    drain_id = ours[0] if ours else ""
    return Record(drain_id, node.reason, tuple(dict.fromkeys(checks)), node.reason_changed_at, node.reason_user)
