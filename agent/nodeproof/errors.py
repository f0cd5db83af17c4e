"""Every error nodeproof raises on purpose.

NodeproofError
├── FactError      a fact could not be had from the machine (source, kind, detail)
├── PolicyError    a policy or plug-in file is wrong (file, key, expected)
│   └── PolicyErrors      several of them, one line each (errors)
├── RecordingError a recording cannot be read or written (path)
├── BenchError     a benchmark program failed (argv, returncode, tail)
└── SlurmError     slurmrestd did not do what was asked
    ├── SlurmUnreachable  no answer, or an answer that leaves the outcome unknown
    └── SlurmRejected     a clear refusal (status, body)
        ├── SlurmNotFound     Slurm knows no such node
        └── SlurmReadOnly     this slurmrestd cannot change nodes

They carry data and build their text from it. The command line catches the root once.
"""

from collections.abc import Sequence
from typing import Literal, get_args

Kind = Literal[
    "absent",  # the machine does not have it (ENOENT, ENODEV, ENXIO, EOPNOTSUPP)
    "denied",  # it may be there, but we may not look (EACCES, EPERM)
    "timed_out",  # no answer within the deadline; the reader may be in D state
    "malformed",  # an answer that does not follow its documented format
    "failed",  # another errno or library error
    "crashed",  # the reading process died
    "not_recorded",  # a recording that was made without asking this question
]
KINDS: frozenset[str] = frozenset(get_args(Kind))


class NodeproofError(Exception):
    """Root of all errors that nodeproof raises on purpose."""


class FactError(NodeproofError):
    """A fact could not be had: `source` says from where, `kind` why, `detail` more."""

    def __init__(self, source: str, kind: Kind, detail: str = "") -> None:
        super().__init__(source, kind, detail)
        self.source = source
        self.kind: Kind = kind
        self.detail = detail

    def __str__(self) -> str:
        words = self.kind.replace("_", " ")
        return f"{self.source}: {words}" + (f" ({self.detail})" if self.detail else "")


class PolicyError(NodeproofError):
    """A policy or plug-in file is wrong: `file` (with `:line` where known), `key`, what was expected."""

    def __init__(self, file: str, key: str, expected: str) -> None:
        super().__init__(file, key, expected)
        self.file = file
        self.key = key
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.expected}" if self.key else f"{self.file}: {self.expected}"


class PolicyErrors(PolicyError):
    """Several things are wrong in policy files. Carries the first as its own, and all as `errors`."""

    def __init__(self, errors: Sequence[PolicyError]) -> None:
        super().__init__(errors[0].file, errors[0].key, errors[0].expected)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


class RecordingError(NodeproofError):
    """A recording at `path` cannot be read or written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class BenchError(NodeproofError):
    """A benchmark program failed: a negative `returncode` is the signal that ended it."""

    def __init__(self, argv: Sequence[str], returncode: int, tail: str) -> None:
        super().__init__(tuple(argv), returncode, tail)
        self.argv = tuple(argv)
        self.returncode = returncode
        self.tail = tail

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}: exit {self.returncode}: {self.tail}"


class SlurmError(NodeproofError):
    """slurmrestd did not do what was asked."""


class SlurmUnreachable(SlurmError):
    """No answer, or one that leaves the outcome unknown (timeout, 502, 504)."""


class SlurmRejected(SlurmError):
    """slurmrestd refused: `status` is the HTTP status, `body` what it said."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body

    def __str__(self) -> str:
        return f"slurmrestd refused (HTTP {self.status}): {self.body}"


class SlurmNotFound(SlurmRejected):
    """Slurm knows no such node. No HTTP status is shown: it may be 200."""

    def __str__(self) -> str:
        return self.body


class SlurmReadOnly(SlurmRejected):
    """slurmrestd of Slurm 22.05 and older has no way to change a node."""

    def __str__(self) -> str:
        return self.body
