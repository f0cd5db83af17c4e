"""Which tasks may begin now: pure.

A node does one thing at a time, and the tasks of its phases in order. Of all nodes, and of each partition, only so
many are at work at once.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from nodeproof.slurm.placed import Placed
from nodeproof_bench.campaign.book_rows import Task
from nodeproof_bench.campaign.phases import share_limit
from nodeproof_bench.campaign.plan import Plan

_AT_WORK = frozenset({"ALLOCATED", "MIXED"})
_NOT_FREE = frozenset({"COMPLETING", "PLANNED", "POWERED_DOWN", "POWERING_DOWN", "REBOOT_ISSUED", "NOT_RESPONDING"})


class Room:
    """How many more nodes may be at work. `fleet` is all nodes of the cluster, `at_work` those that are, for us."""

    def __init__(self, plan: Plan, fleet: Mapping[str, Placed], at_work: Collection[str]) -> None:
        submit, partition = plan.submit, plan.job_partition
        self._fleet = fleet
        self._left = submit.nodes_at_once - len(at_work)
        totals = Counter(p for placed in fleet.values() for p in placed.node.partitions)
        self._left_of = {p: share_limit(submit.share_of_partition, total) for p, total in totals.items()}
        if partition:  # jobs run in that one, whatever others their nodes are in
            self._left_of = {partition: self._left_of.get(partition, 0)}
        for node in at_work:
            self._count(node)

    def take(self, nodes: Sequence[str]) -> bool:
        """Take room for these nodes. Returns whether there was."""
        if len(nodes) > self._left:
            return False
        wanted = Counter(p for node in nodes for p in self._partitions(node))
        if any(count > self._left_of[p] for p, count in wanted.items()):
            return False
        self._left -= len(nodes)
        for node in nodes:
            self._count(node)
        return True

    def _count(self, node: str) -> None:
        for partition in self._partitions(node):
            self._left_of[partition] -= 1

    def _partitions(self, node: str) -> list[str]:
        placed = self._fleet.get(node)
        return [p for p in placed.node.partitions if p in self._left_of] if placed else []


def is_free(placed: Placed) -> bool:
    """Tell whether a job would begin at once: nobody's job is there, and the node is in service."""
    node = placed.node
    return node.base_state == "IDLE" and not node.is_out_of_service and not node.flags & _NOT_FREE


def is_busy(placed: Placed) -> bool:
    """Tell whether somebody's job is there."""
    return placed.node.base_state in _AT_WORK or "COMPLETING" in placed.node.flags


def ready(
    tasks: Sequence[Task], at_work: Collection[str], open_phases: Mapping[str, str], fleet: Mapping[str, Placed]
) -> Iterator[Task]:
    """Yield waiting tasks in their order that no other task of their nodes stands before: those of free nodes first.

    `open_phases`: for each node the first phase in which it has something left to do.
    """
    taken = set(at_work)
    able = [task for task in tasks if all(open_phases.get(node) == task.phase for node in task.nodes)]
    for is_second in (False, True):
        for task in able:
            if taken & set(task.nodes):
                continue
            free = all(node in fleet and is_free(fleet[node]) for node in task.nodes)
            if free != is_second:
                taken |= set(task.nodes)
                yield task


def open_phases(tasks: Sequence[Task], final: Collection[str]) -> dict[str, str]:
    """Return for each node the phase of its first task, in the order of tasks, that is not final."""
    found: dict[str, str] = {}
    for task in tasks:
        if task.state not in final:
            for node in task.nodes:
                found.setdefault(node, task.phase)
    return found
