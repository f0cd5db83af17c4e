"""What each recorded answer of three Slurm releases means, and what hostile ones do not."""

import json
from typing import Any

import pytest

from nodeproof.errors import SlurmNotFound, SlurmRejected, SlurmUnreachable
from nodeproof.slurm.answer import (
    WORDS_CHARS,
    AlreadySo,
    Answer,
    Applied,
    NotFound,
    OurBug,
    Refused,
    Unknown,
    classified,
    error_of,
)
from nodeproof.slurm.shapes import described
from slurm_replay import recordings

RELEASES = ("22.05", "24.11", "26.05")
ALL = [(release, case) for release in RELEASES for case in recordings(release)]

#: What a recorded case means, whatever the Slurm and the API version; judged by what Slurm was seen to do.
MEANS: dict[type[Answer], str] = {
    Applied: """
        auth-token-of-other auth-unknown-user body-empty-body body-no-content-type body-urlencoded ctld-down-ping
        ctld-hung-ping node node-drained node-hostlist-post-encoded node-unix nodes nodes-flags nodes-no-slash
        perm-adm-update perm-root-update perm-slurm-update ping update-comment-clear update-comment-extra
        update-drain update-drain-again-no-reason update-drain-again-other-reason update-drain-again-same-reason
        update-drain-empty-reason update-drain-no-reason-fresh update-invalid-type-reason update-name-in-body
        update-nodes-csv update-nodes-list update-noop update-reason-300 update-reason-4096 update-reason-only
        update-reason-uid update-reason-unicode update-resume update-resume-after-int update-resume-after-obj
        update-resume-down update-resume-fail update-resume2 update-resume3 update-resume4 update-resume5
        update-resume6 update-state-down update-state-down-noreason update-state-fail update-state-idle
        update-state-lower update-state-string update-undrain update-undrain-idle update-unix-socket
        update-unknown-field auth-bearer auth-token-only""",
    Refused: """
        auth-bad-signature auth-bad-token auth-expired-token auth-expired-token-60s auth-name-only auth-no-token
        auth-root-name-alice-token auth-update-bad-signature auth-update-bad-token auth-update-expired-token
        auth-update-no-token auth-update-root-name-alice-token auth-update-unknown-user perm-alice-update
        perm-coord-update perm-oper-update update-alice""",
    NotFound: """
        node-hostlist-get-encoded node-unknown-get update-nodes-noname update-nodes-unknown-first
        update-nodes-with-unknown update-unknown-node""",
    AlreadySo: """
        update-nodes-all update-nodes-hostlist update-nodes-resume update-resume-idle update-resume-idle-reason
        update-state-two""",
    Unknown: """
        ctld-down-node ctld-down-nodes ctld-down-submit ctld-down-update ctld-hung-node ctld-hung-update""",
    OurBug: """
        body-json-without-content-type body-malformed-json body-not-object body-text-plain method-patch method-wrong
        node-hostlist-get node-hostlist-get-csv node-hostlist-post-csv node-update-delete node-update-node-n1
        node-update-nodes nodes-update-time path-unknown path-wrong-version update-node-path-hostlist update-resume7
        update-state-bogus""",
}

#: Slurm 22.05 calls a bad token, a slurmctld that is down, and a job without a script HTTP 500 "unspecified".
MEANS_IN_22_05 = dict.fromkeys(
    [
        *("auth-bad-signature", "auth-bad-token", "auth-expired-token", "auth-expired-token-60s"),
        *("auth-root-name-alice-token", "body-empty-body", "body-no-content-type", "body-not-object"),
        "ctld-down-ping",
    ],
    Unknown,
) | dict.fromkeys(["auth-bearer", "auth-token-only"], Refused)

#: And v0.0.36 says of the nodes of a bad token that their names are invalid.
MEANS_IN_V36 = {"auth-expired-token": NotFound}


def expected(release: str, case: str) -> type[Answer]:
    version, _, name = case.partition("-")
    (kind,) = [kind for kind, names in MEANS.items() if name in names.split()]
    if release == "22.05":
        kind = MEANS_IN_22_05.get(name, kind)
    return MEANS_IN_V36.get(name, kind) if version == "v0.0.36" else kind


def heard(release: str, case: str) -> Answer:
    recorded = recordings(release)[case]
    return classified(recorded["status"], recorded["body"], "slurmrestd at X")


@pytest.mark.parametrize(("release", "case"), ALL)
def test_each_recorded_answer_means_what_slurm_did(release: str, case: str) -> None:
    assert type(heard(release, case)) is expected(release, case)


def test_each_api_version_was_recorded() -> None:
    versions = {case.partition("-")[0] for _, case in ALL}

    assert versions == {f"v0.0.{n}" for n in (36, 37, 38, 40, 41, 42, 43, 44, 45)}


@pytest.mark.parametrize(
    ("case", "answer"),
    [
        ("24.11/v0.0.42-perm-alice-update", Refused(500, 2010, "Failure to update node n1: Invalid user id (2010)")),
        ("26.05/v0.0.45-update-alice", Refused(422, 2010, "Failure to update node n1: Invalid user id (2010)")),
        (
            "24.11/v0.0.42-auth-update-expired-token",
            Refused(511, 1007, "Failure to update node n1: Protocol authentication error (1007)"),
        ),
        ("24.11/v0.0.42-node-unknown-get", NotFound("Failure to query node nope: No error")),
        (
            "24.11/v0.0.42-update-resume-idle",
            AlreadySo("Failure to update node n1: Invalid node state specified (2028)"),
        ),
        (
            "26.05/v0.0.45-update-resume-idle",
            AlreadySo("Failure to update node n1: Invalid node state transition (2180)"),
        ),
        (
            "24.11/v0.0.42-ctld-hung-update",
            Unknown(
                "slurmrestd at X: HTTP 504: Failure to update node n1: Socket timed out on send/recv operation (5004)"
            ),
        ),
        (
            "24.11/v0.0.42-update-state-bogus",
            OurBug(500, 9207, 'Unknown flag "BOGUS": Data parser unable to parse invalid flag (9207)'),
        ),
        ("26.05/v0.0.45-body-text-plain", OurBug(415, 0, "MIME type is unknown to any loaded plugins")),
        (
            "22.05/v0.0.38-ctld-down-node",
            Unknown(
                "slurmrestd at X: HTTP 500: Unspecified error (Slurm 22.05 says so of a token it does not take, "
                "and of a slurmctld that is down)"
            ),
        ),
    ],
)
def test_the_words_say_what_is_wrong(case: str, answer: Answer) -> None:
    assert heard(*case.split("/")) == answer


def test_a_warning_is_kept_with_what_was_applied() -> None:
    answer = heard("24.11", "v0.0.42-update-unknown-field")

    assert isinstance(answer, Applied)
    assert [w.partition(" of type")[0] for w in answer.warnings] == [
        'Ignoring unknown field "instance_type"',
        'Ignoring unknown field "bogus_field"',
    ]


@pytest.mark.parametrize(
    ("status", "number", "kind"),
    [
        (200, 2010, Refused),  # an HTTP 200 with errors is no success
        (200, 4711, Unknown),
        (200, -1, Unknown),
        (200, 0, NotFound),
        (404, 1800, Unknown),  # the number decides
        (422, 4711, Refused),
        (422, 2131, Unknown),  # a backup slurmctld that does not serve yet
        (500, 4711, Unknown),
        (500, 9213, OurBug),
        (500, 2021, AlreadySo),
        (401, 0, Refused),
        (429, 0, Unknown),
        (400, 0, OurBug),
    ],
)
def test_the_number_decides_and_then_the_status(status: int, number: int, kind: type[Answer]) -> None:
    assert type(classified(status, {"errors": [{"error_number": number}]}, "X")) is kind


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_a_proxy_that_gives_up_leaves_the_outcome_open(status: int) -> None:
    answer = classified(status, "<html>Bad Gateway</html>", "slurmrestd at X")

    assert answer == Unknown(f"slurmrestd at X: HTTP {status}: <html>Bad Gateway</html>")


@pytest.mark.parametrize("status", [301, 302, 400, 404, 405, 413, 415])
def test_a_request_that_went_wrong_is_our_bug(status: int) -> None:
    assert classified(status, "no", "X") == OurBug(status, 0, "no")


def test_of_several_errors_the_one_that_caused_the_rest_is_told() -> None:
    body = {"errors": [{"error_number": 2180}, {"error_number": 4711}, {"error_number": 9207, "error": "BOGUS"}]}

    assert classified(422, body, "X") == OurBug(422, 9207, "BOGUS (9207)")


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "not JSON",
        [],
        7,
        {},
        {"nodes": []},
        {"errors": "yes"},
        {"errors": {"error_number": True}},
        {"errors": [None, 1, [], {"error_number": "2010"}, {"error_number": 2010.0}]},
        {"errors": [{"error_number": 10**400, "error": ["x"] * 999}]},
    ],
)
def test_what_makes_no_sense_is_no_success_at_any_status(body: Any) -> None:
    for status in (200, 500):
        assert isinstance(classified(status, body, "X"), Unknown)


def test_hostile_words_become_one_short_harmless_line() -> None:
    body = {"errors": [{"error_number": 2010, "error": "\x1b[2J\n\r\u202e" + "x" * 10_000_000}], "warnings": ["\x07"]}

    answer = classified(500, body, "X")

    assert isinstance(answer, Refused)
    assert len(answer.words) <= WORDS_CHARS
    assert answer.words.isprintable()
    assert classified(200, {"errors": [], "warnings": ["\x07bell"]}, "X") == Applied(("?bell",))


def test_a_long_list_of_names_does_not_hide_what_is_wrong() -> None:
    entry = {"error_number": 2018, "description": "Failure to update node " + "n0001," * 250, "error": "Invalid name"}

    answer = classified(500, {"errors": [entry]}, "X")

    assert isinstance(answer, NotFound)
    assert answer.words.startswith("Failure to update node n0001,n0001")
    assert answer.words.endswith("…: Invalid name (2018)")


def test_only_applied_is_no_error() -> None:
    assert error_of(Applied(())) is None
    assert type(error_of(Refused(401, 0, "x"))) is SlurmRejected
    assert type(error_of(OurBug(400, 0, "x"))) is SlurmRejected
    assert type(error_of(AlreadySo("x"), 422)) is SlurmRejected
    assert str(error_of(NotFound("no node n9"), 200)) == "no node n9"
    assert type(error_of(NotFound("x"))) is SlurmNotFound
    assert type(error_of(Unknown("x"))) is SlurmUnreachable


@pytest.mark.parametrize(
    ("case", "base", "flags"),
    [
        ("22.05/v0.0.38-node", "IDLE", set()),
        ("22.05/v0.0.38-node-drained", "IDLE", {"DRAIN"}),
        ("22.05/v0.0.37-node-drained", "IDLE", {"DRAIN"}),
        ("22.05/v0.0.36-node-drained", "IDLE", set()),  # v0.0.36 hides it
        ("24.11/v0.0.42-node", "IDLE", set()),
        ("26.05/v0.0.45-node", "MIXED", set()),
    ],
)
def test_every_shape_of_a_node_is_read(case: str, base: str, flags: set[str]) -> None:
    release, name = case.split("/")
    (entry,) = recordings(release)[name]["body"]["nodes"]

    node = described(entry)

    assert (node.name, node.base_state, set(node.flags)) == ("n1", base, flags)
    assert node.partitions == (() if "v0.0.36" in name else ("all",))  # it does not tell them
    if name.endswith("drained"):
        assert (node.reason, node.reason_user) == ("set by scontrol", "root")
        assert node.reason_changed_at > 1_700_000_000
    else:
        assert "None" not in (node.reason, node.reason_user, node.extra)


@pytest.mark.parametrize("entry", [None, 1, [], {}, {"state": "idle"}, {"state": "idle", "state_flags": 7, "name": 1}])
def test_a_hostile_entry_is_a_node_or_a_value_error(entry: Any) -> None:
    try:
        node = described(entry)
    except ValueError:
        return
    assert json.dumps(node.name)
