"""`--act`: remember this pass, decide, and do it through slurmrestd.

Whatever goes wrong here is told and changes no verdict: the exit code speaks of the node, not of Slurm.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from nodeproof import slurm
from nodeproof.decide import History, Intent, Streak, counted, decide, this_pass_only
from nodeproof.engine import Pass
from nodeproof.errors import NodeproofError
from nodeproof.policy.settings import Settings
from nodeproof.state import DrainRecord, State, Store
from nodeproof.verdict import harmless

SUMMARY_CHARS = 600


class Done(NamedTuple):
    """What was decided and what came of it; `result` is a word for programs, `summary` a sentence for people.

    `is_error`: what policy wanted could not be done, or not be confirmed.
    """

    result: str
    summary: str
    reason: str = ""
    is_error: bool = False


def act(
    pass_: Pass, settings: Settings, host_name: str, state_dir: str | None, write: Callable[[str], None]
) -> dict[str, object]:
    """Decide on this pass and act as policy says. Returns the outcome as JSON values; `write` gets what is loud."""
    name = settings.slurm.node_name or host_name.partition(".")[0]
    run = _Run(name, settings, Store(state_dir or ""))
    try:
        intent, done = run.all_of(pass_)
    except Exception as error:  # noqa: BLE001  # the report must not be lost to a bug, or to what slurmrestd answered
        intent, done = "nothing", Done("error", f"cannot act: {type(error).__name__}: {error}", is_error=True)
    summary = harmless(done.summary, SUMMARY_CHARS)
    warnings = [harmless(w, SUMMARY_CHARS) for w in dict.fromkeys(run.store.warnings + run.slurm_warnings)]
    for line in (*(f"warning: {w}" for w in warnings), *([summary] if done.is_error else [])):
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


class _Run:
    """One run of `act`, from the state file to Slurm and back."""

    def __init__(self, name: str, settings: Settings, store: Store) -> None:
        self.name = name
        self.settings = settings
        self.store = store
        self.state = State()
        self.slurm_warnings: list[str] = []

    def all_of(self, pass_: Pass) -> tuple[str, Done]:
        """Return what was wanted (drain, resume, nothing) and what came of it."""
        with self.store.locked() as is_ours:
            if not is_ours:
                return "nothing", Done("busy", f"another run holds {self.store.directory}: this one does nothing")
            intent = self._decide(pass_)
            done = self._follow(intent)
        return intent.action, done

    def _decide(self, pass_: Pass) -> Intent:
        """Count this pass and decide. What cannot be written is not believed: it may be long out of date."""
        saved = self.store.load()
        drained_for = saved.drain.checks if saved.drain else ()
        known = History({check_id: Streak(*counts) for check_id, counts in saved.streaks.items()}, drained_for)
        if self.settings.doubts:  # judged by the policy of other nodes, perhaps: nothing to remember
            self.state = saved
            return decide(pass_.results, known, self.settings, "")
        history = counted(known, pass_.results)
        self.state = saved._replace(streaks=history.streaks)
        if not self.store.save(self.state):
            self.store.warnings.append("without memory, nothing is resumed, and drained only by a check with after = 1")
            history = this_pass_only(pass_.results)
        return decide(pass_.results, history, self.settings, _new_id())

    def _follow(self, intent: Intent) -> Done:
        if intent.is_dry:
            return self._say(intent)
        if intent.action == "nothing" and self.state.drain is None:
            return Done("nothing", f"left {self.name} as it is: {intent.why}")
        wanted = f"look at {self.name}" if intent.action == "nothing" else f"{intent.action} {self.name}"
        if not self.settings.slurm.url:
            summary = f"cannot {wanted} ({intent.why}): policy sets no slurm.url"
            return Done("no_slurm_url", summary, intent.reason, is_error=True)
        try:
            outcome = self._ask_slurm(intent)
        except NodeproofError as error:
            summary = f"cannot {wanted} ({intent.why}): {error}"
            return Done("slurm_error", summary, intent.reason, is_error=True)
        return self._note(intent, outcome)

    def _say(self, intent: Intent) -> Done:
        """Policy only observes: say what would be done."""
        if intent.action == "drain":
            return Done("would_drain", f"would drain {self.name}: {intent.reason}", intent.reason)
        if intent.action == "resume":
            return Done("would_resume", f"would resume {self.name}: {intent.why}")
        return Done("nothing", f"would leave {self.name} as it is: {intent.why}")

    def _ask_slurm(self, intent: Intent) -> slurm.Outcome:
        record = self.state.drain
        with slurm.Client(self.settings.slurm) as client:
            self.slurm_warnings = client.warnings
            if intent.action == "drain":
                fresh = DrainRecord(intent.drain_id, intent.reason, intent.checks)
                return slurm.drain(client, self.name, fresh.reason, record, lambda: self._remember(fresh))
            assert record is not None
            if intent.action == "resume":
                return slurm.resume(client, self.name, record)
            return slurm.look(client, self.name, record)

    def _remember(self, drain: DrainRecord | None) -> None:
        self.state = self.state._replace(drain=drain)
        if not self.store.save(self.state) and drain is not None:
            self.store.warnings.append(f"this drain of {self.name} cannot be remembered: resume it by hand")

    def _note(self, intent: Intent, outcome: slurm.Outcome) -> Done:
        """Keep of our drain what Slurm says of it, and tell what came of the intent."""
        before, node = self.state.drain, outcome.node
        after = None
        if before is not None and isinstance(outcome, slurm.Drained | slurm.Standing | slurm.NotReady):
            checks = tuple(dict.fromkeys((*before.checks, *intent.checks)))
            after = DrainRecord(before.id, before.reason, checks, node.reason_changed_at, node.reason_user)
        if after != before:
            self._remember(after)
        return _told(self.name, intent, outcome)


def _told(name: str, intent: Intent, outcome: slurm.Outcome) -> Done:
    node = outcome.node
    state = "+".join([node.base_state, *sorted(node.flags)])
    match outcome:
        case slurm.Drained():
            return Done("drained", f"drained {name}: {node.reason}", node.reason)
        case slurm.Standing():
            why = f", and {intent.why}" if intent.action == "nothing" else ""
            return Done("already_drained", f"{name} is drained by us already: {node.reason}{why}", node.reason)
        case slurm.Resumed():
            return Done("resumed", f"resumed {name}: {intent.why}")
        case slurm.Free():
            return Done("already_resumed", f"{name} is in service: somebody else took our drain back")
        case slurm.Foreign():
            why = f", though {intent.why}" if intent.action == "drain" else ""
            said = f"{name} is {state} by {node.reason_user or 'nobody'} ({node.reason or 'no reason'}), not by us"
            return Done("left_alone", f"{said}: left alone{why}", node.reason)
        case slurm.NotReady():
            return Done("not_ready", f"cannot resume {name} yet: its slurmd has not registered")
        case slurm.LostRace():
            said = f"somebody else changed {name} while we wrote: it is {state} ({node.reason or 'no reason'})"
            return Done("lost_race", f"{said}, though {intent.why}", node.reason, is_error=True)


def _new_id() -> str:
    return os.urandom(4).hex()
