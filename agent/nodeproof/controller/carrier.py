"""From a batch of wishes to slurmrestd and back, and what the journal says of it.

The one place that has the token. It stores nothing: what Slurm leaves open is Unsure, and its node asks again.
"""

import time
import traceback
from collections.abc import Mapping, Sequence
from random import SystemRandom

from nodeproof.controller.allowance import Log
from nodeproof.errors import NodeproofError
from nodeproof.policy.hosts import folded
from nodeproof.policy.settings import Settings
from nodeproof.slurm import (
    Client,
    Denied,
    Drained,
    Foreign,
    Free,
    HeldBack,
    LostRace,
    Node,
    NotReady,
    Outcome,
    Resumed,
    Standing,
    Unsure,
    Wish,
    carry_out,
)
from nodeproof.verdict import harmless, plural


class Carrier:
    """Carries out wishes over one client, which lives as long as the controller. For one thread at a time."""

    def __init__(self, client: Client, settings: Settings, log: Log) -> None:
        self._client = client
        self._settings = settings
        self._log = log
        self._random = SystemRandom()

    def carry_out(self, wishes: Sequence[Wish], demand: Mapping[str, int]) -> Mapping[str, Outcome]:
        """Return what came of each wish, by node. Raises nothing: whatever goes wrong here, the next batch is tried."""
        started_s, sent = time.monotonic(), self._client.requests
        try:
            outcomes = self._carry_out(wishes, demand)
        except NodeproofError as error:
            outcomes = _unsure(wishes, str(error))
        except Exception as error:  # noqa: BLE001  # nodes wait for an answer, and the next ones for this thread
            for line in traceback.format_exception(error):
                self._log.say(line, "bug")
            outcomes = _unsure(wishes, f"a bug of the controller: {type(error).__name__}")
        for kind, line in lines_of(outcomes):
            self._log.say(line, kind)
        took_s, sent = time.monotonic() - started_s, self._client.requests - sent
        said = f"{plural(len(wishes), 'wish')}: {_counted(outcomes)}; {plural(sent, 'request')} in {took_s:.2f} s"
        self._log.say(said.replace("wishs", "wishes"), "batch")
        return outcomes

    def _carry_out(self, wishes: Sequence[Wish], demand: Mapping[str, int]) -> Mapping[str, Outcome]:
        self._client.renew(self._settings.slurm.timeout_s)
        return carry_out(wishes, self._client, self._settings.guard, is_alone=True, random=self._random, demand=demand)


def lines_of(outcomes: Mapping[str, Outcome]) -> list[tuple[str, str]]:
    """Return (kind, line) of what is worth a line: one for all nodes of which the same is to be said."""
    nodes: dict[tuple[str, str], list[str]] = {}
    for name, outcome in outcomes.items():
        if told := _told(outcome):
            nodes.setdefault(told, []).append(name)
    return [(verb, f"{verb} {folded(names)}" + (f": {why}" if why else "")) for (verb, why), names in nodes.items()]


def _told(outcome: Outcome) -> tuple[str, str] | None:
    match outcome:
        case Drained(node, is_adopted):
            return ("adopted" if is_adopted else "drained", node.reason)
        case Resumed():
            return ("resumed", "")
        case HeldBack(_, why):
            return ("held back", why)
        case Foreign(node):
            return ("left alone", _state(node))
        case LostRace(node):
            return ("lost a race on", _state(node))
        case NotReady():
            return ("not ready to be resumed", "its slurmd has not registered")
        case Unsure(words):
            return ("unsure of", words)
        case Denied(words):
            return ("denied", words)
        case Standing() | Free():
            return None


def _counted(outcomes: Mapping[str, Outcome]) -> str:
    counts: dict[str, int] = {}
    for outcome in outcomes.values():
        counts[type(outcome).__name__] = counts.get(type(outcome).__name__, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _state(node: Node) -> str:
    state = "+".join([node.base_state, *sorted(node.flags)])
    return f"{state} by {node.reason_user or 'nobody'} ({node.reason or 'no reason'})"


def _unsure(wishes: Sequence[Wish], words: str) -> dict[str, Outcome]:
    return {wish.node: Unsure(harmless(words, 300)) for wish in wishes}
