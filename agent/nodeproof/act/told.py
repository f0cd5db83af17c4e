"""What is said of what came of a wish. Pure."""

from typing import NamedTuple

from nodeproof.decide import Intent
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
    Resumed,
    Standing,
    Unsure,
    Wish,
)
from nodeproof.slurm.wish import parts, reason


class Done(NamedTuple):
    """What was decided and what came of it; `result` is a word for programs, `summary` a sentence for people.

    `is_error`: what policy wanted could not be done, or not be confirmed. `is_loud`: to be told in any case.
    """

    result: str
    summary: str
    reason: str = ""
    is_error: bool = False
    is_loud: bool = False


def dry(name: str, intent: Intent, drain_id: str) -> Done:
    """Policy only observes: say what would be done."""
    if intent.action == "drain":
        would = reason(drain_id, intent.text)
        return Done("would_drain", f"would drain {name}: {would}", would)
    if intent.action == "resume":
        return Done("would_resume", f"would resume {name}: {intent.why}")
    return Done("nothing", f"would leave {name} as it is: {intent.why}")


def held_back(name: str, wished: str, why: str) -> Done:
    return Done("held_back", f"would drain {name}: {wished} (held back: {why})", wished, is_loud=True)


def failed(wish: Wish, why: str, error: str, result: str = "slurm_error") -> Done:
    """What Slurm could not be asked, or did not do."""
    verb = {"look": "look at", "unnote": "take our finding out of extra of"}.get(wish.action, wish.action)
    said = wish.reason if wish.action == "drain" else ""
    return Done(result, f"cannot {verb} {wish.node} ({why}): {error}", said, is_error=True)


def told(wish: Wish, why: str, outcome: Outcome) -> Done:
    """Return what came of a wish; `why` says why it was wanted."""
    match outcome:
        case HeldBack(_, held):
            return held_back(wish.node, wish.reason, held)
        case Unsure(words):
            return failed(wish, why, words, "unsure")
        case Denied(words):
            return failed(wish, why, words)
        case Foreign() | Free():
            return _not_ours(wish, why, outcome)
        case _:
            return _ours(wish, why, outcome)


def _ours(wish: Wish, why: str, outcome: Drained | Standing | Resumed | NotReady | LostRace) -> Done:
    name, node = wish.node, outcome.node
    match outcome:
        case Drained(_, is_adopted=False):
            return Done("drained", f"drained {name}: {node.reason}", node.reason)
        case Drained():
            return Done("adopted", f"{name} was drained by our prolog, and is ours now: {node.reason}", node.reason)
        case Standing():
            more = f", and {why}" if wish.action != "drain" else ""
            return Done("already_drained", f"{name} is drained by us already: {node.reason}{more}", node.reason)
        case Resumed():
            still = f", but it is {_by(node)}" if node.is_out_of_service else ""
            return Done("resumed", f"resumed {name}: {why}{still}")
        case NotReady():
            return Done("not_ready", f"cannot resume {name} yet: its slurmd has not registered")
        case LostRace():
            said = f"somebody else changed {name} while we wrote: it is {_state(node)} ({node.reason or 'no reason'})"
            return Done("lost_race", f"{said}, though {why}", node.reason, is_error=True)


def _not_ours(wish: Wish, why: str, outcome: Foreign | Free) -> Done:
    name, node = wish.node, outcome.node
    if wish.action == "unnote":
        return Done("unnoted", f"took our finding out of extra of {name}: {why}")
    if isinstance(outcome, Free):
        took = "somebody else took our drain back" if wish.record is not None else "nothing is to be taken back"
        return Done("already_resumed", f"{name} is in service: {took}")
    said = f"{name} is {_by(node)}: left alone"
    if wish.action == "drain":
        noted = " (our finding is in its extra)" if outcome.is_noted else " (its extra holds no JSON to note that in)"
        return Done("left_alone", f"{said}, though {why}{noted}", node.reason)
    return Done("left_alone", said, node.reason)


def _by(node: Node) -> str:
    whose = "by nothing that is remembered here" if parts(node.reason) else "not by us"
    return f"{_state(node)} by {node.reason_user or 'nobody'} ({node.reason or 'no reason'}), {whose}"


def _state(node: Node) -> str:
    return "+".join([node.base_state, *sorted(node.flags)])
