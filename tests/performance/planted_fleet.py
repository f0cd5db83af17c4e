"""A simulated fleet with planted faults: nodes that truly differ, noise with heavy tails, values that are missing.

    8 classes, from 6,000 nodes to 1      60 metrics of 5 parts, CV of a repeat from 0.3 to 5 %
    5 repeats, 3 earlier campaigns        1 % true spread, 70 % of its variance common to the metrics of a part
"""  # fmt: skip

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis.again import Fresh
from nodeproof_bench.analysis.fleet import Fleet, Metric

Floats = NDArray[np.float64]

#: Nodes of each class, as a site has them: a few large ones, and leftovers down to a single machine.
CLASSES = {"A": 6000, "B": 2500, "C": 1200, "D": 200, "E": 60, "F": 30, "G": 9, "H": 1}

#: Parts of the machine: number of metrics, least and largest coefficient of variation of a repeat.
PARTS = {
    "cpu": (12, 0.003, 0.01),
    "memory": (16, 0.003, 0.02),
    "disk": (10, 0.01, 0.05),
    "net": (10, 0.005, 0.05),
    "rdma": (12, 0.003, 0.02),
}

REPEATS, EARLIER = 5, 3

#: How healthy nodes truly differ, and which share of that variance a part's metrics have in common.
TRUE_SPREAD, COMMON = 0.01, 0.7

#: What a node differs by from campaign to campaign (temperature, placement), beyond what repeats in one show, and what
#: whole classes do (kernel, firmware).
BETWEEN_CAMPAIGNS, OF_CLASSES = 0.002, 0.01

#: Of all repeats: missing, recognised as disturbed, disturbed without being recognised. Of a node's metrics: failed.
MISSING, DISTURBED, UNNOTICED, FAILED = 0.02, 0.02, 0.005, 0.01

#: What a disturbance takes, and Student's degrees of freedom of all other noise.
LEAST_TAKEN, MOST_TAKEN, NOISE_DF = 0.05, 0.3, 4

#: Faults: shares lost, what a marginal link adds to a latency of 1 to 4 µs, how many times as noisy.
LOSSES, MARGINAL_S, NOISY = (0.03, 0.05, 0.10), 50e-6, 5.0

#: Slow single metrics are planted, and told apart, by the coefficient of variation of the metric.
BANDS = ((0.003, 0.005), (0.005, 0.008), (0.008, 0.012), (0.012, 0.02), (0.02, 0.05))

#: Faults go to classes of at least so many nodes.
LEAST_NODES = 200


class Fault(NamedTuple):
    """What is planted: `loss` as a share (0 for others), and the band of variation for slow single metrics."""

    name: str
    loss: float = 0.0
    band: tuple[float, float] | None = None


class Truth(NamedTuple):
    """What every node truly has in this campaign, `worse` as a logarithm, and how its repeats scatter: node x metric.

    `usual` is what the class has, `added_s` what is added to it, `lost` as a logarithm what of `worse` is a fault.
    """

    worse: Floats
    noise: Floats
    usual: Floats
    sign: Floats
    added_s: Floats
    lost: Floats

    def measured(self, source: np.random.Generator, node: int, metric: int, repeats: int) -> Floats:
        """Return repeats of one metric of one node, in its unit, before anything is missing."""
        at = slice(node, node + 1), slice(metric, metric + 1)
        logs = _with_noise(source, self.worse[at], self.noise[at], repeats)[0, 0]
        return np.asarray(self.usual[node, metric] * np.exp(self.sign[metric] * logs) + self.added_s[node, metric])


class Planted(NamedTuple):
    """A fleet, the rows of the nodes that have each fault, and what its nodes truly have."""

    fleet: Fleet
    faults: Mapping[Fault, list[int]]
    truth: Truth


def measured_again(
    planted: Planted, source: np.random.Generator, node: int, times_of: Mapping[str, int]
) -> Iterator[Fresh]:
    """Yield what comes of measuring metrics of a node again so many times. As much as at first is missing."""
    for number, metric in enumerate(planted.fleet.metrics):
        times = times_of.get(metric.name, 0)
        if not times:
            continue
        values = planted.truth.measured(source, node, number, times * REPEATS)
        is_known = source.random(len(values)) >= MISSING + DISTURBED
        told = [values[at : at + REPEATS][is_known[at : at + REPEATS]] for at in range(0, len(values), REPEATS)]
        if any(map(len, told)):
            yield Fresh(planted.fleet.nodes[node], metric.name, [one.tolist() for one in told if len(one)])


class _Hardware(NamedTuple):
    metrics: list[Metric]
    variation: Floats
    part: NDArray[np.int64]


class _Effect(NamedTuple):
    """By node and metric: logarithm of what is lost, what is added in seconds, by what the noise is multiplied."""

    loss: Floats
    added_s: Floats
    noise: Floats


def simulate(seed: int, classes: Mapping[str, int] = CLASSES, planted: int = 40, earlier: int = EARLIER) -> Planted:
    """Return a fleet with `planted` nodes of each fault."""
    source, hardware = np.random.default_rng(seed), _hardware()
    class_of = np.repeat(list(classes), list(classes.values()))
    shape = (len(class_of), len(hardware.metrics))
    sign = np.array([-1.0 if m.is_higher_better else 1.0 for m in hardware.metrics])
    usual = np.array([1e9 if m.is_higher_better else 2e-6 for m in hardware.metrics])
    usual = np.repeat(usual * np.exp(source.normal(0, 0.3, (len(classes), shape[1]))), list(classes.values()), axis=0)
    common = source.normal(size=(shape[0], len(PARTS)))[:, hardware.part]
    true = TRUE_SPREAD * (np.sqrt(COMMON) * common + np.sqrt(1 - COMMON) * source.normal(size=shape))
    before = [_earlier(source, true, hardware.variation) for _ in range(earlier)]
    faults, effect = _plant(source, planted, hardware, class_of)
    now, noise = true + effect.loss, hardware.variation * effect.noise
    logs, now = _repeats(source, now, noise)
    values = usual[:, :, None] * np.exp(sign[:, None] * logs) + effect.added_s[:, :, None]
    luck = source.random(values.shape)
    luck[effect.loss > 0, :3] = 1.0  # what is not measured cannot be found
    values[luck < MISSING + DISTURBED] = np.nan
    values[(source.random(shape) < FAILED) & (effect.loss == 0)] = np.nan
    disturbed = np.count_nonzero((luck >= MISSING) & (luck < MISSING + DISTURBED), axis=2)
    then = np.stack([usual * np.exp(sign * logs) for logs in before], axis=2) if before else None
    names = [f"n{n:05d}" for n in range(shape[0])]
    truth = Truth(now, np.broadcast_to(noise, shape), usual, sign, effect.added_s, effect.loss)
    return Planted(Fleet(names, class_of.tolist(), hardware.metrics, values, then, disturbed), faults, truth)


def _hardware() -> _Hardware:
    """Return the metrics; every second one of the fabric is a time."""
    metrics, variation, part = list[Metric](), list[float](), list[int]()
    for number, (name, (count, low, high)) in enumerate(PARTS.items()):
        for n in range(count):
            is_time = name == "rdma" and n % 2 == 0
            metrics.append(Metric(f"{name}.metric_{n}", "s" if is_time else "B/s", not is_time))
            variation.append(float(low * (high / low) ** (n / (count - 1))))
            part.append(number)
    return _Hardware(metrics, np.array(variation), np.array(part))


def _repeats(source: np.random.Generator, true: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Return logarithms of repeats where more is worse, and those that nodes have in this campaign."""
    noise = _noise(source, true.shape, scale, REPEATS)
    now = true + source.normal(0, BETWEEN_CAMPAIGNS, true.shape)
    return _hit(source, noise + now[:, :, None]), now


def _with_noise(source: np.random.Generator, now: Floats, scale: Floats, repeats: int) -> Floats:
    return _hit(source, _noise(source, now.shape, scale, repeats) + now[:, :, None])


def _noise(source: np.random.Generator, shape: tuple[int, ...], scale: Floats, repeats: int) -> Floats:
    noise = source.standard_t(NOISE_DF, (*shape, repeats)) / np.sqrt(NOISE_DF / (NOISE_DF - 2))
    return np.asarray(noise * np.broadcast_to(scale, shape)[:, :, None])


def _hit(source: np.random.Generator, logs: Floats) -> Floats:
    """Disturb some repeats without anybody noticing."""
    hit = source.random(logs.shape) < UNNOTICED
    logs[hit] += source.uniform(LEAST_TAKEN, MOST_TAKEN, np.count_nonzero(hit))
    return logs


def _earlier(source: np.random.Generator, true: Floats, scale: Floats) -> Floats:
    logs, _ = _repeats(source, true, scale)
    return np.asarray(np.median(logs, axis=2) + source.normal(0, OF_CLASSES, true.shape[1]))


def _plant(
    source: np.random.Generator, planted: int, hardware: _Hardware, class_of: NDArray[np.str_]
) -> tuple[dict[Fault, list[int]], _Effect]:
    shape = (len(class_of), len(hardware.metrics))
    effect = _Effect(np.zeros(shape), np.zeros(shape), np.ones(shape))
    large = [n for n, name in enumerate(class_of) if np.count_nonzero(class_of == name) >= LEAST_NODES]
    free, faults = iter(source.permutation(large).tolist()), defaultdict[Fault, list[int]](list)
    for loss in LOSSES:
        for band in BANDS:
            columns = np.flatnonzero((hardware.variation >= band[0]) & (hardware.variation < band[1]))
            for node, column in zip(_next(free, planted), source.choice(columns, planted), strict=True):
                effect.loss[node, column] = -np.log1p(-loss)
                faults[Fault(f"one metric {loss:.0%} slow", loss, band)].append(node)
        for node in _next(free, planted):
            effect.loss[node, hardware.part == source.integers(len(PARTS))] = -np.log1p(-loss)
            faults[Fault(f"all metrics of a part {loss:.0%} slow", loss)].append(node)
    is_time = np.array([not m.is_higher_better for m in hardware.metrics])
    for node in _next(free, planted):
        effect.added_s[node, is_time] = MARGINAL_S
        faults[Fault("marginal link, latencies 50 µs longer", 1.0)].append(node)
    for node in _next(free, planted):
        effect.noise[node, hardware.part == source.integers(len(PARTS))] = NOISY
        faults[Fault("noisy node, a part varies 5 times as much")].append(node)
    return dict(faults), effect


def _next(free: Iterator[int], count: int) -> list[int]:
    return [next(free) for _ in range(count)]
