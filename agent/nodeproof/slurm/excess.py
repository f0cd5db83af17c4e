"""Take back a drain of our own that came too late for the budget.

Nodes that write for themselves know of no other's intention, and Slurm has no lock to offer: a hundred may
find the budget free at the same moment. So each looks again after its drain, and those that were too late
take theirs back. For why that is enough see `guard.before_drain`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nodeproof.errors import SlurmError
from nodeproof.policy.settings import GuardSettings
from nodeproof.slurm.answer import Unknown
from nodeproof.slurm.fleet import read_fleet, read_one
from nodeproof.slurm.guard import Fleet, admit, before_drain
from nodeproof.slurm.node import Node
from nodeproof.slurm.outcome import Drained, HeldBack, LostRace, Outcome, Standing, Unsure
from nodeproof.slurm.plan import UNDRAIN, taken_back
from nodeproof.slurm.rest import Client
from nodeproof.slurm.wish import Wish, parts

if TYPE_CHECKING:
    from random import Random

#: How often a drain in the same second as others is looked at, and seconds between at most: some of them give
#: way meanwhile, and the first whose patience ends gives way for those that read too early to know.
_LOOKS, _PAUSE_S = 3, 1.5

#: What looking once more, and taking back, may need.
_RESERVE_S = 1.0


class Excess:
    """Looks after drains that this run made, or of which no run has seen yet that they are within the budget."""

    def __init__(
        self,
        client: Client,
        guard: GuardSettings,
        fleet: Fleet | None,
        random: "Random",
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._guard = guard
        self._fleet = fleet
        self._random = random
        self._sleep = sleep

    def settled(self, wish: Wish, outcome: Outcome) -> Outcome:
        """Return what is left of a drain: the same, or held back after all."""
        match outcome:
            case Drained(node, is_adopted=False):
                pass
            case Standing(node) if wish.record is None or wish.record.reason_changed_at is None:
                pass
            case _:
                return outcome
        try:
            why = self._why_excess(wish, node)
            return self._take_back(wish, node, why) if why else outcome
        except SlurmError as error:
            return Unsure(f"drained, but not known to be within the budget: {error}")

    def _why_excess(self, wish: Wish, node: Node) -> str:
        """Return which limit this drain breaks, or nothing. Others of the same second may give way: wait for it."""
        for look in range(_LOOKS):
            fleet = self._read(node)
            if not _is_in(fleet, node):
                return ""  # somebody else wrote; the next run sees what that means
            why = self._why_over(wish, fleet, with_ties=True)
            pause_s = self._random.uniform(0.3, 1.0) * _PAUSE_S
            is_last = look + 1 == _LOOKS or self._client.time_left_s() < pause_s + _RESERVE_S
            if not why or is_last or self._why_over(wish, fleet, with_ties=False):
                return why
            self._fleet = None
            self._sleep(pause_s)
        return ""

    def _read(self, node: Node) -> Fleet:
        if self._fleet is None or not _is_in(self._fleet, node):
            self._fleet = read_fleet(self._client)
        return self._fleet

    def _why_over(self, wish: Wish, fleet: Fleet, *, with_ties: bool) -> str:
        found = parts(fleet.nodes[wish.node].reason)
        text = found[1] if found else wish.text
        held = admit([wish._replace(text=text)], before_drain(fleet, wish.node, with_ties=with_ties), self._guard)[1]
        return held.get(wish.node, "")

    def _take_back(self, wish: Wish, node: Node, why: str) -> Outcome:
        found = parts(node.reason)
        changes = {"state": UNDRAIN, "reason": taken_back(found[0] if found else wish.id)}
        answer = self._client.update([wish.node], changes)
        after = read_one(self._client, wish.node).nodes.get(wish.node)
        if after is None or (after.is_drained and after.reason == node.reason):
            words = answer.words if isinstance(answer, Unknown) else "it is still drained"
            return Unsure(f"to be taken back, for {why}: {words}")
        return LostRace(after) if after.is_drained else HeldBack(after, why)


def _is_in(fleet: Fleet, drained: Node) -> bool:
    """Tell whether this very drain was there when the fleet was read."""
    node = fleet.nodes.get(drained.name)
    return node is not None and node.is_drained and node.reason == drained.reason
