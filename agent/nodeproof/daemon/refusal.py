"""Whether a job may start on this node, as the gate tells prologs and epilogs. Pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from nodeproof.hooks.answer import UNTOLD
from nodeproof.policy.settings import Settings
from nodeproof.state import State
from nodeproof.verdict import named


class Refusal(NamedTuple):
    """Why no job should start on this node, "" where one may. `is_drained`: that reason already stands in Slurm."""

    reason: str = ""
    is_drained: bool = False


def refusal_of(state: State, settings: Settings, action: Mapping[str, object], failing: AbstractSet[str]) -> Refusal:
    """Return what a hook of its own would say after a pass (`nodeproof.hooks.answer`).

    `failing` are the checks that fail now. Only these refuse: a prolog that fails makes slurmd drain the node, so a
    node that waits for its last passes, or of which nothing can be told, must not be refused for what was.
    """
    if settings.mode != "enforce":
        return Refusal()
    drain, left_alone = state.drain, state.left_alone
    if drain is not None and drain.reason_changed_at is not None and failing & set(drain.checks):
        return Refusal(drain.reason, is_drained=True)
    if left_alone is not None and (found := [c for c in left_alone.checks if c in failing]):
        return Refusal(f"somebody else has it out of service, and {named(found)} failed")
    is_untold = action["intent"] == "drain" and action["result"] in UNTOLD
    if is_untold and settings.slurm.prolog_unsure == "fail":
        return Refusal(str(action["reason"] or action["summary"]))
    return Refusal()
