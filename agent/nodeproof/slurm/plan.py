"""What a wish comes to on a node as it was read: an outcome already, or one write. Pure.

Here is decided whose drain it is: nothing but our own is lifted or overwritten.
"""

from typing import Literal, NamedTuple

from nodeproof.slurm import extra
from nodeproof.slurm.node import Node
from nodeproof.slurm.outcome import Denied, Drained, Foreign, Free, LostRace, NotReady, Outcome, Resumed, Standing
from nodeproof.slurm.wish import Record, Wish, parts

#: The reason that slurmd's failing prolog leaves, and how long after (and, by other clocks, before) the failure.
_PROLOG_ERROR = "Prolog error"
_BEFORE_S, ADOPTABLE_S = 5, 120

#: Not RESUME: this clears nothing but the drain, so it never lifts somebody's DOWN.
DRAIN, UNDRAIN = ["DRAIN"], ["UNDRAIN"]

Kind = Literal["drain", "adopt", "resume", "note", "unnote"]


class Write(NamedTuple):
    """One change of a node. `reason` and `extra` None: stays as it is."""

    wish: Wish
    kind: Kind
    reason: str | None = None
    extra: str | None = None

    @property
    def changes(self) -> dict[str, object]:
        """What slurmrestd is sent."""
        states = {"drain": DRAIN, "adopt": DRAIN, "resume": UNDRAIN}
        made = {"state": states.get(self.kind), "reason": self.reason, "extra": self.extra}
        return {key: value for key, value in made.items() if value is not None}


def planned(wish: Wish, node: Node | None, account: str) -> Outcome | Write:
    """Return what is to be done. `account` is ours in Slurm, "" where it is not known."""
    if node is None:
        return Denied(f"Slurm knows no node {wish.node}; its name there is policy's slurm.node_name")
    if wish.action == "unnote":
        rest = extra.without_finding(node.extra)
        return _standing(wish, node, account) if rest == node.extra else Write(wish, "unnote", extra=rest)
    if wish.text and _is_adoptable(wish, node):
        return Write(wish, "adopt", wish.reason)
    if wish.action == "drain":
        return _drain(wish, node, account)
    found = _standing(wish, node, account)
    if wish.action == "look" or not isinstance(found, Standing):
        return found
    if node.base_state == "UNKNOWN":
        return NotReady(node)
    return Write(wish, "resume", taken_back(wish.record.id if wish.record else wish.id))


def taken_back(drain_id: str) -> str:
    """Return the reason that replaces ours: Slurm keeps a reason, and its own next drain would look like ours."""
    return f"nodeproof: resumed {drain_id}"


def confirmed(write: Write, node: Node, account: str) -> Outcome | None:
    """Return what came of a write on the node as it was read after it; None: it is not there."""
    match write.kind:
        case "drain" | "adopt":
            is_there = node.is_drained and node.reason == write.reason
            return Drained(node, is_adopted=write.kind == "adopt") if is_there else None
        case "resume":
            return None if node.is_drained else Resumed(node)
        case "note":
            return Foreign(node, is_noted=True) if extra.finding(node.extra) == write.wish.text else None
        case "unnote":
            is_there = extra.without_finding(node.extra) == node.extra
            return _standing(write.wish, node, account) if is_there else None


def lost(write: Write, node: Node, account: str) -> Outcome:
    """Return what it means that Slurm took a write which is not there."""
    if write.kind in {"note", "unnote"}:
        return _standing(write.wish, node, account)
    return LostRace(node)


def _drain(wish: Wish, node: Node, account: str) -> Outcome | Write:
    if _is_ours(wish, node, account):
        return Standing(node)
    if not node.is_out_of_service:
        rest = extra.without_finding(node.extra)  # from now on the reason says it
        return Write(wish, "drain", wish.reason, None if rest == node.extra else rest)
    noted = extra.with_finding(node.extra, wish.id, wish.text, wish.decided_at)
    if noted is None or noted == node.extra:
        return Foreign(node, is_noted=noted is not None)
    return Write(wish, "note", extra=noted)


def _standing(wish: Wish, node: Node, account: str) -> Outcome:
    """Return what became of our drain."""
    if _is_ours(wish, node, account):
        return Standing(node)
    if node.is_out_of_service:
        return Foreign(node, is_noted=bool(extra.finding(node.extra)))
    return Free(node)


def _is_ours(wish: Wish, node: Node, account: str) -> bool:
    """Tell whether this is our drain, and nobody has made it theirs by touching the reason.

    A drain whose answer was lost is known by its text: the id may be that of a node drained with it.
    """
    if not node.is_drained or parts(node.reason) is None:
        return False
    record = wish.record
    if record is not None and record.reason_changed_at is not None:
        stored = (node.reason, node.reason_changed_at, node.reason_user)
        if stored == (record.reason, record.reason_changed_at, record.user):
            return True
        record = None
    if account not in {"", node.reason_user}:
        return False
    sent = [record] if record is not None else []
    if wish.text:
        sent.append(Record(wish.id, wish.reason, wish.checks))
    return any(_has_text_of(node, r) for r in sent)


def _has_text_of(node: Node, record: Record) -> bool:
    ours, theirs = parts(record.reason), parts(node.reason)
    return ours is not None and theirs is not None and ours[1] == theirs[1]


def _is_adoptable(wish: Wish, node: Node) -> bool:
    """Tell whether Slurm drained this node since our own prolog failed for this wish."""
    if wish.prolog_failed_at is None or not node.is_drained or node.reason != _PROLOG_ERROR:
        return False
    return wish.prolog_failed_at - _BEFORE_S <= node.reason_changed_at <= wish.prolog_failed_at + ADOPTABLE_S
