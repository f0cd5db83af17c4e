"""The token: where it may lie, when it is read, where it is sent, and that it is shown nowhere."""

import logging
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeproof.errors import NodeproofError, PolicyError, SlurmRejected, SlurmUnreachable
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm import Client
from nodeproof.slurm.answer import Applied, Refused, Unknown
from slurm_replay import Answer, Raw, Slurmrestd, said, serving

TOKEN = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2VjcmV0"
RENEWED = "eyJhbGciOiJIUzI1NiJ9.bmV3.bmV3"
NODE, UPDATED = said("v0.0.42-node"), said("v0.0.42-update-drain")
DRAIN = {"state": ["DRAIN"], "reason": "x"}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n")
    return file


def client(server: Slurmrestd, token_file: object, version: str = "v0.0.42") -> Client:
    settings = SlurmSettings(server.url, str(token_file), user_name="nodeproof", api_version=version)
    return Client(settings, 10.0)


def sent(server: Slurmrestd) -> list[str | None]:
    return [r.headers.get("X-SLURM-USER-TOKEN") for r in server.requests]


def taking_only(token: str, answer: Answer, refusal: Answer) -> Callable[[Slurmrestd], Answer]:
    return lambda server: answer if sent(server)[-1] == token else refusal


def test_the_token_is_sent_with_the_name_of_its_user(server: Slurmrestd, token_file: Path) -> None:
    server.on_node(NODE)

    with client(server, token_file) as c:
        c.node("n1")

    assert sent(server) == [TOKEN]
    assert server.requests[0].headers["X-SLURM-USER-NAME"] == "nodeproof"


def test_a_unix_socket_needs_no_token_and_takes_one(tmp_path: Path, token_file: Path) -> None:
    with serving(tmp_path / "s") as server:
        server.on_node(NODE)
        with client(server, "") as bare, client(server, token_file) as with_token:
            assert bare.node("n1").base_state == with_token.node("n1").base_state == "IDLE"

        assert sent(server) == [None, TOKEN]
        assert "X-SLURM-USER-NAME" not in server.requests[0].headers


ECHOES: list[Answer | Raw] = [
    said("24.11/v0.0.42-auth-expired-token"),
    Answer(401, f"no such token: {TOKEN}"),
    Answer(500, {"errors": [{"error_number": 2010, "error": f"who is {TOKEN}"}]}),
    Answer(200, {"errors": [], "nodes": [{"name": TOKEN, "state": ["IDLE"]}]}),
    Answer(502, f"X-SLURM-USER-TOKEN: {TOKEN}"),
    Raw((f"HTTP/9 {TOKEN}\r\n\r\n".encode(),)),
    Raw((f"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{TOKEN}".encode(),)),
]


@pytest.mark.parametrize("answer", ECHOES)
def test_the_token_is_shown_nowhere(
    server: Slurmrestd, token_file: Path, caplog: pytest.LogCaptureFixture, answer: Answer | Raw
) -> None:
    caplog.set_level(logging.DEBUG)
    server.on("GET", "/slurm/v0.0.42/node/n1", answer)
    server.on("POST", "/slurm/v0.0.42/node/n1", answer)

    with client(server, token_file) as c:
        with pytest.raises(NodeproofError) as caught:
            c.node("n1")
        came_of_it = c.update(["n1"], DRAIN)
        shown = [repr(c), repr(vars(c)), repr(vars(vars(c)["_transport"])), repr(came_of_it), *c.warnings]

    chain = "".join(traceback.format_exception(caught.value))
    shown += [caplog.text, chain, repr(caught.value), repr(vars(caught.value)), repr(caught.value.__context__)]
    assert sent(server) == [TOKEN, TOKEN]
    assert [text for text in shown if TOKEN in text] == []


def test_what_slurmrestd_repeats_of_it_does_not_come_back_in_a_node(server: Slurmrestd, token_file: Path) -> None:
    server.on_node(NODE.with_node(reason=f"token {TOKEN} found in a log"))

    with client(server, token_file) as c:
        assert c.node("n1").reason == "token <token> found in a log"


def test_an_error_of_the_connection_carries_no_request(token_file: Path) -> None:
    settings = SlurmSettings("http://127.0.0.1:1", str(token_file))

    with Client(settings) as c, pytest.raises(SlurmUnreachable) as caught:
        c.node("n1")

    assert caught.value.__context__ is None


REFUSALS = [
    said("24.11/v0.0.42-auth-no-token"),
    said("24.11/v0.0.42-auth-expired-token"),
    said("26.05/v0.0.45-auth-bad-signature"),
    said("24.11/v0.0.42-perm-alice-update"),
]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_renewed_token_is_read_when_the_old_one_is_refused(
    server: Slurmrestd, token_file: Path, refusal: Answer
) -> None:
    server.on("GET", "/slurm/v0.0.42/node/n1", taking_only(RENEWED, NODE, refusal))
    server.on("POST", "/slurm/v0.0.42/node/n1", taking_only(RENEWED, UPDATED, refusal))

    with client(server, token_file) as reader, client(server, token_file) as writer:
        token_file.write_text(RENEWED)
        assert reader.node("n1").name == "n1"
        assert writer.update(["n1"], DRAIN) == Applied(())
        assert writer.update(["n1"], DRAIN) == Applied(())

    assert sent(server) == [TOKEN, RENEWED, TOKEN, RENEWED, RENEWED]


@pytest.mark.parametrize("case", ["v0.0.38-auth-expired-token", "v0.0.36-auth-expired-token"])
def test_slurm_22_05_has_no_word_for_a_bad_token(server: Slurmrestd, token_file: Path, case: str) -> None:
    node = said("22.05/v0.0.38-node")
    server.on("GET", "/slurm/v0.0.38/node/n1", taking_only(RENEWED, node, said(f"22.05/{case}")))

    with client(server, token_file, "v0.0.38") as c:
        token_file.write_text(RENEWED)
        assert c.node("n1").name == "n1"


def test_a_token_that_was_not_renewed_is_refused_once(server: Slurmrestd, token_file: Path) -> None:
    server.on_node(said("24.11/v0.0.42-auth-expired-token"))

    with client(server, token_file) as c, pytest.raises(SlurmRejected, match="1007"):
        c.node("n1")

    assert sent(server) == [TOKEN]


def test_a_renewed_token_that_is_refused_as_well_is_not_tried_again(server: Slurmrestd, token_file: Path) -> None:
    server.on_node(update=said("24.11/v0.0.42-auth-update-expired-token"))

    with client(server, token_file) as c:
        token_file.write_text(RENEWED)
        assert isinstance(c.update(["n1"], DRAIN), Refused)

    assert sent(server) == [TOKEN, RENEWED]


def test_an_open_outcome_is_not_written_again_for_a_renewed_token(server: Slurmrestd, token_file: Path) -> None:
    server.on_node(update=Answer(500, {"errors": [{"error_number": -1}]}))

    with client(server, token_file) as c:
        token_file.write_text(RENEWED)
        assert isinstance(c.update(["n1"], DRAIN), Unknown)

    assert sent(server) == [TOKEN]


def test_a_renewed_token_that_others_may_read_is_not_used(server: Slurmrestd, token_file: Path) -> None:
    server.on_node(update=said("24.11/v0.0.42-auth-no-token"))

    with client(server, token_file) as c:
        token_file.chmod(0o644)
        with pytest.raises(PolicyError, match="has mode 0644"):
            c.update(["n1"], DRAIN)

    assert sent(server) == [TOKEN]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_token_that_others_may_read_is_refused(server: Slurmrestd, token_file: Path, mode: int) -> None:
    token_file.chmod(mode)

    with pytest.raises(PolicyError) as caught:
        client(server, token_file)

    assert str(caught.value).startswith(f"{token_file}: slurm.token_file: has mode {mode:04o}, expected 0600")
    assert server.requests == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_token_of_somebody_else_is_refused(server: Slurmrestd, token_file: Path) -> None:
    os.chown(token_file, 12345, -1)

    with pytest.raises(PolicyError, match="belongs to user 12345"):
        client(server, token_file)


@pytest.mark.parametrize("text", ["", "two words", "line\nline", "über", "x" * 20_000])
def test_what_is_no_token_is_refused_and_not_repeated(server: Slurmrestd, token_file: Path, text: str) -> None:
    token_file.write_text(text)

    with pytest.raises(PolicyError) as caught:
        client(server, token_file)

    assert str(caught.value) == f"{token_file}: slurm.token_file: expected one JSON web token and nothing else"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(server: Slurmrestd, tmp_path: Path, make: Callable[[str], None]) -> None:
    make(str(tmp_path / "odd"))

    with pytest.raises(PolicyError, match="expected a regular file"):
        client(server, tmp_path / "odd")


def test_the_output_of_scontrol_token_is_a_token_file(server: Slurmrestd, token_file: Path) -> None:
    token_file.write_text(f"SLURM_JWT={TOKEN}\n")
    server.on_node(NODE)

    with client(server, token_file) as c:
        c.node("n1")

    assert sent(server) == [TOKEN]


# systemd makes credentials with mode 0400, and an ACL lets the service's user read them: that shows as 0440.
@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600])
def test_a_systemd_credential_is_a_token(
    server: Slurmrestd, token_file: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    token_file.chmod(mode)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(token_file.parent))
    server.on_node(NODE)

    with client(server, "credential:token") as c:
        c.node("n1")

    assert sent(server) == [TOKEN]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("credential:token", "has mode 0444"),
        ("credential:missing", "cannot be read: No such file"),
        ("credential:", "expected credential:NAME"),
        ("credential:../token", "expected credential:NAME"),
        ("credential:a/b", "expected credential:NAME"),
    ],
)
def test_a_credential_that_will_not_do_is_told(
    server: Slurmrestd, token_file: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    token_file.chmod(0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(token_file.parent))

    with pytest.raises(PolicyError, match=words):
        client(server, name)


def test_a_credential_without_systemd_is_told(server: Slurmrestd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    with pytest.raises(PolicyError, match="systemd passed no credentials to this process"):
        client(server, "credential:token")


@pytest.mark.parametrize("user_name", ["jürgen", "a\nb"])
def test_a_user_name_that_fits_no_header_is_told(server: Slurmrestd, token_file: Path, user_name: str) -> None:
    with pytest.raises(PolicyError, match=r"slurm\.user_name"):
        Client(SlurmSettings(server.url, str(token_file), user_name=user_name))
