"""What is in doubt, how often it is measured again, and what all repeats together say. All seeds are fixed."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from nodeproof_bench.analysis.again import Fresh, judge_again, times_again
from nodeproof_bench.analysis.fleet import THOROUGH, Finding, Fleet, Metric, Rules
from nodeproof_bench.analysis.judging import First, examine
from nodeproof_bench.analysis.ruled_out import resolution

NODES, METRICS = 400, 12

Floats = NDArray[np.float64]


def rates(count: int) -> list[Metric]:
    return [Metric(f"{'memory' if n % 2 else 'cpu'}.{n}", "B/s", True) for n in range(count)]


class Machines:
    """Nodes that truly differ by `true`, of metrics whose repeats scatter by `noise`."""

    def __init__(self, true: float, noise: float, nodes: int = NODES, seed: int = 1) -> None:
        self.source, self.noise = np.random.default_rng(seed), noise
        self.own = 100 * np.exp(self.source.normal(0, true, (nodes, METRICS)))

    def measured(self, rules: Rules | None = None, *, is_rate: bool = True) -> First:
        names = [f"n{n}" for n in range(len(self.own))]
        values = self.own[:, :, None] * self._scatter((*self.own.shape, 5))
        return examine(
            Fleet(names, ["a"] * len(names), [m._replace(is_higher_better=is_rate) for m in rates(METRICS)], values),
            rules,
        )

    def again(self, node: int, times: int) -> list[Fresh]:
        values = self.own[node, :, None, None] * self._scatter((METRICS, times, 5))
        return [Fresh(f"n{node}", m.name, v.tolist()) for m, v in zip(rates(METRICS), values, strict=True)]

    def _scatter(self, shape: tuple[int, ...]) -> Floats:
        return np.exp(self.source.normal(0, self.noise, shape))


def named(first: First) -> set[str]:
    return {finding.node for finding in first.judgement.findings}


def doubted(first: First) -> set[str]:
    return {doubt.node for doubt in first.judgement.doubts}


def found_again(first: First, fresh: list[Fresh]) -> list[Finding]:
    return list(judge_again(first, fresh).findings)


@pytest.mark.parametrize("seed", range(3))
def test_what_repeats_hide_is_in_doubt_first_and_found_by_all_repeats(seed: int) -> None:
    machines = Machines(true=0.01, noise=0.03, seed=seed)
    machines.own[7, 3] = 91.5
    first = machines.measured()
    again = machines.again(7, 6)

    assert "n7" not in named(first)
    assert "n7" in doubted(first)
    (one,) = [finding for finding in found_again(first, again) if finding.detector == "class"]
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
    assert found_again(first, again) == []


def test_no_number_of_repeats_tells_what_is_within_the_differences_of_healthy_nodes() -> None:
    """5 % of 1.5 %: if more repeats made all of the scatter smaller, six times as many would be beyond doubt."""
    machines = Machines(true=0.015, noise=0.005)
    machines.own[7, 3] = 95.0
    first = machines.measured()

    assert "n7" not in named(first)
    assert found_again(first, machines.again(7, 6)) == []


def test_who_is_measured_again_is_judged_among_as_many_tests_as_were_made_at_first() -> None:
    machines = Machines(true=0.01, noise=0.002)
    machines.own[7, 3] = 96.0
    first, again = machines.measured(), machines.again(7, 2)
    alone = np.zeros_like(first.tries)
    alone[7] = 1

    assert found_again(first, again) == []
    assert {f.node for f in found_again(first._replace(tries=alone, places=()), again)} == {"n7"}


def test_nobody_else_is_found_because_some_were_measured_again() -> None:
    machines = Machines(true=0.01, noise=0.03)
    machines.own[7, 3] = 91.5
    machines.own[8, 3] = 70.0
    first = machines.measured()

    assert "n8" in named(first)
    assert {f.node for f in found_again(first, machines.again(7, 6))} == {"n7"}
    assert found_again(first, []) == []
    assert found_again(first, [Fresh("n9999", "memory.3", [[1.0]]), Fresh("n7", "net.latency", [[1.0]])]) == []


def test_what_few_nodes_differ_by_is_not_known_well_enough_to_be_sure_by_many_repeats() -> None:
    """As a difference of two variances it may come out far too small: 2,400 healthy nodes in classes of twelve.

    Where the degrees of freedom are those of the class, eight of them are blamed.
    """
    found = []
    for seed in range(200):
        machines = Machines(true=0.01, noise=0.04, nodes=12, seed=seed)
        first = machines.measured()
        found += found_again(first, [f for node in doubted(first) for f in machines.again(int(node[1:]), 6)])

    assert len(found) <= 2


def test_what_came_once_is_gone_in_all_repeats() -> None:
    machines = Machines(true=0.002, noise=0.005)
    machines.own[7, 3] = 80.0
    first = machines.measured()
    machines.own[7, 3] = 100.0

    assert "n7" in named(first)
    assert found_again(first, machines.again(7, 2)) == []


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


@pytest.mark.parametrize(("noise", "least", "most"), [(0.002, 2, 2), (0.015, 2, 4), (0.1, 12, 12)])
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

    assert {f.detector for f in found_again(first, noisy) if f.node == "n7"} >= {"distribution"}
    machines.noise = 0.004
    assert found_again(first, machines.again(7, 6)) == []


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
    (now,) = [f for f in found_again(first, machines.again(2, 2)) if f.detector == "class"]

    assert (now.node, now.metric) == (doubt.node, doubt.metric)
    assert now.z == pytest.approx(doubt.z, rel=0.02)


def test_of_three_nodes_nobody_knows_who_is_right_however_often_one_is_measured() -> None:
    machines = Machines(true=0.001, noise=0.001, nodes=3)
    machines.own[2, 3] = 60.0

    assert found_again(machines.measured(), machines.again(2, 6)) == []


def undecided(first: First) -> set[str]:
    return {one.node for one in first.judgement.undecided}


def test_where_a_loss_of_five_percent_is_not_ruled_out_a_node_is_measured_again() -> None:
    """3 % are less than what is to be found, and repeats of 1.5 % do not tell them from it. 0.5 % could not be more."""
    machines = Machines(true=0.002, noise=0.015)
    machines.own[7, 3], machines.own[8, 3] = 97.0, 99.5
    first = machines.measured()

    places = {(one.node, one.metric) for one in first.judgement.undecided}
    assert ("n7", "memory.3") in places
    assert ("n8", "memory.3") not in places
    assert len(places) < 0.1 * NODES * METRICS
    assert first.below[7, 3] > Rules().find_loss > first.below[8, 3]


@pytest.mark.parametrize("is_rate", [True, False])
def test_a_bound_is_beyond_the_true_loss(is_rate: bool) -> None:
    machines = Machines(true=0.005, noise=0.01)
    machines.own[7, 3] *= 0.5 if is_rate else 2.0
    first = machines.measured(is_rate=is_rate)
    lost = (1 - machines.own / np.median(machines.own, 0)) * (1 if is_rate else -1)

    assert 0.98 * lost[7, 3] < first.below[7, 3] < 1.2 * lost[7, 3]

    assert np.mean(first.below < lost) < 0.005
    assert np.median(first.below) < 0.03


def test_a_metric_that_tells_nothing_of_most_nodes_has_nobody_measured_again_but_by_all_means() -> None:
    machines = Machines(true=0.002, noise=0.06)

    assert undecided(machines.measured()) == set()
    assert len(undecided(machines.measured(THOROUGH))) > 0.9 * NODES


def test_repeats_narrow_the_bound_of_what_was_measured_again() -> None:
    machines = Machines(true=0.002, noise=0.03)
    first = machines.measured()
    below = judge_again(first, machines.again(7, 12)).below

    assert np.median(below[7]) < 0.7 * np.median(first.below[7])
    assert np.array_equal(np.delete(below, 7, 0), np.delete(first.below, 7, 0), equal_nan=True)
    assert np.array_equal(judge_again(first, []).below, first.below, equal_nan=True)


@pytest.mark.parametrize("seed", range(8))
def test_a_thorough_campaign_measures_again_however_few_and_noisy_the_nodes_are(seed: int) -> None:
    first = Machines(true=0.002, noise=0.08, nodes=16, seed=seed).measured(THOROUGH)

    assert len(undecided(first)) > 12


def test_a_node_that_was_found_is_measured_again_in_what_else_may_be_slow() -> None:
    machines = Machines(true=0.002, noise=0.015)
    machines.own[7, 3], machines.own[7, 5] = 50.0, 97.0
    first = machines.measured()

    assert "n7" in named(first)
    assert ("n7", "memory.5") in {(one.node, one.metric) for one in first.judgement.undecided}


def test_of_three_nodes_nothing_is_ruled_out() -> None:
    first = Machines(true=0.001, noise=0.001, nodes=3).measured(THOROUGH)

    assert np.isnan(first.below).all()
    assert undecided(first) == set()


def test_what_a_class_would_show_is_told_without_the_nodes_that_were_found() -> None:
    machines = Machines(true=0.002, noise=0.01)
    machines.own[:40, 3] = 50.0
    first = machines.measured()
    apart = np.arange(NODES) < 40

    with_all, told = (resolution(first.below, first.groups, one)["a", 3] for one in (np.zeros(NODES, bool), apart))
    assert told < Rules().find_loss < with_all
    assert with_all > 0.4
    assert resolution(first.below, first.groups, np.ones(NODES, bool)) == {}


def test_a_noisy_metric_is_measured_as_often_as_the_rules_allow() -> None:
    machines = Machines(true=0.01, noise=0.1)
    usual, most = (max(times_again(machines.measured(rules), 2).values()) for rules in (Rules(), THOROUGH))

    assert (usual, most) == (12, 48)
