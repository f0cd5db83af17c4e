"""Our figures against the peers', round by round."""

import statistics

from peers.quantities import Quantity, Row
from peers.samples import FEWEST, Samples, Series
from peers.stats import repeatability


def of(samples: Samples, row: Row) -> Series | None:
    return samples.series(row.command, row.figure)


def ratio(samples: Samples, ours: Row, theirs: Row) -> Series | None:
    """Return ours over theirs by round, or None where no round has both."""
    mine, other = of(samples, ours), of(samples, theirs)
    found = mine.over(other) if mine and other else None
    return found if found and found.values else None


def best_peer(samples: Samples, quantity: Quantity) -> Row | None:
    """Return the peer with the best median."""
    medians = {row: statistics.median(found.used) for row in quantity.peers if (found := of(samples, row))}
    if not medians:
        return None
    return (min if quantity.is_time else max)(medians, key=lambda row: medians[row])


def shift(samples: Samples, row: Row) -> Series | None:
    """Return by what a figure changes beside a busy loop on its CPU."""
    found = ratio(samples, row._replace(command=f"{row.command}-hog"), row)
    return found and found.minus_one()


def repeated(samples: Samples, row: Row) -> tuple[float | None, bool]:
    """Return the coefficient of variation of a figure between two runs in a row, and whether it is doubtful."""
    first, again = of(samples, row), of(samples, row._replace(command=f"{row.command}-again"))
    if first is None or again is None:
        return None, False
    both = first.values.keys() & again.values.keys()
    clean = both & first.clean & again.clean
    is_doubtful = len(clean) < min(len(both), FEWEST)
    used = both if is_doubtful else clean
    return repeatability([(first.values[n], again.values[n]) for n in sorted(used)]), is_doubtful


def wall_s(samples: Samples, commands: set[str]) -> float:
    """Return how long these take together, by their medians; with the search for a number of iterations, if any."""
    total_s = 0.0
    for command in sorted(commands):
        series = samples.series(f"{command}-first", "wall_s") or samples.series(command, "wall_s")
        total_s += statistics.median(series.used) if series else 0
    return total_s
