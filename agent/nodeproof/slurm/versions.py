"""Which version of slurmrestd's API to speak, and how it is remembered from run to run."""

import json
import os
import re
from collections.abc import Iterator

from nodeproof.files import replace_file

FILE_NAME = "slurm-version.json"

#: API versions in the order in which they are tried: newest first, but v0.0.42 right after it. That one
#: spans Slurm 24.11 to 26.05, so that a slurmrestd of these days is met with one try or two.
TRIED = tuple(f"v0.0.{n}" for n in (45, 42, 44, 43, 41, 40, 39, 38, 37, 36))

NEWEST, OLDEST = TRIED[0], TRIED[-1]

#: Until v0.0.38 (Slurm 22.05) no request changes a node; since v0.0.42 (24.11) one changes many by name.
LAST_READ_ONLY = 38
FIRST_WITH_BATCHES = 42

_VERSION = re.compile(r"v0\.0\.[1-9][0-9]{0,3}")

_MOST_BYTES = 64 << 10


def is_version(text: object) -> bool:
    return isinstance(text, str) and _VERSION.fullmatch(text) is not None


def number_of(version: str) -> int:
    """Return 42 for `v0.0.42`."""
    return int(version.rpartition(".")[2])


def can_write(version: str) -> bool:
    return number_of(version) > LAST_READ_ONLY


def can_batch(version: str) -> bool:
    return number_of(version) >= FIRST_WITH_BATCHES


def to_try(known: str, pinned: str) -> Iterator[str]:
    """Yield the versions to try in turn: the pinned one alone, else the one known from before, then all others."""
    if pinned:
        yield pinned
        return
    if known:
        yield known
    yield from (version for version in TRIED if version != known)


class Versions:
    """What the slurmrestd at a URL was found to speak, in a file of `directory`; in memory alone where that is "".

    A file that cannot be read or written costs some requests and nothing else, so nothing is said of it.
    """

    def __init__(self, directory: str = "") -> None:
        self._path = os.path.join(directory, FILE_NAME) if directory else ""
        self._known: dict[str, str] = {}

    def of(self, url: str) -> str:
        """Return the version found at a URL, or ""."""
        return self._known.get(url) or self._saved().get(url, "")

    def note(self, url: str, version: str) -> None:
        """Remember what was found; written only when it is new."""
        if self.of(url) == version:
            return
        self._known[url] = version
        if self._path:
            content = json.dumps({url: version}).encode() + b"\n"
            try:
                replace_file(self._path, content, 0o600)
            except OSError:
                return

    def _saved(self) -> dict[str, str]:
        if not self._path:
            return {}
        try:
            with open(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                found = json.loads(file.read(_MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return {url: v for url, v in found.items() if is_version(v)} if isinstance(found, dict) else {}
