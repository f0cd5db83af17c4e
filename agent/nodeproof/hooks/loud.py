"""Lines that somebody must see: slurmd's log has what a failing hook printed, and the system log the rest."""

import contextlib
import os
from collections.abc import Sequence

from nodeproof.hooks.occasion import Occasion
from nodeproof.verdict import harmless

SYSTEM_LOG = "/dev/log"

#: A health check that has something to tell ends with this: slurmd logs what it printed, and does nothing else.
EXIT_LOUD = 3

#: Facility daemon, severity warning (RFC 5424, section 6.2.1).
_PRIORITY = 3 * 8 + 4

_LINE_CHARS = 600


def say(occasion: Occasion, lines: Sequence[str], *, is_hidden: bool) -> None:
    """Print lines for slurmd, and where it hides them (`is_hidden`) send them to the system log as well.

    What is in them may come from firmware, Slurm or a user. That nobody takes them changes no exit code.
    """
    told = [harmless(f"{occasion.label}: {line}", _LINE_CHARS) for line in lines]
    with contextlib.suppress(OSError):
        os.write(1, "".join(f"nodeproof {line}\n" for line in told).encode(errors="backslashreplace"))
    if told and is_hidden:
        to_system_log(told, SYSTEM_LOG)


def to_system_log(lines: Sequence[str], path: str) -> None:
    """Send each line to the system log, as far as it takes them without delay: syslog(3) would wait for it."""
    import socket

    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.setblocking(False)
        for line in lines:
            log.sendto(f"<{_PRIORITY}>nodeproof[{os.getpid()}]: {line}".encode(errors="backslashreplace"), path)
