"""Times as people write them in a plan, and as they are shown."""

import datetime as dt
import re
from typing import NamedTuple

_DURATION = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?", re.ASCII)
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


def seconds_of(words: str) -> float:
    """Return the seconds of `90s`, `30m` or `1h30m`. Raises ValueError for anything else, and for no time at all."""
    match = _DURATION.fullmatch(words)
    hours, minutes, seconds = (int(group or 0) for group in match.groups()) if match else (0, 0, 0)
    total_s = 3600.0 * hours + 60 * minutes + seconds
    if total_s <= 0:
        raise ValueError(f"expected a time such as 90s, 30m or 1h30m, found {words!r}")
    return total_s


class Window(NamedTuple):
    """A part of each day, in minutes since midnight of local time; it may run over midnight."""

    begin_min: int
    end_min: int

    def is_open(self, at: float) -> bool:
        return self.wait_s(at) == 0

    def wait_s(self, at: float) -> float:
        """Return how long it takes until the window opens; 0 while it is open."""
        now = dt.datetime.fromtimestamp(at)  # noqa: DTZ006  # the window is in local time
        minute = 60 * now.hour + now.minute
        length_min = (self.end_min - self.begin_min) % 1440
        if (minute - self.begin_min) % 1440 < length_min:
            return 0.0
        return 60.0 * ((self.begin_min - minute) % 1440) - now.second


def window_of(words: str) -> Window:
    """Return the window of `22:00-06:00`. Raises ValueError."""
    match = _WINDOW.fullmatch(words)
    if match is None:
        raise ValueError(f"expected a time of day such as 22:00-06:00, found {words!r}")
    begin_h, begin_m, end_h, end_m = map(int, match.groups())
    if (begin_h, begin_m) == (end_h, end_m):
        raise ValueError(f"expected a time of day such as 22:00-06:00, found one without length: {words!r}")
    return Window(60 * begin_h + begin_m, 60 * end_h + end_m)


def shown(seconds: float) -> str:
    """Return a length of time for people: `45 s`, `12 min`, `3.5 h`, `2.1 d`."""
    for unit_s, unit, digits in ((86400, "d", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.{digits}f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def moment(at: float) -> str:
    """Return a moment in local time, to the minute."""
    return dt.datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006  # for people here
