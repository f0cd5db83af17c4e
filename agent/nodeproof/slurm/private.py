"""Files that hold a secret: nobody but root and we may read them."""

import os
import re
import stat

from nodeproof.errors import PolicyError

#: `credential:NAME` in policy: what systemd passes to a service with LoadCredential= (systemd.exec(5)).
_CREDENTIAL = "credential:"
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")


def read_private(path: str, key: str, most_bytes: int) -> bytes:
    """Return up to `most_bytes` of a secret file. Raises PolicyError, with policy's `key`, if others may read it."""
    try:
        fd = os.open(resolved(path, key), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PolicyError(path, key, f"cannot be read: {error.strerror}") from error
    try:
        _require_private(path, key, os.fstat(fd))
        return os.read(fd, most_bytes)
    finally:
        os.close(fd)


def resolved(path: str, key: str) -> str:
    """Return where a file of policy is: `credential:NAME` is in the directory that systemd made for this service."""
    if not path.startswith(_CREDENTIAL):
        return path
    name = path.removeprefix(_CREDENTIAL)
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise PolicyError(path, key, "expected credential:NAME, with a NAME of LoadCredential=")
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory:
        raise PolicyError(path, key, "systemd passed no credentials to this process: no LoadCredential= in its unit?")
    return os.path.join(directory, name)


def _require_private(path: str, key: str, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise PolicyError(path, key, "expected a regular file")
    if status.st_uid not in {0, os.geteuid()}:
        raise PolicyError(path, key, f"belongs to user {status.st_uid}, expected root or user {os.geteuid()}")
    # systemd lets a service's user read its credential by an ACL, and the group's bits then show the ACL's mask.
    for_others = 0o037 if path.startswith(_CREDENTIAL) else 0o077
    if mode & for_others:
        raise PolicyError(path, key, f"has mode {mode:04o}, expected 0600: whoever reads it commands the cluster")
