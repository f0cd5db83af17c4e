"""One run from the state file to Slurm and back.

Whatever goes wrong here is told and changes no verdict: the exit code of a check speaks of the node, not of Slurm.
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nodeproof import slurm
from nodeproof.act.remembered import after
from nodeproof.act.told import Done, dry, failed, held_back, told
from nodeproof.act.wanted import Moment, Step, step_of
from nodeproof.decide import History, Intent, Streak, counted, decide, this_pass_only
from nodeproof.decide.incidents import Relations
from nodeproof.engine import Pass
from nodeproof.errors import NodeproofError, PolicyError, SlurmUnreachable
from nodeproof.policy.settings import Settings
from nodeproof.slurm.versions import Versions
from nodeproof.slurm.wish import NODE_NAME, check_of
from nodeproof.state import Held, State, Store
from nodeproof.verdict import harmless

if TYPE_CHECKING:
    from random import Random

SUMMARY_CHARS = 600

#: Results after which the node takes no new jobs.
OUT_OF_SERVICE = frozenset({"drained", "adopted", "already_drained", "left_alone"})

#: Results that leave open whether it does.
UNSURE = frozenset({"unsure", "slurm_error", "no_slurm_url", "lost_race", "error", "busy"})

#: Part of the time for Slurm that a node may wait so as not to ask together with all others.
_JITTER_SHARE = 0.2

#: When the guard is asked again about a drain that it held back, as a share of its window.
_HOLD_FROM, _HOLD_TO = 0.25, 0.75


def act(  # noqa: PLR0913, PLR0917  # what a pass came to, whose it is, and what the edge has: time, chance, a voice
    pass_: Pass,
    settings: Settings,
    host_name: str,
    state_dir: str | None,
    write: Callable[[str], None],
    limit_s: float | None = None,
    *,
    wait_s: float = 0.0,
    may_resume: bool = True,
    relations: Relations | None = None,
    random: "Random | None" = None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, object]:
    """Decide on this pass and act as policy says. Returns the outcome as JSON values; `write` gets what is loud.

    `limit_s` is all the time for Slurm (None: policy's slurm.timeout_s), `wait_s` how long to wait for
    another run to end. A pass of some checks only may not resume (`may_resume`). `relations` tell which parts of the
    machine are one, so that a reason names the cause.
    """
    name = settings.slurm.node_name or host_name.partition(".")[0]
    store = Store(state_dir or "")
    pace = _Pace(settings.slurm.timeout_s if limit_s is None else limit_s, random, sleep)
    run = _Run(name, settings, store, pace, relations, may_resume=may_resume)
    try:
        intent, done = run.all_of(pass_, wait_s)
    except Exception as error:  # noqa: BLE001  # the report must not be lost to a bug, or to what slurmrestd answered
        intent, done = "nothing", Done("error", f"cannot act: {type(error).__name__}: {error}", is_error=True)
    summary = harmless(done.summary, SUMMARY_CHARS)
    warnings = [harmless(w, SUMMARY_CHARS) for w in dict.fromkeys(store.warnings + run.slurm_warnings)]
    for line in (*(f"warning: {w}" for w in warnings), *([summary] if done.is_error or done.is_loud else [])):
        write(line)
    return {
        "node": name,
        "mode": settings.mode,
        "intent": intent,
        "result": done.result,
        "summary": summary,
        "reason": done.reason,
        "is_error": done.is_error,
        "warnings": warnings,
    }


class _Pace:
    """The time for Slurm, and chance to spread it: `random` is imported only where something is to be spread."""

    def __init__(self, limit_s: float, random: "Random | None", sleep: Callable[[float], None]) -> None:
        self._until_s = time.monotonic() + limit_s
        self._random = random
        self.limit_s = limit_s
        self.sleep = sleep

    @property
    def random(self) -> "Random":
        if self._random is None:
            from random import SystemRandom

            self._random = SystemRandom()
        return self._random

    def left_s(self) -> float:
        return self._until_s - time.monotonic()


class _Run:
    """One run of `act`, from the state file to Slurm and back."""

    def __init__(  # noqa: PLR0913  # all of `act`
        self,
        name: str,
        settings: Settings,
        store: Store,
        pace: _Pace,
        relations: Relations | None,
        *,
        may_resume: bool,
    ) -> None:
        self.name = name
        self.settings = settings
        self.store = store
        self.pace = pace
        self.relations = relations
        self.may_resume = may_resume
        self.state = State()
        self.slurm_warnings: list[str] = []

    def all_of(self, pass_: Pass, wait_s: float) -> tuple[str, Done]:
        """Return what was wanted (drain, resume, nothing) and what came of it."""
        with self.store.locked(wait_s) as is_ours:
            if not is_ours:
                return "nothing", Done("busy", f"another run holds {self.store.directory}: this one does nothing")
            moment = Moment(self.name, int(time.time()), os.urandom(4).hex())
            intent, step = self._decide(pass_, moment)
            if intent.is_dry:
                return intent.action, dry(self.name, intent, moment.drain_id)
            if step.wish is None:
                return intent.action, Done("nothing", f"left {self.name} as it is: {intent.why}")
            is_drain = step.wish.action == "drain"  # this pass's decision, or one of an earlier pass
            return "drain" if is_drain else intent.action, self._follow(step.wish, step.why)

    def _decide(self, pass_: Pass, moment: Moment) -> tuple[Intent, Step]:
        """Count this pass and decide. What cannot be written is not believed: it may be long out of date."""
        saved, results, settings = self.store.load(), pass_.results, self.settings
        drained_for = saved.drain.checks if saved.drain else ()
        since = moment.now_s - settings.agent.flap_window_h * 3600
        resumes = sum(at >= since for at in saved.resumed_at)
        known = History({check_id: Streak(*counts) for check_id, counts in saved.streaks.items()}, drained_for, resumes)
        if not settings.doubts:  # else judged by the policy of other nodes, perhaps: nothing to remember
            known = counted(known, results)
        intent = decide(results, known, settings, self.relations)
        if intent.action == "resume" and not self.may_resume:
            intent = Intent("nothing", f"only a pass of all checks resumes: {intent.why}", intent.is_dry)
        step = step_of(intent, saved._replace(streaks=known.streaks), results, settings, moment)
        self.state = step.state
        if settings.doubts or self.store.save(self.state):
            return intent, step
        self.store.warnings.append("without memory, nothing is resumed, and drained only by a check with after = 1")
        intent = decide(results, this_pass_only(results), settings, self.relations)
        self.state = State(drain=saved.drain)
        return intent, step_of(intent, self.state, results, settings, moment)

    def _follow(self, wish: slurm.Wish, why: str) -> Done:
        """Ask for what is wished, remember what came of it, and say so."""
        before = self.state.drain
        try:
            if held := self._why_held(wish):
                return held_back(self.name, wish.reason, held)
            if not (self.settings.slurm.url or self.settings.controller.url):
                return failed(wish, why, "policy sets no slurm.url", "no_slurm_url")
            if held := self._why_not_now(wish):
                return self._hold(wish, held)
            outcome = self._ask(wish)
        except NodeproofError as error:
            return failed(wish, why, str(error))
        self._remember(after(self.state, wish, outcome, before, int(time.time())))
        if isinstance(outcome, slurm.HeldBack):
            return self._hold(wish, outcome.why)
        return told(wish, why, outcome)

    def _hold(self, wish: slurm.Wish, why: str) -> Done:
        """Do not ask again for a while: all nodes are read to answer."""
        hold_s = self.pace.random.uniform(_HOLD_FROM, _HOLD_TO) * self.settings.guard.window_s
        self._remember(self.state._replace(held=Held(int(time.time() + hold_s), why, wish.text)))
        return held_back(self.name, wish.reason, why)

    def _why_held(self, wish: slurm.Wish) -> str:
        """Return why the guard let this drain not through, if that was lately. A controller has one guard for all."""
        held = self.state.held
        if wish.action != "drain" or wish.record is not None or held is None or self.settings.controller.url:
            return ""
        is_recent = time.time() < held.until and check_of(held.text) == check_of(wish.text)
        return held.why if is_recent else ""

    def _why_not_now(self, wish: slurm.Wish) -> str:
        """Wait so as not to ask together with all others, and ask for a cheap no. An empty answer is no yes."""
        if wish.action != "drain" or wish.record or wish.was_foreign or self.settings.controller.url:
            return ""
        most_s = min(self.settings.slurm.jitter_s, _JITTER_SHARE * self.pace.limit_s)
        if most_s > 0:
            self.pace.sleep(self.pace.random.uniform(0.0, most_s))
        url = self.settings.slurm.metrics_url
        if not url:
            return ""
        from nodeproof.slurm.metrics import read_counts, why_full

        try:
            return why_full(read_counts(url, self.pace.left_s() / 2), self.settings.guard)
        except SlurmUnreachable as error:
            self.store.warnings.append(str(error))
            return ""

    def _ask(self, wish: slurm.Wish) -> slurm.Outcome:
        if not NODE_NAME.fullmatch(self.name):
            raise PolicyError("policy", "slurm.node_name", f"not the name of one node: {self.name!r}")
        if self.settings.controller.url:
            return self._send(wish)
        versions = Versions(self.store.kept_in)
        with slurm.Client(self.settings.slurm, self.pace.left_s(), versions) as client:
            self.slurm_warnings = client.warnings
            outcomes = slurm.carry_out(
                [wish],
                client,
                self.settings.guard,
                is_alone=False,
                random=self.pace.random,
                sleep=self.pace.sleep,
                before_write=self._note,
            )
        return outcomes[wish.node]

    def _send(self, wish: slurm.Wish) -> slurm.Outcome:
        """Hand the wish to the controller. It is noted first: the controller may write it, and its answer get lost."""
        from nodeproof.controller.client import send

        if wish.action == "drain" and wish.record is None:
            self._note(wish)
        return send(wish, self.settings.controller, self.pace.left_s())

    def _note(self, wish: slurm.Wish) -> None:
        self._remember(self.state._replace(drain=slurm.Record(wish.id, wish.reason, wish.checks)))

    def _remember(self, state: State) -> None:
        is_new, self.state = state != self.state, state
        if is_new and not self.store.save(state) and state.drain is not None:
            self.store.warnings.append(f"this drain of {self.name} cannot be remembered: resume it by hand")
