"""Our finding in a node's `extra`, beside whatever others keep there. Pure.

It is left there about nodes that others took out of service, whose reason is not ours to write.
"""

import json
from typing import Any

#: Our key in the JSON object that `extra` then is.
KEY = "nodeproof"


def with_finding(extra: str, drain_id: str, text: str, at: int) -> str | None:
    """Return `extra` with our finding in it; as it is if that is there, None if it holds anything but a JSON object.

    Slurm itself reads a JSON object there (job constraints with --extra), so that others' keys are kept.
    """
    kept = _object(extra)
    if kept is None:
        return None
    if finding(extra) == text:
        return extra
    return json.dumps(kept | {KEY: {"id": drain_id, "finding": text, "at": at}})


def without_finding(extra: str) -> str:
    """Return `extra` without our finding; as it is if there is none."""
    kept = _object(extra)
    if not kept or KEY not in kept:
        return extra
    rest = {key: value for key, value in kept.items() if key != KEY}
    return json.dumps(rest) if rest else ""


def finding(extra: str) -> str:
    """Return the text of our finding, or nothing."""
    ours = (_object(extra) or {}).get(KEY)
    text = ours.get("finding") if isinstance(ours, dict) else None
    return text if isinstance(text, str) else ""


def _object(extra: str) -> dict[str, Any] | None:
    """Return the JSON object in `extra`, or None if it is anything that we could not write back as it was."""
    if not extra.strip():
        return {}
    try:
        read = json.loads(extra, object_pairs_hook=_once_each, parse_constant=_refuse, parse_float=_exact)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key that is there twice")
    return made


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _exact(digits: str) -> float:
    """Return a number that, written again, is the same: no digit is lost."""
    from decimal import Decimal

    number = float(digits)
    if Decimal(repr(number)) != Decimal(digits):
        raise ValueError(f"{digits} would become {number!r}")
    return number
