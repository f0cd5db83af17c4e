"""Jobs through slurmrestd: submit one, see what became of all, find one by its name, cancel some.

A submission is not idempotent, and Slurm may carry one out after it let us wait in vain: one whose outcome is
unknown must not be repeated before it was looked for by its name, which is why each name is used once.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nodeproof.errors import SlurmReadOnly, SlurmUnreachable
from nodeproof.slurm.answer import Answer, Applied, NotFound, Refused, complaints, error_of
from nodeproof.slurm.node import number
from nodeproof.slurm.rest import MOST_BYTES_OF_NODE, Client
from nodeproof.slurm.versions import can_batch, can_write, number_of
from nodeproof.verdict import harmless

#: A job is described in 5 kB, and in 80 bytes where its state alone is asked for.
MOST_BYTES_OF_JOBS = 256 << 20

#: `jobs/state/` came with v0.0.41 (Slurm 24.05).
_FIRST_WITH_STATES = 41

#: Jobs in one `DELETE /jobs/`.
MOST_IDS = 250

#: Errors of slurmctld itself (slurm_errno.h): it has read the job, and does not take it. Not those that say that
#: it is in standby (2027) or not configured to answer (2131).
_REFUSALS = frozenset(range(2000, 3000)) - {2027, 2131}

_OVER = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "TIMEOUT",
    }
)
_BASES = _OVER | {"PENDING", "RUNNING", "SUSPENDED"}

_JOB_ID = re.compile(r"[1-9][0-9]{0,9}")

_CHARS = 200


class JobSpec(NamedTuple):
    """An exclusive batch job for one named node. Nothing is asked of Slurm where a word is empty."""

    name: str
    node: str
    script: str
    environment: Mapping[str, str]
    directory: str
    limit_min: int
    output: str = "/dev/null"
    partition: str = ""
    account: str = ""
    qos: str = ""
    reservation: str = ""
    nice: int = 0
    dependency: str = ""


class Submitted(NamedTuple):
    """It is in Slurm; `warnings` say, for example, that its node is not available now."""

    job_id: int
    warnings: tuple[str, ...]


class NotTaken(NamedTuple):
    """Slurm read it and said no: there is no such job."""

    words: str


class Uncertain(NamedTuple):
    """No answer, or one that leaves open whether there is such a job, or will be."""

    words: str


class JobState(NamedTuple):
    """`base` is Slurm's base state (`PENDING`, `RUNNING`, `COMPLETED`, …), the rest are flags."""

    base: str
    flags: frozenset[str] = frozenset()

    @property
    def is_over(self) -> bool:
        return self.base in _OVER


class Listed(NamedTuple):
    """A job as Slurm lists it. Times are seconds since the epoch, 0 where there is none."""

    job_id: int
    name: str
    user_name: str
    state: JobState
    why: str
    began_at: int
    ended_at: int


def submit(client: Client, spec: JobSpec) -> Submitted | NotTaken | Uncertain:
    """Submit one job. Raises SlurmReadOnly for a Slurm before 23.02, and SlurmRejected where no API fits."""
    require_jobs(client)
    try:
        answer, body = client.ask("POST", "job/submit", {"job": _described(spec)}, MOST_BYTES_OF_NODE)
    except SlurmUnreachable as error:
        return Uncertain(str(error))
    return _submitted(answer, body)


def states(client: Client) -> dict[int, JobState]:
    """Return the state of all jobs that Slurm still knows, in one request; of array jobs, none."""
    require_jobs(client)
    if number_of(client.version()) < _FIRST_WITH_STATES:
        return {job.job_id: job.state for job in listed(client)}
    found = {}
    for entry in _entries(client, "jobs/state/"):
        if _JOB_ID.fullmatch(str(entry["job_id"])):
            found[int(entry["job_id"])] = _state(entry["state"])
    return found


def listed(client: Client, name_prefix: str = "") -> list[Listed]:
    """Return all jobs that Slurm still knows whose name begins so. Slurm has no filter: 5 kB for each of all jobs."""
    require_jobs(client)
    entries = _entries(client, "jobs/")
    found = [_listed(entry) for entry in entries if str(entry.get("name", "")).startswith(name_prefix)]
    return sorted(found, key=lambda job: job.job_id)


def exit_code(client: Client, job_id: int) -> int | None:
    """Return the exit code of a job that is over, 0 if a signal ended it; None where Slurm does not tell (any more)."""
    require_jobs(client)
    answer, body = client.ask("GET", f"job/{job_id}", None, MOST_BYTES_OF_NODE)
    try:
        return number(body["jobs"][0]["exit_code"]["return_code"]) if isinstance(answer, Applied) else None
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return None


def cancel(client: Client, job_ids: Iterable[int]) -> Answer:
    """Cancel jobs; the answer is that of the first request which was not taken. List them to know what they are."""
    require_jobs(client)
    ids = sorted(set(job_ids))
    if not can_batch(client.version()):
        return _first_trouble(client.ask("DELETE", f"job/{one}", None, MOST_BYTES_OF_NODE)[0] for one in ids)
    groups = [ids[n : n + MOST_IDS] for n in range(0, len(ids), MOST_IDS)]
    bodies = [{"jobs": [str(one) for one in group]} for group in groups]
    return _first_trouble(client.ask("DELETE", "jobs/", body, MOST_BYTES_OF_JOBS)[0] for body in bodies)


def require_jobs(client: Client) -> None:
    """Raise SlurmReadOnly for a slurmrestd whose jobs have another shape, and that could not drain a node either."""
    if not can_write(client.version()):
        why = "campaigns need Slurm 23.02 or newer"
        raise SlurmReadOnly(405, f"{client.place} offers {client.version()} at most: {why}")


def _described(spec: JobSpec) -> dict[str, Any]:
    """Return a job as v0.0.39 to v0.0.45 take it. Exclusive is `shared: none`: `exclusive` is ignored since v0.0.41."""
    words = {key: getattr(spec, key) for key in ("partition", "account", "qos", "reservation", "dependency")}
    return {
        "name": spec.name,
        "script": spec.script,
        "environment": [f"{key}={value}" for key, value in spec.environment.items()],
        "current_working_directory": spec.directory,
        "standard_output": spec.output,
        "standard_error": spec.output,
        "required_nodes": [spec.node],
        "shared": ["none"],
        "requeue": False,
        "time_limit": {"set": True, "infinite": False, "number": spec.limit_min},
        **({"nice": spec.nice} if spec.nice else {}),
        **{key: value for key, value in words.items() if value},
    }


def _submitted(answer: Answer, body: Any) -> Submitted | NotTaken | Uncertain:
    if isinstance(answer, Applied):
        job_id = body.get("job_id") if isinstance(body, dict) else None
        if type(job_id) is int and job_id > 0:
            return Submitted(job_id, answer.warnings)
        return Uncertain("slurmrestd took the job and told no number")
    refusal = next((c for c in complaints(body) if c.number in _REFUSALS), None)
    if refusal is not None:
        return NotTaken(harmless(refusal.words, _CHARS))
    if isinstance(answer, Refused | NotFound):
        return NotTaken(answer.words)
    return Uncertain(answer.words)


def _first_trouble(answers: Iterable[Answer]) -> Answer:
    for answer in answers:
        if not isinstance(answer, Applied):
            return answer
    return Applied(())


def _entries(client: Client, path: str) -> Sequence[Any]:
    answer, body = client.ask("GET", path, None, MOST_BYTES_OF_JOBS)
    error = error_of(answer)
    if error is not None:
        raise error
    jobs = body.get("jobs")
    if not isinstance(jobs, list) or not all(isinstance(job, dict) and "job_id" in job for job in jobs):
        raise SlurmUnreachable(f"{client.place} describes jobs in a way we do not know")
    return jobs


def _state(words: Any) -> JobState:
    """Return the state of a list of words, or of one word as before v0.0.40."""
    named = [str(word).upper() for word in (words if isinstance(words, list) else [words])]
    return JobState(next((word for word in named if word in _BASES), "UNKNOWN"), frozenset(named) - _BASES)


def _listed(entry: Mapping[str, Any]) -> Listed:
    try:
        return Listed(
            job_id=int(entry["job_id"]),
            name=str(entry["name"]),
            user_name=str(entry.get("user_name", "")),
            state=_state(entry["job_state"]),
            why=harmless(str(entry.get("state_reason", "")), _CHARS),
            began_at=number(entry.get("start_time", 0)),
            ended_at=number(entry.get("end_time", 0)),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SlurmUnreachable(f"slurmrestd describes a job in a way we do not know: {error}") from error
