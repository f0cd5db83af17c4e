"""Wishes that arrive together are carried out together, one batch at a time.

What waits here is kept nowhere else: when the controller ends, each node still has its wish, and asks again.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from nodeproof.slurm.outcome import Drained, Foreign, Outcome, Standing, Unsure
from nodeproof.slurm.wish import Wish, check_of

#: A wish is about 1 kB, and no node has more than one here.
MOST_WAITING = 50_000

#: A batch is complete when nobody came for `batch_s`, and after so many times that in any case.
MOST_GAPS = 8

CarryOut = Callable[[Sequence[Wish], Mapping[str, int]], Mapping[str, Outcome]]


class Stopping(Exception):
    """The controller is about to end, and has not begun with this wish."""


class Full(Exception):
    """More wishes wait than the controller takes."""


class Demand:
    """Which nodes in service want a drain, and for which check: the guard must know of more than one batch.

    Who was last heard of before the guard's window is forgotten: a node that is still sick asks again.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._wanting: dict[str, tuple[str, float]] = {}

    def counted(self, wishes: Sequence[Wish], now_s: float) -> dict[str, int]:
        """Add these wishes. Returns how many nodes want a drain, by check."""
        for wish in wishes:
            self._wanting.pop(wish.node, None)
            if wish.action == "drain":
                self._wanting[wish.node] = (check_of(wish.text), now_s)
        self._wanting = {node: want for node, want in self._wanting.items() if want[1] > now_s - self._window_s}
        return dict(Counter(check for check, _ in self._wanting.values()))

    def settled(self, outcomes: Mapping[str, Outcome]) -> None:
        """Forget the nodes that are out of service now: the guard sees them in Slurm."""
        for node, outcome in outcomes.items():
            if isinstance(outcome, Drained | Standing | Foreign):
                self._wanting.pop(node, None)


class Batches:
    """Gathers wishes for `carry_out`, which is called in a thread of its own, and raises nothing."""

    def __init__(self, carry_out: CarryOut, demand: Demand, batch_s: float) -> None:
        self._carry_out = carry_out
        self._demand = demand
        self._batch_s = batch_s
        self._waiting: dict[str, tuple[Wish, asyncio.Future[Outcome]]] = {}
        self._arrived = asyncio.Event()
        self._stopping = asyncio.Event()

    async def outcome(self, wish: Wish) -> Outcome:
        """Return what came of a wish. Of two wishes of a node that wait, the later one counts."""
        if self._stopping.is_set():
            raise Stopping
        if wish.node in self._waiting:
            _fulfil(self._waiting.pop(wish.node)[1], Unsure(f"{wish.node} has asked again since"))
        if len(self._waiting) >= MOST_WAITING:
            raise Full
        promise: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[wish.node] = wish, promise
        self._arrived.set()
        return await promise

    async def run(self) -> None:
        """Carry out batch after batch, until stopped and the batch at hand is done."""
        while not self._stopping.is_set():
            await self._arrived.wait()
            await self._gather()
            batch, self._waiting = self._waiting, {}
            self._arrived.clear()
            if batch:
                await self._carry(batch)

    def stop(self) -> None:
        """Take nothing more, and let go of what waits."""
        self._stopping.set()
        self._arrived.set()
        for _, promise in self._waiting.values():
            if not promise.done():
                promise.set_exception(Stopping())
        self._waiting = {}

    async def _gather(self) -> None:
        """Wait for who else comes: many nodes with one fault find it within a moment."""
        for _ in range(MOST_GAPS):
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._batch_s)
            if not self._arrived.is_set() or self._stopping.is_set():
                return

    async def _carry(self, batch: Mapping[str, tuple[Wish, "asyncio.Future[Outcome]"]]) -> None:
        wishes = [wish for wish, _ in batch.values()]
        outcomes = await asyncio.to_thread(self._carry_out, wishes, self._demand.counted(wishes, time.monotonic()))
        self._demand.settled(outcomes)
        for node, (_, promise) in batch.items():
            _fulfil(promise, outcomes[node])


def _fulfil(promise: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not promise.done():
        promise.set_result(outcome)
