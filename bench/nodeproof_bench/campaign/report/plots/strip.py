"""One metric of one class: every node is a dot, the middle half a box, and who stands out is marked and named."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nodeproof_bench.campaign.report.plots.axis import Axis, Tick, axis, ticks
from nodeproof_bench.campaign.report.plots.labels import Label, Wanted, placed
from nodeproof_bench.campaign.report.verdicts import shown_loss

#: Where nobody is named, the room for names is left out.
WIDTH, HEIGHT, NAMES = 360, 136, 34
_LEFT, _RIGHT = 8.0, 352.0
_LABEL_ROWS = (11.0, 23.0, 35.0)
_MIDDLE, _HALF = 76.0, 28.0

#: The axis goes that many robust standard deviations far: who is farther away is drawn at its end.
_FAR_SIGMAS, _LEAST_SIGMA_SHARE = 30.0, 0.003

#: Of more nodes columns are drawn instead of dots.
_MOST_DOTS = 400
_DOT_STEP, _COLUMN = 5.0, 4.0


class Mark(NamedTuple):
    """Somebody who stands out. `is_off`: farther away than the axis goes."""

    x: float
    y: float
    is_proven: bool
    is_off: bool


class Strip(NamedTuple):
    """`dots` are drawn one by one, `columns` are x, y and height; whiskers and box are places on the axis."""

    top: int
    height: int
    axis_y: float
    ticks: Sequence[Tick]
    unit: str
    dots: Sequence[tuple[float, float]]
    columns: Sequence[tuple[float, float, float]]
    whiskers: tuple[float, float]
    box: tuple[float, float, float]
    marks: Sequence[Mark]
    labels: Sequence[Label]
    unnamed: int


def strip(metric: Mapping[str, Any]) -> Strip:
    """Return the drawing of a distribution as the document has it."""
    outliers = metric["outliers"]
    on = _axis(metric)
    marks = [Mark(on.x(o["value"]), _MIDDLE, o["state"] == "confirmed", not on.holds(o["value"])) for o in outliers]
    wanted = [Wanted(m.x, m.y, _words(o)) for m, o in zip(marks, outliers, strict=True)]
    labels = placed(wanted, _LABEL_ROWS, _LEFT, _RIGHT)
    known = {o["node"] for o in outliers}
    xs = [on.x(v["value"]) for v in metric["values"] if v["node"] not in known]
    shown_ticks, unit = ticks(on, metric["unit"])
    quantiles = metric["quantiles"]
    top = 0 if labels else NAMES
    return Strip(
        top=top,
        height=HEIGHT - top,
        axis_y=_MIDDLE + _HALF + 4,
        ticks=shown_ticks,
        unit=unit,
        dots=_dots(xs) if len(xs) <= _MOST_DOTS else (),
        columns=_columns(xs) if len(xs) > _MOST_DOTS else (),
        whiskers=(on.x(quantiles["0.05"]), on.x(quantiles["0.95"])),
        box=(on.x(quantiles["0.25"]), on.x(quantiles["0.5"]), on.x(quantiles["0.75"])),
        marks=marks,
        labels=labels,
        unnamed=len(wanted) - len(labels),
    )


def _words(outlier: Mapping[str, Any]) -> str:
    """Return a name and, shortly, what is odd: not all findings are about the value that is drawn."""
    lost, detector = outlier["loss"], outlier["detector"]
    if detector == "distribution":
        return f"{outlier['node']}: unsteady"
    if detector == "disturbed" or lost is None:
        return f"{outlier['node']}: {detector}"
    return f"{outlier['node']}: {shown_loss(lost)}{' than before' if detector == 'history' else ''}"


def _axis(metric: Mapping[str, Any]) -> Axis:
    middle, quantiles = metric["median"], metric["quantiles"]
    far = _FAR_SIGMAS * max(metric["sigma"], _LEAST_SIGMA_SHARE * abs(middle))
    low, high = max(quantiles["0"], middle - far), min(quantiles["1"], middle + far)
    return axis(low, high, _LEFT, _RIGHT)


def _dots(xs: Sequence[float]) -> list[tuple[float, float]]:
    """Return the dots, those of about the same value above and below each other."""
    stacks: dict[int, list[float]] = {}
    for x in xs:
        stacks.setdefault(round(x / _DOT_STEP), []).append(x)
    step = min(_DOT_STEP, 2 * _HALF / max([1, *map(len, stacks.values())]))
    return [
        (x, round(_MIDDLE + step * ((n + 1) // 2) * (1 if n % 2 else -1), 1))
        for stack in stacks.values()
        for n, x in enumerate(stack)
    ]


def _columns(xs: Sequence[float]) -> list[tuple[float, float, float]]:
    counts: dict[int, int] = {}
    for x in xs:
        counts[int(x // _COLUMN)] = counts.get(int(x // _COLUMN), 0) + 1
    most = max(counts.values())
    foot = _MIDDLE + _HALF
    return [
        (_COLUMN * place, round(foot - 2 * _HALF * count / most, 1), round(2 * _HALF * count / most, 1))
        for place, count in sorted(counts.items())
    ]
