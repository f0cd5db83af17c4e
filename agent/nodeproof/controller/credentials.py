"""Who may speak for which node.

A credential is `NODE~GENERATION~MAC`: the node's name, the name of the secret that it was made from, and an
HMAC-SHA256 of both under that secret. So the controller keeps no list of nodes and no state, and whoever
holds a node's credential can speak for that node and no other. Only characters of RFC 6750's b64token.

To change the secret, put a new one on top of the file (`nodeproof controller secret --add`), hand out new
credentials, then take the old line away: from then on credentials of that generation are refused.

Deliberately not here: a way to refuse one node. Whoever became root there can speak for it by other means too.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from nodeproof.errors import PolicyError
from nodeproof.slurm.private import read_private
from nodeproof.slurm.wish import NODE_NAME

_KEY = "controller.secret_file"

SECRET_BYTES = 32
MOST_SECRETS = 16
MOST_FILE_BYTES = 16 << 10

_SECRET = re.compile(rb"[0-9a-f]{64}")
_PURPOSE = b"nodeproof controller credential"


class CredentialError(ValueError):
    """This credential is none of ours. Says why, and carries nothing of it."""


class Authority:
    """Makes credentials of the first secret, and takes those of any."""

    def __init__(self, made_from: Sequence[bytes]) -> None:
        self._secrets = {_generation(secret): secret for secret in made_from}

    def credential(self, node: str) -> str:
        """Return the credential of a node."""
        generation, secret = next(iter(self._secrets.items()))
        return f"{node}~{generation}~{_mac(secret, node, generation)}"

    def node_of(self, credential: str) -> str:
        """Return the node that a credential speaks for. Raises CredentialError."""
        node, _, rest = credential.partition("~")
        generation, _, mac = rest.partition("~")
        if not NODE_NAME.fullmatch(node) or not (generation.isascii() and mac.isascii()):
            raise CredentialError("it is not a credential")
        secret = self._secrets.get(generation)
        # made in any case, so that a guess takes the same time whatever it gets wrong
        expected = _mac(secret or b"", node, generation)
        if not hmac.compare_digest(expected, mac) or secret is None:
            raise CredentialError(
                "it is forged or cut short" if secret else "it was made from no secret that holds now"
            )
        return node


def new_secret() -> str:
    """Return a secret as one line of a secret file."""
    return secrets.token_hex(SECRET_BYTES) + "\n"


def read_secrets(path: str) -> list[bytes]:
    """Return the secrets of a file, newest first. Raises PolicyError if others may read it, or if it holds none."""
    if not path:
        raise PolicyError("policy", _KEY, "not set: make one with `nodeproof controller secret FILE`")
    lines = read_private(path, _KEY, MOST_FILE_BYTES).split()
    if not 0 < len(lines) <= MOST_SECRETS or not all(_SECRET.fullmatch(line) for line in lines):
        raise PolicyError(
            path, _KEY, f"expected 1 to {MOST_SECRETS} lines of `nodeproof controller secret` and nothing else"
        )
    return lines


def _generation(secret: bytes) -> str:
    """Return a name for a secret that says nothing of it."""
    return hashlib.sha256(_PURPOSE + b" generation\n" + secret).hexdigest()[:8]


def _mac(secret: bytes, node: str, generation: str) -> str:
    return hmac.new(secret, b"%s\n%s\n%s" % (_PURPOSE, node.encode(), generation.encode()), "sha256").hexdigest()
