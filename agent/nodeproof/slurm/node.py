"""A node as slurmrestd v0.0.39 and newer describes it, and only what we use of it."""

from typing import Any, NamedTuple

#: Base states of a node (Slurm, `enum node_states`); everything else in `state` is a flag.
_BASES = frozenset({"UNKNOWN", "DOWN", "IDLE", "ALLOCATED", "ERROR", "MIXED", "FUTURE", "EXTERNAL", "INVALID"})


class Node(NamedTuple):
    """`reason_changed_at` is in seconds since the epoch, 0 where no reason was ever set."""

    name: str
    base_state: str
    flags: frozenset[str]
    reason: str
    reason_user: str
    reason_changed_at: int
    extra: str
    partitions: tuple[str, ...] = ()

    @property
    def is_drained(self) -> bool:
        """Draining counts: the node takes no new jobs."""
        return "DRAIN" in self.flags

    @property
    def is_out_of_service(self) -> bool:
        """Somebody or something took it out of service, with or without a reason."""
        return self.is_drained or "FAIL" in self.flags or self.base_state in {"DOWN", "ERROR"}


def node_of(entry: Any) -> Node:
    """Return the Node of one entry of `nodes`. Raises ValueError for anything else."""
    try:
        words = [str(w).upper() for w in entry["state"]]
        return Node(
            name=str(entry["name"]),
            base_state=next((w for w in words if w in _BASES), "UNKNOWN"),
            flags=frozenset(words) - _BASES,
            reason=str(entry.get("reason", "")),
            reason_user=str(entry.get("reason_set_by_user", "")),
            reason_changed_at=number(entry.get("reason_changed_at", 0)),
            extra=str(entry.get("extra", "")),
            partitions=tuple(map(str, entry.get("partitions", ()))),
        )
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"not a node: {type(error).__name__}: {error}") from error


def number(value: Any) -> int:
    """Return a number that newer versions wrap in `{"set": …, "number": …}`; 0 where it is not set."""
    if isinstance(value, dict):
        value = value.get("number", 0) if value.get("set", True) else 0
    return int(value)
