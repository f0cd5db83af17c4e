"""How long to wait before an unknown outcome is looked at, and written, again."""

from collections.abc import Iterator
from random import Random


def delays_s(random: Random, first_s: float = 1.0, most_s: float = 60.0) -> Iterator[float]:
    """Yield delays without end: each anywhere from nothing to a bound that doubles from `first_s` to `most_s`.

    Full jitter: nodes that failed together do not come back together.
    """
    bound_s = first_s
    while True:
        yield random.uniform(0.0, bound_s)
        bound_s = min(2 * bound_s, most_s)
