"""The state of a node as values and as JSON. Anything that does not follow the format raises ValueError."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

SCHEMA = "nodeproof.state/1"


class DrainRecord(NamedTuple):
    """A drain of ours. Written before Slurm is asked, so that a lost answer loses no drain.

    `reason_changed_at` (seconds since the epoch) and `user` are what Slurm said it stored; None and
    empty until it was seen there.
    """

    id: str
    reason: str
    checks: tuple[str, ...]
    reason_changed_at: int | None = None
    user: str = ""


class State(NamedTuple):
    """Failing and passing passes in a row by check, and our drain, if there is one."""

    streaks: Mapping[str, tuple[int, int]] = {}
    drain: DrainRecord | None = None


def to_json(state: State) -> str:
    """Return the text of a state file."""
    made: dict[str, Any] = {"schema": SCHEMA, "streaks": {k: list(v) for k, v in sorted(state.streaks.items())}}
    if state.drain is not None:
        made["drain"] = state.drain._asdict()
    return json.dumps(made, indent=1) + "\n"


def from_json(text: bytes) -> State:
    """Return the state that a file holds."""
    try:
        read = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(read, dict) or read.get("schema") != SCHEMA or not isinstance(read.get("streaks"), dict):
        raise ValueError(f"expected schema {SCHEMA}")
    streaks = {check_id: _streak(pair) for check_id, pair in read["streaks"].items()}
    return State(streaks, _drain(read["drain"]) if "drain" in read else None)


def _streak(pair: object) -> tuple[int, int]:
    if isinstance(pair, list) and len(pair) == 2 and all(type(n) is int and n >= 0 for n in pair):
        return pair[0], pair[1]
    raise ValueError(f"not a pair of counts: {pair!r:.80}")


def _drain(read: object) -> DrainRecord:
    if not isinstance(read, dict) or set(read) != set(DrainRecord._fields):
        raise ValueError("not a drain record")
    texts, checks, changed = [read["id"], read["reason"], read["user"]], read["checks"], read["reason_changed_at"]
    if not isinstance(checks, list) or not all(isinstance(t, str) for t in texts + checks):
        raise ValueError("not a drain record")
    if changed is not None and type(changed) is not int:
        raise ValueError("reason_changed_at is not a number")
    return DrainRecord(read["id"], read["reason"], tuple(checks), changed, read["user"])
