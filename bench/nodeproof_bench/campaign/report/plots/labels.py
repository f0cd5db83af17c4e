"""Names beside marks: as many as fit, none over another."""

from collections.abc import Sequence
from typing import NamedTuple

#: How wide a character is on average, in the units of the drawing, at its 10 units of font size.
_CHAR = 5.4

#: What is longer is cut: names of nodes are hostile, and the drawing is small.
MOST_CHARS = 40


class Label(NamedTuple):
    """A name in its place, and the mark that it belongs to."""

    x: float
    y: float
    text: str
    mark_x: float
    mark_y: float


class Wanted(NamedTuple):
    """A mark that should get its name, the most important ones first."""

    mark_x: float
    mark_y: float
    text: str


def placed(wanted: Sequence[Wanted], rows: Sequence[float], left: float, right: float) -> list[Label]:
    """Return the names that fit into these rows, which are tried in order."""
    taken: dict[float, list[tuple[float, float]]] = {y: [] for y in rows}
    labels = []
    for want in wanted:
        text = want.text if len(want.text) <= MOST_CHARS else f"{want.text[: MOST_CHARS - 1]}…"
        half = _CHAR * len(text) / 2
        x = min(max(want.mark_x, left + half), right - half)
        free = (y for y in rows if all(x + half < a or x - half > b for a, b in taken[y]))
        if (y := next(free, None)) is not None:
            taken[y].append((x - half - 3, x + half + 3))
            labels.append(Label(round(x, 1), y, text, want.mark_x, want.mark_y))
    return labels
