"""Points of `rdma.*` and `net.*` as links between ports, and which of them are unlike the others. No check is here."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from nodeproof.errors import FactError
from nodeproof.verdict import named, plural
from nodeproof_bench.checks.common import number, source
from nodeproof_bench.outliers import (
    Far,
    Figure,
    Histogram,
    Room,
    Tail,
    blamed,
    far_above,
    long_tails,
    low_median,
    median_of,
)
from nodeproof_bench.result import BenchResult
from nodeproof_bench.units import scaled

_Found = TypeVar("_Found", Far, Tail)

#: Ends of one link. Of a port that talks to itself both are the same.
Ends = tuple[str, str]

#: A port at the other socket takes 0.1 to 0.3 µs longer, which of 1 µs is much; models of one rate differ, too.
_SLOW = Room(least_share=0.3, most_share=1.0, least=0.5e-6)

#: Bandwidths of equal ports differ by less than one percent, unless packets are resent or a slot lost lanes.
_NARROW = Room(least_share=0.05, most_share=0.15)

#: What has too few samples for an interval may be that many times as good.
_FEW_SAMPLES = 2.0

#: Of fewer ports the odd one is not known.
_LEAST_SIBLINGS = 3

#: How late a message is between ends that sleep, idle states and the scheduler decide, and no port.
_ASLEEP = "blocking"

#: A histogram has 16 bins to an octave. More are no histogram of ours.
_MOST_BINS = 4096


class Link(NamedTuple):
    """One point: two ports and what was measured between them. `most` is what the value may really be."""

    ends: Ends
    device: str
    operation: str
    value: float
    most: float
    median: float
    p99: float | None
    rate_bits_per_s: float | None
    mtu_bytes: int | None
    histogram: Histogram

    @property
    def rate_words(self) -> str:
        """The rate as policy writes it, in Gb/s."""
        return "" if self.rate_bits_per_s is None else f"{self.rate_bits_per_s / 1e9:g}"


def links_of(result: BenchResult) -> list[Link]:
    """Return the points as links. Raises FactError for what is none."""
    if not result.points:
        raise FactError(source(result), "malformed", "the result has no points")
    return [_link(point, result) for point in result.points]


def _link(point: Mapping[str, Any], result: BenchResult) -> Link:
    device, peer, operation = (_word(point, key, result) for key in ("device", "peer", "operation"))
    other = f"{peer} of the other host" if result.fields.get("between") == "hosts" else peer
    value, interval = _above_zero(point, "value", result), point.get("interval")
    return Link(
        ends=(device, other),
        device=device,
        operation=operation,
        value=value,
        most=_FEW_SAMPLES * value if interval is None else max(value, _upper(interval, result)),
        median=_above_zero(point, "sustained", result),
        p99=_optional(point, "p99_s", result),
        rate_bits_per_s=_optional(point, "rate_bits_per_s", result),
        mtu_bytes=None if point.get("mtu_bytes") is None else int(number(point, "mtu_bytes", result)),
        histogram=_histogram(point, result) if result.is_time else (),
    )


def _word(point: Mapping[str, Any], key: str, result: BenchResult) -> str:
    value = point.get(key)
    if not isinstance(value, str):
        raise FactError(source(result), "malformed", f'"{key}" of a point is {str(value)[:40]!r}')
    return value


def _upper(interval: object, result: BenchResult) -> float:
    if not isinstance(interval, list) or len(interval) != 2:
        raise FactError(source(result), "malformed", f'"interval" of a point is {str(interval)[:40]!r}')
    return number({"interval": interval[1]}, "interval", result)


def _above_zero(point: Mapping[str, Any], key: str, result: BenchResult) -> float:
    value = number(point, key, result)
    if value <= 0:
        raise FactError(source(result), "malformed", f'"{key}" of a point is {value:g}')
    return value


def _optional(point: Mapping[str, Any], key: str, result: BenchResult) -> float | None:
    return None if point.get(key) is None else number(point, key, result)


def _histogram(point: Mapping[str, Any], result: BenchResult) -> Histogram:
    bins = point.get("histogram")
    if not isinstance(bins, list) or not 0 < len(bins) <= _MOST_BINS or not all(map(_is_bin, bins)):
        raise FactError(source(result), "malformed", f'"histogram" of a point is {str(bins)[:40]!r}')
    return [(float(edge), count) for edge, count in bins]


def _is_bin(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and type(value[0]) in (int, float)
        and type(value[1]) is int
        and 0 < value[0] < 1e6
        and 0 < value[1] < 1 << 53
    )


class Odd(NamedTuple):
    """A port, or a link that no port explains, and what is wrong with it."""

    ports: tuple[str, ...]
    operation: str
    words: str

    @property
    def name(self) -> str:
        own, *other = (port or "the interface that routing chose" for port in self.ports)
        return f"{own} (to {other[0]})" if other else own

    @property
    def sentence(self) -> str:
        return f"{self.name} {self.words} ({self.operation})"


def awake(links: Iterable[Link]) -> list[Link]:
    """Leave out what was measured between ends that sleep."""
    return [link for link in links if link.operation != _ASLEEP]


def siblings(links: Iterable[Link], layer: Callable[[str], str]) -> list[list[Link]]:
    """Return links of one operation in groups that can be compared: of one rate, MTU and link layer."""
    groups = dict[tuple[object, ...], list[Link]]()
    for link in links:
        alike = link.operation, link.rate_bits_per_s, link.mtu_bytes, layer(link.device)
        groups.setdefault(alike, []).append(link)
    return list(groups.values())


def slow_links(groups: Sequence[Sequence[Link]]) -> list[Odd]:
    """Return what takes longer than its siblings: always, or for some of the messages."""
    slow = [_far(group) for group in groups]
    always = [odd for group, far in zip(groups, slow, strict=True) for odd in _slow(group, far)]
    known = {ends for far in slow for ends in far}
    others = [[link for link in awake(group) if link.ends not in known] for group in groups]
    return _once([*always, *_late([group for group in others if group])])


def narrow_links(groups: Sequence[Sequence[Link]]) -> list[Odd]:
    """Return what carries less than its siblings."""
    return _once([odd for group in groups for odd in _narrow(group)])


def _once(found: Iterable[Odd]) -> list[Odd]:
    """Keep the first word on each port: operations of one port tell the same."""
    first = dict[tuple[str, ...], Odd]()
    for odd in found:
        first.setdefault(odd.ports, odd)
    return list(first.values())


def _far(group: Sequence[Link]) -> dict[Ends, Far]:
    return far_above({link.ends: median_of(link.histogram, link.median) for link in group}, _SLOW)


def _slow(group: Sequence[Link], far: Mapping[Ends, Far]) -> Iterator[Odd]:
    for ports in blamed({ends: f.excess for ends, f in far.items()}, (link.ends for link in group)):
        worst = _worst(ports, far)
        words = f"takes {scaled(worst.value, 's')}, its siblings {scaled(worst.usual, 's')}"
        yield Odd(ports, group[0].operation, words)


def _worst(ports: tuple[str, ...], found: Mapping[Ends, _Found]) -> _Found:
    """Return what was found of the link that these ports have, the worst of several."""
    return max(each for ends, each in found.items() if set(ports) <= set(ends))


def _narrow(group: Sequence[Link]) -> Iterator[Odd]:
    """Compare times for a byte: there, too little is far above."""
    costs = {link.ends: Figure(1 / link.value, 1 / link.most) for link in group}
    far = far_above(costs, _NARROW)
    for ports in blamed({ends: f.excess for ends, f in far.items()}, costs):
        worst = _worst(ports, far)
        words = f"carries {scaled(1 / worst.value, 'B/s')}, its siblings {scaled(1 / worst.usual, 'B/s')}"
        yield Odd(ports, group[0].operation, words)


def _late(groups: Sequence[Sequence[Link]]) -> Iterator[Odd]:
    """Yield what is late in every operation: a storm of interrupts that fills one block hits one of them."""
    tails = [_tails(group) for group in groups]
    once = {link.ends for group, found in zip(groups, tails, strict=True) for link in group if link.ends not in found}
    for group, found in zip(groups, tails, strict=True):
        lasting = {ends: tail for ends, tail in found.items() if ends not in once}
        for ports in blamed({ends: tail.excess for ends, tail in lasting.items()}, (link.ends for link in group)):
            yield Odd(ports, group[0].operation, _late_words(ports, group, lasting))


def _tails(group: Sequence[Link]) -> dict[Ends, Tail]:
    return long_tails({link.ends: link.histogram for link in group}, low_median(link.median for link in group))


def _late_words(ports: tuple[str, ...], group: Sequence[Link], tails: Mapping[Ends, Tail]) -> str:
    """Say how long the 99th percentile takes where that shows it, and how many messages are late otherwise."""
    own = [link.p99 for link in group if link.p99 is not None and set(ports) <= set(link.ends)]
    others = [link.p99 for link in group if link.p99 is not None and link.ends not in tails]
    if own and others and max(own) > 2 * max(others):
        return f"has a p99 of {scaled(max(own), 's')}, its siblings at most {scaled(max(others), 's')}"
    tail = _worst(ports, tails)
    late = f"takes more than {scaled(tail.limit, 's')} for {tail.share:.2%} of messages"
    return f"{late}, its siblings for {tail.usual_share:.2%}"


def too_few(groups: Iterable[Sequence[Link]]) -> str:
    """Return the words on groups that are too small for the odd one to be known, or nothing."""
    small = {link.device or "one link": None for group in groups if len(group) < _LEAST_SIBLINGS for link in group}
    return f"; {named(list(small))}: too few alike to tell which is the odd one" if small else ""


def counted(links: Sequence[Link]) -> str:
    """Return `8 ports` or `2 links`."""
    is_self = all(one == other for one, other in {link.ends for link in links})
    return plural(len({link.ends for link in links}), "port" if is_self else "link")
