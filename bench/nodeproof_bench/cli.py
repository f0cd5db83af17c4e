"""`nodeproof bench`: measure, keep, judge and show.

The only command that measures: `nodeproof check` judges what this one kept.
"""

import json
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click

from nodeproof.check import refuse_foreign
from nodeproof.cli import EXIT_UNKNOWN
from nodeproof.engine import Pass
from nodeproof.engine.worker import read_facts
from nodeproof.errors import BenchError, FactError, NodeproofError
from nodeproof.files import replace_file
from nodeproof.host import Host, open_host
from nodeproof.probes.identity import host_name
from nodeproof.probes.jobs import RunningJobs
from nodeproof.report import human
from nodeproof.report.document import Context, document, exit_code
from nodeproof.verdict import harmless, named
from nodeproof_bench import compare, table
from nodeproof_bench.execute import Executor
from nodeproof_bench.judge import Judges, judged, prepare
from nodeproof_bench.measure import Measured, measure
from nodeproof_bench.placement import Plan, Topology, UnknownName, plan
from nodeproof_bench.result import run_of
from nodeproof_bench.runner import Listed, find_program, listed
from nodeproof_bench.store import Document, Store

#: What nodeproof-bench takes for --seconds.
_LEAST_S, _MOST_S = 0.01, 1e6

#: How long the search for running jobs may take, in seconds, and how long a job's number is.
_JOBS_S, _JOB_ID_DIGITS = 5.0, 10


@click.command("bench")
@click.argument("names", metavar="[SUITE|NAME]...", nargs=-1)
@click.option("--list", "is_list", is_flag=True, help="List suites and benchmarks, and measure nothing.")
@click.option("--plan", "is_plan", is_flag=True, help="Say what would be run and how long it would take.")
@click.option("--root", default="/", help="With --plan: plan for a recording, instead of this node.")
@click.option("--compare", "pair", nargs=2, metavar="A B", help="Compare two saved files; `last`, `last~1`: kept runs.")
@click.option("--seconds", type=float, help="Most seconds that each benchmark measures.")
@click.option("--duration", metavar="TIME", help="How long a burn-in takes: 90s, 30m, 1h30m.")
@click.option("--path", help="Directory for the files of disk benchmarks.  [default: the state directory]")
@click.option("--policy", "policy_directory", help="Directory of policy files.  [default: /etc/nodeproof/policy.d]")
@click.option(
    "-p", "overrides", multiple=True, metavar="ID.PARAMETER=VALUE", help="Set a check's parameter for this run."
)
@click.option("--state-dir", default="", help="Where earlier results are, and these are kept.")
@click.option("--no-history", is_flag=True, help="Do not keep the results.")
@click.option("--save", metavar="FILE", help="Write the results to FILE, too, as --json prints them.")
@click.option("--beside-jobs", is_flag=True, help="Measure although a Slurm job is running on this node.")
@click.option("--program", help="Path of nodeproof-bench.  [default: where it was installed]")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(  # noqa: PLR0913, PLR0917  # one parameter for each option
    names: tuple[str, ...],
    is_list: bool,
    is_plan: bool,
    root: str,
    pair: tuple[str, str] | None,
    seconds: float | None,
    duration: str | None,
    path: str | None,
    policy_directory: str | None,
    overrides: tuple[str, ...],
    state_dir: str,
    no_history: bool,
    save: str | None,
    beside_jobs: bool,
    program: str | None,
    is_json: bool,
) -> int:
    """Measure this node, keep the results, and judge them.

    SUITE is quick (the default), standard or burnin, NAME a benchmark or a pattern such as 'memory.*'. Benchmarks
    run one after the other. A run that others disturbed is repeated, and if that does not help it is inconclusive,
    which counts as unknown: never as slow. On a node with a running Slurm job, other than the one that this command
    is part of, nothing is measured: either would disturb the other.

    Exit code: 0 nothing failed and nothing is unknown, 1 something failed, 2 usage or policy error,
    3 nothing failed but something is unknown: a benchmark crashed, say, or the results could not be kept.
    """
    store = Store(state_dir)
    if pair is not None:
        return _compare(pair, store, is_json=is_json)
    if root != "/" and not is_plan:
        raise click.UsageError("--root works with --plan only: a recording cannot be measured")
    try:
        chosen = "" if root != "/" else _program(program)
        has = listed(chosen) if chosen else None
    except BenchError as error:
        click.echo(f"nodeproof: {harmless(str(error), 1000)}", err=True)
        return EXIT_UNKNOWN
    if is_list:
        click.echo("\n".join(table.list_table(has or {})))
        return 0
    with open_host(root) as host:
        topology = Topology.read(host)
        duration_s = _duration_s(duration)
        planned = _plan(names, topology, seconds, path or store.directory, duration_s)
        _check_duration(planned, duration_s, is_plan=is_plan)
        if is_plan or has is None:
            _print_plan(planned, has, is_json=is_json)
            return 0
        if not beside_jobs and (why := _why_spared(host)):
            click.echo(f"nodeproof: {why}: wait for its end, or add --beside-jobs", err=True)
            return EXIT_UNKNOWN
        session = _Session(host, prepare(host, policy_directory, overrides), store, save, is_json)
        executor = Executor(chosen, has, host, topology.cpus)
        return session.run(planned, executor, duration_s or 0, is_kept=not no_history)


class _Session(NamedTuple):
    """One measurement from the lock to the exit code."""

    host: Host
    judges: Judges
    store: Store
    save: str | None
    is_json: bool

    def run(self, planned: Plan, executor: Executor, duration_s: float, *, is_kept: bool) -> int:
        """Measure, keep, judge and show. Returns the exit code."""
        with self.store.locked(f"nodeproof bench {planned.suite}") as holder:
            if holder:
                click.echo(f"nodeproof: {harmless(holder, 200)} is measuring already: wait for it", err=True)
                return EXIT_UNKNOWN
            measured = measure(planned, executor, duration_s)
            earlier = self.store.load()
            if is_kept and measured.is_any:
                self.store.save([*earlier, measured.document])
        return self._report(measured, earlier)

    def _report(self, measured: Measured, earlier: list[Document]) -> int:
        """Show what there is. After a signal that is not judged, and the signal has the last word."""
        began_s, run = time.perf_counter(), measured.document
        outcome = Pass((), {}) if measured.signal else judged(self.judges, self.host, run, earlier)
        warnings = [*self.judges.warnings, *self.store.warnings]
        context = Context(host_name(self.host), run["suite"], self.judges.settings, warnings)
        made = _with_verdicts(run, outcome, context)
        if measured.signal is not None:  # nobody looked: that is not ok
            made |= {"status": "unknown", "exit_code": EXIT_UNKNOWN}
        if self.is_json:
            click.echo(json.dumps(made, indent=2))
        else:
            _print_results(run)
        if measured.signal is None and not self.is_json:
            seconds = run["seconds"] + time.perf_counter() - began_s
            human.write(human.rows(outcome, context, is_verbose=False, seconds=seconds))
        is_saved = self.save is None or _save(self.save, made)
        if measured.signal is not None:
            click.echo("nodeproof: stopped by a signal: what was measured until then is not judged", err=True)
            raise measured.signal
        return exit_code(outcome.worst) or (0 if is_saved and not self.store.warnings else EXIT_UNKNOWN)


def _why_spared(host: Host) -> str:
    """Return why a job would suffer from a measurement, and the measurement from it; "" if there is none."""
    until_s = time.monotonic() + _JOBS_S
    jobs = read_facts(host, [RunningJobs], deadline_s=_JOBS_S, until_s=until_s)[RunningJobs].value
    if isinstance(jobs, FactError):
        return f"whether a job is running on this node is not known ({jobs})"
    own = os.environ.get("SLURM_JOB_ID", "")
    others = jobs.ids - {int(own) if own.isascii() and own.isdecimal() and len(own) <= _JOB_ID_DIGITS else 0}
    return f"a job is running on this node: {named(others)}" if others else ""


def _program(path: str | None) -> str:
    if path is None:
        return find_program()
    real = os.path.realpath(path)
    refuse_foreign(real)
    return real


def _plan(names: Sequence[str], topology: Topology, seconds: float | None, path: str, duration_s: float | None) -> Plan:
    if seconds is not None and not _LEAST_S <= seconds <= _MOST_S:  # not a number is neither
        raise click.BadParameter(f"expected {_LEAST_S:g} to {_MOST_S:g}, found {seconds:g}", param_hint="--seconds")
    try:
        return plan(
            names, topology, seconds=seconds, path=path, duration_s=math.inf if duration_s is None else duration_s
        )
    except UnknownName as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error


def _duration_s(words: str | None) -> float | None:
    if words is None:
        return None
    match = re.fullmatch(r"(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s?)?", words, re.ASCII)
    if not match or not words:
        raise click.BadParameter(f"expected a time such as 90s, 30m or 1h30m, found {words!r}", param_hint="--duration")
    hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return 3600.0 * hours + 60 * minutes + seconds


def _check_duration(planned: Plan, duration_s: float | None, *, is_plan: bool) -> None:
    """Refuse a duration that nothing fits into, and one that is missing or of no use."""
    if planned.is_repeated != (duration_s is not None) and not (is_plan and planned.is_repeated):
        raise click.UsageError("--duration goes with the suite burnin, and burnin needs one (such as --duration 30m)")
    least_s = min(run.estimate_s for run in planned.runs)
    if duration_s is not None and duration_s < least_s:
        raise click.BadParameter(
            f"no benchmark fits into {duration_s:g} s, the shortest takes {least_s:.1f} s", param_hint="--duration"
        )


def _print_plan(planned: Plan, has: Mapping[str, Listed] | None, *, is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps(table.as_json(planned, has), indent=2))
    else:
        click.echo("\n".join(table.plan_table(planned, has)))


def _compare(pair: tuple[str, str], store: Store, *, is_json: bool) -> int:
    first, second = (compare.load(word, store) for word in pair)
    found = compare.differences(first, second)
    for warning in store.warnings:
        click.echo(f"nodeproof: {harmless(warning, 1000)}", err=True)
    if not found:
        raise NodeproofError("the two runs have no benchmark in common")
    click.echo(json.dumps(compare.document(found), indent=2) if is_json else "\n".join(compare.lines(found)))
    return 0


def _with_verdicts(run: Document, outcome: Pass, context: Context) -> Document:
    report = json.loads(json.dumps(document(outcome, context), default=str))
    return {**run, **{key: report[key] for key in ("status", "exit_code", "warnings")}, "verdicts": report["results"]}


def _print_results(run: Document) -> None:
    found = run_of(run)
    click.echo("\n".join(table.results_table(found.results, found.failures)))
    click.echo()


def _save(file: str, made: Document) -> bool:
    try:
        replace_file(file, json.dumps(made, indent=2).encode() + b"\n", 0o644)
    except OSError as error:
        click.echo(f"nodeproof: {file}: cannot write: {error.strerror}", err=True)
        return False
    return True
