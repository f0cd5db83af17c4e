"""Wishes and outcomes as JSON: what goes in comes out, and nothing else is let in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.slurm import outcome as outcomes
from nodeproof.slurm import wish as wishes
from nodeproof.slurm.node import Node
from nodeproof.slurm.outcome import (
    Denied,
    Drained,
    Foreign,
    Free,
    HeldBack,
    LostRace,
    NotReady,
    Outcome,
    Resumed,
    Standing,
    Unsure,
)
from nodeproof.slurm.wish import MAX_REASON_BYTES, MAX_TEXT_BYTES, Record, Wish, check_of, parts, reason

RECORD = Record("00c0ffee", "nodeproof[00c0ffee]: a.b: x", ("a.b",), 1795436536, "root")
WISH = Wish("n1", "drain", "00c0ffee", "a.b: x", ("a.b", "c.d"), RECORD, 1795436000, 1795436537, was_foreign=True)
NODE = Node("n1", "IDLE", frozenset({"DRAIN", "RESERVED"}), "r", "root", 7, '{"a": 1}', ("batch", "gpu"))

names = st.from_regex(wishes.NODE_NAME, fullmatch=True)
ids = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)
plain = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=MAX_TEXT_BYTES)
times = st.integers(0, 1 << 39)
records = st.builds(Record, ids, plain, st.tuples(plain), st.none() | times, st.text(max_size=30))


@given(
    st.builds(
        Wish,
        names,
        st.sampled_from(["drain", "resume", "look", "unnote"]),
        ids,
        plain,
        st.lists(plain, max_size=5).map(tuple),
        st.none() | records,
        st.none() | times,
        times,
        st.booleans(),
    )
)
def test_a_wish_survives_json(wish: Wish) -> None:
    assert wishes.from_json(json.loads(json.dumps(wishes.to_json(wish)))) == wish


@pytest.mark.parametrize(
    "changes",
    [
        {"node": "n[1-3]"},
        {"node": "n1,n2"},
        {"node": "../n1"},
        {"node": ""},
        {"node": "n1\n"},
        {"node": "n" * 256},
        {"node": 1},
        {"action": "down"},
        {"action": None},
        {"id": "C0FFEE00"},
        {"id": "00c0ffee0"},
        {"id": ""},
        {"text": ""},
        {"text": "a.b: \x1b[2J"},
        {"text": "a.b: \u202e"},
        {"text": "x" * (MAX_TEXT_BYTES + 1)},
        {"checks": "a.b"},
        {"checks": ["a.b", 1]},
        {"checks": ["a.b"] * 501},
        {"record": {}},
        {"record": wishes.to_json(WISH)["record"] | {"reason_changed_at": "now"}},
        {"record": wishes.to_json(WISH)["record"] | {"reason": "x" * 256}},
        {"prolog_failed_at": -1},
        {"prolog_failed_at": 1.5},
        {"decided_at": True},
        {"decided_at": 1 << 60},
        {"was_foreign": 1},
        {"more": 1},
    ],
)
def test_a_hostile_wish_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not |JSON"):
        wishes.from_json(wishes.to_json(WISH) | changes)


@pytest.mark.parametrize("read", [None, [], "wish", {}, {"node": "n1"}])
def test_what_is_no_wish_is_refused(read: object) -> None:
    with pytest.raises(ValueError, match="not a wish"):
        wishes.from_json(read)


def test_a_reason_has_an_id_and_a_text_and_fits() -> None:
    longest = reason("00c0ffee", "x" * MAX_TEXT_BYTES)

    assert len(longest) == MAX_REASON_BYTES
    assert parts(longest) == ("00c0ffee", "x" * MAX_TEXT_BYTES)
    assert WISH.reason == "nodeproof[00c0ffee]: a.b: x"
    assert check_of(WISH.text) == "a.b"


@pytest.mark.parametrize(
    "found",
    [
        "",
        "nodeproof: resumed 00c0ffee",
        "nodeproof[c0ffee]: short id",
        " nodeproof[00c0ffee]: a.b: x",
        "nodeproof[00c0ffee]: ",
        "nodeproof[00c0ffee]: a.b: x\nnodeproof[00c0ffee]: a.b: y",
    ],
)
def test_another_reason_is_not_ours(found: str) -> None:
    assert parts(found) is None


@pytest.mark.parametrize(
    "outcome",
    [
        Drained(NODE),
        Drained(NODE, is_adopted=True),
        Standing(NODE),
        Resumed(NODE),
        Free(NODE),
        Foreign(NODE, is_noted=True),
        NotReady(NODE),
        LostRace(NODE),
        HeldBack(NODE, "full"),
        Unsure("no answer"),
        Denied("no"),
    ],
)
def test_an_outcome_survives_json(outcome: Outcome) -> None:
    assert outcomes.from_json(json.loads(json.dumps(outcomes.to_json(outcome)))) == outcome


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "Client"},
        {"kind": None},
        {"is_adopted": 1},
        {"more": 1},
        {"node": None},
        {"node": {"name": "n1"}},
        {"node": outcomes.to_json(Drained(NODE))["node"] | {"flags": "DRAIN"}},
        {"node": outcomes.to_json(Drained(NODE))["node"] | {"partitions": [1]}},
        {"node": outcomes.to_json(Drained(NODE))["node"] | {"reason": None}},
        {"node": outcomes.to_json(Drained(NODE))["node"] | {"reason_changed_at": "7"}},
    ],
)
def test_a_hostile_outcome_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a"):
        outcomes.from_json(outcomes.to_json(Drained(NODE)) | changes)


values = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(values, lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_no_json_breaks_the_readers(read: object) -> None:
    for from_json in (wishes.from_json, wishes.record_from_json, outcomes.from_json):
        with pytest.raises(ValueError, match="not a"):
            from_json(read)
