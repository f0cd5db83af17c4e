"""What the guard makes of a fleet, for people: budget, use, and what it would say to one more drain. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from nodeproof.policy.settings import GuardSettings
from nodeproof.slurm.guard import Fleet, Usage, admit, recently_drained, usage
from nodeproof.slurm.node import Node
from nodeproof.slurm.wish import Wish, check_of, parts


class Share(NamedTuple):
    """The use of one partition's budget, or of that of all nodes ("").

    `why_not` is what the guard would say to one more drain there, for a check that drained no node lately;
    "" where it would let it through.
    """

    partition: str
    usage: Usage
    why_not: str


class Budget(NamedTuple):
    """`shares`: all nodes, then each partition. `drains`: nodes that we drained in the guard's window.

    `checks`: how many of them for each check. `drained`: all nodes that our drains hold now, latest first.
    """

    shares: tuple[Share, ...]
    drains: int
    checks: Mapping[str, int]
    drained: tuple[Node, ...]


def budget_of(fleet: Fleet, settings: GuardSettings) -> Budget:
    """Return how much of the guard's limits is used."""
    partitions = sorted({name for node in fleet.nodes.values() for name in node.partitions})
    lately = recently_drained(fleet, settings)
    checks = Counter(check_of(found[1]) for node in lately if (found := parts(node.reason)))
    drained = [node for node in fleet.nodes.values() if node.is_drained and parts(node.reason)]
    return Budget(
        (_share(fleet, settings, None), *(_share(fleet, settings, name) for name in partitions)),
        len(lately),
        dict(checks.most_common()),
        tuple(sorted(drained, key=lambda node: (-node.reason_changed_at, node.name))),
    )


def _share(fleet: Fleet, settings: GuardSettings, partition: str | None) -> Share:
    used = usage(fleet, settings, partition)
    for node in fleet.nodes.values():
        if not node.is_out_of_service and (partition is None or partition in node.partitions):
            return Share(partition or "", used, _why_not(fleet, settings, node, partition))
    return Share(partition or "", used, "no node is in service")


def _why_not(fleet: Fleet, settings: GuardSettings, node: Node, partition: str | None) -> str:
    """Ask the guard, as if the node were in no other partition."""
    node = node._replace(partitions=() if partition is None else (partition,))
    wish = Wish(node.name, "drain", text="none.yet: asked by nobody")
    held = admit([wish], fleet._replace(nodes={**fleet.nodes, node.name: node}), settings)[1]
    return held.get(node.name, "")
