"""`nodeproof check`: one pass over this node or a recording, and what follows from it."""

import fnmatch
import time
from collections.abc import Mapping, Sequence

import click

from nodeproof.check import TAGS, CheckSpec
from nodeproof.engine import Pass, run
from nodeproof.engine.identity import read_identity
from nodeproof.host import open_host
from nodeproof.host.base import RUN_DIR
from nodeproof.policy.known import all_of, known_checks
from nodeproof.policy.resolve import load_settings, parse_override, with_overrides
from nodeproof.policy.settings import Settings
from nodeproof.probes.identity import host_name
from nodeproof.report.document import Context, as_json, exit_code

PROFILES = ("prolog", "healthcheck", "boot")


@click.command("check")
@click.argument("patterns", metavar="[ID]...", nargs=-1)
@click.option("--profile", type=click.Choice(PROFILES), help="Only the checks of this occasion.")
@click.option("--tag", "tags", multiple=True, type=click.Choice(sorted(TAGS)), help="Only checks with this tag.")
@click.option(
    "--root", default="/", show_default=True, help="A recording or a tree that mirrors /, instead of this node."
)
@click.option("--policy", "policy_directory", help="Directory of policy files.  [default: /etc/nodeproof/policy.d]")
@click.option(
    "-p", "overrides", multiple=True, metavar="ID.PARAMETER=VALUE", help="Set a check's parameter for this run."
)
@click.option("--act", is_flag=True, help="Drain or resume this node in Slurm, as policy says.")
@click.option("--state-dir", help="Where to keep what must outlive a pass.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
@click.option("-v", "--verbose", "is_verbose", is_flag=True, help="One line for each skipped check, too.")
@click.option("--now", "is_by_agent", is_flag=True, help="Have the agent judge this node now, and say what it knows.")
@click.option("--run-dir", default=RUN_DIR, show_default=True, help="The agent's run directory, with --now.")
@click.option("--trace", "is_traced", is_flag=True, help="Say on standard error where the time went.")
def command(  # noqa: PLR0913, PLR0917  # one parameter for each option
    patterns: tuple[str, ...],
    profile: str | None,
    tags: tuple[str, ...],
    root: str,
    policy_directory: str | None,
    overrides: tuple[str, ...],
    act: bool,
    state_dir: str | None,
    is_json: bool,
    is_verbose: bool,
    is_by_agent: bool,
    run_dir: str,
    is_traced: bool,
) -> int:
    """Judge this node, or a recording of one.

    Without --profile, --tag or an ID (a pattern such as 'cpu.*'), every check runs but those of benchmark results.

    Exit code: 0 nothing failed and nothing is unknown, 1 something failed, 2 usage or policy error,
    3 nothing failed but something is unknown.
    """
    clock = _Stopwatch()
    if act and root != "/":
        raise click.UsageError("--act works on this node only, not on --root")
    if is_by_agent:
        if act or patterns or tags or profile or overrides or root != "/":
            raise click.UsageError("--now has the agent do what its policy says: choose nothing else")
        return _by_agent(run_dir, is_json=is_json)
    known = known_checks()
    selected = known.of(chosen(known.tags, patterns, {*tags, *filter(None, [profile])}))
    clock.lap("imports")
    with open_host(root) as host:
        name, cache = host_name(host), None if root == "/" else ""  # a recording's plan is kept nowhere
        settings, warnings = load_settings(policy_directory, host, known, cache=cache, identify=read_identity)
        settings = with_overrides(settings, [parse_override(o, all_of(known)) for o in overrides])
        clock.lap("policy")
        outcome = run(host, selected, settings)
        clock.lap("probes and checks")
    action = _act(outcome, settings, name, state_dir) if act else None
    context = Context(name, profile or ",".join(tags) or "default", settings, warnings, action)
    _print(outcome, context, is_json=is_json, is_verbose=is_verbose, seconds=clock.total_s())
    clock.lap("report")
    if is_traced:
        from nodeproof.report import trace

        trace.write(outcome, clock.laps)
    return exit_code(outcome.worst)


def select(specs: Mapping[str, CheckSpec], patterns: Sequence[str], tags: set[str]) -> list[CheckSpec]:
    """Return the checks that a user asked for; a pattern that matches nothing is a mistake."""
    return [specs[id_] for id_ in chosen({id_: spec.tags for id_, spec in specs.items()}, patterns, tags)]


def chosen(known: Mapping[str, frozenset[str]], patterns: Sequence[str], tags: set[str]) -> list[str]:
    """Do the same for checks of which ids and tags are known."""
    ids = list(known)
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            raise click.BadParameter(f"no check matches {pattern!r}; see `nodeproof list`", param_hint="ID")
    if patterns:
        ids = [id_ for id_ in ids if any(fnmatch.fnmatchcase(id_, p) for p in patterns)]
    if tags:
        return [id_ for id_ in ids if tags & known[id_]]
    return ids if patterns else [id_ for id_ in ids if "bench" not in known[id_]]


def _act(outcome: Pass, settings: Settings, host_name: str, state_dir: str | None) -> Mapping[str, object]:
    from nodeproof.act import act

    return act(outcome, settings, host_name, state_dir, lambda line: click.echo(f"nodeproof: {line}", err=True))


def _by_agent(run_dir: str, *, is_json: bool) -> int:
    from nodeproof.cli.status import show
    from nodeproof.daemon.control import ask

    return show(ask(run_dir, {"do": "check"}, 150.0), is_json=is_json)


def _print(outcome: Pass, context: Context, *, is_json: bool, is_verbose: bool, seconds: float) -> None:
    if is_json:
        click.echo(as_json(outcome, context))
        return
    from nodeproof.report import human

    human.write(human.rows(outcome, context, is_verbose=is_verbose, seconds=seconds))


class _Stopwatch:
    """Seconds by stage; `start-up` is the processor time until the command began."""

    def __init__(self) -> None:
        self.laps = {"start-up": time.process_time()}
        self._began_s = self._last_s = time.perf_counter()

    def lap(self, stage: str) -> None:
        now_s = time.perf_counter()
        self.laps[stage] = now_s - self._last_s
        self._last_s = now_s

    def total_s(self) -> float:
        return self.laps["start-up"] + time.perf_counter() - self._began_s
