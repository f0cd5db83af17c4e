"""slurm.conf as slurmd reads it: comments, continued lines, Include, names in any case.

Only the keys of lines that set one thing at a time: what nodes and partitions there are is not looked at.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nodeproof.errors import FactError
from nodeproof.host.base import read_regular
from nodeproof.verdict import harmless

#: Where slurmd looks, in its order: named by its environment, the usual place, and what it was sent (configless).
DEFAULT_FILE, CONFIGLESS_FILE = "/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf"

#: Most files that Include may bring in.
_MOST_FILES = 100

_PAIR = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\s*\+?=\s*(\"[^\"]*\"|\S*)")


class SlurmConf(NamedTuple):
    """`values` are by lower-case key; a key that may stand several times (Prolog, Epilog) has all its values."""

    file: str
    values: Mapping[str, tuple[str, ...]]
    problems: tuple[str, ...] = ()

    def of(self, key: str) -> str:
        """Return the value that counts, the last; nothing where the key is not set."""
        return self.values.get(key.lower(), ("",))[-1]

    def all_of(self, key: str) -> tuple[str, ...]:
        return tuple(v for v in self.values.get(key.lower(), ()) if v)

    def number(self, key: str, default: int) -> int:
        """Return a number; `default` also where Slurm would not take what stands there."""
        found = self.of(key)
        return int(found) if found.isascii() and found.isdecimal() and len(found) < 10 else default

    def words(self, key: str) -> frozenset[str]:
        """Return the words of a comma list in lower case."""
        return frozenset(word.strip().lower() for word in self.of(key).split(",") if word.strip())


def find(environment: Mapping[str, str]) -> str:
    """Return the slurm.conf of this node, or an empty string."""
    named = environment.get("SLURM_CONF", "")
    candidates = [named] if named else [DEFAULT_FILE, CONFIGLESS_FILE]
    return next((file for file in candidates if os.path.exists(file)), "")


def read(file: str) -> SlurmConf:
    """Read a slurm.conf and what it includes. Raises OSError or FactError where the first file cannot be read."""
    values: dict[str, list[str]] = {}
    problems: list[str] = []
    files = [file]
    lines = [iter(_lines(file))]  # of the file, of the one that it includes, and so on
    while lines:
        line = next(lines[-1], None)
        if line is None:
            lines.pop()
        elif line.split(None, 1)[0].lower() != "include":
            for key, value in _pairs(line):
                values.setdefault(key, []).append(value)
        elif included := _included(line, os.path.dirname(file), values.get("clustername", [""])[-1]):
            if included in files or len(files) >= _MOST_FILES:
                problems.append(f"Include {included} is not followed: included before, or too many files")
                continue
            files.append(included)
            try:
                lines.append(iter(_lines(included)))
            except (OSError, FactError) as error:
                problems.append(f"Include {included} cannot be read: {error}")
    return SlurmConf(file, {key: tuple(found) for key, found in values.items()}, tuple(problems))


def _included(line: str, directory: str, cluster: str) -> str:
    """Return the file that an Include names, relative to slurm.conf; `%c` is the cluster's name."""
    name = line.split(None, 1)[1:]
    return os.path.join(directory, name[0].strip('"').replace("%c", cluster)) if name else ""


def _lines(file: str) -> list[str]:
    """Return lines without comments, and those that go on after a backslash as one; no empty ones."""
    text = read_regular(file, file).decode(errors="replace")
    joined = re.sub(r"\\[ \t]*\n", "", text)
    bare = (re.sub(r"(?<!\\)#.*", "", line).expandtabs(1).strip() for line in joined.splitlines())
    return [harmless(line, 4096) for line in bare if line]


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Yield key and value of each setting in a line; of a node, a partition and the like nothing."""
    pairs = [(key.lower(), value.strip('"')) for key, value in _PAIR.findall(line)]
    if pairs and pairs[0][0] not in {"nodename", "partitionname", "downnodes", "frontendname", "nodeset"}:
        yield from pairs
