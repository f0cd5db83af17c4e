"""Questions to the machine that hang: asked again ever more rarely, since each time may leave a process in D state."""

from collections.abc import Set as AbstractSet
from typing import NamedTuple

#: How long a question that hung is left alone, at first and at most, in seconds.
FIRST_S, MOST_S = 600.0, 86400.0


class _Left(NamedTuple):
    until_s: float
    wait_s: float


class Hung:
    """What hung, and until when (monotonic clock) it is not asked. Whoever does not ask says "timed out" at once."""

    def __init__(self) -> None:
        self._left: dict[str, _Left] = {}

    def not_to_ask(self, now_s: float) -> frozenset[str]:
        return frozenset(name for name, left in self._left.items() if now_s < left.until_s)

    def forget(self) -> None:
        self._left.clear()

    def add(self, hung: AbstractSet[str], now_s: float) -> None:
        """Take what was asked and hung."""
        for name in hung:
            before = self._left.get(name)
            wait_s = min(MOST_S, before.wait_s * 2) if before else FIRST_S
            self._left[name] = _Left(now_s + wait_s, wait_s)

    def saw(self, not_asked: AbstractSet[str], hung: AbstractSet[str], now_s: float) -> None:
        """Take what hung in a pass that asked all but `not_asked`: what was asked and did not hang is well again."""
        self.add(hung - not_asked, now_s)
        for name in self._left.keys() - hung - not_asked:
            del self._left[name]
