"""Judge what was just measured: the checks tagged `bench`, over the history with this run at its end."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nodeproof.check import CheckSpec, registry
from nodeproof.engine import Pass, Result
from nodeproof.engine.run import judge
from nodeproof.engine.worker import Reading, read_facts
from nodeproof.host import Host
from nodeproof.policy.resolve import load_settings, parse_override, with_overrides
from nodeproof.policy.settings import Settings
from nodeproof_bench.result import BenchHistory, BenchRun, run_of


class Judges(NamedTuple):
    """The checks of benchmark results and the policy of this node, read before anything is measured."""

    specs: tuple[CheckSpec, ...]
    settings: Settings
    warnings: Sequence[str]


def prepare(host: Host, policy_directory: str | None, overrides: Sequence[str]) -> Judges:
    """Return who judges. Raises PolicyError."""
    from nodeproof.engine.identity import read_identity

    specs = registry()
    settings, warnings = load_settings(policy_directory, host, specs, identify=read_identity)
    settings = with_overrides(settings, [parse_override(o, specs) for o in overrides])
    return Judges(tuple(s for s in specs.values() if "bench" in s.tags), settings, warnings)


def judged(judges: Judges, host: Host, run: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> Pass:
    """Return the verdicts on a run. What it did not try is not judged, however old the last result is."""
    this = run_of(run)
    history = BenchHistory((*(_of_same_names(run_of(r), this) for r in earlier), this))
    facts = [f for f in dict.fromkeys(f for s in judges.specs for f in s.facts) if f is not BenchHistory]
    settings = judges.settings
    until_s = time.monotonic() + settings.budget_s
    readings = read_facts(host, facts, deadline_s=settings.deadline_s, until_s=until_s)
    readings[BenchHistory] = Reading(history, 0.0)
    results = [Result(s, settings.of(s.id), judge(s, settings.of(s.id), readings), 0.0) for s in judges.specs]
    return Pass(tuple(sorted(results, key=lambda r: (-r.verdict.status, r.spec.id))), readings)


def _of_same_names(run: BenchRun, this: BenchRun) -> BenchRun:
    return run._replace(
        results=tuple(r for r in run.results if this.tried(r.name)),
        failures=tuple(f for f in run.failures if this.tried(f.name)),
    )
