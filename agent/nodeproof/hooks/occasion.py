"""When and for what a hook was started: what its environment says, none of it believed blindly."""

import os
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from nodeproof.verdict import harmless

_JOB_ID = re.compile(r"[0-9]{1,10}", re.ASCII)
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)


class Occasion(NamedTuple):
    """One run of a hook. `began_s` is on the monotonic clock; no job is 0, no known node name is empty."""

    kind: str
    job_id: int
    node_name: str
    began_s: float

    @property
    def label(self) -> str:
        return f"{self.kind} of job {self.job_id}" if self.job_id else self.kind


def occasion_of(kind: str, environment: Mapping[str, str]) -> tuple[Occasion, list[str]]:
    """Return what started this process, and warnings. The clock runs since the kernel made the process."""
    found = {}
    warnings = []
    for key, pattern in (("SLURM_JOB_ID", _JOB_ID), ("SLURMD_NODENAME", _NODE_NAME)):
        value = environment.get(key, "")
        found[key] = value if pattern.fullmatch(value) else ""
        if value and not found[key]:
            warnings.append(f"warning: {key} is not what Slurm sets: {harmless(ascii(value), 80)}")
    job_id = int(found["SLURM_JOB_ID"] or 0)
    return Occasion(kind, job_id, found["SLURMD_NODENAME"], time.monotonic() - _age_s()), warnings


def _age_s() -> float:
    """Return how long this process has been there: Python may have taken seconds to load from a busy disk."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            started_ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK"))
