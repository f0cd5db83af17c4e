"""Counters over time: baselines, increases, wraps, resets, saturation, and what a job is told."""

import pytest

from nodeproof.daemon.counters import KEEP_S, job_deltas, observed
from nodeproof.events.ledger import MOST_POINTS, CounterSeries
from nodeproof.probes.counter import Counter


def reading(value: int, *, bits: int = 0, saturates: bool = False, part: str = "nic:eth0") -> Counter:
    return Counter("nic.rx_errors", part, value, bits, saturates)


def seen(*readings: Counter | None, step_s: float = 60.0) -> CounterSeries:
    """Return the series after these readings, one a minute; None where the counter could not be read."""
    series: tuple[CounterSeries, ...] = ()
    for i, one in enumerate(readings):
        series = observed(series, [one] if one else [], 1000.0 + i * step_s)
    return series[0]


def test_the_first_reading_is_a_baseline_and_no_increase() -> None:
    series = seen(reading(700))

    assert (series.value, series.points, series.observed_since) == (700, (), 1000.0)


def test_increases_have_the_time_of_the_reading_that_showed_them() -> None:
    series = seen(reading(700), reading(700), reading(705), None, reading(706))

    assert series.points == ((1120.0, 5), (1240.0, 1))
    assert (series.observed_since, series.read_at, series.resets) == (1000.0, 1240.0, 0)


def test_a_smaller_value_is_a_counter_that_started_again() -> None:
    series = seen(reading(700, bits=32), reading(3, bits=32), reading(4, bits=32))

    assert series.points == ((1060.0, 3), (1120.0, 1))
    assert (series.resets, series.value) == (1, 4)


@pytest.mark.parametrize(
    ("before", "after", "rise", "resets"),
    [
        (2**32 - 10, 5, 15, 0),
        (2**32 - 1, 0, 1, 0),
        (2**31, 5, 5, 1),  # far from its end: a driver that was loaded again
        (2**32 - 10, 2**31, 2**31, 1),
    ],
)
def test_a_counter_that_goes_round_is_told_from_one_that_starts_again(
    before: int, after: int, rise: int, resets: int
) -> None:
    series = seen(reading(before, bits=32), reading(after, bits=32))

    assert (series.points, series.resets) == (((1060.0, rise),), resets)


def test_a_counter_of_unknown_width_never_goes_round() -> None:
    assert seen(reading(2**32 - 1), reading(5)).resets == 1


def test_a_counter_that_stands_at_its_end_is_saturated_until_it_is_cleared() -> None:
    full, cleared = reading(255, bits=8, saturates=True), reading(2, bits=8, saturates=True)

    at_end = seen(reading(250, bits=8, saturates=True), full, full)
    assert (at_end.is_saturated, at_end.points) == (True, ((1060.0, 5),))
    again = seen(full, cleared)
    assert (again.is_saturated, again.points, again.resets) == (False, ((1060.0, 2),), 1)
    assert not seen(reading(255, bits=8)).is_saturated
    assert seen(full).is_saturated


def test_a_counter_that_vanished_keeps_its_series_and_comes_last() -> None:
    gone, there = reading(1, part="nic:gone"), reading(1, part="nic:there")

    series = observed((), [gone, there], 1000.0)
    series = observed(series, [gone._replace(value=4), there], 1060.0)
    series = observed(series, [there], 1120.0)
    assert [(s.part, s.read_at) for s in series] == [("nic:there", 1120.0), ("nic:gone", 1060.0)]
    assert series[1].since(0.0) == 3
    assert [s.part for s in observed(series, [there], 1060.0 + KEEP_S)] == ["nic:there"]


def test_readings_that_make_no_sense_are_left_out() -> None:
    assert observed((), [reading(-5)], 1000.0) == ()
    first_counts = observed(observed((), [reading(5)], 1000.0), [reading(6), reading(2)], 1060.0)
    assert [(s.value, s.resets) for s in first_counts] == [(6, 0)]


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    series = observed(observed((), [reading(5)], 2000.0), [reading(6)], 1000.0)[0]

    assert series.hours(0.0) == 0.0
    assert series.since(0.0) == 1


def test_points_are_bounded_and_lose_no_increase() -> None:
    series = seen(*(reading(i) for i in range(1000)))

    assert len(series.points) <= MOST_POINTS
    assert series.since(0.0) == 999


def test_old_points_go() -> None:
    series = seen(reading(0), reading(1), reading(2), step_s=KEEP_S * 1.5)

    assert series.since(0.0) == 1


def states(*values: int, bits: int = 0) -> list[tuple[CounterSeries, ...]]:
    series: tuple[CounterSeries, ...] = ()
    made = []
    for i, value in enumerate(values):
        series = observed(series, [reading(value, bits=bits)], 1000.0 + i * 60)
        made.append(series)
    return made


def test_a_job_is_told_what_rose_while_it_ran() -> None:
    before, during, after = states(5, 7, 9)

    assert job_deltas(before, after) == [("nic.rx_errors", "nic:eth0", 4)]
    assert job_deltas(during, after) == [("nic.rx_errors", "nic:eth0", 2)]
    assert job_deltas(after, after) == []


def test_a_jobs_share_survives_resets_wraps_and_merged_points() -> None:
    before, _, _, after = states(100, 103, 2, 5)
    assert job_deltas(before, after) == [("nic.rx_errors", "nic:eth0", 8)]

    before, after = states(2**32 - 1, 4, bits=32)
    assert job_deltas(before, after) == [("nic.rx_errors", "nic:eth0", 5)]

    before, _, after = states(100, 2, 150)
    assert job_deltas(before, after) == [("nic.rx_errors", "nic:eth0", 150)]

    _, before, after = states(100, 103, 2)  # what rose at the reading before the job is not the job's
    assert job_deltas(before, after) == [("nic.rx_errors", "nic:eth0", 2)]

    many = states(*range(500))
    assert job_deltas(many[300], many[-1]) == [("nic.rx_errors", "nic:eth0", 199)]


def test_a_counter_that_came_while_the_job_ran_counts_from_its_baseline() -> None:
    _, after = states(50, 52)

    assert job_deltas((), after) == [("nic.rx_errors", "nic:eth0", 2)]
