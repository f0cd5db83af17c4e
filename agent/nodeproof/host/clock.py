"""What time it is."""

import time


def wall_clock_s() -> float:
    """Return the time in seconds since the epoch."""
    return time.time()
