"""What findings came to: votes of the times that they were measured again, and all repeats together."""

from collections.abc import Sequence

import pytest

from campaign_book import finding
from nodeproof_bench.analysis.fleet import Rules
from nodeproof_bench.campaign.book_rows import FindingRow
from nodeproof_bench.campaign.recheck import Recheck
from nodeproof_bench.campaign.states import settled

#: A node that has 80 instead of 100, and what it may have when it is measured again.
SLOW = finding("c", "n1", value=80.0, expected=100.0, loss=0.2)
STILL, BETTER, FINE = [80.0, 81.0, 79.0], [94.0, 95.0, 96.0], [99.0, 100.0, 101.0]


def came_to(found: Sequence[FindingRow], by_all: Sequence[FindingRow], *times: Sequence[float]) -> list[FindingRow]:
    again = {(SLOW.node, SLOW.metric): Recheck(is_higher_better=True, times=times)} if times else {}
    return settled(found, by_all, again, 2, Rules())


@pytest.mark.parametrize(
    ("times", "state"),
    [
        ([], "suspect"),
        ([STILL], "suspect"),
        ([STILL, STILL], "confirmed"),
        ([FINE, FINE], "cleared"),
        ([STILL, FINE], "suspect"),
        ([STILL, FINE, STILL], "confirmed"),
    ],
)
def test_what_was_sure_at_first_is_voted_on(times: Sequence[Sequence[float]], state: str) -> None:
    assert [row.state for row in came_to([SLOW], [], *times)] == [state]


def test_what_most_votes_clear_and_all_repeats_still_show_is_confirmed_with_their_figures() -> None:
    less = SLOW._replace(value=95.0, loss=0.05, text="5 % slow")

    assert came_to([SLOW], [less], BETTER, BETTER) == [less._replace(state="confirmed")]
    assert [row.state for row in came_to([SLOW], [], BETTER, BETTER)] == ["cleared"]


def test_what_votes_confirm_keeps_its_figures() -> None:
    less = SLOW._replace(value=82.0, loss=0.18)

    assert came_to([SLOW], [less], STILL, STILL) == [SLOW._replace(state="confirmed")]


def test_what_was_only_in_doubt_is_confirmed_by_all_repeats_if_it_was_measured_again_often_enough() -> None:
    assert came_to([], [SLOW], STILL, STILL) == [SLOW._replace(state="confirmed")]
    assert came_to([], [SLOW], STILL) == []
    assert came_to([], [SLOW]) == []


def test_nothing_confirms_what_is_no_fault() -> None:
    too_good, disturbed = SLOW._replace(detector="too_good"), SLOW._replace(detector="disturbed")

    assert [row.state for row in came_to([too_good, disturbed], [], STILL, STILL)] == ["suspect", "could-not-tell"]


def test_a_plan_without_confirmations_takes_what_was_sure_at_first() -> None:
    assert [row.state for row in settled([SLOW], [], {}, 0, Rules())] == ["confirmed"]
