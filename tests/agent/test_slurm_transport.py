"""What travels how: kept connections, and answers that come slowly, large or broken. TLS is next door."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeproof.errors import PolicyError, SlurmError, SlurmUnreachable
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm import Client
from nodeproof.slurm.answer import Applied, OurBug, Unknown
from slurm_replay import Answer, Raw, Slurmrestd, said, serving

NODE, UPDATED = said("v0.0.42-node"), said("v0.0.42-update-drain")
DRAIN = {"state": ["DRAIN"], "reason": "x"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def client(server: Slurmrestd, limit_s: float = 10.0, *, keep_alive: bool = False, **keys: Any) -> Client:
    keys = {"url": server.url, "api_version": "v0.0.42"} | keys
    return Client(SlurmSettings(**keys), limit_s, keep_alive=keep_alive)


@contextlib.contextmanager
def ends_within(limit_s: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < limit_s


# ---- answers


DRIPS = {
    "status line": (b"HTTP/1.1 2", *[b"0"] * 900),
    "header": (HEAD + b"X-Long: ", *[b"x"] * 900),
    "body": (HEAD + b"Content-Length: 1000\r\n\r\n", *[b" "] * 900),
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 900),
}


@pytest.mark.parametrize("chunks", DRIPS.values(), ids=DRIPS)
def test_an_answer_that_drips_ends_with_the_time_there_is(server: Slurmrestd, chunks: tuple[bytes, ...]) -> None:
    server.on_node(Raw(chunks, 0.02), NODE)

    with client(server, 0.4) as c:
        with ends_within(1.0), pytest.raises(SlurmUnreachable, match="no answer from slurmrestd"):
            c.node("n1")
        c.renew(5.0)
        assert c.node("n1").name == "n1"

    with ends_within(5.0):  # nobody is left waiting for the rest
        while any(thread.name == "slurmrestd" for thread in threading.enumerate()):
            time.sleep(0.01)


@pytest.mark.parametrize(("path", "limit_mib"), [("node/n1", 4), ("nodes/", 64)])
def test_a_large_answer_is_not_read_to_its_end(server: Slurmrestd, path: str, limit_mib: int) -> None:
    endless = Raw((HEAD + b"\r\n{", *[b" " * (1 << 20)] * (limit_mib + 20)))
    server.on("GET", f"/slurm/v0.0.42/{path}", endless)

    with client(server) as c, pytest.raises(SlurmUnreachable, match=f"more than {limit_mib << 20} bytes"):
        c.node("n1") if path == "node/n1" else c.nodes()


def test_ten_thousand_nodes_are_read(server: Slurmrestd) -> None:
    entry = NODE.body["nodes"][0]
    nodes = [entry | {"name": f"n{i}"} for i in range(10_000)]
    server.on("GET", "/slurm/v0.0.42/nodes/", Answer(200, {"errors": [], "nodes": nodes}))

    with client(server, 30.0) as c:
        assert len(c.nodes()) == 10_000


@pytest.mark.parametrize(
    "raw",
    [
        Raw(()),
        Raw((b"\x1b[2J\x00 rubbish\r\n\r\n",)),
        Raw((HEAD,)),
        Raw((HEAD + b"Content-Length: 100\r\n\r\n{",)),
        Raw((HEAD + b"Content-Length: x\r\n\r\n{}",)),
        Raw((HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",)),
        Raw((HEAD + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08 no",)),
        Raw((HEAD + b"X: " + b"x" * 200_000,)),
    ],
)
def test_a_broken_answer_is_no_answer_and_a_write_is_not_repeated(server: Slurmrestd, raw: Raw) -> None:
    server.on("GET", "/slurm/v0.0.42/node/n1", raw)
    server.on("POST", "/slurm/v0.0.42/node/n1", raw)

    with client(server) as c:
        with pytest.raises(SlurmUnreachable) as caught:
            c.node("n1")
        assert isinstance(c.update(["n1"], DRAIN), Unknown)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert server.writes() == [DRAIN]


def test_a_redirect_is_not_followed(server: Slurmrestd) -> None:
    server.on_node()
    server.on(
        "POST",
        "/slurm/v0.0.42/node/n1",
        Raw((f"HTTP/1.1 307 No\r\nLocation: {server.url}/elsewhere\r\nContent-Length: 0\r\n\r\n".encode(),)),
    )

    with client(server) as c:
        assert c.update(["n1"], DRAIN) == OurBug(307, 0, "")

    assert len(server.requests) == 1


def test_a_proxy_of_the_environment_is_not_used(server: Slurmrestd, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.on_node(NODE)

    with client(server) as c:
        assert c.node("n1").name == "n1"


# ---- kept connections


def test_a_connection_is_kept_for_reads_where_that_is_wanted() -> None:
    with serving(is_keeping=True) as server:
        server.on_node(NODE)
        with client(server) as c:
            for _ in range(5):
                c.node("n1")
        assert server.connections == 5
        with client(server, keep_alive=True) as c:
            for _ in range(5):
                c.node("n1")
        assert server.connections == 6


def test_an_error_that_ends_the_connection_is_no_hindrance() -> None:
    with serving(is_keeping=True) as server:
        down = said("24.11/v0.0.42-ctld-down-node")
        server.on_node(NODE, down, NODE, down, NODE, update=UPDATED)
        with client(server, keep_alive=True) as c:
            for is_up in (True, False, True, False, True):
                if is_up:
                    assert c.node("n1").name == "n1"
                else:
                    with pytest.raises(SlurmUnreachable):
                        c.node("n1")
            assert c.update(["n1"], DRAIN) == Applied(())
        assert c.requests == 6


def test_a_connection_that_ends_without_a_word_is_no_hindrance() -> None:
    with serving(is_keeping=True) as server:
        server.hangs_up = True
        server.on_node(NODE, update=UPDATED)
        with client(server, keep_alive=True) as c:
            for _ in range(50):
                assert c.node("n1").name == "n1"
                assert c.update(["n1"], DRAIN) == Applied(())
        assert len(server.writes()) == 50


def test_a_read_is_sent_again_on_a_new_connection_and_a_write_never() -> None:
    with serving(is_keeping=True) as server:
        server.on_node(NODE, Raw(()), NODE)
        server.on("POST", "/slurm/v0.0.42/node/n1", UPDATED, Raw(()))
        with client(server, keep_alive=True) as c:
            c.node("n1")
            c.node("n1")  # the kept connection ends instead of an answer
            assert c.requests == 3
            assert c.update(["n1"], DRAIN) == Applied(())
            assert isinstance(c.update(["n1"], DRAIN), Unknown)
        assert len(server.writes()) == 2


def test_a_kept_connection_that_drips_is_hung_up() -> None:
    with serving(is_keeping=True) as server:
        server.on_node(NODE, Raw(DRIPS["header"], 0.02), NODE)
        with client(server, 5.0, keep_alive=True) as c:
            c.node("n1")
            c.renew(0.3)
            with ends_within(1.0), pytest.raises(SlurmUnreachable):
                c.node("n1")
            c.renew(5.0)
            assert c.node("n1").name == "n1"


# ---- URLs


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h", "http://", "http://h:x", "h:6820", "unix:relative", "http://u:p@h", "http://[::", "http://h\n",
        "http://h/?a=1", "http://h/#a",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(PolicyError, match=r"policy: slurm\.url: "):
        Client(SlurmSettings(url=url))


def test_a_token_does_not_cross_the_network_in_clear(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("secret")

    with pytest.raises(PolicyError, match="in clear"):
        Client(SlurmSettings("http://slurm.example:6820", str(token)))


def test_a_path_before_the_api_is_kept(server: Slurmrestd) -> None:
    server.on("GET", "/rest/slurm/v0.0.42/node/n1", NODE)

    with client(server, url=f"{server.url}/rest/") as c:
        assert c.node("n1").name == "n1"


def test_a_host_that_does_not_exist_is_told(server: Slurmrestd) -> None:
    with client(server, url="http://nodeproof.invalid:1") as c, pytest.raises(SlurmError, match="ConnectError"):
        c.node("n1")
