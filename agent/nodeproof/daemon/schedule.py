"""When a group of checks is due. Pure: chance and time come from outside."""

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Group(NamedTuple):
    """Something that is done every `interval_s` seconds, first at `due_s` (monotonic clock)."""

    name: str
    interval_s: float
    due_s: float


class Tracked:
    """How a group fared: passes that gave something, and those that did not; when the last good one ended."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.passes = self.failures = 0
        self.last_at = self.last_seconds = 0.0


def started(name: str, interval_s: float, jitter_share: float, now_s: float, chance: Callable[[], float]) -> Group:
    """Return a group that begins within its jitter: nodes that boot together must not act together."""
    return Group(name, interval_s, now_s + chance() * jitter_share * interval_s)


def after(group: Group, jitter_share: float, now_s: float, chance: Callable[[], float]) -> Group:
    """Return the group with its next time, after a pass that ended now.

    What was missed (a long pass, a suspended machine) is not made up for, and a pass that was asked for before its time
    stands for the next one: however many are asked for, the gate never waits longer than an interval.
    """
    step_s = group.interval_s * (1.0 + jitter_share * (chance() - 0.5))
    base_s = group.due_s if now_s - step_s < group.due_s <= now_s else now_s
    return group._replace(due_s=base_s + step_s)


def next_of(groups: Iterable[Group]) -> Group:
    return min(groups, key=lambda group: group.due_s)
