"""How often something may happen, and lines for a log that nobody can flood."""

import time
from collections import Counter
from collections.abc import Callable

from nodeproof.verdict import harmless

LINE_CHARS = 600


class Allowance:
    """Lets through `most` of one key at once, then one in `every_s` seconds. Forgets no key: there must be few."""

    def __init__(self, most: int, every_s: float) -> None:
        self._most = most
        self._every_s = every_s
        self._spent: dict[str, tuple[float, float]] = {}

    def take(self, key: str, now_s: float) -> bool:
        spent, at_s = self._spent.get(key, (0.0, now_s))
        spent = max(0.0, spent - (now_s - at_s) / self._every_s)
        is_free = spent + 1 <= self._most
        self._spent[key] = (spent + 1 if is_free else spent, now_s)
        return is_free


class Log:
    """Lines for the journal. Of one kind, 50 are written at once, and then one in two seconds."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._allowance = Allowance(50, 2.0)
        self._left_out: Counter[str] = Counter()

    def say(self, line: str, kind: str) -> None:
        if not self._allowance.take(kind, time.monotonic()):
            self._left_out[kind] += 1
            return
        more = self._left_out.pop(kind, 0)
        self._write(harmless(line, LINE_CHARS) + (f" (and {more} lines like this before)" if more else ""))
