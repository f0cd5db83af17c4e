"""The judgement of a fleet: planted faults are found, healthy nodes are left alone. All seeds are fixed."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from nodeproof_bench.analysis import detectors, robust
from nodeproof_bench.analysis.discoveries import choose, q_values
from nodeproof_bench.analysis.distributions import binomial_tail, df_of_tail, robust_t_tail, t_quantile, t_tail
from nodeproof_bench.analysis.fleet import Finding, Fleet, Metric, Rules
from nodeproof_bench.analysis.judging import judge
from nodeproof_bench.analysis.significant import odd, tries

RATE, TIME = Metric("memory.triad", "B/s", True), Metric("memory.latency", "s", False)

Floats = NDArray[np.float64]


def noisy(nodes: int, metrics: int, seed: int = 1, repeats: int = 5) -> Floats:
    """Return healthy values around 100: nodes differ by 0.5 %, repeats by 0.5 %."""
    source = np.random.default_rng(seed)
    own = source.normal(0, 0.005, (nodes, metrics, 1))
    return 100 * np.exp(own + source.normal(0, 0.005, (nodes, metrics, repeats)))


def rates(count: int) -> list[Metric]:
    return [Metric(f"{'memory' if n % 2 else 'cpu'}.{n}", "B/s", True) for n in range(count)]


def fleet(values: Floats, metrics: list[Metric] | None = None, classes: list[str] | None = None) -> Fleet:
    names = [f"n{n}" for n in range(len(values))]
    return Fleet(names, classes or ["a"] * len(names), metrics or rates(values.shape[1]), values)


def found(whole: Fleet, rules: Rules | None = None) -> set[tuple[str, str]]:
    return {(f.node, f.detector) for f in judge(whole, rules).findings}


# distributions


def test_tails_of_t_are_those_of_tables() -> None:
    t = np.array([0.0, 1.0, 2.776445, 12.7062, 3.169273])
    assert t_tail(t, np.array([5.0, 1.0, 4.0, 1.0, 10.0])) == pytest.approx([0.5, 0.25, 0.025, 0.025, 0.005], rel=1e-5)


def test_far_tails_of_t_are_exact() -> None:
    """With two degrees of freedom there is a formula: 1/2 - t / (2 sqrt(2 + t^2)), here without its cancellation."""
    t = np.array([10.0, 1e3, 1e5])
    root = np.sqrt(2 + t * t)
    assert t_tail(t, np.full(3, 2.0)) == pytest.approx(1 / (root * (root + t)), rel=1e-9)


def test_quantiles_of_t_are_those_of_tables() -> None:
    assert t_quantile(0.975, 10) == pytest.approx(2.228139, rel=1e-6)
    assert t_quantile(0.995, 3) == pytest.approx(5.840909, rel=1e-6)


def test_a_robust_tail_is_normal_with_many_degrees_of_freedom_and_heavier_with_few() -> None:
    normal = 0.5 * math.erfc(4 / math.sqrt(2))
    many, few = robust_t_tail(np.array([4.0, 4.0]), np.array([200.0, 5.0]))

    assert many == pytest.approx(normal, rel=0.5)
    assert few > 50 * normal


@pytest.mark.parametrize("df", [4.0, 8.0])
def test_degrees_of_freedom_are_recovered_from_a_sample_whatever_its_upper_tail_is(df: float) -> None:
    z = np.random.default_rng(1).standard_t(df, 50_000) / t_quantile(0.75, df) * t_quantile(0.75, 200.0)
    z[z > 3] += 100

    assert df_of_tail(z) == pytest.approx(df, rel=0.35)
    assert df_of_tail(z[:900], usual=7.0) == 7.0


@pytest.mark.parametrize(("k", "n", "share"), [(1, 5, 0.1), (3, 5, 0.02), (5, 5, 0.5), (12, 300, 0.01), (0, 5, 0.3)])
def test_binomial_tails_are_sums(k: int, n: int, share: float) -> None:
    expected = sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))
    assert binomial_tail(np.array([k]), np.array([n]), np.array([share])) == pytest.approx([expected], rel=1e-9)


def test_q_values_are_those_of_the_paper() -> None:
    """Table 1 of Benjamini and Hochberg (1995): four of fifteen are discoveries at 0.05."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590,
         1.0]  # fmt: skip
    q = q_values(np.array(p), 15)

    assert int(np.count_nonzero(q <= 0.05)) == 4
    assert q[3] == pytest.approx(0.0095 * 15 / 4)


def test_a_broken_node_buys_no_false_alarms_for_others() -> None:
    """Sixty tiny p values of one node, and one of another that is a discovery only if all are in one pot."""
    nodes, p = np.array([0] * 60 + [1]), np.array([1e-12] * 60 + [2e-4])
    tries = np.full(1000, 60)

    chosen = choose(nodes, p, tries, 0.01)
    assert (chosen.q[:60] <= 0.01).all()
    assert chosen.q[60] == 1
    assert q_values(p, 60_000)[60] > 0.01


# medians


def test_tests_of_parts_weigh_more_than_one_of_many_and_all_of_a_node_one_on_average() -> None:
    of_metrics, of_part = np.full((4, 60), 3.0), np.full((4, 60), np.nan)
    of_metrics[2, :20], of_part[:, 7] = np.nan, 3.0
    names = {"class": of_metrics, "history": of_metrics, "part": of_part}
    tests = [
        detectors.Test(name, z, np.full(z.shape, 50.0), z, z, 6 if name == "part" else 1) for name, z in names.items()
    ]

    weights = {one.detector: np.split(one.weight, np.flatnonzero(np.diff(one.node)) + 1) for one in odd(tests)}

    assert [w.sum() for w in map(np.concatenate, zip(*weights.values(), strict=True))] == pytest.approx(tries(tests))
    assert np.concatenate(weights["part"]) == pytest.approx(0.1 * tries(tests))
    assert {round(float(w), 9) for w in weights["class"][0]} == {round(0.9 * 121 / 120, 9)}


def test_medians_leave_out_what_was_not_measured() -> None:
    nan = np.nan
    values = np.array([[1.0, nan, 3.0], [nan, nan, nan], [5.0, 1.0, 2.0]])

    assert robust.median(values, 1) == pytest.approx([2.0, nan, 2.0], nan_ok=True)
    assert robust.median(np.empty((2, 0)), 1) == pytest.approx([nan, nan], nan_ok=True)


def test_of_an_even_number_the_better_middle_counts() -> None:
    values = np.array([[[4.0, 1.0, 3.0, 2.0], [4.0, 1.0, 3.0, np.nan]], [[4.0, 1.0, 3.0, 2.0], [np.nan] * 4]])

    assert robust.better_middle(values, np.array([True, True])) == pytest.approx(
        np.array([[3.0, 3.0], [3.0, np.nan]]), nan_ok=True
    )
    assert robust.better_middle(values, np.array([False, False]))[0, 0] == 2.0


# whole fleets


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_fleet_has_no_findings(seed: int) -> None:
    assert judge(fleet(noisy(400, 12, seed))).findings == ()


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_node_is_found_in_its_metric_and_no_other_node(seed: int) -> None:
    values = noisy(400, 12, seed)
    values[17, 3] *= 0.94
    judgement = judge(fleet(values))

    assert {(f.node, f.metric) for f in judgement.findings} == {("n17", "memory.3")}
    one = next(f for f in judgement.findings if f.detector == "class")
    assert one.loss == pytest.approx(0.06, abs=0.02)
    assert one.expected == pytest.approx(100, rel=0.005)
    assert one.q is not None
    assert one.q <= 0.01
    assert one.text.startswith("memory.3 is 9")


def test_times_are_worse_when_they_are_longer_and_rates_when_they_are_lower() -> None:
    values = noisy(100, 2)
    values[3] *= 1.2
    values[4] *= 0.8
    both = judge(fleet(values, [RATE, TIME])).findings

    assert {(f.node, f.metric) for f in both if f.detector == "class"} == {("n4", RATE.name), ("n3", TIME.name)}
    assert {(f.node, f.metric) for f in both if f.detector == "too_good"} == {("n3", RATE.name), ("n4", TIME.name)}
    assert all((f.loss > 0) == (f.detector != "too_good") for f in both)


def test_classes_are_not_mixed() -> None:
    values = noisy(100, 3)
    values[50:] *= 0.7
    half = ["fast"] * 50 + ["slow"] * 50

    assert judge(fleet(values, classes=half)).findings == ()
    values[60] *= 0.9
    assert {f.node for f in judge(fleet(values, classes=half)).findings} == {"n60"}


def test_differences_that_are_small_are_no_findings_however_certain() -> None:
    values = noisy(200, 8)
    values[7, 0] *= 0.95
    certain = Rules(least_loss=0.08)

    assert ("n7", "class") in found(fleet(values))
    assert found(fleet(values), certain) == set()


def test_values_that_are_all_equal_divide_by_nothing() -> None:
    values = np.full((50, 3, 5), 100.0)
    assert judge(fleet(values)).findings == ()

    values[9, 1] = 90.0
    assert found(fleet(values)) == {("n9", "class")}


def test_what_was_not_measured_is_no_finding_and_hurts_nobody() -> None:
    values = noisy(200, 6)
    values[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan
    values[11] = np.nan
    values[:, 5] = np.nan
    values[20, 2, 1:] = np.nan
    values[20, 2, 0] = 50.0  # one repeat is no median
    values[30, 3] *= 0.9
    judgement = judge(fleet(values))

    assert {f.node for f in judgement.findings} == {"n30"}
    assert ("a", "memory.5") not in judgement.baselines


def test_nothing_measured_at_all_is_judged_too() -> None:
    assert judge(fleet(np.full((10, 2, 5), np.nan))).findings == ()
    assert judge(fleet(np.empty((10, 0, 0)), [])).findings == ()
    assert judge(fleet(np.empty((0, 0, 0)), [])).tests == 0


def test_a_metric_that_is_usually_zero_has_no_share_and_is_left_to_limits() -> None:
    values = np.zeros((40, 1, 5))
    values[3] = 2.0
    errors = Metric("verify.errors", "1", False)

    assert judge(fleet(values, [errors])).findings == ()
    assert {(f.node, f.detector) for f in judge(fleet(values, [errors._replace(floor=0.0)])).findings} == {
        ("n3", "limit")
    }


def test_a_rate_of_nothing_is_a_total_loss() -> None:
    values = noisy(60, 2)
    values[5, 0] = 0.0
    one = next(f for f in judge(fleet(values)).findings if f.detector == "class")

    assert (one.node, one.loss) == ("n5", 1.0)


def test_a_flagged_node_is_in_no_baseline() -> None:
    values = noisy(12, 2)
    values[:3, 0] *= 0.5
    baselines = judge(fleet(values, [Metric("a.b", "B/s", True, 80.0, "policy"), RATE])).baselines
    baseline = baselines["a", "a.b"]

    assert baseline.count == baselines["a", RATE.name].count == 9
    assert baseline.median == pytest.approx(100, rel=0.01)


def test_a_node_that_lost_something_since_earlier_campaigns_is_found_among_nodes_that_differ() -> None:
    source = np.random.default_rng(5)
    own = source.normal(0, 0.03, (120, 2))  # a class this wide hides 4 %

    def measured(repeats: int) -> Floats:
        return np.asarray(100 * np.exp(own[:, :, None] + source.normal(0, 0.004, (120, 2, repeats))))

    earlier, values = measured(3), measured(5)
    values[33, 1] *= 0.95
    whole = fleet(values)._replace(earlier=earlier)

    assert ("n33", "class") not in found(whole)
    assert found(whole) == {("n33", "history")}
    assert next(iter(judge(whole).findings)).expected == pytest.approx(100 * math.exp(own[33, 1]), rel=0.02)


def test_a_whole_class_that_got_slower_is_a_shift_and_no_nodes_fault() -> None:
    values = noisy(50, 2, seed=8)
    earlier = noisy(50, 2, seed=9, repeats=3)
    values[:, 0] *= 0.9
    judgement = judge(fleet(values)._replace(earlier=earlier))

    assert judgement.findings == ()
    assert judgement.shifts == {("a", "cpu.0"): pytest.approx(0.1, abs=0.01)}


def test_a_lone_node_is_compared_with_nothing_but_itself() -> None:
    values, earlier = noisy(1, 2), noisy(1, 2, seed=2, repeats=9)
    assert judge(fleet(values)._replace(earlier=earlier)).findings == ()

    values[0, 1] *= 0.8
    assert found(fleet(values)._replace(earlier=earlier)) == {("n0", "history")}
    assert judge(fleet(values)).findings == ()


def test_of_four_nodes_one_that_is_far_below_the_others_is_found() -> None:
    values = noisy(4, 5)
    values[2, 1] *= 0.9
    assert judge(fleet(values)).findings == ()

    values[2, 1] *= 0.6
    assert found(fleet(values)) == {("n2", "class")}


def test_of_two_nodes_nobody_knows_which_is_right() -> None:
    values = noisy(2, 3)
    values[0] *= 0.5

    assert judge(fleet(values)).findings == ()


def test_a_noisy_node_is_found_by_all_metrics_of_a_part_together() -> None:
    values = noisy(300, 16, seed=4)
    centre = np.median(values[5], axis=1)[:, None]
    values[5, 1::2] = (centre * (values[5] / centre) ** 8)[1::2]
    findings = judge(fleet(values)).findings
    noise = [f for f in findings if f.detector == "distribution"]

    assert [f.node for f in noise] == ["n5"]
    assert noise[0].metric.startswith("memory.")
    assert noise[0].value > 4 * noise[0].expected


def test_one_accident_in_one_metric_makes_no_node_noisy() -> None:
    values = noisy(300, 16, seed=4)
    values[7, 3, 2] *= 0.5

    assert judge(fleet(values)).findings == ()


def test_a_node_unlike_its_own_other_metrics_is_found_in_a_class_that_differs() -> None:
    """Processors of this class differ by 3 %, and all metrics with them."""
    source = np.random.default_rng(2)
    values = 100 * np.exp(source.normal(0, 0.03, (300, 1, 1)) + source.normal(0, 0.003, (300, 8, 5)))
    values[42, 2] *= 0.96

    assert found(fleet(values)) == {("n42", "profile")}


def test_a_node_that_is_always_disturbed_could_not_be_told() -> None:
    values, disturbed = noisy(100, 6), np.zeros((100, 6), int)
    disturbed[::10, 0] = 1
    values[::10, 0, 0] = np.nan
    values[13], disturbed[13] = np.nan, 5
    (one,) = judge(fleet(values)._replace(disturbed=disturbed)).findings

    assert (one.node, one.detector) == ("n13", "disturbed")
    assert "5 of 5 repeats" in one.text
    assert "6 metrics" in one.text


def test_where_all_are_disturbed_nobody_stands_out() -> None:
    values, disturbed = np.full((20, 2, 5), np.nan), np.full((20, 2), 5)
    assert judge(fleet(values)._replace(disturbed=disturbed)).findings == ()


def test_a_limit_is_no_matter_of_chance() -> None:
    values = np.array([[[79.0] * 5], [[81.0] * 5]])
    (one,) = judge(fleet(values, [Metric("memory.triad", "B/s", True, 80.0, "policy")])).findings

    assert one == Finding("n0", "memory.triad", "limit", 79.0, 80.0, 0.0125, None, None, None, one.text)
    assert one.text == "memory.triad is 79.0 B/s, 1.2 % beyond the limit of 80.0 B/s (policy)"


def test_chance_is_counted() -> None:
    values = noisy(400, 12)
    values[:20, 3] *= 0.9
    judgement = judge(fleet(values))

    assert len({f.node for f in judgement.findings}) == 20
    assert 0 < judgement.expected_false <= 0.01 * 20 + 1e-9
    assert judgement.tests > 400 * 12
