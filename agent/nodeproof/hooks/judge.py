"""One pass for a hook, and what is done about it, within one deadline.

Deliberately not here: what the outcome means to slurmd (`nodeproof.hooks.answer`).
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from nodeproof.act import act, note_prolog_failure
from nodeproof.check import CheckSpec
from nodeproof.engine import Pass, run
from nodeproof.engine.identity import MOST_S, read_identity
from nodeproof.hooks.answer import Answer, answer
from nodeproof.hooks.busy import while_busy
from nodeproof.hooks.occasion import Occasion
from nodeproof.host import open_host
from nodeproof.policy.known import Known, known_checks
from nodeproof.policy.resolve import load_settings
from nodeproof.policy.settings import Settings
from nodeproof.probes.identity import host_name
from nodeproof.state import State, Store

#: slurmd kills a health check after 60 s (or HealthCheckTimeout, which `nodeproof slurm doctor` looks at).
HEALTHCHECK_S = 48.0

#: Most seconds for Slurm in a health check, and in any hook for a state that another run holds.
_SLURM_S, WAIT_S = 20.0, 2.0

#: How long a prolog that fails waits at least to leave word of it: Slurm's own drain would be nobody's else.
_LEAST_S = 1.0


class Limits(NamedTuple):
    """Seconds that a hook may take: for the pass, for Slurm, and in all since its process was started."""

    pass_s: float
    slurm_s: float
    total_s: float


def limits(kind: str, settings: Settings) -> Limits:
    """Return how long a hook may take: a health check what slurmd gives it, the others what policy gives them."""
    if kind == "healthcheck":
        slurm_s = min(settings.slurm.timeout_s, _SLURM_S)
        return Limits(min(settings.budget_s, HEALTHCHECK_S - slurm_s - WAIT_S), slurm_s, HEALTHCHECK_S)
    slurm_s = min(settings.slurm.prolog_timeout_s, settings.slurm.timeout_s)
    return Limits(settings.budget_s, slurm_s, settings.budget_s + WAIT_S + slurm_s)


def judge(occasion: Occasion, policy_directory: str | None, state_dir: str | None) -> Answer:
    """Judge this node and act on it. Raises PolicyError where there is no policy to judge it by."""
    known, store = known_checks(), Store(state_dir or "")
    with open_host("/") as host:
        settings, warnings = load_settings(
            policy_directory, host, known, identify=lambda host: read_identity(host, _identity_s(occasion))
        )
        name = node_name(occasion.node_name, settings, host_name(host))
        settings = settings._replace(slurm=settings.slurm._replace(node_name=name))
        most = limits(occasion.kind, settings)
        left_s = occasion.began_s + most.total_s - WAIT_S - most.slurm_s - time.monotonic()
        in_time = settings._replace(budget_s=max(0.0, min(most.pass_s, left_s)))
        chosen = _chosen(known, occasion.kind, store)
        outcome = run(host, chosen, in_time, spares_jobs=True, own_job=occasion.job_id, job_gpus=occasion.gpus)
    action = _act(occasion, of_node(outcome), settings, most, state_dir)
    if action["result"] == "busy":
        action = while_busy(action, outcome, _remembered(store))
    fails_untold = settings.slurm.prolog_unsure == "fail"
    made = answer(occasion, outcome, action, [*warnings, *store.warnings], fails_untold=fails_untold)
    if made.exit_code and occasion.kind == "prolog":
        left_s = occasion.began_s + most.total_s - time.monotonic()
        unnoted = note_prolog_failure(state_dir, time.time(), max(_LEAST_S, left_s))
        made = made._replace(lines=(*made.lines, *(f"warning: {w}" for w in unnoted)))
    return made


def node_name(found: str, settings: Settings, host: str) -> str:
    """Return this node's name in Slurm: what its slurmd calls it, else what policy says, else its short host name."""
    return found or settings.slurm.node_name or host.partition(".")[0]


def _identity_s(occasion: Occasion) -> float:
    """Return how long to ask which node this is: what Python took to start is gone."""
    return max(0.1, min(MOST_S, occasion.began_s + HEALTHCHECK_S / 2 - time.monotonic()))


def _chosen(known: Known, kind: str, store: Store) -> list[CheckSpec]:
    """Return the checks of a hook. An epilog, after which the next job may start, has those of the prolog.

    A health check looks at what our drain stands for as well, be it made or still wanted: no prolog runs on a
    drained node, and a drain for one of its checks would never end.
    """
    if kind != "healthcheck":
        return known.of(id_ for id_, tags in known.tags.items() if "prolog" in tags)
    state = _remembered(store)
    ours = {check_id for found in (state.drain, state.wanted) if found is not None for check_id in found.checks}
    return known.of(id_ for id_, tags in known.tags.items() if "healthcheck" in tags or id_ in ours)


def _remembered(store: Store) -> State:
    """Return the state, be it ours to change or not: it is replaced as a whole."""
    with store.locked():
        return store.load()


def of_node(outcome: Pass) -> Pass:
    """Return a pass without what it found on GPUs of other jobs alone: that has neither failed nor passed here."""
    return outcome._replace(results=tuple(r for r in outcome.results if not r.is_of_others))


def _act(
    occasion: Occasion, outcome: Pass, settings: Settings, most: Limits, state_dir: str | None
) -> Mapping[str, object]:
    """Act within what is left. What `act` tells is in what it returns, too: slurmd's log has it once."""
    left_s = occasion.began_s + most.total_s - WAIT_S - time.monotonic()
    slurm_s = max(0.0, min(most.slurm_s, left_s))
    return act(outcome, settings, settings.slurm.node_name, state_dir, _unheard, slurm_s, wait_s=WAIT_S)


def _unheard(line: str) -> None:
    del line
