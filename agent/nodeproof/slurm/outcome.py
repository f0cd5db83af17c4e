"""What came of a wish, as a value that the network can hold."""

from typing import Any, NamedTuple

from nodeproof.slurm.node import Node


class Drained(NamedTuple):
    """Drained by us, now, and seen to be. `is_adopted`: Slurm had drained it since our prolog failed."""

    node: Node
    is_adopted: bool = False


class Standing(NamedTuple):
    """Our earlier drain stands unchanged; nothing was written."""

    node: Node


class Resumed(NamedTuple):
    """Our drain was taken back, and seen to be."""

    node: Node


class Free(NamedTuple):
    """In service, and not by this wish. No state was written."""

    node: Node


class Foreign(NamedTuple):
    """Out of service by somebody else, or with a reason that is no longer ours: that was left as it is.

    `is_noted`: our finding stands in its `extra`.
    """

    node: Node
    is_noted: bool = False


class NotReady(NamedTuple):
    """Its slurmd has not registered since slurmctld was started; nothing was written."""

    node: Node


class LostRace(NamedTuple):
    """Slurm took our change, and yet the node is not what we made it: somebody else wrote meanwhile."""

    node: Node


class HeldBack(NamedTuple):
    """The guard let nobody drain this node now, and says why. It is in service."""

    node: Node
    why: str


class Unsure(NamedTuple):
    """Slurm did not answer, or in a way that leaves open what it did: another run must look."""

    words: str


class Denied(NamedTuple):
    """Slurm said no for sure: it knows no such node, or lets us write nothing."""

    words: str


Outcome = Drained | Standing | Resumed | Free | Foreign | NotReady | LostRace | HeldBack | Unsure | Denied

_KINDS: dict[str, type[Outcome]] = {
    kind.__name__: kind
    for kind in (Drained, Standing, Resumed, Free, Foreign, NotReady, LostRace, HeldBack, Unsure, Denied)
}

_MAX_TEXT_CHARS = 100_000


def to_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON values."""
    values = outcome._asdict()
    if "node" in values:
        node: Node = values["node"]
        values["node"] = node._asdict() | {"flags": sorted(node.flags), "partitions": list(node.partitions)}
    return {"kind": type(outcome).__name__, **values}


def from_json(read: object) -> Outcome:
    """Return the outcome that JSON values hold. Raises ValueError for whatever `to_json` would not have made."""
    kind = _KINDS.get(str(read.get("kind"))) if isinstance(read, dict) else None
    if kind is None or not isinstance(read, dict) or set(read) != {"kind", *kind._fields}:
        raise ValueError("not an outcome")
    made: Outcome = kind(**{key: _value(key, read[key]) for key in kind._fields})
    return made


def _value(key: str, found: object) -> Any:
    if key == "node":
        return _node(found)
    if type(found) is not (bool if key.startswith("is_") else str):
        raise ValueError(f"not an outcome: {key}")
    return found


def _node(read: object) -> Node:
    if not isinstance(read, dict) or set(read) != set(Node._fields):
        raise ValueError("not a node")
    lists = [read["flags"], read["partitions"]]
    if not all(isinstance(found, list) for found in lists):
        raise ValueError("not a node: lists")
    texts = [read[key] for key in ("name", "base_state", "reason", "reason_user", "extra")]
    if not all(isinstance(t, str) and len(t) <= _MAX_TEXT_CHARS for t in [*texts, *lists[0], *lists[1]]):
        raise ValueError("not a node: texts")
    if type(read["reason_changed_at"]) is not int:
        raise ValueError("not a node: reason_changed_at")
    return Node(**read | {"flags": frozenset(read["flags"]), "partitions": tuple(read["partitions"])})
