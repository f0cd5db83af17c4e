"""Before and after: a row for each metric, every node at the place of its change, worse to the left."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nodeproof_bench.campaign.report.plots.axis import MINUS, Axis, Tick, axis, ticks
from nodeproof_bench.campaign.report.plots.labels import Label, Wanted, placed

#: A row is higher by the names of nodes, where some have changed.
WIDTH, ROW, NAMES = 360, 33.0, 12.0
_LEFT, _RIGHT, _TOP = 8.0, 352.0, 6.0

#: Where in its row things are: the name of the metric, and above the foot the names of nodes, and the nodes.
_NAME_Y, _LABEL_UP, _LINE_UP = 10.0, 24.0, 11.0

#: What changed more is drawn at the end, in percent; below the least the axis would show nothing but noise.
_FAR, _LEAST = 60.0, 2.0

#: Of more nodes a bar is drawn, from the 5th percentile to the 95th.
_MOST_TICKS = 400


class Row(NamedTuple):
    """One metric of one class; `y` is where its line is."""

    title: str
    title_y: float
    y: float
    nodes: Sequence[float]
    bar: tuple[float, float]
    middle: float
    marks: Sequence[float]
    labels: Sequence[Label]
    unnamed: int


class ChangeRows(NamedTuple):
    height: float
    axis_y: float
    zero: float
    ticks: Sequence[Tick]
    rows: Sequence[Row]


def change_rows(changes: Sequence[Mapping[str, Any]], *, has_classes: bool) -> ChangeRows:
    """Return the drawing of changes as the document has them."""
    percents = [-100 * c["losses"]["quantiles"][share] for c in changes for share in ("0", "1")]
    low, high = max(-_FAR, min([-_LEAST, *percents])), min(_FAR, max([_LEAST, *percents]))
    on = axis(low, high, _LEFT, _RIGHT)
    heights = [ROW + (NAMES if change["changed"] else 0.0) for change in changes]
    feet = [_TOP + sum(heights[: n + 1]) for n in range(len(heights))]
    foot = feet[-1]
    return ChangeRows(
        height=foot + 30,
        axis_y=foot + 4,
        zero=on.x(0.0),
        ticks=ticks(on, "%")[0],
        rows=[
            _row(change, on, foot - height, foot, has_classes=has_classes)
            for change, foot, height in zip(changes, feet, heights, strict=True)
        ],
    )


def _row(change: Mapping[str, Any], on: Axis, top: float, foot: float, *, has_classes: bool) -> Row:
    changed, quantiles = change["changed"], change["losses"]["quantiles"]
    known = {row["node"] for row in changed}
    others = [on.x(-100 * row["loss"]) for row in change["values"] if row["node"] not in known]
    y = foot - _LINE_UP
    marks = [on.x(-100 * row["loss"]) for row in changed]
    wanted = [
        Wanted(x, y, f"{row['node']} {-100 * row['loss']:+.1f} %".replace("-", MINUS))
        for x, row in zip(marks, changed, strict=True)
    ]
    labels = placed(wanted, (foot - _LABEL_UP,), _LEFT, _RIGHT)
    name = f"{change['metric']}, {change['class']}" if has_classes and change["class"] else change["metric"]
    return Row(
        title=name if len(name) <= 60 else f"{name[:59]}…",
        title_y=top + _NAME_Y,
        y=y,
        nodes=others if len(others) <= _MOST_TICKS else (),
        bar=(on.x(-100 * quantiles["0.95"]), on.x(-100 * quantiles["0.05"])),
        middle=on.x(-100 * change["losses"]["median"]),
        marks=marks,
        labels=labels,
        unnamed=len(wanted) - len(labels),
    )
