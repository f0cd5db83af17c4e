"""Judgement of single ports by what was measured through them: RDMA, and TCP where there is only Ethernet."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

from nodeproof.check import check
from nodeproof.verdict import Verdict, fail, named, ok
from nodeproof_bench.checks.common import learnt, raise_doubts, rounded, wrong_values
from nodeproof_bench.checks.links import (
    Link,
    Odd,
    awake,
    counted,
    links_of,
    narrow_links,
    siblings,
    slow_links,
    too_few,
)
from nodeproof_bench.port_kinds import PortKinds
from nodeproof_bench.result import BenchHistory
from nodeproof_bench.units import scaled

#: Learnt limits leave this much room: other cables and one more switch, and tails that vary from hour to hour.
_MEDIAN_MARGIN, _P99_MARGIN, _RATE_MARGIN = 1.25, 2.0, 0.95

#: The link of any rate that policy does not name.
_ANY = "any"

_REMEDY_SLOW = (
    "Measure again with the named port's cable and transceiver exchanged for a good one; compare `ib.counters`, "
    "`ib.pci` and `ib.firmware` of the port with its siblings. If the fault follows neither cable nor switch port, the "
    "adapter has it."
)
_REMEDY_NARROW = (
    "Compare `ib.pci` (lanes and speed of the slot), `ib.counters` (packets sent again) and MTU of the named port with "
    "its siblings; then exchange cable and switch port."
)


def _limits(links: Iterable[Link], figure: Callable[[Link], float | None], margin: float) -> dict[str, float]:
    """Return a limit above the worst figure of each rate."""
    worst = dict[str, float]()
    for link in links:
        if (value := figure(link)) is not None:
            rate = link.rate_words or _ANY
            worst[rate] = max(worst.get(rate, 0.0), value)
    return {rate: rounded(margin * value, up=True) for rate, value in worst.items()}


def _learn_latency(name: str) -> Callable[..., Mapping[str, object]]:
    def learn(history: BenchHistory, *_: object) -> Mapping[str, object]:
        links = [link for result in learnt(history, name) for link in awake(links_of(result))]
        learned = {
            "max_median_s": _limits(links, lambda link: link.median, _MEDIAN_MARGIN),
            "max_p99_s": _limits(links, lambda link: link.p99, _P99_MARGIN),
        }
        return {key: limits for key, limits in learned.items() if limits}

    return learn


def _above(
    links: Sequence[Link], what: str, figure: Callable[[Link], float | None], limits: Mapping[str, float]
) -> Iterator[Odd]:
    """Yield the links whose figure is above what policy says for their rate."""
    for link in links:
        most = limits.get(link.rate_words, limits.get(_ANY))
        value = figure(link)
        if most is not None and value is not None and value > most:
            words = f"has a {what} of {scaled(value, 's')}, expected at most {scaled(most, 's')}"
            yield Odd(tuple(dict.fromkeys(link.ends)), link.operation, words)


class _Kind(NamedTuple):
    """A kind of benchmark: what is compared of links, in which unit, how, and under which key it is evidence."""

    unit: str
    key: str
    words: str
    figure: Callable[[Link], float]
    unlike: Callable[[Sequence[Sequence[Link]]], list[Odd]]


_LATENCY = _Kind("s", "median_s", " for half a round trip", lambda link: link.median, slow_links)
_BANDWIDTH = _Kind("B/s", "bytes_per_s", "", lambda link: link.value, narrow_links)


def _judged(
    history: BenchHistory,
    name: str,
    kind: _Kind,
    layer: Callable[[str], str],
    by_limits: Callable[[Sequence[Link]], Iterable[Odd]],
) -> Verdict:
    """Judge all links of a benchmark by limits, then against each other."""
    results = history.need(name)
    if wrong := wrong_values(results):
        return wrong
    odd, words, evidence = dict[tuple[str, ...], Odd](), list[str](), dict[str, float]()
    for result in results:
        links = links_of(result)
        groups = siblings(links, layer)
        odd |= {each.ports: each for each in reversed([*by_limits(links), *kind.unlike(groups)])}
        figures = [kind.figure(link) for link in awake(links) or links]
        spread = " to ".join(dict.fromkeys(scaled(c(figures), kind.unit) for c in (min, max)))
        words.append(f"{counted(links)}: {spread}{kind.words}{too_few(groups)}")
        evidence |= {f"{'-'.join(dict.fromkeys(link.ends))} {link.operation}": kind.figure(link) for link in links}
    raise_doubts(history, results, results if odd else [], min_stability=0)  # what is late now and then is not stable
    if odd:
        ports = [each.name for each in odd.values()]
        return fail(named([each.sentence for each in odd.values()], 2), ports=ports, **{kind.key: evidence})
    return ok("; ".join(words), **{kind.key: evidence})


def _no_layer(port: str) -> str:
    del port
    return ""


def _latency_limits(
    max_median_s: Mapping[str, float] | None, max_p99_s: Mapping[str, float] | None
) -> Callable[[Sequence[Link]], Iterator[Odd]]:
    def by_limits(links: Sequence[Link]) -> Iterator[Odd]:
        yield from _above(awake(links), "median", lambda link: link.median, max_median_s or {})
        yield from _above(awake(links), "p99", lambda link: link.p99, max_p99_s or {})

    return by_limits


@check(
    "rdma.latency",
    tags="boot bench",
    beta=True,
    remedy=_REMEDY_SLOW,
    learn=_learn_latency("rdma.latency"),
)
def rdma_latency(
    history: BenchHistory,
    ports: PortKinds,
    *,
    max_median_s: Annotated[
        dict[str, float] | None,
        "longest median of half a round trip in seconds, by rate of the link in Gb/s or `any`; not judged if unset",
    ] = None,
    max_p99_s: Annotated[
        dict[str, float] | None,
        "longest that 99 of 100 messages may take, in seconds, by rate in Gb/s or `any`; not judged if unset",
    ] = None,
) -> Verdict:
    """No RDMA port takes longer for a message than its siblings, or than policy allows.

    One marginal link that adds 50 µs is paid for by every GPU in every step of synchronisation. Ports of one rate and
    link layer are compared by their median, and by how many messages are late; the odd one is named with no limit
    configured. In a ring of ports, the port that both slow links share is named. `bench.drift` compares each port with
    its own past.
    """
    by_limits = _latency_limits(max_median_s, max_p99_s)
    return _judged(history, "rdma.latency", _LATENCY, ports.link_layer, by_limits)


@check(
    "net.latency",
    tags="boot bench",
    beta=True,
    remedy="Compare `nic.errors`, `nic.firmware`, interrupt moderation (`ethtool -c`) and the CPUs of the queues' "
    "interrupts of the named interface with its siblings; then exchange cable and switch port.",
    learn=_learn_latency("net.latency"),
)
def net_latency(
    history: BenchHistory,
    *,
    max_median_s: Annotated[
        dict[str, float] | None,
        "longest median of half a TCP round trip of ends that spin, in seconds, by rate of the link in Gb/s or `any`; "
        "not judged if unset",
    ] = None,
    max_p99_s: Annotated[
        dict[str, float] | None,
        "longest that 99 of 100 messages may take, in seconds, by rate in Gb/s or `any`; not judged if unset",
    ] = None,
) -> Verdict:
    """No interface takes longer for a message than its siblings, or than policy allows.

    On a node without RDMA, TCP carries MPI and storage: what one interface adds, each step that uses it pays.
    Interfaces of one rate are compared as `rdma.latency` compares ports; ends that sleep by their median alone.
    """
    return _judged(history, "net.latency", _LATENCY, _no_layer, _latency_limits(max_median_s, max_p99_s))


def _below_their_kind(links: Sequence[Link], ports: PortKinds, min_share: float) -> Iterator[Odd]:
    """Yield the links that carry less than their share of what link and slot allow; Soft-RoCE has no slot."""
    for link in links:
        slot = ports.slot_bytes_per_s(link.device)
        if slot is None or link.rate_bits_per_s is None:
            continue
        payload = ports.link_bytes_per_s(link.device, link.rate_bits_per_s, link.mtu_bytes)
        most = min(payload, slot)
        if link.value < min_share * most:
            by = f"its slot {scaled(slot, 'B/s')}" if slot < payload else f"its link {scaled(payload, 'B/s')}"
            words = f"carries {scaled(link.value, 'B/s')}, {by}: expected at least {min_share:.0%}"
            yield Odd(tuple(dict.fromkeys(link.ends)), link.operation, words)


@check("rdma.bandwidth", tags="boot bench", beta=True, remedy=_REMEDY_NARROW)
def rdma_bandwidth(
    history: BenchHistory,
    ports: PortKinds,
    *,
    min_share: Annotated[
        float, "least part of what link and slot can carry, headers taken off, that must get through, from 0 to 1"
    ] = 0.9,
) -> Verdict:
    """Every RDMA port carries what its link and its slot allow, and as much as its siblings.

    A port that resends packets, sits in a slot that lost lanes or shares it with a neighbour stays active at its full
    rate while each collective runs at a fraction of it. What the link carries is its rate less the headers of each
    packet, what the slot does is known from PCIe. Soft-RoCE has neither, and is compared with its siblings only.
    """

    def by_physics(links: Sequence[Link]) -> Iterator[Odd]:
        return _below_their_kind(links, ports, min_share)

    return _judged(history, "rdma.bandwidth", _BANDWIDTH, ports.link_layer, by_physics)


def _learn_net(history: BenchHistory) -> Mapping[str, object]:
    """Return a limit below the least of each rate."""
    least = dict[str, float]()
    for result in learnt(history, "net.bandwidth"):
        for link in links_of(result):
            rate = link.rate_words or _ANY
            least[rate] = min(least.get(rate, link.value), link.value)
    limits = {rate: rounded(_RATE_MARGIN * value) for rate, value in least.items()}
    return {"min_bytes_per_s": limits} if limits else {}


@check(
    "net.bandwidth",
    tags="boot bench",
    beta=True,
    remedy="Compare `nic.link`, `nic.errors`, `pci.link`, MTU and offloads (`ethtool -k`) of the named interface with "
    "its siblings; then exchange cable and switch port.",
    learn=_learn_net,
)
def net_bandwidth(
    history: BenchHistory,
    *,
    min_bytes_per_s: Annotated[
        dict[str, float] | None,
        "least throughput of one connection, in bytes per second, by rate of the link in Gb/s or `any`; not judged if "
        "unset",
    ] = None,
) -> Verdict:
    """Every interface carries as much of a TCP stream as its siblings, and as policy asks.

    Frames that are lost are sent again by the kernel, and no job is told: it only takes longer. How much one stream
    can do is the CPU's as much as the link's, so there is no limit of physics here.
    """

    def by_limits(links: Sequence[Link]) -> Iterator[Odd]:
        limits = min_bytes_per_s or {}
        for link in links:
            least = limits.get(link.rate_words, limits.get(_ANY, 0.0))
            if link.value < least:
                words = f"carries {scaled(link.value, 'B/s')}, expected at least {scaled(least, 'B/s')}"
                yield Odd(tuple(dict.fromkeys(link.ends)), link.operation, words)

    return _judged(history, "net.bandwidth", _BANDWIDTH, _no_layer, by_limits)
