"""Which job may post which result: a token is an HMAC-SHA256 of that under the campaigns' secret, in hexadecimal.

So the endpoint keeps no list, and the token of a job speaks for its own result and no other.
"""

import hmac
import os
import re

from nodeproof.controller.credentials import new_secret
from nodeproof.errors import NodeproofError
from nodeproof.slurm.private import read_private
from nodeproof_bench.campaign.order import Key

_PURPOSE = b"nodeproof campaign result"
_SECRET = re.compile(rb"[0-9a-f]{64}")
_MOST_BYTES = 1024


def read_secret(path: str) -> bytes:
    """Return the secret in a file, which is made on first use. Raises NodeproofError if others may read it."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise NodeproofError(f"{path}: cannot be made: {error.strerror}") from error
    else:
        with open(fd, "wb") as stream:
            stream.write(new_secret().encode())
            stream.flush()
            os.fsync(stream.fileno())
    secret = read_private(path, "campaign secret", _MOST_BYTES).strip()
    if not _SECRET.fullmatch(secret):
        raise NodeproofError(f"{path}: expected one line of 64 hexadecimal digits (remove it, and a new one is made)")
    return secret


def token(secret: bytes, key: Key) -> str:
    """Return the token for one result."""
    words = f"{key.campaign}/{key.task}/{key.attempt}/{key.node}".encode()
    return hmac.new(secret, _PURPOSE + b"\n" + words, "sha256").hexdigest()


def is_token(secret: bytes, key: Key, found: str) -> bool:
    """Tell whether this is the token for that result, in a time that says nothing of how much of it is right."""
    return hmac.compare_digest(token(secret, key).encode(), found.encode("utf-8", "replace"))
