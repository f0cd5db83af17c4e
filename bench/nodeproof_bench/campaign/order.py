"""What one job of a campaign is to do, as the job's environment holds it: JSON of a WorkOrder.

Whoever may submit jobs may write one, so it is judged like any other input. Holds no secret: the token that a
result is posted with comes by itself (`TOKEN_VARIABLE`).
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

from nodeproof.slurm.wish import NODE_NAME
from nodeproof_bench.strict_json import loads

#: Variables of a job's environment.
VARIABLE, TOKEN_VARIABLE = "NODEPROOF_CAMPAIGN", "NODEPROOF_CAMPAIGN_TOKEN"

#: How a job ends, for its controller: its result was delivered, is lost, or is kept on its node since nobody took it in
#: time, or since it was refused. The last two are EX_TEMPFAIL and EX_NOPERM of sysexits.h.
DELIVERED, LOST, NOT_TAKEN, NOT_WANTED = 0, 1, 75, 77

Kind = Literal["inventory", "bench", "pairs", "stress", "repeat"]
Role = Literal["", "listen", "connect"]

#: An order that is longer is none of ours: execve(2) takes 128 KiB for one variable.
MOST_BYTES = 64 << 10

MOST_TASK, MOST_ATTEMPT = 999_999_999, 999

_CAMPAIGN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PHASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_WORD = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,60}")
_SESSION = re.compile(r"[A-Za-z0-9._:-]{0,60}")
_ADDRESS = re.compile(r"[A-Za-z0-9._:%-]{0,255}")
_URL = re.compile(r"https?://[A-Za-z0-9._:\[\]%-]{1,300}/?")
_MOST_WORDS, _MOST_PATH_CHARS = 100, 4096
_MOST_S, _LATEST_S = 1e8, float(1 << 40)


class Key(NamedTuple):
    """Which result it is: one attempt at a task, on one node."""

    campaign: str
    task: int
    attempt: int
    node: str

    @property
    def name(self) -> str:
        """What identifies it within its campaign: the result file without `.jsonl`."""
        return f"{self.task}.{self.attempt}.{self.node}"


class WorkOrder(NamedTuple):
    """What one job does on one node.

    `benchmarks` are a suite, names or patterns as `nodeproof bench` takes them; `seconds` replaces how long each
    measures. If there are any in `only`, no other ones of these are measured. `duration_s` is how long a stress takes,
    `interval_s` lies between repeats. The job's time is over `limit_s` after it begins, or at `ends_at` (seconds since
    the epoch) if that is set. The result goes to the directory `spool`, or is posted to `post`, whose certificate
    `ca_file` vouches for. Of a pair, the node with the role `listen` waits at `port`, the one with the role `connect`
    calls `peer_address` (a name or numbers) there; both know `session`, and wait up to `meet_s` for each other.
    `policy` is a directory of policy files, `path` one for the files of disk benchmarks; empty: the usual ones.
    """

    campaign: str
    task: int
    attempt: int
    node: str
    phase: str
    kind: Kind
    limit_s: float
    repeats: int = 1
    benchmarks: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    seconds: float | None = None
    interval_s: float = 2.0
    duration_s: float = 0.0
    ends_at: float = 0.0
    spool: str = ""
    post: str = ""
    ca_file: str = ""
    role: Role = ""
    peer_node: str = ""
    peer_address: str = ""
    port: int = 0
    session: str = ""
    meet_s: float = 180.0
    policy: str = ""
    path: str = ""

    @property
    def key(self) -> Key:
        return Key(self.campaign, self.task, self.attempt, self.node)


class OrderError(ValueError):
    """It is no order. Says which key is wrong, and what was expected."""


def to_json(order: WorkOrder) -> str:
    """Return an order as one line of ASCII. Raises OrderError for one that `from_json` would not take."""
    said = {key: value for key, value in order._asdict().items() if key != "only" or value}  # older nodes know none
    text = json.dumps(said, separators=(",", ":"), allow_nan=True)
    from_json(text)
    return text


def from_json(text: str) -> WorkOrder:
    """Return the order that a text holds. Raises OrderError for whatever `to_json` would not have made."""
    if len(text) > MOST_BYTES:
        raise OrderError(f"expected at most {MOST_BYTES} characters")
    try:
        read = loads(text)
    except ValueError as error:
        raise OrderError(f"expected JSON: {str(error)[:200]}") from error
    if not isinstance(read, dict):
        raise OrderError("expected a JSON object")
    if unknown := sorted(set(read) - set(WorkOrder._fields)):
        raise OrderError(f"{unknown[0][:60]!r} is no key of an order")
    for key in WorkOrder._fields:
        if key not in read and key not in WorkOrder._field_defaults:
            raise OrderError(f"{key} is missing")
        if key in read and not _CHECKS[key](read[key]):
            raise OrderError(f"{key} is {read[key]!r:.80}, expected {_EXPECTED[key]}")
    made = {**read, **{key: tuple(read.get(key, ())) for key in ("benchmarks", "only")}}
    order = WorkOrder(**made)
    _see_that_it_is_whole(order)
    return order


def key_of(campaign: str, name: str) -> Key:
    """Return which result `TASK.ATTEMPT.NODE` is. Raises OrderError."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})\.([1-9][0-9]{0,2})\.(.{1,255})", name, re.ASCII)
    if not match or not NODE_NAME.fullmatch(match[3]) or not _CAMPAIGN.fullmatch(campaign):
        raise OrderError("expected TASK.ATTEMPT.NODE of a campaign")
    return Key(campaign, int(match[1]), int(match[2]), match[3])


def _see_that_it_is_whole(order: WorkOrder) -> None:
    if bool(order.spool) == bool(order.post):
        raise OrderError("expected exactly one of spool and post")
    if order.kind in {"bench", "repeat", "pairs"} and not order.benchmarks:
        raise OrderError(f"benchmarks is empty, expected some for {order.kind}")
    if order.kind == "stress" and not order.duration_s:
        raise OrderError("duration_s is 0, expected how long a stress takes")
    if (order.kind == "pairs") != bool(order.role):
        raise OrderError("role goes with the kind pairs, and pairs need one")
    if order.role and not (order.port and order.session and order.peer_node):
        raise OrderError("a pair needs port, session and peer_node")
    if order.role == "connect" and not order.peer_address:
        raise OrderError("peer_address is empty, expected where the other node listens")


def _text(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _number(least: float, most: float) -> Callable[[Any], bool]:
    """Accept a number in a range; `loads` lets no infinity through, but a whole number may be too large for a float."""
    return lambda value: type(value) in (int, float) and least <= value <= most and math.isfinite(value)


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _one_of(words: tuple[str, ...]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in words


def _path(value: Any) -> bool:
    is_text = isinstance(value, str) and len(value) <= _MOST_PATH_CHARS and (value.isprintable() or not value)
    return is_text and (not value or value.startswith("/"))


def _words(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_WORDS and all(map(_text(_WORD), value))


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "campaign": _text(_CAMPAIGN),
    "task": _whole(1, MOST_TASK),
    "attempt": _whole(1, MOST_ATTEMPT),
    "node": _text(NODE_NAME),
    "phase": _text(_PHASE),
    "kind": _one_of(get_args(Kind)),
    "limit_s": _number(1, _MOST_S),
    "repeats": _whole(1, 100_000),
    "benchmarks": _words,
    "only": _words,
    "seconds": lambda value: value is None or _number(0.01, 1e6)(value),
    "interval_s": _number(0, _MOST_S),
    "duration_s": _number(0, _MOST_S),
    "ends_at": _number(0, _LATEST_S),
    "spool": _path,
    "post": lambda value: value == "" or _text(_URL)(value),
    "ca_file": _path,
    "role": _one_of(get_args(Role)),
    "peer_node": lambda value: value == "" or _text(NODE_NAME)(value),
    "peer_address": _text(_ADDRESS),
    "port": lambda value: value == 0 or _whole(1024, 65535)(value),
    "session": _text(_SESSION),
    "meet_s": _number(0, _MOST_S),
    "policy": _path,
    "path": _path,
}

_EXPECTED: Mapping[str, str] = {
    "campaign": "the id of a campaign",
    "task": f"a whole number from 1 to {MOST_TASK}",
    "attempt": f"a whole number from 1 to {MOST_ATTEMPT}",
    "node": "the name of one node",
    "phase": "the name of a phase",
    "kind": f"one of {', '.join(get_args(Kind))}",
    "limit_s": "seconds from 1",
    "repeats": "a whole number from 1 to 100000",
    "benchmarks": f"a list of at most {_MOST_WORDS} suites, benchmarks or patterns",
    "only": f"a list of at most {_MOST_WORDS} benchmarks",
    "seconds": "seconds from 0.01 to 1000000, or null",
    "interval_s": "seconds",
    "duration_s": "seconds",
    "ends_at": "a time in seconds since the epoch",
    "spool": "an absolute path",
    "post": "https://host:port",
    "ca_file": "an absolute path",
    "role": "listen, connect or nothing",
    "peer_node": "the name of one node",
    "peer_address": "a name or an IP address",
    "port": "a port from 1024 to 65535",
    "session": "up to 60 letters, digits and any of . _ : -",
    "meet_s": "seconds",
    "policy": "an absolute path",
    "path": "an absolute path",
}
