"""What a child of the agent does: read, judge, decide and act, and say what came of it.

Deliberately not here: what the agent makes of that (`nodeproof.daemon.agent`).
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from nodeproof.act import act
from nodeproof.check import CheckSpec, registry
from nodeproof.engine import Result, run
from nodeproof.engine.identity import read_identity
from nodeproof.engine.worker import read_facts
from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.base import Live
from nodeproof.host.record import Recorder
from nodeproof.policy.resolve import load_settings
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.probes.counter import Counter
from nodeproof.probes.identity import host_name
from nodeproof.probes.relations import Relations
from nodeproof.state import State, Store
from nodeproof.verdict import Status, Verdict, named, ok

#: How long a pass may wait for another run (a hook's) that holds the state.
WAIT_S = 5.0

#: The finding that is an operator's word.
OPERATOR = "nodeproof.operator"

_OPERATOR_SETTINGS = CheckSettings(after=1, clear_after=1)

#: What came of a pass whose reasons are kept: the node was taken out of service by it.
_WITH_EVIDENCE = frozenset({"drained", "adopted"})

_NO_LIMIT = 1_000_000

#: Seconds that a child may take beyond the budgets of its pass and of Slurm.
SPARE_S = 5.0


class Order(NamedTuple):
    """What a pass is to do. `checks` are ids.

    `operator` is why an operator wants the node drained, "" where none does. `is_repaired`: one says so, and what
    our drain stands for need pass but once. `hung` are questions not to ask, `relations` what parts were one of
    devices that may be gone by now.
    """

    checks: tuple[str, ...]
    settings: Settings
    node: str
    state_dir: str
    run_dir: str
    operator: str = ""
    spares_jobs: bool = True
    is_repaired: bool = False
    hung: frozenset[str] = frozenset()
    relations: Mapping[str, tuple[str, ...]] = {}


class Found(NamedTuple):
    """One verdict, with no check's function in it: it goes through a pipe."""

    id: str
    verdict: Verdict
    seconds: float


class Refusal(NamedTuple):
    """Why no job should start on this node, "" where one may. `is_drained`: that reason already stands in Slurm."""

    reason: str = ""
    is_drained: bool = False


class Report(NamedTuple):
    """What a pass came to.

    `bundle` is where the evidence of a drain was left, `warnings` what went
    wrong beside it. `hung` are questions that got no answer.
    """

    found: tuple[Found, ...]
    action: Mapping[str, object]
    refusal: Refusal
    streaks: Mapping[str, tuple[int, int]]
    seconds: float
    hung: frozenset[str] = frozenset()
    relations: Mapping[str, tuple[str, ...]] = {}
    bundle: str = ""
    warnings: tuple[str, ...] = ()


def learn_settings(policy_directory: str | None) -> tuple[Settings, list[str], str]:
    """Return this node's settings, warnings and host name: for a child, since a changed policy needs pydantic."""
    with Host() as host:
        settings, warnings = load_settings(policy_directory, host, registry(), identify=read_identity)
        return settings, warnings, host_name(host)


def carry_out(order: Order) -> Report:
    """Judge and act."""
    began, specs = time.monotonic(), registry()
    state = _remembered(order.state_dir)
    chosen = [specs[id_] for id_ in dict.fromkeys([*order.checks, *_ours(state)]) if id_ in specs]
    with Host(Recorder(Live(order.run_dir))) as host:
        host.hung = order.hung
        outcome = run(host, chosen, order.settings, spares_jobs=order.spares_jobs)
        results = [*_operators(order, state), *outcome.results]
        outcome = outcome._replace(results=tuple(sorted(results, key=lambda r: (-r.verdict.status, r.spec.id))))
        settings = _settings(order, state)
        related = {**order.relations, **_relations(host, order.settings)}
        action = act(outcome, settings, order.node, order.state_dir, _unheard, wait_s=WAIT_S, relations=related)
        assert isinstance(host.machine, Recorder)
        bundle, warning = "", ""
        if action["result"] in _WITH_EVIDENCE:
            from nodeproof.daemon.evidence import write_bundle

            bundle, warning = write_bundle(
                order.state_dir, host.machine.notes, outcome.results, order.settings, action, related
            )
    state = _remembered(order.state_dir)
    return Report(
        found=tuple(Found(r.spec.id, r.verdict, r.seconds) for r in outcome.results),
        action=action,
        refusal=refusal_of(state, settings),
        streaks=dict(state.streaks),
        seconds=time.monotonic() - began,
        hung=host.hung,
        relations=related,
        bundle=bundle,
        warnings=(warning,) if warning else (),
    )


def read_counters(facts: tuple[type, ...], settings: Settings) -> tuple[tuple[Counter, ...], dict[str, str]]:
    """Return what the facts that count say, and why, by source, some do not."""
    made, unread = list[Counter](), dict[str, str]()
    with Host() as host:
        until_s = time.monotonic() + settings.budget_s
        for fact, reading in read_facts(host, facts, deadline_s=settings.deadline_s, until_s=until_s).items():
            if not isinstance(reading.value, FactError):
                made += reading.value.counters()
            elif reading.value.kind != "absent":
                unread[fact.__name__] = str(reading.value)
    return tuple(made), unread


def _relations(host: Host, settings: Settings) -> Mapping[str, tuple[str, ...]]:
    """Return which parts are one now, read in a worker like any fact."""
    until_s = time.monotonic() + settings.deadline_s
    value = read_facts(host, [Relations], deadline_s=settings.deadline_s, until_s=until_s)[Relations].value
    return value.of if isinstance(value, Relations) else {}


def refusal_of(state: State, settings: Settings) -> Refusal:
    """Return whether a job may start here: not with our drain, one that is still wanted, or one not ours to make."""
    if settings.mode != "enforce":
        return Refusal()
    if state.drain is not None:
        return Refusal(state.drain.reason, is_drained=True)
    if state.left_alone is not None and state.left_alone.checks:
        return Refusal(f"somebody else has it out of service, and {named(list(state.left_alone.checks))} failed")
    if state.wanted is not None and state.held is None and settings.slurm.prolog_unsure == "fail":
        return Refusal(state.wanted.reason)
    return Refusal()


def _ours(state: State) -> list[str]:
    """Return the checks that our drain stands for, be it made or still wanted: without them it would never end."""
    found = [f.checks for f in (state.drain, state.wanted, state.left_alone) if f is not None]
    return [check_id for checks in found for check_id in checks]


def _settings(order: Order, state: State) -> Settings:
    """Return policy with what an operator said: a word is over when it is taken back, a repair when seen once."""
    settings = order.settings._replace(checks={**order.settings.checks, OPERATOR: _OPERATOR_SETTINGS})
    if not order.is_repaired:
        return settings
    released = {id_: settings.of(id_)._replace(clear_after=1) for id_ in _ours(state)}
    agent = settings.agent._replace(flaps=_NO_LIMIT)
    return settings._replace(checks={**settings.checks, **released}, agent=agent)


def _operators(order: Order, state: State) -> list[Result]:
    """Return the operator's word, or that it was taken back while our drain still stands for it."""
    if order.operator:
        return [_operator_result(Verdict(Status.FAIL, order.operator))]
    return [_operator_result(ok("no operator wants this node drained"))] if OPERATOR in _ours(state) else []


def _remembered(state_dir: str) -> State:
    store = Store(state_dir)
    with store.locked():
        return store.load()


def _operator_result(verdict: Verdict) -> Result:
    """Return a verdict that is an operator's word: `nodeproof drain` keeps the node out of service by it."""
    spec = CheckSpec(
        id=OPERATOR,
        function=_never,
        facts=(),
        parameters={},
        tags=frozenset(),
        remedy="`nodeproof resume` on the node, when it is fit to work again.",
        learn=None,
        beta=False,
    )
    return Result(spec, _OPERATOR_SETTINGS, verdict, 0.0)


def _never(*_: Any, **__: Any) -> Verdict:
    raise NotImplementedError("the operator's word is no check")


def _unheard(line: str) -> None:
    del line
