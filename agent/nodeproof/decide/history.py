"""How often in a row each check failed or passed, and what we drained the node for.

Deliberately not here: where that is kept between two passes (`nodeproof.state`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nodeproof.engine import Result
from nodeproof.verdict import Status


class Streak(NamedTuple):
    """Passes in a row in which a check failed, and in which it passed. At least one of them is 0."""

    fails: int = 0
    passes: int = 0


class History(NamedTuple):
    """What a decision needs of earlier passes.

    `drained_for` names the checks that our drain stands for, `resumes` counts ours within policy's flap_window_h.
    """

    streaks: Mapping[str, Streak] = {}
    drained_for: tuple[str, ...] = ()
    resumes: int = 0

    def of(self, check_id: str) -> Streak:
        return self.streaks.get(check_id, Streak())


def can_drain(result: Result) -> bool:
    """Tell whether a failure of this check may take the node out of service."""
    return result.settings.on_fail == "drain" and not result.spec.beta


def counted(history: History, results: Sequence[Result]) -> History:
    """Return the history with this pass counted.

    Skip and unknown end both streaks: a part that vanished has not passed, and what we could not
    see has not failed. Checks that this pass did not run keep theirs.
    """
    streaks = dict(history.streaks)
    for result in results:
        streak = _next(history.of(result.spec.id), result.verdict.status)
        if can_drain(result) and streak != Streak():
            streaks[result.spec.id] = streak
        else:
            streaks.pop(result.spec.id, None)
    return history._replace(streaks=streaks)


def this_pass_only(results: Sequence[Result]) -> History:
    """Return the history of a node that can remember nothing."""
    return counted(History(), results)


def _next(streak: Streak, status: Status) -> Streak:
    if status is Status.FAIL:
        return Streak(fails=streak.fails + 1)
    if status in (Status.OK, Status.WARN):
        return Streak(passes=streak.passes + 1)
    return Streak()
