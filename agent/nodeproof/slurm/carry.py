"""Carry out what nodes want: the one way from a wish to slurmrestd, for a node alone and for the controller.

Slurm has no compare-and-set: nodes are read before they are written, and read again to see what became
of them. In the milliseconds between, somebody else may write: that is a LostRace, and told. What slurmrestd
leaves open is read again after a pause, and written again where it is not there, while there is time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nodeproof.errors import SlurmRejected, SlurmUnreachable
from nodeproof.policy.settings import GuardSettings
from nodeproof.slurm.answer import AlreadySo, Answer, Applied, NotFound, Refused, Unknown
from nodeproof.slurm.excess import Excess
from nodeproof.slurm.fleet import read_fleet, read_one
from nodeproof.slurm.guard import Fleet, admit
from nodeproof.slurm.outcome import Denied, HeldBack, Outcome, Unsure
from nodeproof.slurm.plan import Write, confirmed, lost, planned
from nodeproof.slurm.rest import Client
from nodeproof.slurm.wish import Wish

if TYPE_CHECKING:
    from random import Random

#: What must be left, in times that reading all nodes took, before a node drains itself: it reads them again.
_READINGS = 2.5

#: Names in one `POST /nodes/`: slurmctld holds its locks for a millisecond.
MOST_NAMES = 250


def carry_out(  # noqa: PLR0913  # keywords, all but the first three
    wishes: Sequence[Wish],
    client: Client,
    guard: GuardSettings,
    *,
    is_alone: bool,
    random: "Random",
    sleep: Callable[[float], None] = time.sleep,
    before_write: Callable[[Wish], None] = lambda _: None,
    demand: Mapping[str, int] = {},
) -> dict[str, Outcome]:
    """Return what came of each wish, by node; of two wishes of one node the later one counts.

    `is_alone`: nobody else drains for nodeproof, as in the controller. Else each node writes for itself,
    and a drain that came too late for the budget is taken back. `before_write` is called before a drain is
    sent: the place to note it, since the answer may get lost. For `demand` see `guard.admit`. Raises
    PolicyError for settings that the client cannot work with, and nothing for what Slurm says.
    """
    from nodeproof.slurm.backoff import delays_s

    run = _Run({w.node: w for w in wishes}, client, guard, demand, before_write)
    for delay_s in delays_s(random):
        run.once(is_alone=is_alone)
        if not run.pending or delay_s >= client.time_left_s():
            break
        sleep(delay_s)
    outcomes = run.outcomes | {name: Unsure(run.why_open) for name in run.pending}
    if is_alone:
        return outcomes
    excess = Excess(client, guard, run.fleet, random, sleep)
    return {w.node: excess.settled(w, outcomes[w.node]) for w in wishes}


class _Run:
    """Wishes on their way: `pending` become `outcomes`, round by round. `fleet` is all nodes as they were read last."""

    def __init__(
        self,
        pending: dict[str, Wish],
        client: Client,
        guard: GuardSettings,
        demand: Mapping[str, int],
        before_write: Callable[[Wish], None],
    ) -> None:
        self.pending = pending
        self.outcomes: dict[str, Outcome] = {}
        self.fleet: Fleet | None = None
        self.why_open = "there was no time to ask Slurm"
        self._client = client
        self._guard = guard
        self._demand = demand
        self._before_write = before_write
        self._reading_s = 0.0
        self._written: dict[str, Write] = {}
        self._most_names = MOST_NAMES

    def once(self, *, is_alone: bool) -> None:
        """Read, write what is not there, and read again."""
        try:
            writes = self._plan(self._read(), is_alone=is_alone)
            if not writes:
                return
            answers = self._write(writes)
            after = self._read_again(writes, is_alone=is_alone)
        except SlurmUnreachable as error:
            self._leave_open(str(error))
        except SlurmRejected as error:
            self._refuse(str(error))
        else:
            was_batch, self._most_names = self._most_names > 1, self._names_next(answers)
            for name, answer in answers.items():
                self._settle(self._written[name], answer, after, was_batch=was_batch)

    def _read(self) -> Fleet:
        """Read all nodes, or just the one where that may be enough: it needs no guard."""
        if len(self.pending) == 1:
            (wish,) = self.pending.values()
            if wish.action != "drain" or wish.record is not None or wish.was_foreign:
                fleet = read_one(self._client, wish.node)
                step = self._step(wish, fleet)
                if not (isinstance(step, Write) and step.kind == "drain"):
                    return fleet
        return self._read_all()

    def _read_again(self, writes: Sequence[Write], *, is_alone: bool) -> Fleet:
        if len(writes) == 1 and (is_alone or writes[0].kind != "drain"):
            return read_one(self._client, writes[0].wish.node)
        return self._read_all()

    def _read_all(self) -> Fleet:
        left_s = self._client.time_left_s()
        self.fleet = read_fleet(self._client)
        self._reading_s = left_s - self._client.time_left_s()
        return self.fleet

    def _plan(self, fleet: Fleet, *, is_alone: bool) -> list[Write]:
        """Return what is to be written, drains first and in the guard's order; the rest is an outcome already."""
        steps = {name: self._step(wish, fleet) for name, wish in self.pending.items()}
        writes = {name: step for name, step in steps.items() if isinstance(step, Write)}
        for name, step in steps.items():
            if not isinstance(step, Write):
                self._end(name, step)
        drains = [writes.pop(name) for name, write in list(writes.items()) if write.kind == "drain"]
        if drains and not is_alone and self._client.time_left_s() < _READINGS * self._reading_s:
            for write in drains:
                why = f"reading all nodes took {self._reading_s:.1f} s: no time to read them again"
                self._end(write.wish.node, Unsure(why))
            drains = []
        return (self._admitted(drains, fleet) if drains else []) + list(writes.values())

    def _admitted(self, drains: Sequence[Write], fleet: Fleet) -> list[Write]:
        """Return the drains that the guard lets through; that the others are held back is their outcome."""
        by_node = {write.wish.node: write for write in drains}
        admitted, held = admit([write.wish for write in drains], fleet, self._guard, self._demand)
        for name, why in held.items():
            # what was sent before may still be applied
            self._end(name, Unsure(why) if name in self._written else HeldBack(fleet.nodes[name], why))
        return [by_node[wish.node] for wish in admitted]

    def _step(self, wish: Wish, fleet: Fleet) -> Outcome | Write:
        node, sent = fleet.nodes.get(wish.node), self._written.get(wish.node)
        done = confirmed(sent, node, self._client.account) if sent is not None and node is not None else None
        return planned(wish, node, self._client.account) if done is None else done

    def _write(self, writes: Sequence[Write]) -> dict[str, Answer]:
        """Send each change once for all nodes that it is for, and return the answer for each of them."""
        answers: dict[str, Answer] = {}
        refused: Refused | None = None
        for group in _grouped(writes, self._most_names):
            for write in group:
                if write.kind in {"drain", "adopt"}:
                    self._before_write(write.wish)
            by_name = {write.wish.node: write for write in group}
            answer = refused or self._client.update(list(by_name), group[0].changes)
            refused = answer if isinstance(answer, Refused) else None
            self._written |= by_name
            answers |= dict.fromkeys(by_name, answer)
        return answers

    def _names_next(self, answers: Mapping[str, Answer]) -> int:
        """Return how many names go into a request from now on: one if Slurm stopped at a node, and left out others."""
        return 1 if any(isinstance(a, NotFound | AlreadySo) for a in answers.values()) else self._most_names

    def _settle(self, write: Write, answer: Answer, after: Fleet, *, was_batch: bool) -> None:
        """Say what came of a write; where that is open, it stays pending."""
        name, account = write.wish.node, self._client.account
        node = after.nodes.get(name)
        done = confirmed(write, node, account) if node is not None else None
        if done is not None:
            self._end(name, done)
        elif isinstance(answer, Applied) and node is not None:
            self._end(name, lost(write, node, account))
        elif isinstance(answer, Unknown | Applied):
            self.why_open = answer.words if isinstance(answer, Unknown) else f"Slurm has lost {name}"
        elif isinstance(answer, NotFound | AlreadySo) and was_batch:
            self.why_open = answer.words  # another node's fault, perhaps
        else:
            self._end(name, Denied(answer.words))

    def _leave_open(self, why: str) -> None:
        """Keep what is urgent or was sent; for the rest, the next run is soon enough."""
        self.why_open = why
        for name, wish in list(self.pending.items()):
            if wish.action != "drain" and name not in self._written:
                self._end(name, Unsure(why))

    def _refuse(self, why: str) -> None:
        for name in list(self.pending):
            self._end(name, Unsure(why) if name in self._written else Denied(why))

    def _end(self, name: str, outcome: Outcome) -> None:
        del self.pending[name]
        self.outcomes[name] = outcome


def _grouped(writes: Sequence[Write], most: int) -> list[list[Write]]:
    """Return writes with the same effect together, at most so many; drains for one text share the first one's id."""
    groups: dict[tuple[object, ...], list[Write]] = {}
    for write in writes:
        state, is_drain = write.changes.get("state"), write.kind in {"drain", "adopt"}
        group = groups.setdefault((str(state), write.wish.text if is_drain else write.reason, write.extra), [])
        if group and is_drain:
            shared = write.wish._replace(id=group[0].wish.id)
            write = write._replace(wish=shared, reason=shared.reason)  # noqa: PLW2901  # the same with another id
        group.append(write)
    return [group[n : n + most] for group in groups.values() for n in range(0, len(group), most)]
