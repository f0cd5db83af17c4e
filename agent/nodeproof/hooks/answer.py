"""What a hook tells slurmd: an exit code, and lines for its log. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nodeproof.act import OUT_OF_SERVICE
from nodeproof.decide.history import can_drain
from nodeproof.engine import Pass, Result
from nodeproof.hooks.loud import EXIT_LOUD
from nodeproof.hooks.occasion import Occasion
from nodeproof.verdict import Status, named

#: Results of `act` at which Slurm could not be told of a node that ought to be drained. Held back by the guard is not
#: among them, nor are our own mistakes: a prolog that fails drains the node, whatever the guard said.
UNTOLD = frozenset({"unsure", "slurm_error", "lost_race"})

#: Results at which the node is drained with our reason.
_OURS = frozenset({"drained", "adopted", "already_drained"})

#: What `act` comes to where nothing is to be said.
_QUIET = frozenset({"nothing"})

EXIT_OK, EXIT_FAILED = 0, 1


class Answer(NamedTuple):
    """`lines` are for slurmd's log; it has them at level error where the exit code is not 0."""

    exit_code: int
    lines: tuple[str, ...]


def answer(
    occasion: Occasion,
    outcome: Pass,
    action: Mapping[str, object],
    warnings: Sequence[str] = (),
    *,
    fails_untold: bool = True,
) -> Answer:
    """Return what follows from a pass and from what came of it. `fails_untold`: policy's slurm.prolog_unsure.

    A prolog that exits 1 keeps the job off this node, and drains it; an epilog that does drains it. So an epilog
    fails only where the node is drained with our reason already. A health check's exit code changes nothing
    but how loud its lines are.
    """
    lines = tuple(_lines(outcome, action, warnings))
    result, is_drain = str(action["result"]), action["intent"] == "drain"
    if occasion.kind == "healthcheck":
        failed = outcome.worst is Status.FAIL
        return Answer(EXIT_FAILED if failed and lines else EXIT_LOUD if lines else EXIT_OK, lines)
    if occasion.kind == "epilog":
        return Answer(EXIT_FAILED if is_drain and result in _OURS else EXIT_OK, lines)
    if is_drain and (result in OUT_OF_SERVICE or (fails_untold and result in UNTOLD)):
        job = f"job {occasion.job_id}" if occasion.job_id else "this job"
        return Answer(EXIT_FAILED, (*lines, f"{job} does not start on {action['node']}"))
    return Answer(EXIT_OK, lines)


def _lines(outcome: Pass, action: Mapping[str, object], warnings: Sequence[str]) -> Iterator[str]:
    """Yield what is to be told, if anything: nothing of a healthy node."""
    told = action["warnings"]
    assert isinstance(told, list)
    for warning in dict.fromkeys([*warnings, *told]):
        yield f"warning: {warning}"
    if action["result"] not in _QUIET or action["is_error"]:
        yield str(action["summary"])
    is_told = action["intent"] == "drain"  # by its reason, as far as a check is part of that
    failed = [r for r in outcome.results if r.verdict.status is Status.FAIL and not (is_told and can_drain(r))]
    yield from _named(failed, "failed")
    yield from _named([r for r in outcome.results if r.verdict.status is Status.UNKNOWN], "could not tell")


def _named(results: Sequence[Result], words: str) -> Iterator[str]:
    found = [f"{r.spec.id}: {r.verdict.summary}" for r in results]
    if found:
        yield f"{words}: {named(found)}"
