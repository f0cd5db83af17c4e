"""Whose drain it is, and what follows: pure, so every rule is a line of a table."""

import json

import pytest

from nodeproof.slurm.node import Node
from nodeproof.slurm.outcome import Denied, Drained, Foreign, Free, LostRace, NotReady, Outcome, Resumed, Standing
from nodeproof.slurm.plan import Write, confirmed, lost, planned
from nodeproof.slurm.wish import Action, Record, Wish, reason

ACCOUNT = "nodeproof"
FAILED_AT = 1_795_436_536
TEXT = "a.b: x"
OURS = reason("00c0ffee", TEXT)

IDLE = Node("n1", "IDLE", frozenset(), "", "", 0, "", ("batch",))
DRAINED = IDLE._replace(flags=frozenset({"DRAIN"}), reason=OURS, reason_user=ACCOUNT, reason_changed_at=FAILED_AT)
ADMINS = DRAINED._replace(reason="bad fan", reason_user="jane")
DOWN = IDLE._replace(base_state="DOWN", reason="Not responding", reason_user="slurm")

RECORD = Record("00c0ffee", OURS, ("a.b",), FAILED_AT, ACCOUNT)
OPEN = RECORD._replace(reason_changed_at=None, user="")  # its answer was lost
WISH = Wish("n1", "drain", "11111111", TEXT, ("a.b",), decided_at=FAILED_AT + 1)


def plan(action: Action, node: Node | None, record: Record | None = None, account: str = ACCOUNT) -> Outcome | Write:
    wish = WISH if action == "drain" else WISH._replace(action=action, id="", text="")
    return planned(wish._replace(record=record), node, account)


def test_a_node_in_service_is_drained_with_our_reason() -> None:
    write = plan("drain", IDLE)

    assert isinstance(write, Write)
    assert write.changes == {"state": ["DRAIN"], "reason": reason("11111111", TEXT)}


def test_a_node_that_slurm_does_not_know_is_denied() -> None:
    assert plan("drain", None) == Denied("Slurm knows no node n1; its name there is policy's slurm.node_name")


@pytest.mark.parametrize("base", ["IDLE", "ALLOCATED", "MIXED", "UNKNOWN"])
def test_a_drain_waits_neither_for_a_job_nor_for_slurmd(base: str) -> None:
    assert isinstance(plan("drain", IDLE._replace(base_state=base)), Write)


@pytest.mark.parametrize(
    ("record", "node", "account"),
    [
        (RECORD, DRAINED, ACCOUNT),
        (RECORD, DRAINED, "renamed since"),  # confirmed: the record says who wrote it
        (RECORD, DRAINED._replace(base_state="DOWN"), ACCOUNT),
        (OPEN, DRAINED, ACCOUNT),
        (OPEN, DRAINED._replace(reason=reason("22222222", TEXT)), ACCOUNT),  # drained together with another node
        (OPEN, DRAINED._replace(reason_user="root"), ""),  # a UNIX socket: we do not know who we are
        (RECORD._replace(reason=reason("00c0ffee", "old: y")), DRAINED, ACCOUNT),  # this wish, carried out late
    ],
)
def test_our_drain_stands(record: Record, node: Node, account: str) -> None:
    assert plan("drain", node, record, account) == Standing(node)


@pytest.mark.parametrize(
    ("record", "node"),
    [
        (None, ADMINS),
        (None, DOWN),
        (None, IDLE._replace(base_state="ALLOCATED", flags=frozenset({"FAIL"}))),
        (None, DRAINED._replace(reason="")),
        (RECORD, DRAINED._replace(reason=f"{OURS}; kept for a look")),
        (RECORD, DRAINED._replace(reason_user="jane")),
        (OPEN, DRAINED._replace(reason_user="jane")),
        (OPEN, DRAINED._replace(reason=reason("00c0ffee", "another: y"))),
        (RECORD, DOWN._replace(reason=OURS)),
        (None, DRAINED._replace(reason="Prolog error", reason_user="slurm")),
    ],
)
def test_what_others_took_out_of_service_is_noted_and_else_left_alone(record: Record | None, node: Node) -> None:
    write = plan("drain", node, record)

    assert isinstance(write, Write)
    assert set(write.changes) == {"extra"}
    note = {"id": "11111111", "finding": TEXT, "at": FAILED_AT + 1}
    assert json.loads(str(write.changes["extra"])) == {"nodeproof": note}
    if record is not None:
        assert plan("resume", node, record) == plan("look", node, record) == Foreign(node)


def test_no_record_makes_another_reason_ours() -> None:
    """A node that speaks to a controller may claim what it likes."""
    forged = Record("00c0ffee", ADMINS.reason, ("a.b",), ADMINS.reason_changed_at, ADMINS.reason_user)

    assert plan("resume", ADMINS, forged) == Foreign(ADMINS)
    assert plan("resume", ADMINS, forged._replace(reason_changed_at=None), "jane") == Foreign(ADMINS)


def test_a_drain_of_ours_that_was_touched_and_untouched_is_theirs() -> None:
    """The reason is ours again, and so is the text, but somebody made a decision in between."""
    again = DRAINED._replace(reason_changed_at=FAILED_AT + 60, reason_user="jane")

    assert plan("resume", again, RECORD) == Foreign(again)


def test_what_cannot_be_noted_is_left_alone_all_the_same() -> None:
    taken = ADMINS._replace(extra="rack 7")

    assert plan("drain", taken) == Foreign(taken, is_noted=False)


def test_a_finding_that_stands_there_is_not_written_again() -> None:
    noted = ADMINS._replace(extra=json.dumps({"nodeproof": {"id": "0", "finding": TEXT, "at": 1}}))

    assert plan("drain", noted) == Foreign(noted, is_noted=True)
    assert isinstance(plan("drain", noted._replace(extra=noted.extra.replace("a.b: x", "a.b: y"))), Write)


def test_our_own_drain_takes_the_note_along() -> None:
    write = plan("drain", IDLE._replace(extra='{"rack": 7, "nodeproof": {"finding": "a.b: x"}}'))

    assert isinstance(write, Write)
    assert write.changes["extra"] == '{"rack": 7}'


def test_our_drain_is_taken_back_with_undrain_and_another_reason() -> None:
    write = plan("resume", DRAINED, RECORD)

    assert isinstance(write, Write)
    assert write.changes == {"state": ["UNDRAIN"], "reason": "nodeproof: resumed 00c0ffee"}


@pytest.mark.parametrize("node", [IDLE, IDLE._replace(reason=OURS), IDLE._replace(base_state="UNKNOWN")])
def test_a_node_in_service_is_free(node: Node) -> None:
    assert plan("resume", node, RECORD) == plan("look", node, RECORD) == Free(node)


def test_a_node_whose_slurmd_has_not_registered_is_not_resumed() -> None:
    unknown = DRAINED._replace(base_state="UNKNOWN")

    assert plan("resume", unknown, RECORD) == NotReady(unknown)


PROLOG_ERROR = DRAINED._replace(reason="Prolog error", reason_user="slurm")


@pytest.mark.parametrize(
    ("failed_at", "after_s", "words", "is_adopted"),
    [
        (FAILED_AT, 0, "Prolog error", True),
        (FAILED_AT, -5, "Prolog error", True),
        (FAILED_AT, 120, "Prolog error", True),
        (FAILED_AT, -6, "Prolog error", False),
        (FAILED_AT, 121, "Prolog error", False),
        (None, 0, "Prolog error", False),
        (FAILED_AT, 0, "Epilog error", False),
        (FAILED_AT, 0, "Prolog error, again", False),
        (FAILED_AT, 0, "Kill task failed", False),
    ],
)
@pytest.mark.parametrize("action", ["drain", "look"])
def test_a_prolog_error_is_adopted_when_it_follows_from_our_prolog(
    action: Action, failed_at: int | None, after_s: int, words: str, *, is_adopted: bool
) -> None:
    node = PROLOG_ERROR._replace(reason=words, reason_changed_at=FAILED_AT + after_s)
    made = planned(WISH._replace(action=action, prolog_failed_at=failed_at), node, ACCOUNT)

    assert (isinstance(made, Write) and made.kind == "adopt") == is_adopted
    if is_adopted:
        assert isinstance(made, Write)
        assert made.changes == {"state": ["DRAIN"], "reason": reason("11111111", TEXT)}
        after = node._replace(reason=made.wish.reason, reason_user=ACCOUNT)
        assert confirmed(made, after, ACCOUNT) == Drained(after, is_adopted=True)


def test_a_prolog_error_is_never_resumed() -> None:
    open_wish = WISH._replace(action="resume", record=OPEN, prolog_failed_at=FAILED_AT, id="", text="")

    assert planned(open_wish, PROLOG_ERROR, ACCOUNT) == Foreign(PROLOG_ERROR)


def test_a_note_is_taken_out_and_nothing_else() -> None:
    noted = ADMINS._replace(extra='{"rack": 7, "nodeproof": {"finding": "a.b: x"}}')
    write = plan("unnote", noted)

    assert isinstance(write, Write)
    assert write.changes == {"extra": '{"rack": 7}'}
    after = noted._replace(extra='{"rack": 7}')
    assert plan("unnote", after) == confirmed(write, after, ACCOUNT) == Foreign(after)
    assert confirmed(write, noted, ACCOUNT) is None


@pytest.mark.parametrize(
    ("kind", "node", "outcome"),
    [
        ("drain", DRAINED._replace(reason=reason("11111111", TEXT)), Drained),
        ("drain", DRAINED, None),
        ("drain", ADMINS, None),
        ("drain", IDLE, None),
        ("resume", IDLE, Resumed),
        ("resume", DOWN, Resumed),
        ("resume", ADMINS, None),
        ("note", ADMINS._replace(extra='{"nodeproof": {"finding": "a.b: x"}}'), Foreign),
        ("note", ADMINS, None),
    ],
)
def test_a_write_is_confirmed_by_what_is_read_after_it(kind: str, node: Node, outcome: type | None) -> None:
    write = Write(WISH, kind, WISH.reason)  # type: ignore[arg-type]
    found = confirmed(write, node, ACCOUNT)

    assert (None if found is None else type(found)) == outcome
    if found is None:
        assert type(lost(write, node, ACCOUNT)) is (Foreign if kind == "note" else LostRace)
