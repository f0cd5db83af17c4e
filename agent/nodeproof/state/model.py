"""The state of a node as values and as JSON. Anything that does not follow the format raises ValueError."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from nodeproof.slurm import wish
from nodeproof.slurm.wish import Record, Wish

SCHEMA = "nodeproof.state/2"

#: What nodeproof 0.1 left behind: no wishes yet, else the same.
OLD_SCHEMA = "nodeproof.state/1"


class LeftAlone(NamedTuple):
    """Somebody else has the node out of service, and these checks of ours would. `is_noted`: that stands in `extra`."""

    checks: tuple[str, ...]
    is_noted: bool


class Held(NamedTuple):
    """The guard let a drain not through, why, and until when (seconds since the epoch) it is not asked again.

    `text` is that of the drain: another fault is asked for at once.
    """

    until: int
    why: str
    text: str


class State(NamedTuple):
    """What must survive a pass.

    Failing and passing passes in a row by check; our drain, if there is one; a drain that was decided and is
    not carried out yet; what is known of a node that is not in service, or must stay there, by no doing of ours;
    when our prolog failed last, and when we resumed the node lately (seconds since the epoch).
    """

    streaks: Mapping[str, tuple[int, int]] = {}
    drain: Record | None = None
    wanted: Wish | None = None
    left_alone: LeftAlone | None = None
    held: Held | None = None
    prolog_failed_at: int | None = None
    resumed_at: tuple[int, ...] = ()


def to_json(state: State) -> str:
    """Return the text of a state file."""
    made: dict[str, Any] = {
        "schema": SCHEMA,
        "streaks": {check_id: list(pair) for check_id, pair in sorted(state.streaks.items())},
        "drain": state.drain and state.drain._asdict(),
        "wanted": state.wanted and wish.to_json(state.wanted),
        "left_alone": state.left_alone and state.left_alone._asdict(),
        "held": state.held and state.held._asdict(),
        "prolog_failed_at": state.prolog_failed_at,
        "resumed_at": list(state.resumed_at) or None,
    }
    return json.dumps({key: value for key, value in made.items() if value is not None}, indent=1) + "\n"


def from_json(text: bytes) -> State:
    """Return the state that a file holds."""
    try:
        read = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    is_ours = isinstance(read, dict) and read.get("schema") in {SCHEMA, OLD_SCHEMA}
    if not is_ours or not isinstance(read.get("streaks"), dict):
        raise ValueError(f"expected schema {SCHEMA}")
    return State(
        streaks={check_id: _streak(pair) for check_id, pair in read["streaks"].items()},
        drain=wish.record_from_json(read["drain"]) if "drain" in read else None,
        wanted=wish.from_json(read["wanted"]) if "wanted" in read else None,
        left_alone=_left_alone(read["left_alone"]) if "left_alone" in read else None,
        held=_held(read["held"]) if "held" in read else None,
        prolog_failed_at=_number(read["prolog_failed_at"]) if "prolog_failed_at" in read else None,
        resumed_at=_numbers(read.get("resumed_at", [])),
    )


def _streak(pair: object) -> tuple[int, int]:
    if isinstance(pair, list) and len(pair) == 2 and all(type(n) is int and n >= 0 for n in pair):
        return pair[0], pair[1]
    raise ValueError(f"not a pair of counts: {pair!r:.80}")


def _left_alone(read: object) -> LeftAlone:
    checks = read.get("checks") if isinstance(read, dict) else None
    if not isinstance(read, dict) or not isinstance(checks, list) or not all(isinstance(c, str) for c in checks):
        raise ValueError("left_alone names no checks")
    if type(read.get("is_noted")) is not bool:
        raise ValueError("left_alone does not say whether it is noted")
    return LeftAlone(tuple(checks), read["is_noted"])


def _held(read: object) -> Held:
    if not isinstance(read, dict) or not all(isinstance(read.get(key), str) for key in ("why", "text")):
        raise ValueError("held does not say what and why")
    return Held(_number(read.get("until")), read["why"], read["text"])


def _numbers(read: object) -> tuple[int, ...]:
    if not isinstance(read, list):
        raise ValueError(f"not a list of times: {read!r:.80}")  # noqa: TRY004  # of a file, as all of these
    return tuple(map(_number, read))


def _number(read: object) -> int:
    if type(read) is not int or read < 0:
        raise ValueError(f"not a time: {read!r:.80}")
    return read
