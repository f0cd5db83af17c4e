"""Which machine a root stands for."""

import os

from nodeproof.errors import RecordingError
from nodeproof.host.base import Host
from nodeproof.host.replay import Replay


def open_host(root: str | os.PathLike[str] = "/") -> Host:
    """Return a Host for `/` (live), a recording or a directory tree that mirrors `/`.

    Raises RecordingError if `root` is neither.
    """
    path = os.fspath(root)
    if path == "/":
        return Host()
    if os.path.isdir(path):
        return Host(Replay(path))
    if os.path.isfile(path):
        from nodeproof.host.archive import Unpacked

        return Host(Unpacked(path))
    raise RecordingError(path, "no such recording: expected a directory or a .tar.gz")
