"""How many nodes may be taken out of service, whatever our checks say. Pure.

A fault of a check, of policy or of the fabric fails on every node at once. So a drain is let through only
while few nodes are out of service, few were drained lately, and few for the same check.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nodeproof.policy.settings import GuardSettings
from nodeproof.slurm.node import Node
from nodeproof.slurm.wish import Wish, check_of, parts
from nodeproof.verdict import plural


class Fleet(NamedTuple):
    """All nodes by name, and when they were read: seconds since the epoch, by Slurm's clock where it is known."""

    nodes: Mapping[str, Node]
    now: int


class Usage(NamedTuple):
    """How many nodes there are, how many are out of service, and how many may be."""

    total: int
    out: int
    limit: int


def usage(fleet: Fleet, settings: GuardSettings, partition: str | None = None) -> Usage:
    """Return how much of the budget is used: in a partition, or in all."""
    nodes = [n for n in fleet.nodes.values() if partition is None or partition in n.partitions]
    return usage_of(len(nodes), sum(n.is_out_of_service for n in nodes), settings)


def usage_of(total: int, out: int, settings: GuardSettings) -> Usage:
    """Return the usage of nodes that were only counted."""
    # a little more: 0.29 * 100 is below 29
    return Usage(total, out, max(settings.nodes, int(settings.share * total + 1e-6)))


def recent(fleet: Fleet, settings: GuardSettings) -> int:
    """Return how many nodes we drained in the window, whatever became of them."""
    return len(recently_drained(fleet, settings))


def recently_drained(fleet: Fleet, settings: GuardSettings) -> list[Node]:
    """Return the nodes whose reason is ours and was written in the window."""
    since_s = fleet.now - settings.window_s
    return [n for n in fleet.nodes.values() if n.reason_changed_at > since_s and parts(n.reason)]


def admit(
    wishes: Sequence[Wish], fleet: Fleet, settings: GuardSettings, demand: Mapping[str, int] = {}
) -> tuple[list[Wish], dict[str, str]]:
    """Return the drains that may be made now, in their order, and by node why the others may not.

    `demand` says for each check how many nodes that are in service want a drain for it, where more is known
    than these wishes. The oldest decision comes first, then by name.
    """
    admitted, held = list[Wish](), dict[str, str]()
    budget = _Budget(fleet, settings)
    faults = _faults(wishes, fleet, settings, demand)
    for wish in sorted(wishes, key=lambda w: (w.decided_at, w.node)):
        node = fleet.nodes.get(wish.node)
        if node is None or node.is_out_of_service or wish.node in {w.node for w in admitted}:
            held[wish.node] = "it is not known to be in service"
        elif why := faults.get(check_of(wish.text)) or budget.why_not(node):
            held[wish.node] = why
        else:
            admitted.append(wish)
            budget.use(node)
    return admitted, held


def before_drain(fleet: Fleet, name: str, *, with_ties: bool) -> Fleet:
    """Return the fleet as it was before our drain of a node: without that, and without our later ones.

    Slurm tells the second of a drain. `with_ties`: of those in the same second all came before, and not
    only those with a lesser name. If each node that drained itself stays within the budget so read, all
    together do, in whatever order they wrote and read.
    """
    ours = fleet.nodes[name]

    def is_later(node: Node) -> bool:
        if with_ties:
            return node.reason_changed_at > ours.reason_changed_at
        return (node.reason_changed_at, node.name) > (ours.reason_changed_at, name)

    before = {
        n.name: n._replace(flags=n.flags - {"DRAIN"}, reason="") if parts(n.reason) and is_later(n) else n
        for n in fleet.nodes.values()
    }
    before[name] = ours._replace(base_state="IDLE", flags=frozenset(), reason="")
    return fleet._replace(nodes=before)


class _Budget:
    """What is left of each limit while drains are let through."""

    def __init__(self, fleet: Fleet, settings: GuardSettings) -> None:
        self._settings = settings
        self._recent = recent(fleet, settings)
        self._usages = {None: usage(fleet, settings), **_by_partition(fleet.nodes.values(), settings)}
        self._taken: Counter[str | None] = Counter()

    def why_not(self, node: Node) -> str | None:
        """Return why this node may not be drained as well, or None."""
        for partition in (None, *node.partitions):
            total, out, limit = self._usages[partition]
            out += self._taken[partition]
            if out + 1 > limit:
                where = f" of partition {partition}" if partition is not None else ""
                return f"{out} of {plural(total, 'node')}{where} are out of service, the limit is {limit}"
        drains = self._recent + self._taken[None]
        if drains + 1 > self._settings.drains:
            window = f"{self._settings.window_s / 60:.3g} minutes"
            return f"{plural(drains, 'node')} drained within {window}, the limit is {self._settings.drains}"
        return None

    def use(self, node: Node) -> None:
        self._taken.update({None, *node.partitions})


def _by_partition(nodes: Iterable[Node], settings: GuardSettings) -> dict[str | None, Usage]:
    total, out = Counter[str](), Counter[str]()
    for node in nodes:
        total.update(set(node.partitions))
        if node.is_out_of_service:
            out.update(set(node.partitions))
    return {p: usage_of(total[p], out[p], settings) for p in total}


def _faults(wishes: Sequence[Wish], fleet: Fleet, settings: GuardSettings, demand: Mapping[str, int]) -> dict[str, str]:
    """Return why no node may be drained for a check: it fails on so many that the fault is elsewhere."""
    wanting: dict[str, set[str]] = {}
    for wish in wishes:
        wanting.setdefault(check_of(wish.text), set()).add(wish.node)
    drained = [(n.name, check_of(found[1])) for n in recently_drained(fleet, settings) if (found := parts(n.reason))]
    faults, limit = {}, f"the limit is {settings.same_check_nodes}: a fault of the check or the fabric"
    for check, names in wanting.items():
        count = max(len(names), demand.get(check, 0)) + sum(c == check and name not in names for name, c in drained)
        if count > settings.same_check_nodes:
            faults[check] = f"{check} fails on {plural(count, 'node')} at once, {limit}"
    return faults
