"""Spell values as TOML. What is spelt may be hostile: firmware strings end up here."""

import re
from collections.abc import Mapping

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def spelt(value: object) -> str:
    """Return a value as TOML on one line, printable whatever it holds."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(spelt, value))}]"
        case Mapping():
            return f"{{ {', '.join(f'{spelt_key(k)} = {spelt(v)}' for k, v in value.items())} }}" if value else "{}"
        case _:
            return '"' + "".join(map(_escaped, str(value))) + '"'


def spelt_key(key: object) -> str:
    """Return a key as TOML: bare where that is allowed."""
    word = str(key)
    return word if _BARE.fullmatch(word) else spelt(word)


def _escaped(c: str) -> str:
    if c in _SHORT:
        return _SHORT[c]
    if c.isprintable():
        return c
    if "\ud800" <= c <= "\udfff":  # half a character, which TOML cannot say
        c = "\ufffd"
    return f"\\u{ord(c):04x}" if ord(c) < 1 << 16 else f"\\U{ord(c):08x}"
