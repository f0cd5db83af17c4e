"""Judge a campaign: read its samples, let the analysis name nodes and paths, and write the findings into the book.

May be called at any time and as often as one likes: the same samples give the same findings. What was done about a
finding stays with it.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from nodeproof_bench.analysis import robust
from nodeproof_bench.analysis.again import Fresh, judge_again, times_again
from nodeproof_bench.analysis.detectors import LEAST_OTHERS
from nodeproof_bench.analysis.fleet import THOROUGH, Fleet, Judgement, Rules
from nodeproof_bench.analysis.judging import First, examine
from nodeproof_bench.analysis.pair_model import PairFit, PairValue, Suspect, fit
from nodeproof_bench.analysis.robust import Floats
from nodeproof_bench.analysis.ruled_out import resolution
from nodeproof_bench.analysis.words import suspect_in_words
from nodeproof_bench.campaign import failed_checks
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign, FindingRow, NodeRow, Task
from nodeproof_bench.campaign.figures import AFTER_STRESS, Table, figures, read_single
from nodeproof_bench.campaign.floors import with_limits
from nodeproof_bench.campaign.phases import CONFIRM
from nodeproof_bench.campaign.recheck import recheck
from nodeproof_bench.campaign.states import key_of, row_of, settled
from nodeproof_bench.stats import BEFORE, median

#: Detectors of ours. Findings of others stay as they are.
DETECTORS = frozenset(
    {"limit", "class", "part", "history", "profile", "distribution", "disturbed", "too_good", "pairs", "check"}
)

#: How often a suspect is measured again where the plan cannot tell.
CONFIRMATIONS = 2

#: Pairs between two classes are compared among each other, if there are so many.
_LEAST_PAIRS = 8


class Assessment(NamedTuple):
    """What the analysis says of a campaign: of single nodes, and of pairs by metric.

    `doubts` are no findings, but to be measured again, each so many times. `check_phases` are those in which checks of
    what was measured failed, by node and check. `resolution` is, by class and metric, the loss that would be seen in
    nearly every node (None: too few nodes to compare), `wanted_loss` the one that is looked for.
    """

    judgement: Judgement
    pair_fits: Mapping[str, PairFit]
    doubts: Mapping[FindingRow, int] = MappingProxyType({})
    check_phases: Mapping[tuple[str, str], str] = MappingProxyType({})
    resolution: Mapping[tuple[str, str], float | None] = MappingProxyType({})
    wanted_loss: float = Rules().find_loss


def assess(book: Book, campaign_id: str, rules: Rules | None = None) -> Assessment:
    """Judge a campaign and store its findings. Raises BookError if there is none of that id."""
    campaign = book.campaign(campaign_id)
    rules = rules or (THOROUGH if _act(campaign.plan).get("effort") == "thorough" else Rules())
    included = [node for node in book.nodes(campaign_id) if node.state == "included"]
    tasks = book.tasks(campaign_id)
    by_number = {task.task: task for task in tasks}
    failed = failed_checks.failed_checks(book, campaign_id, by_number)
    fleet = with_limits(_fleet(book, campaign, included, tasks), book, campaign_id, failed, by_number)
    first = examine(fleet, rules)
    pairs, units = _pair_values(book, campaign_id, tasks, {n.node: n.hardware_class or "" for n in included})
    fits = {metric: fit(values, units[metric][1]) for metric, values in pairs.items()}
    found = [
        *(row_of(campaign_id, finding) for finding in first.judgement.findings),
        *(_pair_row(campaign_id, metric, s, units[metric][0]) for metric, one in fits.items() for s in one.suspects),
    ]
    confirming = {task.phase for task in tasks if task.phase.startswith(CONFIRM)}
    again = recheck(figures(book, campaign_id, confirming), tasks)
    at_last = judge_again(first, (Fresh(place, metric, one.times) for (place, metric), one in again.items()))
    needed = _confirmations(campaign.plan)
    rows = settled(found, [row_of(campaign_id, finding) for finding in at_last.findings], again, needed, rules)
    rows += failed_checks.findings(campaign_id, failed, by_number, needed)
    book.set_findings(campaign_id, _with_actions(rows, book.findings(campaign_id)))
    doubts = {row_of(campaign_id, doubt): times for doubt, times in times_again(first, needed).items()}
    shown = _resolution(first, at_last.below, rows)
    return Assessment(
        first.judgement, fits, doubts, failed_checks.phases(failed, by_number), shown, wanted_loss=rules.find_loss
    )


# -- single nodes


def _fleet(book: Book, campaign: Campaign, included: Sequence[NodeRow], tasks: Sequence[Task]) -> Fleet:
    nodes = [node.node for node in included]
    table = read_single(book, campaign.id, nodes, tasks)
    all_earlier = [*(_medians(book, old, included, table) for old in _earlier(book, campaign)), _before_stress(table)]
    earlier = [medians for medians in all_earlier if medians is not None]
    return Fleet(
        nodes,
        [node.hardware_class or "" for node in included],
        table.metrics,
        table.values,
        np.stack(earlier, axis=2) if earlier else None,
        table.disturbed,
    )


def _earlier(book: Book, campaign: Campaign) -> list[Campaign]:
    """Return the newest campaigns before this one that came to their end."""
    done = [c for c in book.campaigns() if c.state == "done" and c.created_at < campaign.created_at]
    return done[-BEFORE:]


def _medians(book: Book, old: Campaign, included: Sequence[NodeRow], table: Table) -> Floats | None:
    """Return what these nodes had in an earlier campaign, where they were of the same class and not found for it."""
    class_then = {node.node: node.hardware_class for node in book.nodes(old.id) if node.state == "included"}
    if not any(class_then.get(node.node, "-") == node.hardware_class for node in included):
        return None
    nodes = [node.node for node in included]
    then = read_single(book, old.id, nodes, book.tasks(old.id))
    place = {metric.name: n for n, metric in enumerate(then.metrics)}
    values = _middles(then)
    found = {(f.node, f.metric) for f in book.findings(old.id) if f.state != "cleared"}
    medians = np.full(table.values.shape[:2], np.nan)
    for number, metric in enumerate(table.metrics):
        if metric.name in place:
            medians[:, number] = values[:, place[metric.name]]
    for row, node in enumerate(included):
        if class_then.get(node.node, "-") != node.hardware_class:
            medians[row] = np.nan
        for number, metric in enumerate(table.metrics):
            if (node.node, metric.name) in found:
                medians[row, number] = np.nan
    return medians


def _middles(table: Table) -> Floats:
    if not table.values.size:
        return np.full(table.values.shape[:2], np.nan)
    return robust.better_middle(table.values, np.array([m.is_higher_better for m in table.metrics], bool))


def _before_stress(table: Table) -> Floats | None:
    """Return, for what was measured after the stress, what it was before: an earlier time like any other."""
    place = {metric.name: n for n, metric in enumerate(table.metrics)}
    before = [place.get(metric.name.removesuffix(AFTER_STRESS)) for metric in table.metrics]
    pairs = [(n, at) for n, at in enumerate(before) if at is not None and at != n]
    if not pairs:
        return None
    values, medians = _middles(table), np.full(table.values.shape[:2], np.nan)
    for number, at in pairs:
        medians[:, number] = values[:, at]
    return medians


def _resolution(first: First, below: Floats, rows: Sequence[FindingRow]) -> dict[tuple[str, str], float | None]:
    """Return what would be seen in the nodes that nothing was confirmed of; None where they are too few to compare."""
    confirmed = {row.node for row in rows if row.state == "confirmed"}
    apart = np.array([node in confirmed for node in first.fleet.nodes], bool)
    few = (place for place, one in first.judgement.baselines.items() if one.count <= LEAST_OTHERS)
    found = resolution(below, first.groups, apart)
    told = {(name, first.fleet.metrics[column].name): loss for (name, column), loss in found.items()}
    return {**dict.fromkeys(few), **told}


# -- pairs


def _pair_values(
    book: Book, campaign_id: str, tasks: Sequence[Task], classes: Mapping[str, str]
) -> tuple[dict[str, list[PairValue]], dict[str, tuple[str, bool]]]:
    """Return the values of each metric of pairs, with its unit and direction; not what only confirms findings.

    Pairs of other classes reach other values: each is compared with those of its kind, on the scale of all.
    """
    path_of, units = {task.task: task.path for task in tasks}, dict[str, tuple[str, bool]]()
    found = defaultdict[str, dict[tuple[str, str], list[PairValue]]](lambda: defaultdict(list))
    phases = {task.phase for task in tasks if not task.phase.startswith(CONFIRM)}
    for f in figures(book, campaign_id, phases, is_pair=True):
        is_known = f.node in classes and f.peer in classes and f.node != f.peer
        if not is_known or f.is_inconclusive or not 0 < f.value < np.inf:
            continue
        one, other = sorted((classes[f.node], classes[f.peer]))
        found[f.metric][one, other].append(PairValue(f.node, f.peer, path_of.get(f.task, ""), f.value))
        units[f.metric] = f.unit, bool(f.is_higher_better)
    return {metric: list(_on_one_scale(groups)) for metric, groups in found.items()}, units


def _on_one_scale(groups: Mapping[tuple[str, str], Sequence[PairValue]]) -> Iterator[PairValue]:
    if len(groups) == 1:
        yield from next(iter(groups.values()))
        return
    usual = median([pair.value for pairs in groups.values() for pair in pairs])
    for pairs in groups.values():
        if len(pairs) >= _LEAST_PAIRS:
            own = median([pair.value for pair in pairs])
            yield from (pair._replace(value=pair.value * usual / own) for pair in pairs)


def _pair_row(campaign_id: str, metric: str, found: Suspect, unit: str) -> FindingRow:
    return FindingRow(
        campaign_id,
        found.node,
        found.path,
        metric,
        "pairs",
        found.value,
        found.expected,
        found.loss,
        found.z,
        found.p,
        found.q,
        text=suspect_in_words(metric, unit, found),
    )


# -- what findings came to


def _confirmations(plan: str) -> int:
    """Return how often a suspect is to be measured again; the usual number for the plan of another version."""
    count = _act(plan).get("confirmations")
    return count if isinstance(count, int) else CONFIRMATIONS


def _act(plan: str) -> Mapping[str, Any]:
    """Return what a plan says of findings: nothing if another version wrote it in another way."""
    try:
        act = json.loads(plan)["act"]
    except (ValueError, KeyError, TypeError):
        return {}
    return act if isinstance(act, dict) else {}


def _with_actions(rows: Sequence[FindingRow], before: Sequence[FindingRow]) -> list[FindingRow]:
    """Return the new findings with what was done about them. One that was acted on stays, even if it is gone now."""
    acted = {key_of(row): row for row in before if row.action}
    kept = [row._replace(action=acted[key_of(row)].action) if key_of(row) in acted else row for row in rows]
    new = {key_of(row) for row in rows}
    gone = [row._replace(state="cleared") for key, row in acted.items() if key not in new and row.detector in DETECTORS]
    return [*kept, *gone, *(row for row in before if row.detector not in DETECTORS)]
