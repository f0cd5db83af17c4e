"""The report of a campaign in a terminal: counts, who is to be looked at and why, and what differs."""

from collections.abc import Iterator, Mapping
from typing import Any

from nodeproof.verdict import named, plural
from nodeproof_bench.campaign.report.distributions import OPEN
from nodeproof_bench.campaign.report.verdicts import WORDS
from nodeproof_bench.table import aligned

#: Lines of a part; `--json` and `--html` have the rest.
_MOST_LINES = 40


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines, worst first."""
    campaign, summary = document["campaign"], document["summary"]
    counts = [f"{summary['nodes'][word]} {word}" for word in WORDS if summary["nodes"][word]]
    yield from aligned(
        [[f"{campaign['name']} ({campaign['id']}), {campaign['state']}: {', '.join(counts) or 'no nodes'}"]]
    )
    yield (
        f"{summary['node_hours']:.1f} node-hours, {_tasks(summary['tasks'])}; {summary['tests']} comparisons, "
        f"{summary['expected_false_alarms']:.2g} nodes blamed by chance to be expected"
    )
    if blind := summary["blind_checks"]:
        yield f"Most nodes could not tell (were the jobs allowed to look?): {named(blind, 8)}"
    yield from unseen(document["resolution"], summary["wanted_loss"])
    yield from _attention(document["nodes"])
    yield from _paths(document["findings"])
    yield from _inventory(document["inventory"])
    yield from _heat(document["under_heat"])


def _tasks(tasks: Mapping[str, int]) -> str:
    states = [f"{count} {state}" for state, count in sorted(tasks.items())]
    return f"tasks: {', '.join(states) or 'none'}"


def unseen(resolution: list[dict[str, Any]], wanted_loss: float) -> Iterator[str]:
    """Yield what the campaign could not see, in sentences. Not to be found is no proof of health there."""
    few = [_of_class(row) for row in resolution if row["loss"] is None]
    if few:
        yield f"Too few nodes to compare with each other in {named(few, 4)}"
    coarse = [row for row in resolution if row["loss"] is not None and row["loss"] >= wanted_loss]
    if coarse:
        shown = [f"{_of_class(row)} only from {100 * row['loss']:.1f} %" for row in coarse]
        yield (
            f"A loss of {100 * wanted_loss:.0f} % would not be seen in {len(coarse)} of {len(resolution)} comparisons: "
            f"{named(shown, 4)}"
        )


def _of_class(row: Mapping[str, Any]) -> str:
    return f"{row['metric']} ({row['class']})" if row["class"] else str(row["metric"])


def _part(title: list[str], rows: list[list[str]]) -> Iterator[str]:
    if rows:
        yield ""
        yield from aligned([title, *rows[:_MOST_LINES]])
    if len(rows) > _MOST_LINES:
        yield f"… and {len(rows) - _MOST_LINES} more: see --json"


def _attention(nodes: list[dict[str, Any]]) -> Iterator[str]:
    rows = []
    for node in nodes:
        if node["verdict"] not in {"ok", "skipped"}:
            rows.append([node["node"], node["verdict"], node["why"][0]])
            rows += [["", "", why] for why in node["why"][1:4]]
            if len(node["why"]) > 4:
                rows.append(["", "", f"and {plural(len(node['why']) - 4, 'more reason')}"])
    yield from _part(["NODE", "VERDICT", "WHY"], rows)


def _paths(findings: list[dict[str, Any]]) -> Iterator[str]:
    rows = [[f["path"], f["state"], f["sentence"]] for f in findings if f["path"] and f["state"] in OPEN]
    yield from _part(["PATH", "STATE", "WHY"], rows)


def _inventory(found: list[dict[str, Any]]) -> Iterator[str]:
    rows = []
    for row in found:
        usual = "no majority" if row["majority_count"] is None else f"{row['majority_count']} of {row['nodes']}"
        says = [f"{odd['node']}: {'nothing' if odd['value'] is None else odd['value']}" for odd in row["odd"]]
        rows.append([row["key"], f"{row['majority'] or 'nothing'} ({usual})", named(says)])
    yield from _part(["FACT", "MOST NODES", "ODD ONES"], rows)


def _heat(changes: list[dict[str, Any]]) -> Iterator[str]:
    rows = [
        [row["node"], change["metric"], f"{-100 * row['loss']:+.1f} %"]
        for change in changes
        for row in change["changed"]
    ]
    yield from _part(["CHANGED UNDER HEAT", "METRIC", "BY"], rows)
