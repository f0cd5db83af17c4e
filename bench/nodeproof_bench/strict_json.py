"""JSON that holds only what JSON can hold: no NaN, and no number too large for a float."""

import json
import math
from typing import Any


def loads(text: str | bytes) -> Any:
    """Return the values of a text. Raises ValueError for whatever cannot be written again just so."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:80]} is too large a number")
    return value
