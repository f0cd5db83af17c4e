"""Draws how much is found against how many are blamed wrongly: a small SVG, its horizontal axis logarithmic."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT, _LEFT, _TOP, _PLOT_WIDTH, _PLOT_HEIGHT = 740, 420, 70, 20, 400, 340

#: The axis; what is less than its beginning (nobody was blamed, say) is drawn there.
_LEAST, _DECADES = 0.01, 5

#: Told apart without colours as well, by their dashes.
_STROKES = (
    ("#0b5394", ""),
    ("#38761d", ""),
    ("#0b5394", "7 3"),
    ("#38761d", "7 3"),
    ("#b45f06", "2 3"),
    ("#990000", ""),
)


class Curve(NamedTuple):
    """Points of (blamed wrongly, found)."""

    name: str
    points: Sequence[tuple[float, float]]


def svg(curves: Sequence[Curve], across: str, up: str) -> str:
    """Return the drawing."""
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        *_axes(across, up),
    ]
    for number, curve in enumerate(curves):
        parts += _drawn(curve, number)
    return "\n".join([*parts, "</svg>", ""])


def _axes(across: str, up: str) -> list[str]:
    bottom, parts = _TOP + _PLOT_HEIGHT, list[str]()
    for decade in range(_DECADES + 1):
        x = _LEFT + _PLOT_WIDTH * decade / _DECADES
        parts += [_line(x, _TOP, x, bottom), _text(x, bottom + 16, f"{_LEAST * 10**decade:g}", "middle")]
    for share in (0, 0.2, 0.4, 0.6, 0.8, 1):
        y = bottom - _PLOT_HEIGHT * share
        parts += [_line(_LEFT, y, _LEFT + _PLOT_WIDTH, y), _text(_LEFT - 8, y + 4, f"{share:.0%}", "end")]
    middle = _TOP + _PLOT_HEIGHT / 2
    parts.append(_text(_LEFT + _PLOT_WIDTH / 2, bottom + 38, across, "middle"))
    parts.append(f'<g transform="rotate(-90 16 {middle})">{_text(16, middle, up, "middle")}</g>')
    return parts


def _drawn(curve: Curve, number: int) -> list[str]:
    colour, dashes = _STROKES[number % len(_STROKES)]
    places = sorted(map(_place, curve.points))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    y = _TOP + 20 + 22 * number
    x = _LEFT + _PLOT_WIDTH + 15
    style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
    key = [f'<polyline points="{x},{y} {x + 25},{y}" {style}/>', _text(x + 32, y + 4, curve.name, "start")]
    return [f'<polyline points="{line}" {style}/>', *dots, *key]


def _place(point: tuple[float, float]) -> tuple[float, float]:
    decades = math.log10(max(point[0], _LEAST) / _LEAST)
    return _LEFT + _PLOT_WIDTH * decades / _DECADES, _TOP + _PLOT_HEIGHT * (1 - point[1])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
