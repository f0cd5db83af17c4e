"""What a prolog makes of a state that another run holds: it may be waiting for a Slurm that does not answer. Pure."""

from collections.abc import Mapping

from nodeproof.decide.history import can_drain
from nodeproof.engine import Pass
from nodeproof.state import State
from nodeproof.verdict import Status


def while_busy(action: Mapping[str, object], outcome: Pass, state: State) -> Mapping[str, object]:
    """Return instead of *busy* what the other run had decided when it asked Slurm.

    Only if this pass fails as well, and policy enforces: else nothing is known of what the other run will do.
    """
    is_failing = any(r.verdict.status is Status.FAIL and can_drain(r) for r in outcome.results)
    if action["mode"] != "enforce" or not is_failing:
        return action
    name = action["node"]
    if state.drain is not None:
        found = ("already_drained", f"{name} is drained by us already: {state.drain.reason}")
    elif state.held is not None:
        found = ("held_back", f"would drain {name}: {state.held.text} (held back: {state.held.why})")
    elif state.wanted is not None:
        found = ("unsure", f"another run is still asking Slurm to drain {name}: {state.wanted.reason}")
    else:
        return action
    return {**action, "intent": "drain", "result": found[0], "summary": found[1]}
