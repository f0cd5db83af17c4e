"""A result file: what one job of a campaign has to say, as JSON lines that a checksum ends. Written, and read strictly.

The first line says whose it is, the last one how many lines there are and the SHA-256 of all bytes before it: a file
that was cut short, or patched together, is told from a whole one without trusting a file system in between.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nodeproof_bench.campaign.order import Key
from nodeproof_bench.strict_json import loads

SCHEMA = "nodeproof.campaign-result/1"
SUFFIX = ".jsonl"

#: A node of 192 cores says 2 MB in each of its runs at most; a hundred runs of it are refused.
MOST_BYTES, MOST_LINES = 64 << 20, 2000

#: Kinds of lines between the first and the last.
KINDS = frozenset({"check", "bench", "facts", "history", "problem"})

_HEAD = {"schema", "campaign", "task", "attempt", "node", "job_id", "phase", "kind", "host", "boot_id", "began_at"}
_END = {"kind", "ended_at", "lines", "sha256"}
_LATEST_S = float(1 << 40)

Line = Mapping[str, Any]


class ResultError(ValueError):
    """It is no whole result file of that job. Says why."""


class ResultFile(NamedTuple):
    """What a result file says. `sha256` is that of the whole file, times are in seconds since the epoch."""

    key: Key
    head: Line
    lines: tuple[Line, ...]
    ended_at: float
    sha256: str

    def of_kind(self, kind: str) -> list[Line]:
        return [line for line in self.lines if line["kind"] == kind]


def written(head: Line, lines: Iterable[Line], ended_at: float) -> bytes:
    """Return a result file."""
    rows = [_row(head), *map(_row, lines)]
    body = b"".join(rows)
    digest = hashlib.sha256(body).hexdigest()
    return body + _row({"kind": "end", "ended_at": ended_at, "lines": len(rows) + 1, "sha256": digest})


def read(key: Key, phase: str | None, content: bytes) -> ResultFile:
    """Return what the file of this job says; of any phase where `phase` is None. Raises ResultError."""
    if len(content) > MOST_BYTES:
        raise ResultError(f"it has {len(content)} bytes, expected at most {MOST_BYTES}")
    if not content.endswith(b"\n"):
        raise ResultError("it is cut short")
    rows = content.split(b"\n")[:-1]
    if not 2 <= len(rows) <= MOST_LINES:
        raise ResultError(f"it has {len(rows)} lines, expected 2 to {MOST_LINES}")
    end = _object(rows[-1], len(rows))
    if end.get("kind") != "end" or set(end) != _END:
        raise ResultError("it is cut short: its last line is no end")
    body = content[: len(content) - len(rows[-1]) - 1]
    if end["lines"] != len(rows) or end["sha256"] != hashlib.sha256(body).hexdigest():
        raise ResultError("its checksum is wrong: it was damaged or changed")
    head = _head(rows[0], key, phase)
    lines = tuple(_line(row, number) for number, row in enumerate(rows[1:-1], 2))
    return ResultFile(key, head, lines, _time(end, "ended_at"), hashlib.sha256(content).hexdigest())


def _head(row: bytes, key: Key, phase: str | None) -> Line:
    head = _object(row, 1)
    if head.get("schema") != SCHEMA or set(head) != _HEAD:
        raise ResultError(f'line 1: expected a head of schema "{SCHEMA}"')
    for name, expected in key._asdict().items():
        if type(head[name]) is not type(expected) or head[name] != expected:
            raise ResultError(f"line 1: {name} is {head[name]!r:.80}, expected {expected!r}")
    if phase is not None and head["phase"] != phase:
        raise ResultError(f"line 1: phase is {head['phase']!r:.80}, expected {phase!r}")
    for name in ("phase", "kind", "host", "boot_id", "job_id"):
        if not isinstance(head[name], str) or not re.fullmatch(r"[^\x00-\x1f\x7f]{0,255}", head[name]):
            raise ResultError(f"line 1: {name} is {head[name]!r:.80}, expected a short text")
    _time(head, "began_at")
    return head


def _line(row: bytes, number: int) -> Line:
    line = _object(row, number)
    if not isinstance(line.get("kind"), str) or line["kind"] not in KINDS:
        raise ResultError(
            f"line {number}: kind is {line.get('kind')!r:.80}, expected one of {', '.join(sorted(KINDS))}"
        )
    return line


def _object(row: bytes, number: int) -> dict[str, Any]:
    try:
        found = loads(row)
    except ValueError as error:
        raise ResultError(f"line {number}: expected JSON: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise ResultError(f"line {number}: expected a JSON object")
    return found


def _time(line: Line, name: str) -> float:
    value = line[name]
    if type(value) not in (int, float) or not 0 <= value < _LATEST_S:
        raise ResultError(f"{name} is {value!r:.80}, expected a time in seconds since the epoch")
    return float(value)


def _row(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":"), allow_nan=False, default=str).encode() + b"\n"
