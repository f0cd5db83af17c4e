"""Where a job may leave files on its own node: never in a home that all nodes share, or where others could meddle."""

import os
import stat
import tempfile

from nodeproof.errors import NodeproofError
from nodeproof.state import default_directory
from nodeproof_bench.campaign.order import WorkOrder


def local_directory(order: WorkOrder) -> str:
    """Return the order's directory, or one of our own, which is made. Raises NodeproofError if others may write it."""
    if order.path:
        return order.path
    is_root = os.geteuid() == 0
    path = default_directory() if is_root else os.path.join(tempfile.gettempdir(), f"nodeproof-{os.geteuid()}")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError as error:
        raise NodeproofError(f"{path}: cannot be made: {error.strerror}") from error
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if not is_ours or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NodeproofError(f"{path}: others may write there (expected an own directory, 0700)")
    return path
