"""Judge facts by checks and policy. Deliberately not here: what follows from a verdict (`nodeproof.decide`)."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nodeproof.check import CheckSpec, broken_packages
from nodeproof.engine.worker import Reading, read_facts
from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.probes.jobs import RunningJobs
from nodeproof.verdict import Status, Verdict, fail, named, skip, unknown


class Result(NamedTuple):
    """The verdict of one check in one pass, and how long the judging took.

    `is_of_others`: what it found is on GPUs of other jobs alone. Such a skip says nothing of the node.
    """

    spec: CheckSpec
    settings: CheckSettings
    verdict: Verdict
    seconds: float
    is_of_others: bool = False

    @property
    def remedy(self) -> str:
        """The check's remedy with this node's parameters filled in."""
        return self.spec.remedy_for(self.settings.parameters)


class Pass(NamedTuple):
    """All results, worst first, and what each fact cost."""

    results: tuple[Result, ...]
    readings: Mapping[type, Reading]

    @property
    def worst(self) -> Status:
        return max((r.verdict.status for r in self.results), default=Status.OK)


def own_finding(condition: str, summary: str) -> Result:
    """Return an *unknown* about nodeproof itself: what it could not do for this node."""
    spec = CheckSpec(
        id=f"nodeproof.{condition}",
        function=unknown,
        facts=(),
        parameters={},
        tags=frozenset(),
        remedy="",
        learn=None,
        beta=True,
    )
    return Result(spec, CheckSettings(on_fail="report"), unknown(summary), 0.0)


def run(  # noqa: PLR0913  # whom it is for, beside what it judges
    host: Host,
    specs: Iterable[CheckSpec],
    settings: Settings,
    *,
    spares_jobs: bool = False,
    own_job: int = 0,
    job_gpus: Sequence[str] = (),
) -> Pass:
    """Read what the checks need, once each, and judge it within `settings.budget_s`.

    `spares_jobs`: on a node with a running job other than `own_job`, checks that would disturb it are skipped.
    `job_gpus`: numbers or UUIDs of the only GPUs that matter; none: all of them do.
    """
    specs = tuple(specs)
    wanted = [s for s in specs if _why_not(s, settings.of(s.id)) is None]
    until_s = time.monotonic() + settings.budget_s
    disturbing = [s.id for s in wanted if s.interference != "passive"] if spares_jobs else []
    spared = _spared(host, disturbing, own_job, settings, until_s)
    facts = tuple(dict.fromkeys(f for s in wanted if s.id not in spared for f in s.facts))
    readings = read_facts(host, facts, deadline_s=settings.deadline_s, until_s=until_s)
    results = [_result(s, settings.of(s.id), readings, spared.get(s.id)) for s in specs]
    if failed := [r.spec.id for r in results if r.spec.id in disturbing and r.verdict.status > Status.SKIP]:
        late = _spared(host, failed, own_job, settings, until_s)  # a job that began meanwhile may be why they failed
        results = [r._replace(verdict=late.get(r.spec.id, r.verdict)) for r in results]
    if job_gpus:
        results = _of_job(results, readings, job_gpus)
    if settings.doubts:
        results.append(own_finding("class", f"which classes this node is in is not known: {named(settings.doubts)}"))
    results += [own_finding("plugin", f"{name} brings no checks: {why}") for name, why in broken_packages().items()]
    return Pass(tuple(sorted(results, key=lambda r: (-r.verdict.status, r.spec.id))), readings)


def _spared(
    host: Host, disturbing: Sequence[str], own_job: int, settings: Settings, until_s: float
) -> dict[str, Verdict]:
    """Return the verdict of each of these checks if they must not be run beside a job that is running now."""
    if not disturbing:
        return {}
    jobs = read_facts(host, [RunningJobs], deadline_s=settings.deadline_s, until_s=until_s)[RunningJobs].value
    if isinstance(jobs, FactError):
        return dict.fromkeys(disturbing, unknown(f"whether a job is running on this node is not known: {jobs}"))
    others = sorted(jobs.ids - {own_job})
    words = f"a job is running on this node: {named(others)}"
    return dict.fromkeys(disturbing, skip(words, jobs=others)) if others else {}


def _of_job(results: Sequence[Result], readings: Mapping[type, Reading], job_gpus: Sequence[str]) -> list[Result]:
    """Return results with a skip for each finding that is on GPUs of other jobs alone.

    What was found on all GPUs is judged once more without the others: a check may name one GPU and pass over the next.
    Findings about the whole node, such as its driver, stay.
    """
    from nodeproof.probes.gpu import Gpus
    from nodeproof.probes.gpu_of_job import others, without

    gpus = readings[Gpus].value if Gpus in readings else None
    other = others(job_gpus, gpus) if isinstance(gpus, Gpus) else None
    if other is None:
        return [*results, *_unclear(results, gpus, job_gpus)]
    own = {fact: reading._replace(value=without(reading.value, other)) for fact, reading in readings.items()}
    concerned = {fact for fact, reading in own.items() if reading.value is not readings[fact].value}
    return [_on_own(r, own) if concerned.intersection(r.spec.facts) else r for r in results]


def _on_own(result: Result, own: Mapping[type, Reading]) -> Result:
    """Return what a check finds on the job's own GPUs, if it found anything at all."""
    if result.verdict.status <= Status.SKIP:
        return result
    verdict = judge(result.spec, result.settings, own)
    if verdict.status > Status.SKIP:
        return result._replace(verdict=verdict)
    words = f"not on this job's GPUs: {result.verdict.summary}"
    return result._replace(verdict=skip(words, **result.verdict.evidence), is_of_others=True)


def _unclear(results: Sequence[Result], gpus: object, job_gpus: Sequence[str]) -> list[Result]:
    """Return the finding that a job's GPUs cannot be told from others, if anything was found on a GPU."""
    if gpus is None or not any(r.verdict.status > Status.SKIP and type(gpus) in r.spec.facts for r in results):
        return []
    return [own_finding("job_gpus", f"which GPUs are {named(job_gpus)} is not clear: all of them are judged")]


def _result(
    spec: CheckSpec, settings: CheckSettings, readings: Mapping[type, Reading], spared: Verdict | None
) -> Result:
    began = time.perf_counter()
    verdict = judge(spec, settings, readings) if spared is None else spared
    return Result(spec, settings, verdict, time.perf_counter() - began)


def judge(spec: CheckSpec, settings: CheckSettings, readings: Mapping[type, Reading]) -> Verdict:
    """Return the verdict of one check on facts that were read."""
    if reason := _why_not(spec, settings):
        return skip(reason)
    values = [readings[f].value for f in spec.facts]
    if errors := [v for v in values if isinstance(v, FactError)]:
        return _of_errors(settings, errors)
    try:
        verdict = spec.function(*values, **settings.parameters)
        return (
            verdict if isinstance(verdict, Verdict) else unknown(f"the check gave no verdict: {type(verdict).__name__}")
        )
    except FactError as error:  # a part of the fact that this check cannot do without
        return _of_errors(settings, [error])
    except Exception as error:  # noqa: BLE001  # a check's bug is an unknown, never a crash of the pass
        return unknown(f"the check crashed: {type(error).__name__}: {error}")


def _why_not(spec: CheckSpec, settings: CheckSettings) -> str | None:
    """Return why this check is not run on this node, or None."""
    if settings.on_fail == "ignore":
        return f"switched off by policy ({settings.origin.get('on_fail', 'on_fail')})"
    missing = [n for n, p in spec.parameters.items() if p.is_required and n not in settings.parameters]
    if "claimed" in missing:
        return f"policy claims no {spec.subject}"
    return f"policy sets no {named(missing)}" if missing else None


def _of_errors(settings: CheckSettings, errors: Sequence[FactError]) -> Verdict:
    """Absent is a skip, unless claimed; whatever else kept us from knowing is unknown."""
    for error in errors:
        if error.kind == "denied":
            return unknown(f"{error.source}: permission denied", source=error.source, kind=error.kind)
        if error.kind != "absent":
            return unknown(str(error), source=error.source, kind=error.kind)
    absent = errors[0]
    summary = f"{absent.source}: not there" + (f" ({absent.detail})" if absent.detail not in ("", "ENOENT") else "")
    claimed = settings.parameters.get("claimed")
    if claimed:
        words = named(list(claimed)) if isinstance(claimed, dict | list | tuple) else claimed
        return fail(f"{summary}, but policy claims {words}", source=absent.source, kind=absent.kind)
    if settings.if_absent == "fail":
        return fail(f"{summary}, but policy expects it", source=absent.source, kind=absent.kind)
    return skip(summary, source=absent.source, kind=absent.kind)
