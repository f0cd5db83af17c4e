"""A bound on how often something happens: requests to slurmrestd, whoever makes them."""

import time
from collections.abc import Callable


class Pace:
    """Lets one through each `1 / per_s` seconds. No burst: slurmctld serves users meanwhile."""

    def __init__(
        self, per_s: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._each_s = 1 / per_s
        self._clock = clock
        self._sleep = sleep
        self._next_s = clock()

    def wait(self) -> None:
        """Wait until it is this caller's turn."""
        now_s = self._clock()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self._each_s
        if at_s > now_s:
            self._sleep(at_s - now_s)
