"""What the gate says to slurmd, from what the agent knows. Pure."""

from collections.abc import Mapping, Sequence

from nodeproof.daemon.gate import Answer, Gate
from nodeproof.daemon.refusal import Refusal
from nodeproof.engine import Pass, Result
from nodeproof.hooks.answer import answer
from nodeproof.hooks.occasion import Occasion

#: What `act` would say before anything was done.
NOTHING_DONE: Mapping[str, object] = {
    "intent": "nothing",
    "result": "nothing",
    "summary": "",
    "is_error": False,
    "warnings": [],
    "node": "",
}


def gate_of(
    results: Sequence[Result], action: Mapping[str, object], refusal: Refusal, boot_id: str, until_ns: int
) -> Gate:
    """Return the answers to all hooks, good until `until_ns` (CLOCK_BOOTTIME).

    A health check is told as it is told by a pass of its own (`nodeproof.hooks.answer`). A prolog fails while the
    node is out of service for a reason of ours; an epilog only where that reason already stands in Slurm.
    """
    told = answer(Occasion("healthcheck", 0, "", 0.0), Pass(tuple(results), {}), action)
    refused = Answer(1, (refusal.reason, "no job starts on this node")) if refusal.reason else Answer(0, ())
    return Gate(
        boot_id=boot_id,
        until_ns=until_ns,
        healthcheck=Answer(told.exit_code, told.lines),
        prolog=refused,
        epilog=Answer(1, (refusal.reason,)) if refusal.is_drained else Answer(0, ()),
    )
