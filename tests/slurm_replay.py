"""A slurmrestd for tests: a real HTTP server that plays back what a real slurmrestd was heard to say."""

import copy
import functools
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

TRANSCRIPTS = Path(__file__).parent / "agent" / "slurm_transcripts"


class Answer(NamedTuple):
    """One answer; `status` 0 is none at all: the server keeps silent."""

    status: int
    body: Any

    def with_node(self, **changes: object) -> "Answer":
        body = copy.deepcopy(self.body)
        body["nodes"][0].update(changes)
        return Answer(self.status, body)


SILENCE = Answer(0, "")


class Raw(NamedTuple):
    """What is no proper answer: these bytes, with a pause after each chunk, and then the connection ends."""

    chunks: tuple[bytes, ...]
    pause_s: float = 0.0


def said(case: str) -> Answer:
    """Return the recorded answer of a case: `v0.0.42-node` of Slurm 24.11, `22.05/v0.0.38-node` of another one."""
    release, _, name = case.rpartition("/")
    if release:
        recorded = recordings(release)[name]
        return Answer(recorded["status"], recorded["body"])
    response = json.loads((TRANSCRIPTS / f"{case}.json").read_text())["response"]
    return Answer(response["status"], response["body"])


@functools.cache
def recordings(release: str) -> dict[str, Any]:
    """Return by case what slurmrestd of a Slurm release was asked and answered, less what says nothing."""
    return dict(json.loads((TRANSCRIPTS / f"{release}.json").read_text()))


NOT_FOUND = said("v0.0.42-path-wrong-version")
PING = said("v0.0.42-ping")


class Request(NamedTuple):
    method: str
    path: str
    body: Any
    headers: dict[str, str]


class Slurmrestd:
    """Plays its script: for each method and path the answers in turn, the last one for ever."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.script: dict[tuple[str, str], list[Line]] = {("GET", "/slurm/v0.0.42/ping/"): [PING]}
        self.closing = threading.Event()
        self.connections = 0
        self.hangs_up = False  # ends a connection after each answer, without a word of it

    def on(self, method: str, path: str, *answers: "Line") -> None:
        self.script[method, path] = list(answers)

    def on_node(self, *reads: "Line", update: Answer | None = None) -> None:
        """Answer reads of n1 in turn, and each update alike."""
        if reads:
            self.on("GET", "/slurm/v0.0.42/node/n1", *reads)
        if update is not None:
            self.on("POST", "/slurm/v0.0.42/node/n1", update)

    def writes(self) -> list[Any]:
        return [r.body for r in self.requests if r.method == "POST"]

    def answer(self, request: Request) -> "Answer | Raw":
        self.requests.append(request)
        lines = self.script.get((request.method, request.path), [NOT_FOUND])
        line = lines.pop(0) if len(lines) > 1 else lines[0]
        return line if isinstance(line, Answer | Raw) else line(self)


Line = Answer | Raw | Callable[[Slurmrestd], Answer]
"""One line of a script: an answer, or what makes one of what was asked before."""


def as_written(server: Slurmrestd) -> Answer:
    """Answer with a drained node that has the reason which was written last."""
    return said("v0.0.42-update-drain-after").with_node(reason=server.writes()[-1]["reason"])


@contextmanager
def serving(
    socket_path: Path | None = None, *, tls: ssl.SSLContext | None = None, is_keeping: bool = False
) -> Iterator[Slurmrestd]:
    """Run a Slurmrestd on a free port of this host, with TLS or without, or on a UNIX socket.

    `is_keeping`: it keeps connections open, as a real one does, but for those with an error.
    """

    class Handler(_Handler):
        protocol_version = "HTTP/1.1" if is_keeping else "HTTP/1.0"

    server: socketserver.BaseServer
    if socket_path is None:
        server = _TcpServer(("127.0.0.1", 0), Handler)
        fake = Slurmrestd(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
        server.tls = tls
    else:
        server = _UnixServer(str(socket_path), Handler)
        fake = Slurmrestd(f"unix:{socket_path}")
    Handler.fake = fake
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _TcpServer(ThreadingHTTPServer):
    daemon_threads = False  # joined by server_close: no socket outlives its test
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer one connection, in a thread of its own: a client that fails to shake hands holds up nobody."""
        try:
            wrapped = self.tls.wrap_socket(request, server_side=True) if self.tls else request
        except OSError:  # the client's certificate, or the client, was not taken
            return
        with wrapped:
            super().finish_request(wrapped, client_address)


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = False


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # of a connection that is kept open for nothing
    fake: Slurmrestd

    def setup(self) -> None:
        super().setup()
        self.fake.connections += 1

    def do_GET(self) -> None:
        self.play()

    def do_POST(self) -> None:
        self.play()

    def play(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, json.loads(sent) if sent else None, dict(self.headers))
        answer = self.fake.answer(request)
        if isinstance(answer, Raw):
            self.drip(answer)
            return
        if answer.status == 0:
            self.fake.closing.wait(30)
            self.close_connection = True
            return
        is_text = isinstance(answer.body, str)
        raw = answer.body.encode() if is_text else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain" if is_text else "application/json")
        self.send_header("Content-Length", str(len(raw)))
        if answer.status >= 400:
            self.send_header("Connection", "Close")
        self.end_headers()
        self.wfile.write(raw)
        self.close_connection = self.close_connection or self.fake.hangs_up

    def drip(self, raw: Raw) -> None:
        self.close_connection = True
        for chunk in raw.chunks:
            try:
                self.wfile.write(chunk)
            except OSError:  # the client has had enough
                return
            if self.fake.closing.wait(raw.pause_s):
                return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
        pass
