"""Our finding in a node's `extra`: there once, and everybody else's word as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.slurm.extra import finding, with_finding, without_finding

OURS = {"id": "00c0ffee", "finding": "a.b: x", "at": 7}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=5), s, max_size=3),
)


def noted(extra: str) -> str:
    made = with_finding(extra, "00c0ffee", "a.b: x", 7)
    assert made is not None
    return made


@pytest.mark.parametrize("extra", ["", "  ", "{}"])
def test_an_empty_extra_holds_nothing_but_the_finding(extra: str) -> None:
    assert json.loads(noted(extra)) == {"nodeproof": OURS}
    assert without_finding(noted(extra)) == ""


@given(st.dictionaries(st.text(max_size=9).filter(lambda key: key != "nodeproof"), values, max_size=4))
def test_the_keys_of_others_are_kept(theirs: dict[str, object]) -> None:
    extra = json.dumps(theirs)

    assert json.loads(noted(extra)) == theirs | {"nodeproof": OURS}
    assert finding(noted(extra)) == "a.b: x"
    assert json.loads(without_finding(noted(extra)) or "{}") == theirs
    assert without_finding(extra) == extra


@pytest.mark.parametrize(
    "extra",
    [
        "rack 7",
        "[1]",
        '"x"',
        "7",
        "null",
        '{"a": 1',
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1e999}',
        '{"a": 0.1234567890123456789}',
        "[" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
    ],
)
def test_what_could_not_be_written_back_is_left_as_it_is(extra: str) -> None:
    assert with_finding(extra, "00c0ffee", "a.b: x", 7) is None
    assert without_finding(extra) == extra
    assert finding(extra) == ""


def test_the_same_finding_changes_nothing() -> None:
    extra = noted('{"rack": 7}')

    assert with_finding(extra, "11111111", "a.b: x", 8) == extra
    assert with_finding(extra, "11111111", "a.b: y", 8) != extra


@pytest.mark.parametrize("ours", ['{"nodeproof": 1}', '{"nodeproof": {"finding": 2}}', '{"nodeproof": null}'])
def test_a_key_of_ours_with_anything_in_it_is_ours(ours: str) -> None:
    assert finding(ours) == ""
    assert json.loads(noted(ours)) == {"nodeproof": OURS}
    assert without_finding(ours) == ""
