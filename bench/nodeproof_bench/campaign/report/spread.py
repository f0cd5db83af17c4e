"""Many figures as one: quantiles, and which of the figures are shown one by one."""

from collections.abc import Sequence
from typing import Any, TypeVar

from nodeproof_bench.stats import median, robust_sigma

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)

#: Of more nodes a document has quantiles and outliers, and no longer each of them.
MOST_VALUES = 4000

_Row = TypeVar("_Row")


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return quantiles by their share, as text: what lies between two values is taken from the line between them."""
    ordered = sorted(values)
    return {f"{share:g}": _quantile(ordered, share) for share in QUANTILES}


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def described(values: Sequence[float]) -> dict[str, Any]:
    """Return number, median, robust standard deviation and quantiles of one value or more."""
    return {
        "count": len(values),
        "median": median(values),
        "sigma": robust_sigma(values),
        "quantiles": quantiles(values),
    }


def bounded(rows: Sequence[_Row], most: int = MOST_VALUES) -> list[_Row]:
    """Return all rows, or none where there are too many: a part of them would look like all."""
    return list(rows) if len(rows) <= most else []


def loss(expected: float, value: float, *, is_higher_better: bool) -> float | None:
    """Return by which share a value is worse than expected, negative: better; None where nothing was expected."""
    if not expected:
        return None
    return (expected - value if is_higher_better else value - expected) / abs(expected)
