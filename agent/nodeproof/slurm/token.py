"""The JSON web token that slurmrestd knows us by.

It makes its holder an administrator of the cluster: it is read from a private file, sent in one
header, and kept out of every message.
"""

from nodeproof.errors import PolicyError
from nodeproof.slurm.private import read_private

_KEY = "slurm.token_file"

MAX_TOKEN_BYTES = 16 << 10
#: The signature alone is longer. What is shorter is no secret, and may be a word that is said by chance.
MIN_TOKEN_BYTES = 16


class Token:
    """The token of one client, as it was in its file when last read; "" where policy names no file."""

    __slots__ = ("_path", "_value")

    def __init__(self, path: str) -> None:
        self._path = path
        self._value = read_token(path) if path else ""

    @property
    def value(self) -> str:
        return self._value

    def read_again(self) -> bool:
        """Read the file again: somebody may have renewed the token. Returns whether it is another one now."""
        before = self._value
        if self._path:
            self._value = read_token(self._path)
        return self._value != before

    def hidden(self, text: bytes) -> bytes:
        """Return what a server said without the token, should it have repeated what it was sent."""
        return text.replace(self._value.encode(), b"<token>") if len(self._value) >= MIN_TOKEN_BYTES else text


def read_token(path: str) -> str:
    """Return the token in a file. Raises PolicyError if others may read the file, or if it holds no token.

    The output of `scontrol token` (`SLURM_JWT=…`) will do as it is.
    """
    raw = read_private(path, _KEY, MAX_TOKEN_BYTES + 1)
    token = raw.strip().removeprefix(b"SLURM_JWT=")
    # Checked here, since an HTTP library would print a bad header value in its error.
    if not 0 < len(token) <= MAX_TOKEN_BYTES or not all(0x21 <= byte <= 0x7E for byte in token):
        raise PolicyError(path, _KEY, "expected one JSON web token and nothing else")
    return token.decode("ascii")
