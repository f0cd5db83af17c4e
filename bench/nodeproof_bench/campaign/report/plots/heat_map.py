"""All pairs at once: a square of cells, darker where the pair is worse. A bad node is a cross, a bad path a block."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

#: A cell is that much worse than the median of all pairs, or better. The last levels get a sign as well as a colour.
EDGES = (0.02, 0.05, 0.10, 0.25, 0.50)
SIGNED_LEVEL = 4

#: Of more nodes there is no square: its cells would be too small to be seen, and its file too large.
MOST_NODES = 128

_SIDE, _LEFT, _TOP = 560.0, 88.0, 6.0
_LEAST_CELL, _MOST_CELL = 4.0, 22.0

#: Rows that are lower have no room for a name.
_LEAST_NAMED = 9.0

_NAME_CHARS = 14


class Name(NamedTuple):
    y: float
    text: str
    is_suspect: bool


class HeatMap(NamedTuple):
    """`levels` are paths of cells, best first; `signs` is a path of crosses over the worst."""

    width: float
    height: float
    left: float
    top: float
    side: float
    levels: Sequence[str]
    signs: str
    names: Sequence[Name]


def heat_map(metric: Mapping[str, Any]) -> HeatMap | None:
    """Return the drawing of a metric of pairs as the document has it, or None where there are too many nodes."""
    nodes = metric["nodes"]
    if len(nodes) > MOST_NODES or metric["is_thinned"]:
        return None
    cell = round(min(_MOST_CELL, max(_LEAST_CELL, _SIDE / len(nodes))), 2)
    place = {node: n for n, node in enumerate(nodes)}
    levels: list[list[str]] = [[] for _ in range(len(EDGES) + 1)]
    signs = []
    for row in metric["values"]:
        level = sum((row["loss"] or 0.0) > edge for edge in EDGES)
        a, b = (place[node] for node in row["nodes"])
        for column, line in ((a, b), (b, a)):
            x, y = round(_LEFT + cell * column, 1), round(_TOP + cell * line, 1)
            levels[level].append(f"M{x:g} {y:g}h{cell:g}v{cell:g}h-{cell:g}z")
            if level >= SIGNED_LEVEL:
                signs.append(f"M{x:g} {y:g}l{cell:g} {cell:g}m-{cell:g} 0l{cell:g}-{cell:g}")
    side = cell * len(nodes)
    return HeatMap(
        width=round(_LEFT + side + 4, 1),
        height=round(_TOP + side + 4, 1),
        left=_LEFT,
        top=_TOP,
        side=round(side, 1),
        levels=["".join(paths) for paths in levels],
        signs="".join(signs),
        names=_names(nodes, set(metric["suspect_nodes"]), cell),
    )


def _names(nodes: Sequence[str], suspects: set[str], cell: float) -> list[Name]:
    """Return the names of rows: of all where there is room, else of who is suspected."""
    return [
        Name(
            round(_TOP + cell * (n + 0.5) + 3, 1),
            node if len(node) <= _NAME_CHARS else f"{node[: _NAME_CHARS - 1]}…",
            node in suspects,
        )
        for n, node in enumerate(nodes)
        if cell >= _LEAST_NAMED or node in suspects
    ]
