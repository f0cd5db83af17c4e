"""When groups are due."""

from nodeproof.daemon.hung import FIRST_S, MOST_S, Hung
from nodeproof.daemon.schedule import Group, after, next_of, started


def test_nodes_that_start_together_begin_apart() -> None:
    chances = iter((0.0, 0.5, 1.0))
    firsts = {started("health", 300.0, 0.1, 1000.0, lambda: next(chances)).due_s for _ in range(3)}

    assert firsts == {1000.0, 1015.0, 1030.0}


def test_they_drift_apart_and_keep_their_mean_interval() -> None:
    group = Group("health", 300.0, 1000.0)

    assert after(group, 0.1, 1000.1, lambda: 0.0).due_s == 1285.0
    assert after(group, 0.1, 1000.1, lambda: 0.5).due_s == 1300.0
    assert after(group, 0.1, 1000.1, lambda: 1.0).due_s == 1315.0


def test_what_was_missed_is_not_made_up_for() -> None:
    suspended = after(Group("health", 300.0, 1000.0), 0.0, 9000.0, lambda: 0.5)

    assert suspended.due_s == 9300.0


def test_passes_that_are_asked_for_push_the_next_one_no_further_than_an_interval() -> None:
    group = Group("health", 300.0, 1000.0)
    for now_s in (800.0, 801.0, 802.0):
        group = after(group, 0.0, now_s, lambda: 0.5)

    assert group.due_s == 1102.0


def test_the_next_one_is_the_earliest() -> None:
    assert next_of([Group("a", 1, 5.0), Group("b", 1, 3.0)]).name == "b"


def test_a_question_that_hangs_is_asked_ever_more_rarely() -> None:
    hung, now_s = Hung(), 0.0
    waits = []
    for _ in range(12):
        hung.saw(hung.not_to_ask(now_s), {"statvfs /scratch"}, now_s)
        waits.append(next(s for s in _doubling() if "statvfs /scratch" not in hung.not_to_ask(now_s + s)))
        now_s += waits[-1]

    assert waits[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert waits[-1] == MOST_S


def _doubling() -> list[float]:
    return [min(MOST_S, FIRST_S * 2**n) for n in range(10)]


def test_what_was_not_asked_stays_left_alone_and_what_answers_is_well_again() -> None:
    hung = Hung()
    hung.saw(frozenset(), {"a", "b"}, 0.0)

    hung.saw(hung.not_to_ask(1.0), {"a", "b"}, 1.0)
    assert hung.not_to_ask(1.0) == {"a", "b"}

    hung.saw(hung.not_to_ask(FIRST_S), {"b"}, FIRST_S)
    assert hung.not_to_ask(FIRST_S) == {"b"}


def test_whoever_asks_by_hand_asks_anew() -> None:
    hung = Hung()
    hung.saw(frozenset(), {"a"}, 0.0)
    hung.forget()

    assert not hung.not_to_ask(1.0)
