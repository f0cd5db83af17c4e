"""A slurmrestd for tests: a real HTTP server that plays back what a real slurmrestd was heard to say."""

import copy
import json
import socketserver
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


def said(case: str) -> Answer:
    """Return the recorded answer of a case, e.g. `v0.0.42-node`."""
    response = json.loads((TRANSCRIPTS / f"{case}.json").read_text())["response"]
    return Answer(response["status"], response["body"])


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

    def on(self, method: str, path: str, *answers: "Line") -> None:
        self.script[method, path] = list(answers)

    def on_node(self, *reads: "Line", update: Answer | None = None) -> None:
        """Answer reads of n1 in turn, and each update alike."""
        self.on("GET", "/slurm/v0.0.42/node/n1", *reads)
        if update is not None:
            self.on("POST", "/slurm/v0.0.42/node/n1", update)

    def writes(self) -> list[Any]:
        return [r.body for r in self.requests if r.method == "POST"]

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        lines = self.script.get((request.method, request.path), [NOT_FOUND])
        line = lines.pop(0) if len(lines) > 1 else lines[0]
        return line if isinstance(line, Answer) else line(self)


Line = Answer | Callable[[Slurmrestd], Answer]
"""One line of a script: an answer, or what makes one of what was asked before."""


def as_written(server: Slurmrestd) -> Answer:
    """Answer with a drained node that has the reason which was written last."""
    return said("v0.0.42-update-drain-after").with_node(reason=server.writes()[-1]["reason"])


@contextmanager
def serving(socket_path: Path | None = None) -> Iterator[Slurmrestd]:
    """Run a Slurmrestd on a free port of this host, or on a UNIX socket."""
    handler = _handler(lambda: fake)
    server: socketserver.BaseServer
    if socket_path is None:
        server = _TcpServer(("127.0.0.1", 0), handler)
        fake = Slurmrestd(f"http://127.0.0.1:{server.server_address[1]}")
    else:
        server = _UnixServer(str(socket_path), handler)
        fake = Slurmrestd(f"unix:{socket_path}")
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


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = False


def _handler(fake: Callable[[], Slurmrestd]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.play()

        def do_POST(self) -> None:
            self.play()

        def play(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, json.loads(sent) if sent else None, dict(self.headers))
            answer = fake().answer(request)
            if answer.status == 0:
                fake().closing.wait(30)
                return
            is_text = isinstance(answer.body, str)
            raw = answer.body.encode() if is_text else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
            pass

    return Handler
