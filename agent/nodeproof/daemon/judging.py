"""What a child of the agent does: read, judge, decide and act, and say what came of it.

Deliberately not here: what the agent makes of that (`nodeproof.daemon.agent`).
"""

import json
import time
from collections.abc import Mapping
from typing import NamedTuple

from nodeproof.act import act, note_prolog_failure
from nodeproof.check import CheckSpec, registry
from nodeproof.daemon.refusal import Refusal, refusal_of
from nodeproof.engine import Pass, Result, run
from nodeproof.engine.identity import read_identity
from nodeproof.engine.worker import read_facts
from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.base import Live
from nodeproof.host.record import Notes, Recorder
from nodeproof.policy.resolve import load_settings
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.probes.counter import Counter
from nodeproof.probes.identity import host_name
from nodeproof.probes.relations import Relations
from nodeproof.state import State, Store
from nodeproof.verdict import Status, Verdict, ok, plural, unknown, warn

#: How long a pass may wait for another run (a hook's) that holds the state.
WAIT_S = 5.0

#: The finding that is an operator's word.
OPERATOR = "nodeproof.operator"

#: The finding that a node keeps failing and passing.
FLAPPING = "nodeproof.flapping"

_OPERATOR_SETTINGS = CheckSettings(after=1, clear_after=1)

#: What came of a pass whose reasons are kept: the node was taken out of service by it.
_WITH_EVIDENCE = frozenset({"drained", "adopted"})

_NO_LIMIT = 1_000_000

#: Seconds that a child may take beyond the budgets of its pass and of Slurm.
SPARE_S = 5.0


Relating = Mapping[str, tuple[str, ...]]


class Order(NamedTuple):
    """What a pass is to do. `checks` are ids.

    `operator` is why an operator wants the node drained, "" where none does. `is_repaired`: one says so, and what
    our drain stands for need pass but once. `is_whole`: all that a health check judges, not events alone.
    `prolog_failed_at` is when the gate failed a prolog, if it did since the last pass. `hung` are questions not to
    ask, `relations` what parts were one of devices that may be gone by now.
    """

    checks: tuple[str, ...]
    settings: Settings
    node: str
    state_dir: str
    run_dir: str
    operator: str = ""
    is_whole: bool = True
    prolog_failed_at: float | None = None
    spares_jobs: bool = True
    is_repaired: bool = False
    hung: frozenset[str] = frozenset()
    relations: Mapping[str, tuple[str, ...]] = {}


class Found(NamedTuple):
    """One verdict, with no check's function in it: it goes through a pipe."""

    id: str
    verdict: Verdict
    seconds: float


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
        results = (*_operators(order, state), *outcome.results)
        outcome = outcome._replace(results=tuple(sorted(results, key=lambda r: (-r.verdict.status, r.spec.id))))
        related = {**order.relations, **_relations(host, order.settings)}
        warnings = _note_prolog(order)
        settings = _settings(order, state)
        action = _act(order, outcome, settings, related)
        assert isinstance(host.machine, Recorder)
        bundle, warning = _evidence(order, host.machine.notes, outcome, action, related)
    state, failing = _remembered(order.state_dir), {r.spec.id for r in results if r.verdict.status is Status.FAIL}
    found = [Found(r.spec.id, _plain(r.verdict), r.seconds) for r in outcome.results]
    return Report(
        found=(*found, *_flapping(state, settings)),
        action=action,
        refusal=refusal_of(state, settings, action, failing),
        streaks=dict(state.streaks),
        seconds=time.monotonic() - began,
        hung=host.hung,
        relations=related,
        bundle=bundle,
        warnings=(*warnings, *([warning] if warning else [])),
    )


def _act(order: Order, outcome: Pass, settings: Settings, related: Relating) -> Mapping[str, object]:
    """Act on a pass. One of events alone can drain, and no more: it says nothing of what it did not judge."""
    if not order.is_whole:
        failed = tuple(r for r in outcome.results if r.verdict.status is Status.FAIL)
        outcome = outcome._replace(results=failed)
    return act(
        outcome,
        settings,
        order.node,
        order.state_dir,
        _unheard,
        wait_s=WAIT_S,
        may_resume=order.is_whole,
        relations=related,
    )


def _note_prolog(order: Order) -> list[str]:
    """Remember that the gate failed a prolog: the drain that slurmd makes of that is ours to take over."""
    if order.prolog_failed_at is None:
        return []
    return note_prolog_failure(order.state_dir, order.prolog_failed_at, WAIT_S)


def _evidence(
    order: Order, notes: Notes, outcome: Pass, action: Mapping[str, object], related: Relating
) -> tuple[str, str]:
    if action["result"] not in _WITH_EVIDENCE:
        return "", ""
    from nodeproof.daemon.evidence import write_bundle

    return write_bundle(order.state_dir, notes, outcome.results, order.settings, action, related)


class Counted(NamedTuple):
    """What the facts that count say, and why, by fact, some do not; `hung` are questions that got no answer."""

    counters: tuple[Counter, ...]
    unread: Mapping[str, str]
    hung: frozenset[str]


def read_counters(facts: tuple[type, ...], settings: Settings, hung: frozenset[str]) -> Counted:
    """Read all counters of this machine, but for the questions that hung lately."""
    made, unread = list[Counter](), dict[str, str]()
    with Host() as host:
        host.hung = hung
        until_s = time.monotonic() + settings.budget_s
        for fact, reading in read_facts(host, facts, deadline_s=settings.deadline_s, until_s=until_s).items():
            if not isinstance(reading.value, FactError):
                made += reading.value.counters()
            elif reading.value.kind != "absent":
                unread[fact.__name__] = str(reading.value)
        return Counted(tuple(made), unread, host.hung)


def _relations(host: Host, settings: Settings) -> Relating:
    """Return which parts are one now, read in a worker like any fact."""
    until_s = time.monotonic() + settings.deadline_s
    value = read_facts(host, [Relations], deadline_s=settings.deadline_s, until_s=until_s)[Relations].value
    return value.of if isinstance(value, Relations) else {}


def _ours(state: State) -> list[str]:
    """Return the checks that our drain stands for, be it made or still wanted: without them it would never end."""
    found = [f.checks for f in (state.drain, state.wanted, state.left_alone) if f is not None]
    return [check_id for checks in found for check_id in checks]


def _plain(verdict: Verdict) -> Verdict:
    """Return a verdict whose evidence is JSON values: what a plug-in puts there need not survive a pipe."""
    try:
        evidence = json.loads(json.dumps(verdict.evidence, default=str))
    except (TypeError, ValueError, RecursionError):
        evidence = {}
    return verdict._replace(evidence=evidence)


def _flapping(state: State, settings: Settings) -> list[Found]:
    """Return the finding that this node was drained and resumed too often to be resumed once more."""
    agent = settings.agent
    times = sum(at >= time.time() - agent.flap_window_h * 3600 for at in state.resumed_at)
    if state.drain is None or times < agent.flaps:
        return []
    often = f"{plural(times, 'time')} in {agent.flap_window_h:g} h"
    words = f"drained and resumed {often}: it stays drained until resumed by hand"
    return [Found(FLAPPING, warn(words, resumes_count=times), 0.0)]


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
        function=unknown,
        facts=(),
        parameters={},
        tags=frozenset(),
        remedy="`nodeproof resume` on the node, when it is fit to work again.",
        learn=None,
        beta=False,
    )
    return Result(spec, _OPERATOR_SETTINGS, verdict, 0.0)


def _unheard(line: str) -> None:
    del line
