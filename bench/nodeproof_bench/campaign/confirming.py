"""Which measurements confirm what stood out: pure. What they came to, `campaign.assess` tells."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nodeproof_bench.analysis.tournament import confirming
from nodeproof_bench.campaign.book import Measured
from nodeproof_bench.campaign.book_rows import FindingRow, NodeRow, Task
from nodeproof_bench.campaign.figures import label
from nodeproof_bench.campaign.phases import CONFIRM, pair_tasks, single_tasks
from nodeproof_bench.campaign.plan import Phase, Plan

#: Findings that no measurement confirms: better than others, disturbed by somebody, or a check that failed, for which
#: policy says what follows, and the agent sees to it.
_NOT_MEASURED_AGAIN = frozenset({"too_good", "disturbed", "check"})


class Suspects(NamedTuple):
    """Nodes to measure again, by the phase in which they stood out."""

    by_phase: Mapping[str, list[str]]

    @property
    def nodes(self) -> set[str]:
        return {node for nodes in self.by_phase.values() for node in nodes}


def is_suspect(finding: FindingRow) -> bool:
    """Tell whether a finding says that a node may be worse than it should be."""
    return bool(finding.node) and finding.state == "suspect" and finding.detector not in _NOT_MEASURED_AGAIN


def known_good(nodes: Iterable[NodeRow], findings: Iterable[FindingRow], over: Iterable[Task]) -> set[str]:
    """Return the nodes that a suspect may meet: they take part, were not found slow, and no task of their own failed.

    A pair's failed task tells nothing: it may be the other node's fault.
    """
    included = {row.node for row in nodes if row.state == "included"}
    slow = {finding.node for finding in findings if finding.detector not in _NOT_MEASURED_AGAIN}
    failed = {task.nodes[0] for task in over if len(task.nodes) == 1 and task.state != "done"}
    return included - slow - failed


def suspects(findings: Sequence[FindingRow], measured: Iterable[Measured], plan: Plan) -> Suspects:
    """Return which nodes to measure again, and in which phase: the first that measured what they stood out in."""
    phase_of = _phases_of(measured, plan)
    found: dict[str, list[str]] = {}
    for finding in findings:
        phase = phase_of.get(finding.metric, "")
        if is_suspect(finding) and phase and finding.node not in found.setdefault(phase, []):
            found[phase].append(finding.node)
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
        nodes = sorted(found.by_phase.get(phase.name, ()))
        again = phase.model_copy(update={"name": f"{CONFIRM}{phase.name}"})
        if nodes and phase.kind == "pairs":
            rounds = confirming(nodes, list(good), plan.act.confirmations, plan.seed, switches)
            made += pair_tasks(campaign_id, again, rounds, switches, first + len(made))
        elif nodes:
            made += _repeated(campaign_id, again, nodes, plan.act.confirmations, first + len(made))
    return made


def _repeated(campaign_id: str, phase: Phase, nodes: Sequence[str], times: int, first: int) -> list[Task]:
    return [
        task
        for n in range(times)
        for task in single_tasks(campaign_id, phase, nodes, first + n * len(nodes), repeat=n + 1)
    ]
