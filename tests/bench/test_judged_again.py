"""What is in doubt, how often it is measured again, and what all repeats together say. All seeds are fixed."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from nodeproof_bench.analysis.again import Fresh, judge_again, times_again
from nodeproof_bench.analysis.fleet import Fleet, Metric, Rules
from nodeproof_bench.analysis.judging import First, examine

NODES, METRICS = 400, 12

Floats = NDArray[np.float64]


def rates(count: int) -> list[Metric]:
    return [Metric(f"{'memory' if n % 2 else 'cpu'}.{n}", "B/s", True) for n in range(count)]


class Machines:
    """Nodes that truly differ by `true`, of metrics whose repeats scatter by `noise`."""

    def __init__(self, true: float, noise: float, nodes: int = NODES, seed: int = 1) -> None:
        self.source, self.noise = np.random.default_rng(seed), noise
        self.own = 100 * np.exp(self.source.normal(0, true, (nodes, METRICS)))

    def measured(self) -> First:
        names = [f"n{n}" for n in range(len(self.own))]
        values = self.own[:, :, None] * self._scatter((*self.own.shape, 5))
        return examine(Fleet(names, ["a"] * len(names), rates(METRICS), values))

    def again(self, node: int, times: int) -> list[Fresh]:
        values = self.own[node, :, None, None] * self._scatter((METRICS, times, 5))
        return [Fresh(f"n{node}", m.name, v.tolist()) for m, v in zip(rates(METRICS), values, strict=True)]

    def _scatter(self, shape: tuple[int, ...]) -> Floats:
        return np.exp(self.source.normal(0, self.noise, shape))


def named(first: First) -> set[str]:
    return {finding.node for finding in first.judgement.findings}


def doubted(first: First) -> set[str]:
    return {doubt.node for doubt in first.judgement.doubts}


@pytest.mark.parametrize("seed", range(3))
def test_what_repeats_hide_is_in_doubt_first_and_found_by_all_repeats(seed: int) -> None:
    machines = Machines(true=0.01, noise=0.03, seed=seed)
    machines.own[7, 3] = 91.5
    first = machines.measured()
    again = machines.again(7, 6)

    assert "n7" not in named(first)
    assert "n7" in doubted(first)
    (one,) = [finding for finding in judge_again(first, again) if finding.detector == "class"]
    assert (one.node, one.metric) == ("n7", "memory.3")
    assert one.loss == pytest.approx(0.085, abs=0.02)
    assert one.q is not None
    assert one.q <= Rules().rate_again
    assert one.z is not None
    assert one.z > -1.3 * math.log(1 - one.loss) / first.judgement.baselines["a", "memory.3"].scaled_mad


@pytest.mark.parametrize("seed", range(3))
def test_no_healthy_node_that_was_in_doubt_is_found_by_all_repeats(seed: int) -> None:
    machines = Machines(true=0.005, noise=0.02, seed=seed)
    first = machines.measured()
    again = [fresh for node in doubted(first) for fresh in machines.again(int(node[1:]), 4)]

    assert doubted(first)
    assert judge_again(first, again) == []


def test_no_number_of_repeats_tells_what_is_within_the_differences_of_healthy_nodes() -> None:
    """5 % of 1.5 %: if more repeats made all of the scatter smaller, six times as many would be beyond doubt."""
    machines = Machines(true=0.015, noise=0.005)
    machines.own[7, 3] = 95.0
    first = machines.measured()

    assert "n7" not in named(first)
    assert judge_again(first, machines.again(7, 6)) == []


def test_who_is_measured_again_is_judged_among_as_many_tests_as_were_made_at_first() -> None:
    machines = Machines(true=0.01, noise=0.002)
    machines.own[7, 3] = 96.0
    first, again = machines.measured(), machines.again(7, 2)
    alone = np.zeros_like(first.tries)
    alone[7] = 1

    assert judge_again(first, again) == []
    assert {f.node for f in judge_again(first._replace(tries=alone, places=()), again)} == {"n7"}


def test_nobody_else_is_found_because_some_were_measured_again() -> None:
    machines = Machines(true=0.01, noise=0.03)
    machines.own[7, 3] = 91.5
    machines.own[8, 3] = 70.0
    first = machines.measured()

    assert "n8" in named(first)
    assert {f.node for f in judge_again(first, machines.again(7, 6))} == {"n7"}
    assert judge_again(first, []) == []
    assert judge_again(first, [Fresh("n9999", "memory.3", [[1.0]]), Fresh("n7", "net.latency", [[1.0]])]) == []


def test_what_few_nodes_differ_by_is_not_known_well_enough_to_be_sure_by_many_repeats() -> None:
    """As a difference of two variances it may come out far too small: 2,400 healthy nodes in classes of twelve.

    Where the degrees of freedom are those of the class, eight of them are blamed.
    """
    found = []
    for seed in range(200):
        machines = Machines(true=0.01, noise=0.04, nodes=12, seed=seed)
        first = machines.measured()
        found += judge_again(first, [f for node in doubted(first) for f in machines.again(int(node[1:]), 6)])

    assert len(found) <= 2


def test_what_came_once_is_gone_in_all_repeats() -> None:
    machines = Machines(true=0.002, noise=0.005)
    machines.own[7, 3] = 80.0
    first = machines.measured()
    machines.own[7, 3] = 100.0

    assert "n7" in named(first)
    assert judge_again(first, machines.again(7, 2)) == []


def test_the_surest_doubts_are_measured_again_and_never_more_than_a_share_of_the_fleet() -> None:
    first = Machines(true=0.002, noise=0.03).measured()
    assert 1 < len(doubted(first)) <= NODES * Rules().most_doubtful

    surest = min(first.judgement.doubts, key=lambda doubt: doubt.p or 0.0)
    assert doubted(examine(first.fleet, Rules(most_doubtful=1 / NODES))) == {surest.node}
    assert not doubted(examine(first.fleet, Rules(doubt=0.0)))
    assert not doubted(examine(first.fleet, Rules(doubt=1.0, least_loss=0.5)))


def test_nobody_who_was_found_is_in_doubt() -> None:
    machines = Machines(true=0.002, noise=0.03)
    machines.own[7, 3] = 50.0
    first = machines.measured()

    assert "n7" in named(first)
    assert not named(first) & doubted(first)


@pytest.mark.parametrize(("noise", "least", "most"), [(0.002, 2, 2), (0.015, 2, 4), (0.1, 6, 6)])
def test_the_noisier_a_metric_the_more_often_it_is_measured_again_up_to_a_bound(
    noise: float, least: int, most: int
) -> None:
    machines = Machines(true=0.01, noise=noise)
    times = [n for doubt, n in times_again(machines.measured(), 2).items() if doubt.detector == "class"]

    assert times
    assert least <= min(times) <= max(times) <= most


def test_a_noisy_node_is_still_noisy_in_the_mean_of_all_times() -> None:
    machines = Machines(true=0.005, noise=0.004)
    first = machines.measured()
    machines.noise = 0.03
    noisy = machines.again(7, 6)

    assert {f.detector for f in judge_again(first, noisy) if f.node == "n7"} >= {"distribution"}
    machines.noise = 0.004
    assert judge_again(first, machines.again(7, 6)) == []


def test_a_loss_may_be_larger_than_it_looks_where_repeats_scatter() -> None:
    losses = [doubt.loss for doubt in Machines(true=0.002, noise=0.012).measured().judgement.doubts]

    assert losses
    assert 0.5 * Rules().least_loss < min(losses) < Rules().least_loss
    assert not doubted(Machines(true=0.005, noise=0.001).measured())


def test_of_few_nodes_each_is_compared_with_the_others_as_it_was_at_first() -> None:
    machines = Machines(true=0.001, noise=0.001, nodes=5)
    machines.own[2, 3] = 86.0
    first = machines.measured()
    (doubt,) = [d for d in first.judgement.doubts if d.detector == "class"]
    (now,) = [f for f in judge_again(first, machines.again(2, 2)) if f.detector == "class"]

    assert (now.node, now.metric) == (doubt.node, doubt.metric)
    assert now.z == pytest.approx(doubt.z, rel=0.02)


def test_of_three_nodes_nobody_knows_who_is_right_however_often_one_is_measured() -> None:
    machines = Machines(true=0.001, noise=0.001, nodes=3)
    machines.own[2, 3] = 60.0

    assert judge_again(machines.measured(), machines.again(2, 6)) == []
