"""What counters did while a job ran here.

The gate leaves a mark in prolog and epilog; counters are read at both, and the difference is the job's, or that of all
jobs that shared the node meanwhile.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nodeproof.daemon.counters import job_deltas
from nodeproof.daemon.marks import Mark
from nodeproof.events.ledger import CounterSeries

#: Jobs that are followed at one time: an epilog that never comes must not fill the memory.
MOST_JOBS = 256

#: Most jobs that are named as having run beside one.
MOST_OTHERS = 16


class Share(NamedTuple):
    """An increase of a counter during a job. `others` are jobs that ran beside it at some time."""

    job_id: int
    name: str
    part: str
    delta: int
    began_ns: int
    ended_ns: int
    others: tuple[int, ...]


class _Running(NamedTuple):
    began_ns: int
    before: tuple[CounterSeries, ...] | None
    others: frozenset[int] = frozenset()


class Jobs:
    """Jobs on this node, by the marks that the gate left."""

    def __init__(self) -> None:
        self._running: dict[int, _Running] = {}
        self._ended: dict[int, int] = {}

    def mark(self, marks: Sequence[Mark], boot_id: str) -> bool:
        """Take marks; True if counters should be read now. Those of another boot are of jobs that are gone."""
        mine = [m for m in marks if m.boot_id == boot_id]
        for mark in mine:
            if mark.kind == "epilog":
                if mark.job_id in self._running:
                    self._ended[mark.job_id] = mark.boottime_ns
                continue
            beside = list(self._running)[-MOST_OTHERS:]
            for job_id in beside:
                job = self._running[job_id]
                if len(job.others) < MOST_OTHERS:
                    self._running[job_id] = job._replace(others=job.others | {mark.job_id})
            self._running[mark.job_id] = _Running(mark.boottime_ns, None, frozenset(beside))
            while len(self._running) > MOST_JOBS:
                self._running.pop(next(iter(self._running)))
        return bool(mine)

    def read(self, counters: tuple[CounterSeries, ...], began_ns: int) -> list[Share]:
        """Take counters that were read from `began_ns` on, and return what the jobs that had ended by then saw."""
        shares = []
        ended = {job_id: at for job_id, at in self._ended.items() if at <= began_ns}
        for job_id, ended_ns in ended.items():
            del self._ended[job_id]
            job = self._running.pop(job_id, None)
            if job is not None and job.before is not None:
                others = tuple(sorted(job.others))
                shares += [
                    Share(job_id, name, part, delta, job.began_ns, ended_ns, others)
                    for name, part, delta in job_deltas(job.before, counters)
                ]
        for job_id, job in self._running.items():
            if job.before is None and job.began_ns <= began_ns:
                self._running[job_id] = job._replace(before=counters)
        return shares
