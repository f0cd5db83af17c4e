"""Robust figures, and how often they find what is there and what is not."""

import random
import statistics

import pytest

from nodeproof_bench.stats import (
    BEFORE,
    NEWEST,
    REFERENCE,
    cusum,
    drift,
    loss,
    mad,
    median,
    outlier_limit,
    robust_sigma,
)

FULL = NEWEST + BEFORE


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [5.0, 1.0, 3.0], [4.0, 1.0, 3.0, 2.0], [2.0, 2.0, 9.0, 2.0]])
def test_median_is_that_of_the_standard_library(values: list[float]) -> None:
    assert median(values) == statistics.median(values)


def test_no_values_have_no_median() -> None:
    with pytest.raises(ValueError, match="no median"):
        median([])


def test_an_outlier_moves_no_robust_figure() -> None:
    quiet = [100.0, 101.0, 99.0, 100.5, 99.5]

    assert mad(quiet) == 0.5
    assert robust_sigma([*quiet, 1e9]) < 2


def test_what_stands_out_has_a_floor_and_a_ceiling() -> None:
    assert outlier_limit([100.0] * 8, 0.03, 0.15) == 3.0
    assert outlier_limit([100.0] * 4 + [50.0] * 4, 0.03, 0.15) == pytest.approx(0.15 * 75)
    assert outlier_limit([98.0, 99.0, 100.0, 101.0, 102.0], 0.03, 0.15) == pytest.approx(3.5 * 1.4826)


def histories(count: int, length: int, variation: float) -> list[list[float]]:
    """Return results of healthy nodes, one in ten of which had one disturbed run."""
    source = random.Random(7)
    made = [[1e9 * source.gauss(1, variation) for _ in range(length)] for _ in range(count)]
    for values in made[::10]:
        values[source.randrange(length)] *= 0.8
    return made


def scaled_end(values: list[float], factor: float, count: int = NEWEST) -> list[float]:
    return values[:-count] + [v * factor for v in values[-count:]]


def test_a_loss_of_five_percent_is_found_and_nothing_else() -> None:
    """Four hundred nodes, each result within 0.6 %: what repeats on a quiet machine."""
    healthy = histories(400, 20, 0.006)

    assert sum(loss(v, 0.02) is not None for v in healthy) == 0
    assert sum(loss(scaled_end(v, 0.95), 0.02) is not None for v in healthy) == 400
    assert sum(loss(scaled_end(v, 0.97), 0.02) is not None for v in healthy) >= 380


@pytest.mark.parametrize("variation", [0.01, 0.022, 0.057])
@pytest.mark.parametrize("length", [12, FULL, 40])
def test_what_does_not_repeat_raises_no_alarm(variation: float, length: int) -> None:
    healthy = histories(400, length, variation)

    assert sum(loss(v, 0.02) is not None for v in healthy) <= 4
    assert sum(drift(v, 0.02) is not None for v in healthy) <= 4


def test_a_loss_says_what_it_was_and_is() -> None:
    found = loss([100.0, 100.2, 99.8, 100.1, 99.9, 100.0, 100.2, 99.8, 100.0, *[90.0] * 5], 0.02)

    assert found is not None
    assert (found.before, found.newest) == (100.0, 90.0)
    assert found.share == pytest.approx(0.1)
    assert found.errors > 4


def test_a_gain_is_no_loss() -> None:
    assert loss([100.0] * 9 + [120.0] * 5, 0.02) is None


def test_a_certain_loss_below_the_least_share_is_none() -> None:
    assert loss([100.0] * 9 + [98.5] * 5, 0.02) is None
    assert loss([100.0] * 9 + [98.5] * 5, 0.01) is not None


def test_too_few_values_tell_nothing() -> None:
    assert loss([100.0] * 6 + [50.0] * 5, 0.02) is None
    assert loss([100.0] * 7 + [50.0] * 5, 0.02) is not None


def test_a_loss_stays_one_until_it_comes_back() -> None:
    lost = [100.0] * 9 + [90.0] * 60

    assert loss(lost, 0.02) is not None
    assert loss([*lost, *[100.0] * 5], 0.02) is None
    assert loss([*lost, *[100.0] * 5, *[90.0] * 5], 0.02) is not None


def test_slow_drift_is_found_by_its_sum_and_not_by_a_step() -> None:
    healthy = histories(100, 70, 0.006)
    falling = [[v * (1 - 0.0008 * max(0, n - REFERENCE)) for n, v in enumerate(values)] for values in healthy]

    assert sum(loss(v, 0.02) is not None for v in falling) <= 2
    assert sum(drift(v, 0.02) is not None for v in falling) >= 98


def test_drift_that_came_back_is_over() -> None:
    values = [100.0, 100.5, 99.5, 100.0] * 5 + [96.0] * 10

    assert drift(values, 0.02) is not None
    assert drift([*values, *[100.0] * 30], 0.02) is None


def test_the_cumulative_sum_starts_anew_where_values_recover() -> None:
    assert cusum([97.0, 97.0], 100.0, 1.0) == 4.0
    assert cusum([97.0, 97.0, 110.0], 100.0, 1.0) == 0.0
