"""Write files that others read, or that must survive a power cut."""

import contextlib
import os


def replace_file(path: str, content: bytes, mode: int) -> None:
    """Replace a file in one step: readers see the old one or the new one, whole. Raises OSError.

    The new one is made beside it under a name of this process, never through a link that somebody planted.
    """
    part = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
