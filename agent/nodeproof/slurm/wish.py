"""What a node wants of Slurm, as a value that a file or the network can hold.

Deliberately not here: how a wish is carried out (`nodeproof.slurm.carry`).
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

#: slurmdbd keeps a reason in a `tinytext` of 255 bytes; the rest is left to whoever appends to it.
MAX_REASON_BYTES = 200

#: What precedes the text in each reason of ours.
_MARK = "nodeproof[{}]: "

MAX_TEXT_BYTES = MAX_REASON_BYTES - len(_MARK.format("01234567"))

#: No host list: `n[1-3]` and `n1,n2` would name other nodes than this one.
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")

_ID = re.compile(r"[0-9a-f]{8}")
_OUR_REASON = re.compile(r"nodeproof\[([0-9a-f]{8})\]: (.+)")
_MAX_CHECKS, _MAX_WORD_CHARS = 500, 255
_LATEST_S = 1 << 40

Action = Literal["drain", "resume", "look", "unnote"]


class Record(NamedTuple):
    """A drain of ours. Noted before Slurm is asked, so that a lost answer loses no drain.

    `reason_changed_at` (seconds since the epoch) and `user` are what Slurm said it stored; None and
    empty until it was seen there.
    """

    id: str
    reason: str
    checks: tuple[str, ...]
    reason_changed_at: int | None = None
    user: str = ""


class Wish(NamedTuple):
    """What a node wants: to be drained, resumed, looked at, or our finding taken out of its `extra` (unnote).

    `text` follows the id in the reason of a drain, `checks` are those that it stands on, decisive first.
    `record` is our earlier drain as we noted it. `prolog_failed_at` is when our own prolog failed for it:
    Slurm's "Prolog error" of that moment may be made ours. Times are seconds since the epoch, `decided_at`
    that of the verdicts. `was_foreign`: found out of service by somebody else the last time.
    """

    node: str
    action: Action
    id: str = ""
    text: str = ""
    checks: tuple[str, ...] = ()
    record: Record | None = None
    prolog_failed_at: int | None = None
    decided_at: int = 0
    was_foreign: bool = False

    @property
    def reason(self) -> str:
        """The reason of this drain."""
        return reason(self.id, self.text)


def reason(drain_id: str, text: str) -> str:
    """Return the reason of a drain of ours; at most `MAX_REASON_BYTES` if the text has at most `MAX_TEXT_BYTES`."""
    return _MARK.format(drain_id) + text


def parts(found: str) -> tuple[str, str] | None:
    """Return the id and the text of a reason of ours, or None for any other."""
    match = _OUR_REASON.fullmatch(found)
    return (match[1], match[2]) if match else None


def check_of(text: str) -> str:
    """Return the decisive check of a reason's text, `check.id: fact`."""
    return text.partition(":")[0]


def to_json(wish: Wish) -> dict[str, Any]:
    """Return a wish as JSON values."""
    return wish._asdict() | {"record": None if wish.record is None else wish.record._asdict()}


def from_json(read: object) -> Wish:
    """Return the wish that JSON values hold. Raises ValueError for whatever `to_json` would not have made."""
    if not isinstance(read, dict) or set(read) != set(Wish._fields):
        raise ValueError("not a wish: other keys")
    action = read["action"]
    if action not in get_args(Action) or type(read["was_foreign"]) is not bool:
        raise ValueError("not a wish: another action")
    drain_id, text = _text(read, "id"), _text(read, "text", MAX_TEXT_BYTES)
    if (action == "drain" or drain_id) and not _ID.fullmatch(drain_id):
        raise ValueError("not a wish: id is not eight hexadecimal digits")
    if not NODE_NAME.fullmatch(_text(read, "node")) or (action == "drain" and not text):
        raise ValueError("not a wish: no node, or no text")
    return Wish(
        node=read["node"],
        action=action,
        id=drain_id,
        text=text,
        checks=_checks(read),
        record=None if read["record"] is None else record_from_json(read["record"]),
        prolog_failed_at=None if read["prolog_failed_at"] is None else _time(read, "prolog_failed_at"),
        decided_at=_time(read, "decided_at"),
        was_foreign=read["was_foreign"],
    )


def record_from_json(read: object) -> Record:
    """Return the record that JSON values hold. Raises ValueError for anything else."""
    if not isinstance(read, dict) or set(read) != set(Record._fields):
        raise ValueError("not a drain record")
    changed_at = None if read["reason_changed_at"] is None else _time(read, "reason_changed_at")
    for key in ("reason", "user"):  # as Slurm said them: compared, never sent
        if not isinstance(read[key], str) or len(read[key]) > _MAX_WORD_CHARS:
            raise ValueError(f"not a drain record: {key}")
    return Record(_text(read, "id", 16), read["reason"], _checks(read), changed_at, read["user"])


def _text(read: Mapping[str, Any], key: str, most: int = _MAX_WORD_CHARS) -> str:
    """Return a text that can stand in a reason: printable ASCII, for it is sent on and printed."""
    found = read[key]
    if not isinstance(found, str) or not (found.isascii() and found.isprintable()) or len(found) > most:
        raise ValueError(f"{key} is not a printable text of at most {most} characters")
    return found


def _checks(read: Mapping[str, Any]) -> tuple[str, ...]:
    found = read["checks"]
    if not isinstance(found, list | tuple) or len(found) > _MAX_CHECKS:
        raise ValueError("checks is not a list of names")
    return tuple(_text({"a check": name}, "a check") for name in found)


def _time(read: Mapping[str, Any], key: str) -> int:
    found = read[key]
    if type(found) is not int or not 0 <= found < _LATEST_S:
        raise ValueError(f"{key} is not a time")
    return found
