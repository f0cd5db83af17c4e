"""Which of a few equal parts is unlike the others, by robust statistics; in plain Python, as `nodeproof_bench.stats`.

Made for the ports of one node: 2 to 16 of them, times with heavy tails, and disturbances that all of them see, because
they are measured in turn. Each part is compared with all the others, never with a figure that it has part in itself.

How small a fault is found, and how often there is one where there is none, says `tests/performance/rdma_outliers.py`.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from nodeproof_bench.stats import MAD_TO_SIGMA, median

#: A part is far above the others beyond so many robust sigma of theirs. That of seven values is itself only known to
#: a factor of two, hence more than the usual 3.5.
_MOST_SIGMA = 5.0

#: One-sided, 99 of 100.
_SURE_SIGMA = 2.33

#: Messages are late beyond these multiples of what is usual: the first is no body of a distribution any more, the last
#: is where the tick of the kernel (5 to 50 µs on a link of 2 µs) seldom gets to.
_LATE = tuple(2.0**n for n in range(1, 11))

#: A part has a long tail if it has so many times the late messages that the others have, and this share of them more.
#: Tails vary on one node: by threefold where interrupts are few, and what is rarer than the share is chance.
_TIMES_LATE, _MORE_LATE_SHARE = 5.0, 0.002

#: Fewer late messages than this beyond the expected ones are one disturbance, or two.
_LEAST_LATE = 20

#: A bin of `native/src/bench/histogram.c` ends at 2^(1/16) times where it begins; empty ones are left out.
_BIN_WIDTH = 2.0 ** (1 / 16)

#: Of what a link has too much, a rest below this share is noise once a port was found that explains the larger part.
_REST_SHARE = 1 / 3

_Part = TypeVar("_Part", bound=Hashable)

Histogram = Sequence[tuple[float, int]]
"""Bins in ascending order: the upper edge, which belongs to the bin, and how many samples are in it."""


class Room(NamedTuple):
    """How far above the others a healthy part may be: shares of their usual value, and a value of its own.

    Nothing below `least` and `least_share` stands out, however alike the others are; what is beyond `most_share` does,
    however unlike they are.
    """

    least_share: float
    most_share: float
    least: float = 0.0


class Figure(NamedTuple):
    """What is known of one part: its value, what that surely is at least, and how far apart its samples are."""

    value: float
    least: float
    spread: float = 0.0


def median_of(bins: Histogram, value: float) -> Figure:
    """Return the median of a histogram, whose exact value is known, with what 99 % of such samples would show.

    The bound is distribution-free, from the binomial distribution of how many samples are below the median. The spread
    is from there to the 90th percentile.
    """
    samples = sum(count for _, count in bins)
    least = quantile(bins, max(0.0, 0.5 - _SURE_SIGMA * 0.5 * samples**-0.5))
    return Figure(value, min(value, least), max(0.0, quantile(bins, 0.9) - value))


class Far(NamedTuple):
    """A part that is far above the others: its value, and what is usual of them."""

    value: float
    usual: float

    @property
    def excess(self) -> float:
        return self.value - self.usual


class Tail(NamedTuple):
    """A part with more late messages than the others: the shares beyond `limit`, the part's own and the usual one.

    `excess` is the most that it has more of, at any limit: that is the share of messages which the fault hits.
    """

    limit: float
    share: float
    usual_share: float
    excess: float


def far_above(figures: Mapping[_Part, Figure], room: Room) -> dict[_Part, Far]:
    """Return the parts whose value is far above that of the others, and surely so.

    A value inside the spread that is usual stands out in nobody's eyes. A single other part cannot tell what is usual:
    then only what is beyond `most_share` counts.
    """
    found = dict[_Part, Far]()
    for part, figure in figures.items():
        others = [f for p, f in figures.items() if p != part]
        if not others:
            break
        usual = low_median(f.value for f in others)
        spread = low_median(f.spread for f in others)
        if figure.least - usual > _limit([f.value for f in others], usual, spread, room):
            found[part] = Far(figure.value, usual)
    return found


def _limit(others: Sequence[float], usual: float, spread: float, room: Room) -> float:
    most = max(room.most_share * usual, room.least, spread)
    if len(others) == 1:
        return most
    sigma = MAD_TO_SIGMA * median(abs(v - usual) for v in others)
    return min(max(_MOST_SIGMA * sigma, room.least_share * usual, room.least, spread), most)


def low_median(values: Iterable[float]) -> float:
    """Return the median, of an even number of values the lower one of both in the middle.

    In a ring of three links, one bad port makes two of them slow: the good one is still the usual one.
    Raises IndexError for no values.
    """
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]


def long_tails(histograms: Mapping[_Part, Histogram], usual: float) -> dict[_Part, Tail]:
    """Return the parts that have clearly more late messages than the others, at the latest limit where that shows.

    `usual` is the time of a message that is not late. A fault that adds 50 µs to one message of a hundred moves no
    median and no 98th percentile, and is far beyond all that ticks and daemons do to the others.
    """
    found = dict[_Part, Tail]()
    counts = {part: sum(count for _, count in bins) for part, bins in histograms.items()}
    for limit in (times * usual for times in _LATE):
        late = {part: _late(bins, limit) for part, bins in histograms.items()}
        shares = {part: late[part] / counts[part] for part in late if counts[part]}
        for part, share in shares.items():
            others = [s for p, s in shares.items() if p != part]
            expected = _TIMES_LATE * low_median(others) if others else share
            is_many = late[part] - expected * counts[part] > _LEAST_LATE
            if is_many and share > expected + _MORE_LATE_SHARE:
                usual_share = low_median(others)
                most = max(share - usual_share, found[part].excess if part in found else 0.0)
                found[part] = Tail(limit, share, usual_share, most)
    return found


def _late(bins: Histogram, limit: float) -> int:
    """Return how many samples are beyond a limit, without those of the bin that it is in."""
    return sum(count for edge, count in bins if edge > _BIN_WIDTH * limit)


def quantile(bins: Histogram, share: float) -> float:
    """Return the upper edge of the bin that the quantile is in. Raises IndexError for an empty histogram."""
    rank, seen = share * sum(count for _, count in bins), 0
    for edge, count in bins:
        seen += count
        if seen >= rank:
            return edge
    return bins[-1][0]


def blamed(excess: Mapping[tuple[str, str], float], links: Iterable[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    """Yield the ports that explain why links are bad, one name each, and then the links that no port explains.

    Of a link only the sum over its two ends is known: port + port. `excess` is what bad links have too much, `links`
    are all that were measured. A port that has several links is to blame for as much as all of them have too much;
    the port with the most comes first, and its part is taken off its links before the next one is looked for. With an
    even number of ports a ring has many solutions, of which this is one with the fewest bad ports. Ports with one link
    cannot be told from it, nor can both its ends.
    """
    of_port = defaultdict[str, list[tuple[str, str]]](list)
    for link in links:
        for port in dict.fromkeys(link):
            of_port[port].append(link)
    left = dict(excess)
    while left:
        shared = {p: min(left.get(link, 0.0) for link in own) for p, own in of_port.items() if len(own) > 1}
        port = max(shared, key=lambda p: shared[p], default="")
        if shared.get(port, 0.0) <= 0:
            break
        yield (port,)
        for link in of_port[port]:
            left[link] -= shared[port]
        left = {link: rest for link, rest in left.items() if rest > _REST_SHARE * excess[link]}
    for link in left:
        yield tuple(dict.fromkeys(link))
