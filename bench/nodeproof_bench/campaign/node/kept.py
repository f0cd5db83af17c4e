"""Results that could not be delivered stay on their node: for the next attempt at the same task, and for an operator.

The next attempt delivers what an earlier one measured, and measures nothing again. Not that of a pair: the other
node may have delivered its part, and would be waited for in vain.
"""

import contextlib
import os
import stat
from typing import NamedTuple

from nodeproof.errors import NodeproofError
from nodeproof.files import replace_file
from nodeproof_bench.campaign.collect.files import MOST_BYTES, SUFFIX, ResultError, read, written
from nodeproof_bench.campaign.node.lines import say
from nodeproof_bench.campaign.node.local import local_directory
from nodeproof_bench.campaign.order import Key, WorkOrder


class Kept(NamedTuple):
    """What an earlier attempt measured, as the result of this one; `path` is where it was kept."""

    path: str
    attempt: int
    content: bytes

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def keep(order: WorkOrder, content: bytes) -> bool:
    """Leave a result on its node. Returns whether it is there."""
    try:
        path = _path(order, order.key)
        replace_file(path, content, 0o600)
    except NodeproofError as error:
        say(f"the result is lost: {error}")
    except OSError as error:
        say(f"the result is lost: {path}: cannot be written: {error.strerror}")
    else:
        say(f"the result was not delivered, and is kept on this node in {path}")
        return True
    return False


def earlier(order: WorkOrder) -> Kept | None:
    """Return the whole result of an earlier attempt at this task that is still here; None if there is none."""
    if order.kind == "pairs":
        return None
    for attempt in range(order.attempt - 1, 0, -1):
        key = order.key._replace(attempt=attempt)
        with contextlib.suppress(NodeproofError, OSError, ResultError):
            path = _path(order, key)
            found = read(key, order.phase, _own(path))
            if not found.of_kind("problem"):  # else it is worth another try
                head = {**found.head, "attempt": order.attempt}
                return Kept(path, attempt, written(head, found.lines, found.ended_at))
    return None


def _path(order: WorkOrder, key: Key) -> str:
    return os.path.join(local_directory(order), f"{key.campaign}.{key.name}{SUFFIX}")


def _own(path: str) -> bytes:
    """Return a file that we wrote ourselves: others may write to the directory. Raises OSError."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        status = os.fstat(stream.fileno())
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not is_ours or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{path} is not ours alone")
        return stream.read(MOST_BYTES + 1)
