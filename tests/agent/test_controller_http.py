"""The controller's HTTPS server over real sockets: what is malformed, oversized, slow or too many."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from controlled import private
from nodeproof.controller.http import MOST_BODY_BYTES, MOST_HEAD_BYTES, HttpServer, Limits, Request, Response
from nodeproof.controller.listening import listening, tls_of
from nodeproof.errors import PolicyError
from nodeproof.policy.settings import ControllerSettings

ROOMY = Limits(handshake_s=5, read_s=5, write_s=5)
HASTY = Limits(handshake_s=0.3, read_s=0.3, write_s=0.3, linger_s=0.1)


async def echo(request: Request) -> Response:
    return Response(200, [request.method, request.path, request.authorization, request.body.decode(), request.peer])


@contextmanager
def serving(limits: Limits = ROOMY, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve in a thread of this process, for a `with` block. Gives the port."""
    opened = listening(ControllerSettings(listen="127.0.0.1:0"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[HttpServer, "asyncio.Task[None]"]:
        server = HttpServer(opened, tls, echo, limits)
        return server, asyncio.create_task(server.accept())

    async def stop(server: HttpServer, accepting: "asyncio.Task[None]") -> None:
        accepting.cancel()
        await server.finish()
        await asyncio.gather(accepting, *server._tasks, return_exceptions=True)

    with closing(opened):
        running = asyncio.run_coroutine_threadsafe(start(), loop).result(5)
        try:
            yield opened.getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(stop(*running), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def said(port: int, sent: bytes, pause_s: float = 0.0) -> tuple[int, Any]:
    """Send bytes, byte by byte if there is a pause, and return status and body of the answer; 0 if there is none."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        return _said(connection, [bytes([b]) for b in sent] if pause_s else [sent], pause_s)


def _said(connection: socket.socket, chunks: list[bytes], pause_s: float) -> tuple[int, Any]:
    connection.settimeout(5)
    try:
        for chunk in chunks:
            connection.sendall(chunk)
            time.sleep(pause_s)
    except OSError:
        pass
    return _answer(connection)


def _answer(connection: socket.socket) -> tuple[int, Any]:
    raw = b""
    try:
        while read := connection.recv(65536):
            raw += read
    except ConnectionResetError:
        pass
    if not raw:
        return 0, None
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body) if body else None


def test_a_request_is_answered() -> None:
    with serving() as port:
        sent = b"POST /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nContent-Length: 2\r\n\r\n{}"
        assert said(port, sent) == (200, ["POST", "/v1/x", "Bearer x", "{}", "127.0.0.1"])
        chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
        assert said(port, chunked) == (200, ["POST", "/", "", "ab", "127.0.0.1"])
        assert said(port, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n") == (200, None)
        assert said(port, b"GET / HTTP/1.0\r\n\r\n")[0] == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"a" * MOST_HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n" + b"x" * (MOST_BODY_BYTES + 1), 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000, 413),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"x" * 0x8000 + b"\r\n",
            408,
        ),
        (b"", 408),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", 408),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", 408),
    ],
)
def test_what_is_malformed_or_oversized_is_refused(sent: bytes, status: int) -> None:
    with serving(HASTY._replace(read_s=0.5, write_s=2)) as port:
        found, body = said(port, sent)
        assert found == status
        assert set(body) == {"error"}
        assert said(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200


def test_a_body_of_64_kib_is_taken() -> None:
    with serving() as port:
        sent = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n" + b"x" * MOST_BODY_BYTES
        assert said(port, sent)[0] == 200


def test_what_ends_before_it_is_a_request_gets_no_answer() -> None:
    with serving() as port:
        for sent in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"):
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                assert _answer(connection)[0] in {0, 400}


def test_who_is_slow_is_told_so_and_holds_up_nobody() -> None:
    with serving(HASTY) as port:
        started_s = time.monotonic()
        slow = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(100)]
        try:
            for connection in slow:
                connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n")
            assert said(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
            assert time.monotonic() - started_s < 2
            dripping = said(port, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100, pause_s=0.02)
            assert dripping[0] in {0, 408}
            assert {_answer(connection)[0] for connection in slow} == {408}
        finally:
            for connection in slow:
                connection.close()


def test_when_all_connections_are_taken_others_wait() -> None:
    with serving(ROOMY._replace(connections=2, read_s=0.5)) as port:
        slow = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(2)]
        time.sleep(0.1)
        started_s = time.monotonic()
        assert said(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        assert time.monotonic() - started_s > 0.2
        for connection in slow:
            connection.close()


def test_of_one_address_only_so_many_are_heard_at_once() -> None:
    with closing(listening(ControllerSettings(listen="127.0.0.1:0"))) as opened, ExitStack() as stack:
        server = HttpServer(opened, None, echo, ROOMY._replace(unheard=2))

        welcome = [stack.enter_context(server._counted("192.0.2.1")) for _ in range(3)]
        assert welcome == [True, True, False]
        with server._counted("192.0.2.2") as is_other_welcome:
            assert is_other_welcome
        stack.close()
        with server._counted("192.0.2.1") as is_welcome_again:
            assert is_welcome_again


def test_who_never_reads_the_answer_is_hung_up_on() -> None:
    with serving(HASTY) as port, socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(1)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert connection.recv(65536) == b""


# TLS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> ControllerSettings:
    """Return settings with a certificate for this host, and its key."""
    made = authority.issue_cert("127.0.0.1")
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(made.cert_chain_pems[0].bytes())
    key = private(tmp_path / "key.pem", made.private_key_pem.bytes())
    return ControllerSettings(certificate_file=str(certificate), key_file=str(key))


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_over_tls_a_request_is_answered(authority: trustme.CA, files: ControllerSettings) -> None:
    with serving(tls=tls_of(files)) as port:
        plain = socket.create_connection(("127.0.0.1", port), 5)
        with client_context(authority).wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            assert connection.version() == "TLSv1.3"
            assert _said(connection, [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], 0)[0] == 200


def test_old_tls_and_no_tls_get_nothing_and_hold_up_nobody(authority: trustme.CA, files: ControllerSettings) -> None:
    with serving(HASTY, tls_of(files)) as port:
        old = client_context(authority)
        with pytest.warns(DeprecationWarning, match="TLS"):
            old.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLS"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port), 5) as connection, pytest.raises(ssl.SSLError):
            old.wrap_socket(connection, server_hostname="127.0.0.1")
        assert said(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 0
        silent = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(20)]
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            context = client_context(authority)
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                assert _said(connection, [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], 0)[0] == 200
        for connection in silent:
            connection.settimeout(5)
            assert connection.recv(1) == b""
            connection.close()


def test_a_key_that_others_may_read_is_refused(files: ControllerSettings) -> None:
    Path(files.key_file).chmod(0o644)

    with pytest.raises(PolicyError, match=r"controller\.key_file: has mode 0644, expected 0600"):
        tls_of(files)


def test_a_certificate_without_its_key_is_refused(files: ControllerSettings, tmp_path: Path) -> None:
    other = private(tmp_path / "other.pem", trustme.CA().issue_cert("x").private_key_pem.bytes())

    with pytest.raises(PolicyError, match=r"controller\.key_file: cannot be used with its key"):
        tls_of(files._replace(key_file=str(other)))
    with pytest.raises(PolicyError, match=r"controller\.certificate_file: has mode"):
        tls_of(files._replace(key_file=""))


@pytest.mark.parametrize("listen", ["", "6890", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "::1:80", "127.0.0.1:65536"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(PolicyError, match=r"controller\.listen: expected address:port"):
        listening(ControllerSettings(listen=listen))


def test_without_a_certificate_only_loopback_is_served(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"controller\.certificate_file: needed to listen on anything but loopback"):
        listening(ControllerSettings(listen="0.0.0.0:0"))
    with closing(listening(ControllerSettings(listen="0.0.0.0:0", certificate_file="x"))) as opened:
        assert opened.getsockname()[0] == "0.0.0.0"
    with closing(listening(ControllerSettings(listen=":0", certificate_file="x"))) as opened:
        assert opened.getsockname()[0] in {"::", "0.0.0.0"}


def test_an_address_that_is_taken_is_told() -> None:
    with closing(listening(ControllerSettings(listen="127.0.0.1:0"))) as opened:
        taken = f"127.0.0.1:{opened.getsockname()[1]}"
        with pytest.raises(PolicyError, match=rf"controller\.listen: cannot listen on {taken}: Address already in use"):
            listening(ControllerSettings(listen=taken))
