"""When and for what a hook was started: what its environment says, none of it believed blindly."""

import os
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from nodeproof.verdict import harmless

_JOB_ID = re.compile(r"[0-9]{1,10}", re.ASCII)
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)

#: A GPU as Slurm names it: a number, numbers from and to, or the UUID of a GPU or of a MIG device.
_GPU_NUMBERS = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", re.ASCII)
_GPU_UUID = re.compile(r"(?:GPU|MIG)-[0-9A-Za-z/-]{1,120}", re.ASCII)

#: What Slurm writes where gres.conf names no device files: nothing that tells GPUs apart.
_NO_GPUS = frozenset({"", "NoDevFiles", "-1"})

_GPU_LIST_CHARS, _MOST_GPUS = 8192, 512


class Occasion(NamedTuple):
    """One run of a hook. `began_s` is on the monotonic clock; no job is 0, no known node name is empty.

    `gpus` are the job's, by number or UUID; empty where Slurm does not say which.
    """

    kind: str
    job_id: int
    node_name: str
    began_s: float
    gpus: tuple[str, ...] = ()

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
    gpus, doubts = _gpus(environment) if kind != "healthcheck" else ((), [])
    occasion = Occasion(kind, job_id, found["SLURMD_NODENAME"], time.monotonic() - _age_s(), gpus)
    return occasion, warnings + doubts


def _gpus(environment: Mapping[str, str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the job's GPUs as Slurm names them, and warnings; none where a list is not what Slurm sets.

    A UUID says more than a number: it is the only name of a MIG device, and Slurm writes it to CUDA_VISIBLE_DEVICES.
    There and in SLURM_JOB_GPUS, numbers in prolog and epilog are those of the node, not of a cgroup. Source: Slurm,
    prolog_epilog.html, and gres_common_prep_set_env in src/plugins/gres/common/gres_common.c.
    """
    found = dict[str, tuple[str, ...]]()
    for key in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS"):
        value = environment.get(key, "").strip()
        names = () if value in _NO_GPUS else _gpu_names(value)
        if names is None:
            return (), [f"warning: {key} is not what Slurm sets, all GPUs are judged: {harmless(ascii(value), 80)}"]
        found[key] = names
    visible, numbers = found["CUDA_VISIBLE_DEVICES"], found["SLURM_JOB_GPUS"]
    has_uuids = any(not name.isdecimal() for name in visible)
    return (visible if has_uuids or not numbers else numbers), []


def _gpu_names(value: str) -> tuple[str, ...] | None:
    """Return the GPUs of a list, ranges spelt out, or None if it is none."""
    if len(value) > _GPU_LIST_CHARS:
        return None
    names = list[str]()
    for word in value.split(","):
        if _GPU_UUID.fullmatch(word):
            names.append(word)
            continue
        numbers = _GPU_NUMBERS.fullmatch(word)
        first, last = (int(numbers[1]), int(numbers[2] or numbers[1])) if numbers else (1, 0)
        if last < first or len(names) > _MOST_GPUS:
            return None
        names += map(str, range(first, last + 1))
    return tuple(dict.fromkeys(names))


def _age_s() -> float:
    """Return how long this process has been there: Python may have taken seconds to load from a busy disk."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            started_ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK"))
