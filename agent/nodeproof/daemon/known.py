"""The verdicts that the agent knows at one time, whatever pass each came from."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nodeproof.check import CheckSpec
from nodeproof.daemon.judging import OPERATOR, Found
from nodeproof.daemon.snapshot import CheckNow
from nodeproof.engine import Result
from nodeproof.engine.run import own_finding
from nodeproof.history import Standing
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.verdict import Status, Verdict, named

#: A finding of ours: checks that have been unknown for long.
UNKNOWN = "nodeproof.unknown"


class Known(NamedTuple):
    """One verdict: since when its status is what it is, and when it was judged last (seconds since the epoch)."""

    verdict: Verdict
    since: float
    at: float
    seconds: float


def updated(
    known: Mapping[str, Known], found: Iterable[Found], at: float, before: Mapping[str, Standing] = {}
) -> dict[str, Known]:
    """Return what is known after a pass. A status that stays keeps the time since when it is so.

    `before` is what was known when the agent ended last: a restart makes no finding younger.
    """
    made = dict(known)
    for id_, verdict, seconds in found:
        since, old = at, known.get(id_)
        if old is not None:
            since = old.since if old.verdict.status is verdict.status else at
        elif id_ in before and before[id_].status == verdict.status.word:
            since = before[id_].since
        made[id_] = Known(verdict, since, at, seconds)
    return made


def unknown_for_long(known: Mapping[str, Known], now: float, after_s: float) -> Found | None:
    """Return the finding that checks have been unknown for longer than `after_s`, if any have."""
    long = {
        id_: one
        for id_, one in sorted(known.items())
        if one.verdict.status is Status.UNKNOWN and id_ != UNKNOWN and now - one.since >= after_s
    }
    if not long:
        return None
    first = min(long.values(), key=lambda one: one.since)
    words = f"could not tell for {(now - first.since) / 3600:.1f} h: {named(list(long))} ({first.verdict.summary})"
    return Found(UNKNOWN, own_finding("unknown", words).verdict, 0.0)


def results(known: Mapping[str, Known], specs: Mapping[str, CheckSpec], settings: Settings) -> tuple[Result, ...]:
    """Return what is known as the results of one pass, worst first."""
    made = []
    for id_, one in known.items():
        spec = specs.get(id_) or own_finding(id_.partition(".")[2], "").spec
        report = CheckSettings(on_fail="drain" if id_ == OPERATOR else "report")
        made.append(Result(spec, settings.of(id_) if id_ in specs else report, one.verdict, one.seconds))
    return tuple(sorted(made, key=lambda r: (-r.verdict.status, r.spec.id)))


def as_now(
    known: Mapping[str, Known],
    specs: Mapping[str, CheckSpec],
    settings: Settings,
    streaks: Mapping[str, tuple[int, int]],
) -> tuple[CheckNow, ...]:
    """Return what is known for a snapshot."""
    return tuple(
        CheckNow(
            id=r.spec.id,
            status=r.verdict.status.word,
            summary=r.verdict.summary,
            remedy=r.remedy,
            on_fail=r.settings.on_fail,
            since=known[r.spec.id].since,
            at=known[r.spec.id].at,
            seconds=r.seconds,
            fails=streaks.get(r.spec.id, (0, 0))[0],
            passes=streaks.get(r.spec.id, (0, 0))[1],
        )
        for r in results(known, specs, settings)
    )
