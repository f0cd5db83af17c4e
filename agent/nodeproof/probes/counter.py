"""Counters: what a fact counts, for whoever watches it over time."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable


class Counter(NamedTuple):
    """One reading of one counter of one part (named as in `nodeproof.events.event`).

    `bits` is its width where it wraps or saturates, 0 where that is not known; `saturates`: at its largest value it
    stays there, as the error counters of InfiniBand ports do, instead of starting again at 0.
    """

    name: str
    part: str
    value: int
    bits: int = 0
    saturates: bool = False


@runtime_checkable
class Counts(Protocol):
    """A fact that holds counters declares them by this method alone: the agent keeps their history."""

    def counters(self) -> Iterable[Counter]: ...
