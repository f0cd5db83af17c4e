"""The slurmrestd client against recorded answers of a real slurmrestd, over real sockets."""

import logging
import os
import time
from pathlib import Path

import pytest

from nodeproof import slurm
from nodeproof.errors import PolicyError, SlurmError, SlurmRejected, SlurmUnreachable
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm.rest import Client
from slurm_replay import NOT_FOUND, PING, SILENCE, Answer, Slurmrestd, said, serving

TOKEN = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2VjcmV0"
REASON = "nodehealth: disk sda failing"  # of the recorded drain
IDLE, DRAINED = said("v0.0.42-node"), said("v0.0.42-update-drain-after")


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n")
    return str(file)


def client(server: Slurmrestd, **keys: object) -> Client:
    return Client(SlurmSettings(url=server.url, **keys))  # type: ignore[arg-type]


def error_of_read(server: Slurmrestd, *answers: Answer) -> SlurmError:
    server.on_node(*answers)
    with client(server) as c, pytest.raises(SlurmError) as caught:
        c.node("n1")
    return caught.value


def error_of_update(server: Slurmrestd, answer: Answer) -> SlurmError:
    server.on_node(IDLE, update=answer)
    with client(server) as c, pytest.raises(SlurmError) as caught:
        c.update("n1", {"state": ["DRAIN"], "reason": "x"})
    return caught.value


def test_a_node_is_read_in_the_newest_version_that_both_know(server: Slurmrestd) -> None:
    server.on_node(DRAINED)

    with client(server) as c:
        node = c.node("n1")
        c.node("n1")

    assert node == slurm.Node("n1", "IDLE", frozenset({"DRAIN"}), REASON, "root", 1795436536, "")
    assert [r.path.split("/")[2] for r in server.requests if "ping" in r.path] == [
        "v0.0.45",
        "v0.0.44",
        "v0.0.43",
        "v0.0.42",
    ]
    assert c.warnings == []


def test_a_slurm_that_cannot_drain_is_refused_in_plain_words(server: Slurmrestd) -> None:
    server.script = {("GET", "/slurm/v0.0.38/ping/"): [PING]}

    error = error_of_read(server, NOT_FOUND)

    assert isinstance(error, SlurmRejected)
    assert str(error) == (
        f"slurmrestd refused (HTTP 404): slurmrestd at {server.url} knows none of v0.0.39 to v0.0.45; "
        "before 23.02 it cannot drain a node"
    )


def test_what_ping_says_of_slurmctld_is_not_believed(server: Slurmrestd) -> None:
    server.on("GET", "/slurm/v0.0.42/ping/", said("v0.0.42-ctld-down-ping"))  # as with a bad token, too

    error = error_of_read(server, said("v0.0.42-auth-update-expired-token"))

    assert isinstance(error, SlurmRejected)


def test_an_unknown_node_is_http_200_without_nodes(server: Slurmrestd) -> None:
    error = error_of_read(server, said("v0.0.42-node-unknown-get"))

    assert isinstance(error, SlurmRejected)
    assert error.body == "Slurm knows no node n1; its name there is policy's slurm.node_name"


@pytest.mark.parametrize(
    ("case", "expected", "words"),
    [
        ("v0.0.42-auth-no-token", SlurmRejected, "Authentication failure (no token"),
        ("v0.0.42-auth-update-expired-token", SlurmRejected, "Protocol authentication error (1007)"),
        ("v0.0.42-perm-alice-update", SlurmRejected, "Invalid user id (2010)"),
        ("v0.0.42-update-unknown-node", SlurmRejected, "Invalid node name specified (2018)"),
        ("v0.0.42-update-resume-idle", SlurmRejected, "Invalid node state specified (2028)"),
        ("v0.0.45-update-resume-idle", SlurmRejected, "Invalid node state transition (2180)"),
        ("v0.0.42-ctld-down-update", SlurmUnreachable, "Unable to contact slurm controller (connect failure) (1800)"),
        ("v0.0.42-ctld-hung-update", SlurmUnreachable, "Socket timed out on send/recv operation (5004)"),
        ("v0.0.42-path-wrong-version", SlurmRejected, "Unable find requested URL"),
    ],
)
def test_recorded_errors_are_told_apart(server: Slurmrestd, case: str, expected: type, words: str) -> None:
    error = error_of_update(server, said(case))

    assert type(error) is expected
    assert words in str(error)


def test_an_http_200_with_errors_is_no_success(server: Slurmrestd) -> None:
    refused = said("v0.0.42-perm-alice-update")

    assert type(error_of_update(server, Answer(200, refused.body))) is SlurmRejected


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_5xx_without_a_known_refusal_leaves_the_outcome_open(server: Slurmrestd, status: int) -> None:
    assert type(error_of_update(server, Answer(status, "Bad Gateway"))) is SlurmUnreachable
    assert type(error_of_update(server, Answer(status, {"errors": [{"error_number": 4711}]}))) is SlurmUnreachable


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        [],
        {"nodes": {}},
        {"nodes": [1]},
        {"nodes": [{"name": "n1"}]},
        {"nodes": [{"name": "n1", "state": None}]},
        {"nodes": [{"name": "n1", "state": ["IDLE"], "reason_changed_at": {"number": "soon"}}]},
        {"nodes": [{"name": "n2", "state": ["IDLE"]}]},
        {"nodes": IDLE.body["nodes"] * 2},
        {"errors": ["what"], "nodes": IDLE.body["nodes"]},
        {"errors": [{"error_number": "x"}]},
        "[" * 200_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_and_no_crash(server: Slurmrestd, body: object) -> None:
    error = error_of_read(server, Answer(200, body))

    assert len(str(error)) < 600


def test_nobody_listens(server: Slurmrestd) -> None:
    with Client(SlurmSettings(url="http://127.0.0.1:1")) as c, pytest.raises(SlurmUnreachable, match="ConnectError"):
        c.node("n1")


def test_silence_ends_with_the_time_that_policy_allows(server: Slurmrestd) -> None:
    server.on_node(SILENCE)
    began = time.monotonic()

    with client(server, timeout_s=0.5) as c:
        with pytest.raises(SlurmUnreachable, match="ReadTimeout"):
            c.node("n1")
        with pytest.raises(SlurmUnreachable, match="no time left to ask"):
            c.node("n1")

    assert time.monotonic() - began < 2


def test_a_unix_socket_needs_no_token(tmp_path: Path) -> None:
    with serving(tmp_path / "s") as fake:
        fake.on_node(IDLE)
        with client(fake) as c:
            assert c.node("n1").base_state == "IDLE"
        assert "X-SLURM-USER-TOKEN" not in fake.requests[0].headers


def test_the_token_is_sent_and_shown_nowhere(
    server: Slurmrestd, token_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.on_node(said("v0.0.42-auth-update-expired-token"))

    with client(server, token_file=token_file, user_name="nodeproof") as c, pytest.raises(SlurmRejected) as caught:
        c.node("n1")

    assert server.requests[0].headers["X-SLURM-USER-TOKEN"] == TOKEN
    assert server.requests[0].headers["X-SLURM-USER-NAME"] == "nodeproof"
    assert TOKEN not in caplog.text + repr(caught.value) + str(caught.value) + repr(c) + repr(vars(c))


def test_an_error_of_the_connection_carries_no_request(token_file: str) -> None:
    settings = SlurmSettings(url="http://127.0.0.1:1", token_file=token_file)

    with Client(settings) as c, pytest.raises(SlurmUnreachable) as caught:
        c.node("n1")

    assert caught.value.__context__ is None


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_token_that_others_may_read_is_refused(server: Slurmrestd, token_file: str, mode: int) -> None:
    Path(token_file).chmod(mode)

    with pytest.raises(PolicyError) as caught:
        client(server, token_file=token_file)

    assert str(caught.value).startswith(f"{token_file}: slurm.token_file: has mode {mode:04o}, expected 0600")
    assert server.requests == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_token_of_somebody_else_is_refused(server: Slurmrestd, token_file: str) -> None:
    os.chown(token_file, 12345, -1)

    with pytest.raises(PolicyError, match="belongs to user 12345"):
        client(server, token_file=token_file)


@pytest.mark.parametrize("text", ["", "two words", "line\nline", "über", "x" * 20_000])
def test_what_is_no_token_is_refused_and_not_repeated(server: Slurmrestd, token_file: str, text: str) -> None:
    Path(token_file).write_text(text)

    with pytest.raises(PolicyError) as caught:
        client(server, token_file=token_file)

    assert str(caught.value) == f"{token_file}: slurm.token_file: expected one JSON web token and nothing else"


def test_the_output_of_scontrol_token_is_a_token_file(server: Slurmrestd, token_file: str) -> None:
    Path(token_file).write_text(f"SLURM_JWT={TOKEN}\n")
    server.on_node(IDLE)

    with client(server, token_file=token_file) as c:
        c.node("n1")

    assert server.requests[0].headers["X-SLURM-USER-TOKEN"] == TOKEN


@pytest.mark.parametrize(
    "url", ["ftp://h", "http://", "http://h:x", "h:6820", "unix:relative", "http://u:p@h", "http://[::", "http://h\n"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(PolicyError, match=r"policy: slurm\.url: "):
        Client(SlurmSettings(url=url))


def test_a_token_does_not_cross_the_network_in_clear(token_file: str) -> None:
    with pytest.raises(PolicyError, match="in clear"):
        Client(SlurmSettings(url="http://slurm.example:6820", token_file=token_file))


@pytest.mark.parametrize("name", ["", "n[1-3]", "n1,n2", "../nodes", "n 1", "n1/", "-n1", "n1\n"])
def test_a_name_that_is_not_one_node_is_never_asked_for(server: Slurmrestd, name: str) -> None:
    with client(server) as c, pytest.raises(PolicyError, match="not the name of one node"):
        c.node(name)

    assert server.requests == []
