"""Whether the hooks are in slurm.conf, slurmd can run them, and gives them the time that they may take."""

from collections.abc import Iterator, Mapping

from nodeproof.doctor import slurm_conf
from nodeproof.doctor.finding import Finding
from nodeproof.doctor.hook_files import HookFile, hook_files
from nodeproof.doctor.slurm_conf import SlurmConf
from nodeproof.errors import FactError
from nodeproof.hooks.judge import HEALTHCHECK_S, limits
from nodeproof.policy.settings import Settings
from nodeproof.verdict import Verdict, fail, named, ok, unknown, warn

#: The key in slurm.conf for each hook.
KEYS = {"healthcheck": "HealthCheckProgram", "prolog": "Prolog", "epilog": "Epilog"}

#: What Slurm takes for no limit, and its own limit for a health check.
_NO_LIMIT_S, _HEALTHCHECK_LIMIT_S = 65534, 60

#: What slurmd itself needs between starting a hook and our clock, in seconds.
_START_S = 2

#: Where the fragment of slurm.conf is that has all settings, with comments.
_FRAGMENT = "packaging/slurm/slurm.conf"


def hook_findings(environment: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """Find the local slurm.conf and judge what it says of hooks."""
    file = slurm_conf.find(environment)
    remedy = "Run the doctor on a node with a slurmd, or set SLURM_CONF to the file that its slurmd reads."
    if not file:
        named_files = environment.get("SLURM_CONF") or f"{slurm_conf.DEFAULT_FILE}, {slurm_conf.CONFIGLESS_FILE}"
        yield Finding("hooks.slurm_conf", unknown(f"no slurm.conf is there: {named_files}"), remedy)
        return
    try:
        conf = slurm_conf.read(file)
    except (OSError, FactError) as error:
        yield Finding("hooks.slurm_conf", unknown(f"{file} cannot be read: {error}"), remedy)
        return
    verdict = warn(named(conf.problems)) if conf.problems else ok(f"{file} is read")
    yield Finding("hooks.slurm_conf", verdict, "Look at the Include lines: slurmd stops at one that it cannot read.")
    yield from judged(conf, {kind: hook_files(conf.all_of(key)) for kind, key in KEYS.items()}, settings)


def judged(conf: SlurmConf, files: Mapping[str, list[HookFile]], settings: Settings) -> Iterator[Finding]:
    """Judge a slurm.conf and the programs that it names for each hook. Pure."""
    for kind, key in KEYS.items():
        verdict = _configured(conf, kind, key, files[kind])
        yield Finding(
            f"hooks.{kind}", verdict, f"Set {key} in slurm.conf as {_FRAGMENT} does, and `scontrol reconfigure`."
        )
    if problems := [f"{f.path} {f.problem}" for found in files.values() for f in found if f.problem]:
        remedy = "slurmd runs these files as root: `chown root`, `chmod 0755`, and the same for the directories above."
        yield Finding("hooks.files", fail(named(problems)), remedy)
    elif any(files.values()):
        yield Finding("hooks.files", ok("slurmd can run the hooks, and root alone can write them"))
    ours = {kind for kind, found in files.items() if any(kind in f.calls for f in found)}
    if "healthcheck" in ours:
        yield _interval(conf)
        yield _states(conf)
    if ours & {"prolog", "epilog"}:
        yield _timeouts(conf, settings, ours)
    if "prolog" in ours:
        yield _flags(conf)


def _configured(conf: SlurmConf, kind: str, key: str, found: list[HookFile]) -> Verdict:
    worse = fail if kind == "healthcheck" else warn
    if not found:
        return worse(f"{conf.file} sets no {key}")
    if not any(kind in f.calls for f in found):
        return worse(f"{key} is {named([f.path for f in found])}, which does not call `nodeproof hook {kind}`")
    return ok(f"{key} is {named([f.path for f in found])}")


def _interval(conf: SlurmConf) -> Finding:
    interval_s = conf.number("HealthCheckInterval", 0)
    limit_s = conf.number("HealthCheckTimeout", _HEALTHCHECK_LIMIT_S)
    needed_s = HEALTHCHECK_S + _START_S
    remedy = "Set HealthCheckInterval to some minutes, and HealthCheckTimeout not at all or to 60 (seconds) or more."
    if interval_s == 0:
        verdict = fail("HealthCheckInterval is 0 or not set: slurmd runs no health check")
    elif 0 < limit_s < needed_s:
        verdict = fail(
            f"HealthCheckTimeout is {limit_s} s, expected {needed_s:g}: a slow check is killed before its end"
        )
    elif interval_s < HEALTHCHECK_S:
        verdict = warn(
            f"HealthCheckInterval is {interval_s} s: a slow check, which may take {HEALTHCHECK_S:g}, is skipped"
        )
    else:
        verdict = ok(f"a health check every {interval_s} s")
    return Finding("hooks.interval", verdict, remedy)


def _states(conf: SlurmConf) -> Finding:
    """A health check that leaves drained nodes out never takes a drain back."""
    states = conf.words("HealthCheckNodeState") or {"any"}
    remedy = "Set HealthCheckNodeState=ANY, with ,CYCLE where all nodes at once are too many."
    if not states & {"any", "idle"}:
        found = named(sorted(states)).upper()
        return Finding(
            "hooks.states", warn(f"HealthCheckNodeState is {found}: a drained node is not looked at"), remedy
        )
    return Finding("hooks.states", ok("drained nodes are looked at, too"))


def _timeouts(conf: SlurmConf, settings: Settings, ours: set[str]) -> Finding:
    """A hook that slurmd kills has failed, and drains the node whatever it was about to say."""
    short = []
    for kind in sorted(ours & {"prolog", "epilog"}):
        limit_s = conf.number("PrologEpilogTimeout", _NO_LIMIT_S)
        limit_s = conf.number(f"{kind}Timeout", limit_s)
        if limit_s < limits(kind, settings).total_s + _START_S:
            short.append(f"{kind} {limit_s} s")
    needed_s = limits("prolog", settings).total_s + _START_S
    remedy = (
        f"Raise PrologEpilogTimeout (PrologTimeout, EpilogTimeout) to {needed_s:.0f} s or more, or lower policy's "
        "budget_s and slurm.prolog_timeout_s: a prolog that slurmd kills drains the node."
    )
    if short:
        return Finding("hooks.timeouts", fail(f"{named(short)}: expected {needed_s:.0f} s or more"), remedy)
    return Finding("hooks.timeouts", ok(f"slurmd gives prolog and epilog the {needed_s:.0f} s that they may take"))


def _flags(conf: SlurmConf) -> Finding:
    flags = conf.words("PrologFlags")
    missing = []
    if not flags & {"alloc", "contain", "deferbatch", "nohold", "runinjob", "forcerequeueonfail", "x11"}:
        missing.append("PrologFlags=Alloc: the job counts as running while its prolog judges the node")
    if "nohold_on_prolog_fail" not in conf.words("SchedulerParameters"):
        missing.append("SchedulerParameters=nohold_on_prolog_fail: a job whose prolog failed stays held")
    remedy = f"See {_FRAGMENT}: with both, a job that met a sick node starts elsewhere by itself."
    if missing:
        return Finding("hooks.prolog_flags", warn(f"without {'; without '.join(missing)}"), remedy)
    return Finding("hooks.prolog_flags", ok("a job that met a sick node starts elsewhere by itself"))
