"""What a node makes of a controller that is away, slow, somebody else, or odd."""

import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from controlled import private
from nodeproof.controller.client import GRACE_S, MOST_ANSWER_BYTES, send
from nodeproof.controller.place import place_of
from nodeproof.errors import PolicyError
from nodeproof.policy.settings import ControllerSettings
from nodeproof.slurm import Drained, Node, Outcome, Unsure, Wish
from nodeproof.slurm.outcome import to_json
from slurm_replay import SILENCE, Answer, Line, Raw, Slurmrestd, serving

CREDENTIAL = "n1~00000000~" + "5e" * 32

NODE = Node("n1", "IDLE", frozenset({"DRAIN"}), "nodeproof[00c0ffee]: a.b: c", "nodeproof", 1, "", ("batch",))


@pytest.fixture
def settings(server: Slurmrestd, tmp_path: Path) -> ControllerSettings:
    file = private(tmp_path / "credential", CREDENTIAL.encode() + b"\n")
    return ControllerSettings(url=server.url, credential_file=str(file))


def ask(settings: ControllerSettings, limit_s: float = 5) -> Outcome:
    return send(Wish("n1", "look"), settings, limit_s)


def words_of(server: Slurmrestd, settings: ControllerSettings, line: Line, limit_s: float = 5) -> str:
    server.on("POST", "/v1/wish", line)
    outcome = ask(settings, limit_s)
    assert isinstance(outcome, Unsure)
    assert CREDENTIAL not in outcome.words
    return outcome.words


def test_a_wish_is_sent_with_the_credential_and_its_outcome_comes_back(
    server: Slurmrestd, settings: ControllerSettings
) -> None:
    server.on("POST", "/v1/wish", Answer(200, to_json(Drained(NODE))))

    assert ask(settings) == Drained(NODE)

    (request,) = server.requests
    assert request.headers["Authorization"] == f"Bearer {CREDENTIAL}"
    assert (request.body["node"], request.body["action"]) == ("n1", "look")


@pytest.mark.parametrize("status", [401, 403])
def test_a_credential_that_is_not_taken_is_told_with_its_file(
    server: Slurmrestd, settings: ControllerSettings, status: int
) -> None:
    server.on("POST", "/v1/wish", Answer(status, {"error": f"no: {CREDENTIAL[:12]}\n"}))

    with pytest.raises(PolicyError) as caught:
        ask(settings)

    assert (caught.value.file, caught.value.key) == (settings.credential_file, "controller.credential_file")
    assert "does not take it: no: n1~00000000~?" in caught.value.expected
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (Answer(503, {"error": "the controller is about to end"}), "said HTTP 503: the controller is about to end"),
        (Answer(429, {"error": "n1 asks too often"}), "said HTTP 429: n1 asks too often"),
        (Answer(400, "Bad Request"), "said HTTP 400: Bad Request"),
        (Answer(302, ""), "said HTTP 302"),
        (Answer(200, ""), "said what we do not understand"),
        (Answer(200, []), "said what we do not understand"),
        (Answer(200, {"kind": "Drained"}), "said what we do not understand"),
        (Answer(200, to_json(Drained(NODE)) | {"more": 1}), "said what we do not understand"),
        (Answer(200, to_json(Drained(NODE._replace(name="n2")))), "spoke of another node than n1"),
        (Answer(200, "x" * (MOST_ANSWER_BYTES + 1)), "did not end its answer"),
        (Raw((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",)), "no answer from the controller at 127.0.0.1:"),
        (Raw((b"no HTTP\r\n\r\n",)), "no answer from the controller at 127.0.0.1:"),
        (Raw(()), "no answer from the controller at 127.0.0.1:"),
    ],
)
def test_what_is_no_outcome_leaves_it_open(
    server: Slurmrestd, settings: ControllerSettings, line: Line, words: str
) -> None:
    assert words in words_of(server, settings, line)


@pytest.mark.parametrize("line", [SILENCE, Raw((b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 100), pause_s=0.05)])
def test_a_controller_that_is_slow_is_not_waited_for(
    server: Slurmrestd, settings: ControllerSettings, line: Line
) -> None:
    started_s = time.monotonic()

    assert "no answer from the controller at 127.0.0.1:" in words_of(server, settings, line, limit_s=0.5)

    assert time.monotonic() - started_s < 0.5 + GRACE_S + 0.3


def test_a_controller_that_is_away_leaves_it_open(settings: ControllerSettings) -> None:
    outcome = ask(settings._replace(url="http://127.0.0.1:1"))

    assert isinstance(outcome, Unsure)
    assert outcome.words.startswith("no answer from the controller at 127.0.0.1:1: ConnectError")


def test_proxies_of_the_environment_are_not_for_us(
    server: Slurmrestd, settings: ControllerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.on("POST", "/v1/wish", Answer(200, to_json(Drained(NODE))))

    assert ask(settings) == Drained(NODE)


# TLS


@pytest.mark.parametrize("name", ["127.0.0.1", "controller.example.org"])
def test_a_controller_that_is_somebody_else_gets_no_credential(tmp_path: Path, name: str) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    issuer = theirs if name == "127.0.0.1" else ours
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = _server_context(issuer, name)
    file = private(tmp_path / "credential", CREDENTIAL.encode())
    with serving(tls=context) as server:
        settings = ControllerSettings(server.url, str(tmp_path / "ca.pem"), str(file))
        outcome = ask(settings)
        assert server.requests == []

    assert isinstance(outcome, Unsure)
    assert "certificate verify failed" in outcome.words


def test_a_controller_with_a_certificate_of_ours_is_asked(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    file = private(tmp_path / "credential", CREDENTIAL.encode())
    with serving(tls=_server_context(authority, "127.0.0.1")) as server:
        server.on("POST", "/v1/wish", Answer(200, to_json(Drained(NODE))))
        assert ask(ControllerSettings(server.url, str(tmp_path / "ca.pem"), str(file))) == Drained(NODE)


def _server_context(authority: trustme.CA, name: str) -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


# Settings


@pytest.mark.parametrize(
    "url", ["", "controller", "ftp://x", "https://", "https://u:p@x", "https://x:y", "https://x?a=b", "https://x#a"]
)
def test_what_is_no_url_is_refused(settings: ControllerSettings, url: str) -> None:
    with pytest.raises(PolicyError, match=r"controller\.url: expected https://host:port"):
        ask(settings._replace(url=url))


@pytest.mark.parametrize("host", ["controller.example.org", "10.0.0.1", "[2001:db8::1]"])
def test_no_credential_crosses_the_network_in_clear(settings: ControllerSettings, host: str) -> None:
    with pytest.raises(PolicyError, match="the credential would cross the network in clear; use https"):
        ask(settings._replace(url=f"http://{host}:6890"))


def test_a_controller_is_spoken_of_by_address_alone() -> None:
    assert place_of("https://[2001:db8::1]:6890/").words == "the controller at [2001:db8::1]:6890"
    assert place_of("https://controller.example.org/").base_url == "https://controller.example.org"
    assert place_of("https://controller.example.org/").words == "the controller at controller.example.org:443"


def test_a_credential_is_needed_and_private(settings: ControllerSettings) -> None:
    with pytest.raises(PolicyError, match=r"controller\.credential_file: not set"):
        ask(settings._replace(credential_file=""))
    with pytest.raises(PolicyError, match=r"controller\.credential_file: cannot be read: No such file"):
        ask(settings._replace(credential_file=settings.credential_file + "x"))
    Path(settings.credential_file).chmod(0o644)
    with pytest.raises(PolicyError, match=r"controller\.credential_file: has mode 0644, expected 0600"):
        ask(settings)


def test_a_ca_file_that_cannot_be_used_is_told(settings: ControllerSettings, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("nothing.pem", "ca.pem"):
        with pytest.raises(PolicyError, match=r"controller\.ca_file: cannot be used"):
            ask(settings._replace(url="https://127.0.0.1:1", ca_file=str(tmp_path / name)))
