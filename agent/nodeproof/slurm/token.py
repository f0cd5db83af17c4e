"""The JSON web token that slurmrestd knows us by.

It makes its holder an administrator of the cluster: it is read from a private file, sent in one
header, and kept out of every message.
"""

import os
import stat

from nodeproof.errors import PolicyError

_KEY = "slurm.token_file"

MAX_TOKEN_BYTES = 16 << 10


def read_token(path: str) -> str:
    """Return the token in a file. Raises PolicyError if others may read the file, or if it holds no token.

    The output of `scontrol token` (`SLURM_JWT=…`) will do as it is.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PolicyError(path, _KEY, f"cannot be read: {error.strerror}") from error
    with open(fd, "rb") as file:
        _require_private(path, os.fstat(fd))
        raw = file.read(MAX_TOKEN_BYTES + 1)
    token = raw.strip().removeprefix(b"SLURM_JWT=")
    # Checked here, since an HTTP library would print a bad header value in its error.
    if not 0 < len(token) <= MAX_TOKEN_BYTES or not all(0x21 <= byte <= 0x7E for byte in token):
        raise PolicyError(path, _KEY, "expected one JSON web token and nothing else")
    return token.decode("ascii")


def _require_private(path: str, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise PolicyError(path, _KEY, "expected a regular file")
    if status.st_uid not in {0, os.geteuid()}:
        raise PolicyError(path, _KEY, f"belongs to user {status.st_uid}, expected root or user {os.geteuid()}")
    if mode & 0o077:
        raise PolicyError(path, _KEY, f"has mode {mode:04o}, expected 0600: whoever reads it commands the cluster")
