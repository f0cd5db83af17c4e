"""Latencies of real RDMA ports as they were published, and runs of `rdma.latency` drawn from them.

No node with eight ports was at hand. What a port does alone is taken from published outputs; how ports of one node
differ, and what disturbs them together, is assumed below, wider than what was published. Histograms are drawn bin by
bin (a multinomial draw, which is the same as counting single samples), in the bins of the C core.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Published(NamedTuple):
    """Quantiles of half a round trip in microseconds, by their share."""

    name: str
    source: str
    quantiles_us: Mapping[float, float]


#: The extremes are those of so many samples as the source had. perftest prints 99.9 % of 1000 samples as the maximum.
PUBLISHED = (
    Published(
        "mlx4 at 32 Gb/s, write",
        "a log of `ib_write_lat -a --iter 20000` (mlx4_0, MTU 2048, between two hosts, 2 bytes), published on GitHub",
        {0: 0.88, 0.5: 0.98, 0.99: 1.21, 0.999: 5.42, 1: 6.84},
    ),
    Published(
        "mlx4 at 32 Gb/s, send",
        "the same log, `ib_send_lat -a --iter 20000`, 2 bytes",
        {0: 1.02, 0.5: 1.07, 0.99: 1.68, 0.999: 5.00, 1: 11.76},
    ),
    Published(
        "mlx4 at 32 Gb/s, write, with one interrupt",
        "the same log, 32 bytes: the longest of 20 000 took 21 µs",
        {0: 0.93, 0.5: 1.04, 0.99: 1.29, 0.999: 5.50, 1: 21.12},
    ),
    Published(
        "mlx5 at 200 Gb/s, write",
        "`ib_write_lat -d mlx5_0 -a` between two hosts with eight A100 and eight ports each (MTU 4096, 2 bytes, 1000 "
        "iterations), published on GitHub in June 2026; 99.9 %: the least of the maxima at 2, 4 and 8 bytes, the "
        "maximum: the largest of them on either host",
        {0: 1.79, 0.5: 1.87, 0.99: 2.03, 0.999: 4.72, 1: 9.58},
    ),
    Published(
        "ConnectX-7 200GbE, write",
        "eugr/spark-vllm-docker, docs/NETWORKING.md: `ib_write_lat` between two DGX Spark, 2 bytes, 1000 iterations",
        {0: 1.42, 0.5: 1.47, 0.99: 1.57, 1: 1.93},
    ),
    Published(
        "VMA over Ethernet",
        "github.com/Mellanox/sockperf/pull/73: UDP past the kernel, 5 303 071 samples",
        {
            0: 1.743,
            0.25: 1.796,
            0.5: 1.861,
            0.75: 1.895,
            0.9: 1.931,
            0.99: 2.236,
            0.999: 4.138,
            0.9999: 4.565,
            0.99999: 7.946,
            1: 42.328,
        },
    ),
)

#: Bins of `native/src/bench/histogram.c`, and how many points of a distribution are sorted into them.
BINS_PER_OCTAVE, _POINTS = 16, 2000

#: Ports of one model differ in latency by this share of it (standard deviation), and a port's runs from each other.
PORT_SIGMA, RUN_SIGMA = 0.03, 0.01

#: A port at the other socket's end takes that much longer.
FAR_US = (0.1, 0.3)

#: How often the measuring core is interrupted each second, and for how long.
INTERRUPTS_PER_S, INTERRUPT_US = (10.0, 1000.0), (5.0, 50.0)

#: In one run of ten, a storm of interrupts of that many each second fills one block of one port.
STORM_SHARE, STORM_PER_S, BLOCK_S = 0.1, 20_000.0, 0.008

#: Of the time, connecting and going round take a part.
MEASURED_SHARE = 0.9


class Fault(NamedTuple):
    """A port that adds so much to a share of its messages."""

    added_us: float
    share: float = 1.0


NO_FAULT = Fault(0)


class Node(NamedTuple):
    """Ports that are measured in turn. `ring`: each with the next one, whose times add half and half."""

    ports: int = 8
    seconds: float = 1.5
    operations: Sequence[str] = ("write", "send")
    is_ring: bool = False


def _distribution(published: Published) -> tuple[Floats, Floats]:
    """Return times in seconds and how likely they are: the logarithm of time is linear between the quantiles."""
    shares = np.array(sorted(published.quantiles_us))
    logs = np.log(np.array([published.quantiles_us[s] for s in sorted(published.quantiles_us)]))
    body = np.linspace(0, 0.99, _POINTS // 2, endpoint=False)
    tail = 1 - np.geomspace(0.01, 1e-6, _POINTS // 2)
    edges = np.concatenate([body, tail, [1.0]])
    middles = (edges[1:] + edges[:-1]) / 2
    return 1e-6 * np.exp(np.interp(middles, shares, logs)), np.diff(edges)


def _counted(times_s: Floats, weights: Floats, samples: int, source: np.random.Generator) -> list[list[float]]:
    """Draw so many samples, and return them as the C core writes them."""
    bins = np.ceil(np.log2(times_s) * BINS_PER_OCTAVE).astype(int)
    first = int(bins.min())
    likely = np.bincount(bins - first, weights)
    counts = source.multinomial(samples, likely / likely.sum())
    return [[float(2.0 ** ((first + n) / BINS_PER_OCTAVE)), int(c)] for n, c in enumerate(counts) if c]


class _Port(NamedTuple):
    """What lasts of a port: a factor, and how much is added to each message, and to a share of them."""

    factor: float
    added_s: float
    fault: Fault


def _log_uniform(source: np.random.Generator, limits: tuple[float, float], size: int) -> Floats:
    low, high = np.log(limits)
    return np.exp(source.uniform(low, high, size))


def _disturbed(times_s: Floats, weights: Floats, per_s: float, source: np.random.Generator) -> tuple[Floats, Floats]:
    """Let interrupts hit messages: the longer a message takes, the more likely one does."""
    lengths_s = 1e-6 * _log_uniform(source, INTERRUPT_US, 200)
    hit = min(0.5, per_s * 2 * float(np.average(times_s, weights=weights)))
    usual_s = source.choice(times_s, 200, p=weights / weights.sum())
    return np.concatenate([times_s, usual_s + lengths_s]), np.concatenate(
        [weights * (1 - hit), np.full(200, hit * weights.sum() / 200)]
    )


def _measured(
    base: tuple[Floats, Floats], ends: Sequence[_Port], samples: int, per_s: float, source: np.random.Generator
) -> list[list[float]]:
    times_s, weights = base
    times_s = times_s * float(np.mean([p.factor for p in ends])) * source.normal(1, RUN_SIGMA)
    times_s = times_s + float(np.mean([p.added_s for p in ends]))
    times_s, weights = _disturbed(times_s, weights, per_s, source)
    for fault in {p.fault for p in ends if p.fault.added_us}:
        times_s = np.concatenate([times_s, times_s + 1e-6 * fault.added_us])
        weights = np.concatenate([weights * (1 - fault.share), weights * fault.share])
    return _counted(times_s, weights, samples, source)


def points(
    source: np.random.Generator, node: Node, fault: Fault = NO_FAULT, published: Published | None = None
) -> list[dict[str, Any]]:
    """Return the points of one run of `rdma.latency`, as the C core writes them; the last port but two has the fault.

    Half of the nodes have half of their ports at the other socket.
    """
    chosen = published or PUBLISHED[int(source.integers(len(PUBLISHED)))]
    far_us = float(source.uniform(*FAR_US)) * bool(source.integers(2))
    bad = node.ports - 3 if node.ports > 3 else node.ports - 1
    ports = [
        _Port(
            float(source.normal(1, PORT_SIGMA)),
            1e-6 * far_us * (n >= node.ports / 2),
            fault if n == bad else NO_FAULT,
        )
        for n in range(node.ports)
    ]
    per_s = float(_log_uniform(source, INTERRUPTS_PER_S, 1)[0])
    is_stormy = source.random() < STORM_SHARE
    storm = int(source.integers(node.ports * len(node.operations))) if is_stormy else -1
    base = _distribution(chosen)
    share_s = MEASURED_SHARE * node.seconds / node.ports / len(node.operations)
    made = []
    for n in range(node.ports):
        other = (n + 1) % node.ports if node.is_ring else n
        ends = [ports[n], ports[other]] if node.is_ring else [ports[n]]
        slow_s = 1e-6 * fault.added_us * fault.share if any(p.fault.added_us for p in ends) else 0.0
        usual_s = float(np.average(base[0], weights=base[1])) + slow_s
        for k, operation in enumerate(node.operations):
            own_per_s = per_s + (STORM_PER_S * BLOCK_S / share_s if n * len(node.operations) + k == storm else 0)
            bins = _measured(base, ends, int(share_s / (2 * usual_s)), own_per_s, source)
            made.append(point(f"mlx5_{n}/1", bins, operation=operation, peer=f"mlx5_{other}/1"))
    return made


def point(device: str, bins: list[list[float]], **more: Any) -> dict[str, Any]:
    """Return a point with these bins, and the figures that follow from them."""
    samples = int(sum(count for _, count in bins))

    def quantile(share: float) -> float:
        seen = np.cumsum([count for _, count in bins])
        return bins[int(np.searchsorted(seen, share * samples))][0]

    return {
        "device": device,
        "peer": device,
        "operation": "write",
        "message_bytes": 8,
        "unit": "s",
        "value": quantile(0.1),
        "sustained": quantile(0.5),
        "stability": quantile(0.1) / quantile(0.9),
        "interval": [0.99 * quantile(0.1), 1.01 * quantile(0.1)],
        "is_converged": True,
        "samples": samples,
        "rate_bits_per_s": 400e9,
        "mtu_bytes": 4096,
        "min_s": bins[0][0],
        "p99_s": quantile(0.99),
        "p999_s": quantile(0.999),
        "max_s": bins[-1][0],
        "histogram": bins,
    } | more
