"""One word for each node, and why: ok, suspect, bad, unknown or skipped.

Bad is what is proven: a finding that repeats confirmed, or a check that failed. Suspect is a finding that nothing has
confirmed yet. Unknown is neither healthy nor sick: a task that gave no result, a figure that was disturbed, a check
that could not tell here and could on other nodes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from nodeproof.verdict import named, plural
from nodeproof_bench.campaign.book_rows import FindingRow, NodeRow
from nodeproof_bench.campaign.report.gathered import Gathered, plain_name
from nodeproof_bench.units import scaled

#: From worst to best.
WORDS = ("bad", "suspect", "unknown", "ok", "skipped")

#: What a finding makes of a node; one that was cleared nothing.
_WORD_OF_STATE = {"confirmed": "bad", "suspect": "suspect", "could-not-tell": "unknown"}

#: States of a task that say that a result is missing, in the words of a sentence.
_WITHOUT_RESULT = {"failed": "failed", "cancelled": "was cancelled", "skipped": "was skipped"}


class Reason(NamedTuple):
    """Why a node is what it is. `weight` orders reasons of one word."""

    word: str
    text: str
    weight: float = 0.0


def judged(gathered: Gathered) -> list[dict[str, Any]]:
    """Return all nodes with verdict and reasons, the worst first."""
    reasons = _reasons(gathered)
    seconds: dict[str, float] = {}
    for job in gathered.jobs:
        seconds[job.node] = seconds.get(job.node, 0.0) + (job.node_seconds or 0.0)
    heard = {node for series in gathered.series for node in series.values}
    heard |= {result.node for result in gathered.results if result.sha256}
    rows = [
        _row(node, reasons.get(node.node, []), seconds.get(node.node, 0.0), node.node in heard)
        for node in gathered.nodes
    ]
    return sorted(rows, key=lambda r: (WORDS.index(r["verdict"]), -r["weight"], r["node"]))


def _row(node: NodeRow, reasons: list[Reason], seconds: float, has_result: bool) -> dict[str, Any]:
    if node.state != "included":
        reasons = [Reason("skipped", node.why or "left out")]
    elif not reasons and not has_result:
        reasons = [Reason("unknown", "no result came")]
    ordered = sorted(reasons, key=lambda r: (WORDS.index(r.word), -r.weight, r.text))
    return {
        "node": node.node,
        "verdict": ordered[0].word if ordered else "ok",
        "why": [reason.text for reason in ordered],
        "weight": ordered[0].weight if ordered else 0.0,
        "class": node.hardware_class,
        "switch": node.switch,
        "address": node.address,
        "partitions": list(node.partitions),
        "node_hours": seconds / 3600,
    }


def _reasons(gathered: Gathered) -> dict[str, list[Reason]]:
    reasons: dict[str, list[Reason]] = {}
    for node, reason in [
        *_of_findings(gathered),
        *_of_checks(gathered),
        *_of_tasks(gathered),
        *_of_disturbed(gathered),
    ]:
        reasons.setdefault(node, []).append(reason)
    return reasons


def _of_findings(gathered: Gathered) -> Iterator[tuple[str, Reason]]:
    """Yield one reason for each node and metric: a slow part is slow before the stress and after it."""
    units = gathered.units
    groups: dict[tuple[str, str], list[FindingRow]] = {}
    for finding in gathered.findings:
        if finding.node and finding.state in _WORD_OF_STATE:
            groups.setdefault((finding.node, plain_name(finding.metric)), []).append(finding)
    for (node, metric), found in groups.items():
        first, *others = sorted(found, key=lambda f: (WORDS.index(_WORD_OF_STATE[f.state]), len(f.metric), f.detector))
        weight = max(1.0 if f.loss is None else abs(f.loss) for f in found)
        text = sentence(first, units.get(first.metric, ""))
        if also := [words for f in others if (words := _also(f, first, metric))]:
            text += f"; also {', '.join(dict.fromkeys(also))}"
        yield node, Reason(_WORD_OF_STATE[first.state], text, weight)


def _also(other: FindingRow, first: FindingRow, metric: str) -> str:
    """Return in which other respect a metric was found bad, shortly."""
    if other.metric != first.metric:
        return other.metric.removeprefix(metric).strip() or "before the stress"
    return {"history": "against its own past", "distribution": "unsteady"}.get(other.detector, "")


def sentence(finding: FindingRow, unit: str) -> str:
    """Return what was found in one sentence: as the analysis says it, or from its figures."""
    action = f" ({finding.action})" if finding.action else ""
    if finding.text:
        return f"{finding.text}{action}"
    words = finding.metric or finding.detector
    if finding.value is not None and unit:
        words += f" {scaled(finding.value, unit)}"
    if finding.expected is not None and unit:
        words += f", expected {scaled(finding.expected, unit)}"
    if finding.loss is not None:
        words += f": {shown_loss(finding.loss)}"
    return f"{words} ({finding.detector}){action}"


def shown_loss(loss: float) -> str:
    """Return `12.0 % worse` or `3.1 % better`."""
    return f"{100 * abs(loss):.1f} % {'worse' if loss >= 0 else 'better'}"


def blind_checks(gathered: Gathered) -> list[str]:
    """Return the checks that could not tell on most nodes: jobs are not root, say. That is said once, and loudly.

    It is no reason against a node: it would hide the few of which less is known than of the others.
    """
    told = {verdict.node for verdict in gathered.verdicts}
    unknown = {(verdict.check_id, verdict.node) for verdict in gathered.verdicts if verdict.status == "unknown"}
    counts = Counter(check_id for check_id, _ in unknown)
    return sorted(check_id for check_id, count in counts.items() if 2 * count > len(told))


def _of_checks(gathered: Gathered) -> Iterator[tuple[str, Reason]]:
    """Yield the checks that failed, each with its newest words, and in one reason those that could not tell.

    A check that has a finding is left to that one: it knows whether the failure was confirmed, or is over. What failed
    between two nodes is left to findings altogether: one of them is a healthy partner.
    """
    found = {(finding.node, finding.metric) for finding in gathered.findings}
    alone = {task.task for task in gathered.tasks if len(task.nodes) == 1}
    newest = {(v.node, v.check_id, v.status): v for v in gathered.verdicts if v.task in alone or v.status != "fail"}
    blind = set(blind_checks(gathered))
    unclear: dict[str, list[str]] = {}
    for verdict in newest.values():
        if verdict.status == "fail" and (verdict.node, verdict.check_id) not in found:
            yield verdict.node, Reason("bad", f"{verdict.check_id}: {verdict.summary}", 1.0)
        elif verdict.status == "unknown" and verdict.check_id not in blind:
            unclear.setdefault(verdict.node, []).append(verdict.check_id)
    for node, ids in unclear.items():
        yield node, Reason("unknown", f"{plural(len(ids), 'check')} could not tell: {named(sorted(ids))}", len(ids))


def _of_tasks(gathered: Gathered) -> Iterator[tuple[str, Reason]]:
    """Yield what gave no result. Of pairs most have to be missing: a partner that is gone is no fault of the node."""
    is_over = gathered.campaign.state != "running"
    problems = {(r.task, r.node): r.problem for r in gathered.results if r.problem and not r.sha256}
    pairs, missing = Counter[str](), Counter[str]()
    for task in gathered.tasks:
        is_missing = task.state != "done" and (is_over or task.state in _WITHOUT_RESULT)
        if len(task.nodes) > 1:
            pairs.update(task.nodes)
            missing.update(task.nodes if is_missing else ())
        elif is_missing:
            why = problems.get((task.task, task.nodes[0])) or task.why
            words = f"{_called(task.phase, task.kind)} {_WITHOUT_RESULT.get(task.state, 'was not run')}"
            yield task.nodes[0], Reason("unknown", f"{words}: {why}" if why else words)
    for node, count in missing.items():
        if 2 * count > pairs[node]:
            yield node, Reason("unknown", f"{count} of {plural(pairs[node], 'pair')} gave no result")


def _called(phase: str, kind: str) -> str:
    return phase if phase == kind else f"{phase} ({kind})"


def _of_disturbed(gathered: Gathered) -> Iterator[tuple[str, Reason]]:
    found: dict[str, list[str]] = {}
    for series in gathered.series:
        for node in series.inconclusive:
            found.setdefault(node, []).append(series.metric)
    for node, metrics in found.items():
        words = f"{plural(len(metrics), 'metric')} inconclusive: {named(sorted(metrics))}"
        yield node, Reason("unknown", words, len(metrics))


def counted(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many nodes have each word, all words in their order."""
    words = [row["verdict"] for row in rows]
    return {word: words.count(word) for word in WORDS}
