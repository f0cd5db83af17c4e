"""The line locator: in any valid TOML, every key is found on the line on which it stands."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.errors import PolicyError
from nodeproof.policy.load import parse
from nodeproof.policy.locate import locate
from nodeproof.policy.settings import Path
from nodeproof.policy.spell import spelt_key

#: Keys made of whatever could be taken for syntax.
KEYS = st.text(st.sampled_from("ab1-_. \"'\\#=[]{},é\t\n\U0001f600"), max_size=5)

#: Values that a careless reader takes for keys, comments or the end of a string.
SCALARS = st.sampled_from(
    [
        "5",
        "-1.5e3",
        "true",
        "1979-05-27 07:32:00",
        '"# no comment"',
        r'"a \" = [x]"',
        "'\\'",
        '"""\n[not.a.table]\nkey = 1 # no\n"""',
        '"""a \\""" "b"""""',
        "'''\nkey = 'x'\n'''''",
        '""',
        "''",
        '""""""',
    ]
)


class Writer:
    """Writes TOML at random and notes the line on which each key comes to stand."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.text = draw, ""
        self.lines: dict[Path, int] = {}

    def add(self, *choices: str) -> None:
        self.text += self.draw(st.sampled_from(choices))

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def keys(self, most: int) -> list[str]:
        return self.draw(st.lists(KEYS, min_size=1, max_size=most, unique=True))

    def dotted(self, table: Path, names: list[str]) -> Path:
        for n, name in enumerate(names):
            if n:
                self.add(".", " . ")
            table = (*table, name)
            self.note(table)
            self.add(spelt_key(name), *([] if set("'\n\t") & set(name) else [f"'{name}'"]))
        return table

    def pairs(self, table: Path, separators: tuple[str, ...], depth: int = 2) -> None:
        for n, name in enumerate(self.keys(3)):
            if n:
                self.add(*separators)
            path = self.dotted(table, [name, *(self.keys(2) if self.draw(st.booleans()) else [])])
            self.add("=", " = ")
            self.value(path, depth)

    def value(self, path: Path, depth: int) -> None:
        kind = self.draw(st.sampled_from(["scalar", "scalar", "list", "table"])) if depth else "scalar"
        if kind == "scalar":
            self.text += self.draw(SCALARS)
        elif kind == "table":
            self.add("{ ")
            self.pairs(path, (", ",), depth - 1)
            self.add(" }")
        else:
            self.items(path, depth - 1)

    def items(self, path: Path, depth: int) -> None:
        self.add("[")
        for n in range(self.draw(st.integers(0, 3))):
            self.add("", "\n", '# x = 1, [y] "\n', "  ")
            self.note((*path, n))
            self.value((*path, n), depth)
            self.add(",", "\n,", " # end\n,")
        self.add("]", "\n]")

    def table(self, name: str) -> None:
        self.add("[", "  [ ")
        path = self.dotted((), [name, *self.keys(2)])
        self.add("]\n", " ] # [x]\n")
        self.body(path)

    def tables(self, name: str) -> None:
        for n in range(self.draw(st.integers(1, 3))):
            self.note((name, n))
            self.add("[[")
            self.dotted((), [name])
            self.add("]]\n")
            self.body((name, n))
            self.text += f"[{spelt_key(name)}"
            for part in ("below", "it"):  # a table below the last one of the list
                self.text += "."
                self.note((name, n, "below") if part == "below" else (name, n, "below", "it"))
                self.text += part
            self.add("]\n")

    def body(self, table: Path) -> None:
        self.pairs(table, ("\n", "\n\n", " # x = 1\n", "\r\n"))
        self.add("\n", "\n# [comment]\n")


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    writer = Writer(draw)
    writer.add("", "# mode = 1\n", "\n\n")
    if draw(st.booleans()):
        writer.body(())
    taken = {str(path[0]) for path in writer.lines}
    for name in draw(st.lists(KEYS, max_size=3, unique=True)):
        if name not in taken:
            writer.tables(name) if draw(st.booleans()) else writer.table(name)
    return writer.text, writer.lines


@given(documents())
def test_every_key_is_found_on_its_line(document: tuple[str, dict[Path, int]]) -> None:
    text, lines = document

    assert locate(text.replace("\r\n", "\n"), tomllib.loads(text)) == lines


@given(documents(), st.integers(0, 200), st.sampled_from("[]{}\"'#=.\n,"))
def test_a_syntax_error_is_one_policy_error(document: tuple[str, dict[Path, int]], at: int, character: str) -> None:
    text = document[0][:at] + character + document[0][at:]

    said = None
    try:
        parse("10-site.toml", text)
    except PolicyError as error:
        said = str(error)

    assert said is None or (said.startswith("10-site.toml") and "\n" not in said)


def test_no_line_is_given_rather_than_a_wrong_one() -> None:
    assert locate("a = 1\nb = 2", {"a": 1, "c": 2}) == {}
    assert locate("= = =", {}) == {}
    assert parse("x.toml", "a = 1").at(("b",)) == "x.toml"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = 1\nb = \n", "x.toml:2"),
        ("a = 1\na = 2\n", "x.toml:2"),
        ("a = 1\nb = [\n", "x.toml:2"),
        ("mode", "x.toml:1"),
        ("a = " + "[" * 10_000, "x.toml"),
        ("a = " + "9" * 10_000, "x.toml"),
    ],
)
def test_a_syntax_error_names_its_line(text: str, where: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse("x.toml", text)

    assert caught.value.file == where
