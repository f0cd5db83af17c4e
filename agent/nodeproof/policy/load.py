"""Policy files: which there are, what they say, and on which line.

Deliberately not here: what their keys mean (`nodeproof.policy.model`).
"""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from nodeproof.check import refuse_foreign
from nodeproof.errors import FactError, PolicyError, PolicyErrors
from nodeproof.host.base import MAX_FILE_BYTES, read_regular
from nodeproof.policy.settings import Path


class Source(NamedTuple):
    """One policy file: what it says, and the line on which each key first stands."""

    file: str
    data: dict[str, Any]
    lines: Mapping[Path, int]

    def at(self, path: Path) -> str:
        """Return `file:line` of a key, or the file alone where the line is not known."""
        line = self.lines.get(path)
        return f"{self.file}:{line}" if line else self.file


def policy_files(directory: str) -> list[str]:
    """Return the drop-ins of a directory in the order in which they count.

    Raises PolicyError if the directory or a file could have been written by somebody else.
    """
    refuse_foreign(directory)
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise PolicyError(directory, "", f"cannot be read: {error.strerror}") from error
    names = [n for n in names if n.endswith(".toml") and not n.startswith(".")]
    if odd := [n for n in names if not n.isprintable()]:
        raise PolicyError(directory, ascii(odd[0]), "expected a file name that can be printed")
    files = [os.path.join(directory, n) for n in names]
    errors = []
    for file in files:
        try:
            refuse_foreign(file)
        except PolicyError as error:
            errors.append(error)
    if errors:
        raise PolicyErrors(errors)
    return files


def load(file: str) -> Source:
    """Read and parse one file. Raises PolicyError."""
    try:
        raw = read_regular(file, file)
    except FactError as error:
        raise PolicyError(file, "", f"expected a file, found {error.detail}") from error
    except OSError as error:
        raise PolicyError(file, "", f"cannot be read: {error.strerror}") from error
    if len(raw) == MAX_FILE_BYTES:
        raise PolicyError(file, "", f"expected less than {MAX_FILE_BYTES >> 20} MiB")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{file}:{line}", "", "expected UTF-8") from error
    return parse(file, text)


def parse(file: str, text: str) -> Source:
    """Return what the text of a policy file says. Raises PolicyError with the line of a syntax error."""
    import tomllib

    from nodeproof.policy.locate import locate

    text = text.replace("\r\n", "\n")
    try:
        data = tomllib.loads(text)
    except RecursionError as error:
        raise PolicyError(file, "", "nested too deeply") from error
    except ValueError as error:
        # the parser tells its position in its message only
        said, _, position = str(error).partition(" (at ")
        line = re.match(r"line (\d+),", position)
        where = f":{line[1]}" if line else f":{max(1, len(text.splitlines()))}" if position else ""
        raise PolicyError(file + where, "", f"not TOML: {said}") from error
    return Source(file, data, locate(text, data))
