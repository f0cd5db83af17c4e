"""Slurm jobs that run on this node, as the kernel shows them: without Slurm's programs, and without asking it."""

import re
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact

#: What slurmstepd calls itself once it has a step: `slurmstepd: [1234.batch]`, of a heterogeneous job `[1234+0.0]`.
_TITLE = re.compile(r"slurmstepd: \[(\d{1,10})[.+]")


@fact("/proc/[0-9]*/comm", "/proc/[0-9]*/cmdline of each slurmstepd")
class RunningJobs(NamedTuple):
    """Numbers of the jobs that have a step on this node: each step has a slurmstepd, from its start to its end.

    A user can make a process look like one. That keeps checks from disturbing the node, and does nothing else.
    """

    ids: frozenset[int]

    @classmethod
    def read(cls, host: Host) -> Self:
        ids = set()
        for path in host.glob("/proc/[0-9]*/comm"):
            if _of_process(host, path) == "slurmstepd":
                title = _TITLE.match(_of_process(host, path.removesuffix("comm") + "cmdline"))
                ids |= {int(title[1])} if title else set()
        return cls(frozenset(ids))


def _of_process(host: Host, path: str) -> str:
    """Return the text of a file of a process, nothing if the process has ended meanwhile."""
    try:
        return host.text(path)
    except FactError as error:
        if error.kind == "absent" or error.detail == "ESRCH":
            return ""
        raise
