"""On which line each key of a TOML file stands: the parser in the standard library does not say."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from nodeproof.policy.settings import Path


def locate(text: str, data: dict[str, Any]) -> dict[Path, int]:
    """Return the line on which each key and list item of valid TOML first stands.

    Empty if the keys found are not exactly those of `data`: no line is better than a wrong one.
    """
    try:
        lines = _Locator(text).lines
    except (ValueError, IndexError, RecursionError):
        return {}
    return lines if lines.keys() == set(_paths(data)) else {}


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:'{0,2})|"(?:\\.|[^"\\\n])*"|'[^'\n]*\'''', re.DOTALL
)
_BARE = re.compile(r"[^,\]}\n#]+")


class _Locator:
    """Walks through text that is known to be valid TOML, and only looks where keys stand."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0
        self.lines: dict[Path, int] = {}
        self._starts = [m.end() for m in re.finditer("\n", text)]
        self._last: dict[Path, int] = {}  # the number of the last [[table]] of that name
        table: Path = ()
        self._take(_SPACE)
        while self.position < len(text):
            table = self._header() if text[self.position] == "[" else self._pair(table)
            self._take(_SPACE)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.position)
        if match is None:
            raise ValueError(self.position)
        self.position = match.end()
        return match[0]

    def _accept(self, word: str) -> bool:
        is_there = self.text.startswith(word, self.position)
        self.position += len(word) * is_there
        return is_there

    def _note(self, path: Path, position: int) -> None:
        self.lines.setdefault(path, bisect_right(self._starts, position) + 1)

    def _keys(self, table: Path) -> Path:
        """Take a dotted key and note all it names; a part that is a list of tables means its last one."""
        while True:
            self._take(_BLANK)
            position = self.position
            table = (*table, _unquoted(self._take(_KEY)))
            self._note(table, position)
            self._take(_BLANK)
            if not self._accept("."):
                return table
            if table in self._last:
                table = (*table, self._last[table])

    def _header(self) -> Path:
        position, is_list = self.position, self._accept("[[")
        if not is_list:
            self._accept("[")
        table = self._keys(())
        self._accept("]]" if is_list else "]")
        if not is_list:
            return table
        self._last[table] = self._last.get(table, -1) + 1
        table = (*table, self._last[table])
        self._note(table, position)
        return table

    def _pair(self, table: Path) -> Path:
        key = self._keys(table)
        self._accept("=")
        self._take(_BLANK)
        self._value(key)
        return table

    def _value(self, path: Path) -> None:
        if self._accept("["):
            self._items(path, "]")
        elif self._accept("{"):
            self._items(path, "}")
        else:
            self._take(_STRING if self.text[self.position] in "\"'" else _BARE)

    def _items(self, path: Path, end: str) -> None:
        count = 0
        self._take(_SPACE)
        while not self._accept(end):
            if end == "}":
                self._pair(path)
            else:
                self._note((*path, count), self.position)
                self._value((*path, count))
            count += 1
            self._take(_SPACE)
            self._accept(",")
            self._take(_SPACE)


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    import tomllib

    return str(tomllib.loads(f"key = {key}")["key"])
