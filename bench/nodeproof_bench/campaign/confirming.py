"""Which measurements confirm what stood out: pure. What they came to, `campaign.assess` tells."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from nodeproof_bench.analysis.fleet import Finding
from nodeproof_bench.analysis.tournament import confirming
from nodeproof_bench.campaign.book import Measured
from nodeproof_bench.campaign.book_rows import FindingRow, NodeRow, Task
from nodeproof_bench.campaign.figures import label
from nodeproof_bench.campaign.phases import CONFIRM, pair_tasks, single_tasks
from nodeproof_bench.campaign.plan import Phase, Plan
from nodeproof_bench.suites import BENCHMARKS

#: Findings that say nothing against a node: it is better than others, or disturbed by somebody. No measurement confirms
#: them.
_NOT_AGAINST_IT = frozenset({"too_good", "disturbed"})

_NO_DOUBTS: Mapping[FindingRow, int] = MappingProxyType({})
_NO_CHECKS: Mapping[tuple[str, str], str] = MappingProxyType({})


#: These are about many metrics: whatever the phase measures is measured again.
_OF_MANY = frozenset({"part", "distribution", "check"})

#: All benchmarks of a phase.
ALL = ""


class Suspects(NamedTuple):
    """How many times to measure what of which nodes again: by the phase in which it stood out, node, and benchmark."""

    by_phase: Mapping[str, Mapping[str, Mapping[str, int]]]

    @property
    def nodes(self) -> set[str]:
        return {node for nodes in self.by_phase.values() for node in nodes}


def is_suspect(finding: FindingRow) -> bool:
    """Tell whether a finding says that a node may be worse than it should be."""
    return bool(finding.node) and finding.state == "suspect" and finding.detector not in _NOT_AGAINST_IT


def known_good(nodes: Iterable[NodeRow], findings: Iterable[FindingRow | Finding], over: Iterable[Task]) -> set[str]:
    """Return the nodes that a suspect may meet: they take part, nothing was found, and no task of their own failed.

    A pair's failed task tells nothing: it may be the other node's fault.
    """
    included = {row.node for row in nodes if row.state == "included"}
    found = {finding.node for finding in findings if finding.detector not in _NOT_AGAINST_IT}
    failed = {task.nodes[0] for task in over if len(task.nodes) == 1 and task.state != "done"}
    return included - found - failed


def suspects(
    findings: Iterable[FindingRow],
    measured: Iterable[Measured],
    plan: Plan,
    doubts: Mapping[FindingRow, int] = _NO_DOUBTS,
    check_phases: Mapping[tuple[str, str], str] = _NO_CHECKS,
) -> Suspects:
    """Return which nodes to measure again, how many times, and in which phase: the first that measured what stood out.

    `doubts` are measured again as many times as they say. A failed check is if `check_phases` names its phase by node
    and check: of all others policy says what follows, and the agent sees to it.
    """
    phase_of, usual = _phases_of(measured, plan), plan.act.confirmations
    found: dict[str, dict[str, dict[str, int]]] = {}
    for finding, times in [*((finding, usual) for finding in findings), *doubts.items()]:
        is_check = finding.detector == "check"
        phase = check_phases.get((finding.node, finding.metric)) if is_check else phase_of.get(finding.metric)
        if is_suspect(finding) and phase:
            of_node = found.setdefault(phase, {}).setdefault(finding.node, {})
            word = finding.metric.partition(" ")[0]  # what nodes say: it need not be a benchmark
            what = word if word in BENCHMARKS and finding.detector not in _OF_MANY else ALL
            of_node[what] = max(times, of_node.get(what, 0))
    return Suspects(found)


def _phases_of(measured: Iterable[Measured], plan: Plan) -> dict[str, str]:
    """Return the first phase, in the plan's order, of each name under which samples are judged."""
    phases = {phase.name: (n, phase.kind) for n, phase in enumerate(plan.named_phases())}
    known = sorted((m for m in measured if m.phase in phases), key=lambda m: phases[m.phase])
    found: dict[str, str] = {}
    for metric, phase, is_pair in known:
        kind = phases[phase][1]
        if is_pair:
            found.setdefault(metric, phase)
        elif kind in {"bench", "repeat", "stress"}:
            for is_sustained in (False, True):
                found.setdefault(label(metric, kind, is_sustained=is_sustained), phase)
    return found


def tasks(  # noqa: PLR0913, PLR0917  # what a design depends on
    campaign_id: str, plan: Plan, found: Suspects, good: Iterable[str], switches: Mapping[str, str], first: int
) -> list[Task]:
    """Return the tasks that measure suspects again, pairs with nodes that nothing is known against."""
    made: list[Task] = []
    for phase in plan.named_phases():
        wanted = found.by_phase.get(phase.name, {})
        nodes = sorted(wanted)
        again = phase.model_copy(update={"name": f"{CONFIRM}{phase.name}"})
        if nodes and phase.kind == "pairs":
            rounds = confirming(nodes, list(good), plan.act.confirmations, plan.seed, switches)
            made += pair_tasks(campaign_id, again, rounds, switches, first + len(made))
        elif nodes:
            made += _repeated(campaign_id, again, wanted, first + len(made))
    return made


def _repeated(campaign_id: str, phase: Phase, wanted: Mapping[str, Mapping[str, int]], first: int) -> list[Task]:
    """Return tasks, one for each time, of what is wanted so often: a stress is what it is, and never done in part."""
    made: list[Task] = []
    for n in range(1, max(times for of_node in wanted.values() for times in of_node.values()) + 1):
        left = {node: {what for what, times in of_node.items() if times >= n} for node, of_node in wanted.items()}
        nodes = sorted(node for node, what in left.items() if what)
        for task in single_tasks(campaign_id, phase, nodes, first + len(made), repeat=n):
            what = left[task.nodes[0]]
            is_whole = ALL in what or phase.kind == "stress"
            made.append(task if is_whole else task._replace(suite=" ".join(sorted(what))))
    return made
