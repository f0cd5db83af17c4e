"""A small slurmrestd with nodes that keep what is written to them: a real HTTP server, and the traps of the real one.

What it answers follows recordings of Slurm 24.11 (`agent/slurm_transcripts`). Unlike `slurm_replay`, it has a state:
for tests in which several nodes, an administrator and slurmctld itself write at the same time.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

VERSION = "v0.0.42"

Reply = tuple[int, Any]

OK: Reply = 200, {"errors": [], "warnings": []}
NO_SUCH_NODE = 500, {"errors": [{"error_number": 2018, "error": "Invalid node name specified"}]}
NOT_PRIVILEGED = 500, {"errors": [{"error_number": 2010, "error": "Invalid user id"}]}
TIMED_OUT = 504, {"errors": [{"error_number": 5004, "error": "Zero Bytes were transmitted or received"}]}
CTLD_DOWN = 502, {"errors": [{"error_number": 1800, "error": "Unable to contact slurm controller (connect failure)"}]}
UNKNOWN_NODE_READ = 200, {"errors": [{"error_number": 0, "error": "No error"}]}


@dataclass
class FakeNode:
    """A node as Slurm keeps it."""

    base: str = "IDLE"
    flags: set[str] = field(default_factory=set)
    reason: str = ""
    user: str = ""
    changed_at: int = 0
    extra: str = ""
    partitions: tuple[str, ...] = ("batch",)

    def entry(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "state": [self.base, *sorted(self.flags)],
            "reason": self.reason,
            "reason_set_by_user": self.user,
            "reason_changed_at": {"set": True, "infinite": False, "number": self.changed_at},
            "extra": self.extra,
            "partitions": list(self.partitions),
        }

    def change(self, changes: dict[str, Any], user: str, now: int) -> None:
        for state in changes.get("state", []):
            match state:
                case "DRAIN":
                    self.flags.add("DRAIN")
                case "UNDRAIN":
                    self.flags.discard("DRAIN")
                case "RESUME":
                    self.flags.clear()
                    self.base = "IDLE"
                case _:
                    self.base = state
        if changes.get("reason", self.reason) != self.reason:
            self.reason, self.user, self.changed_at = changes["reason"], user, now
        self.extra = changes.get("extra", self.extra)


class FakeSlurm:
    """Nodes, and what is to go wrong.

    `on_write` is called before a write is applied and may answer in its place; `on_read` before a read. Both hold
    the lock, as slurmctld does. `later` is applied with the next read: what a slurmctld does once it goes on.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.version = VERSION
        self.user = "nodeproof"
        self.nodes: dict[str, FakeNode] = {}
        self.requests: list[tuple[str, str]] = []
        self.writes: list[tuple[list[str], dict[str, Any]]] = []
        self.on_write: Callable[[list[str], dict[str, Any]], Reply | None] = lambda _names, _changes: None
        self.on_read: Callable[[], Reply | None] = lambda: None
        self.later: list[Callable[[], None]] = []
        self.lock = threading.RLock()
        self.most_drained = 0

    def add(self, *names: str, partitions: tuple[str, ...] = ("batch",)) -> None:
        for name in names:
            self.nodes[name] = FakeNode(partitions=partitions)

    def admin(self, name: str, user: str = "jane", now: int | None = None, **changes: Any) -> None:
        """Change a node as somebody else does."""
        self.nodes[name].change(changes, user, int(time.time()) if now is None else now)

    def drained(self) -> list[str]:
        return sorted(name for name, node in self.nodes.items() if "DRAIN" in node.flags)

    def apply(self, names: list[str], changes: dict[str, Any]) -> Reply:
        """Change nodes as slurmctld does: in the order of their names, and up to the first that it does not know."""
        for name in sorted(names):
            if name not in self.nodes:
                return NO_SUCH_NODE
            self.nodes[name].change(changes, self.user, int(time.time()))
        self.most_drained = max(self.most_drained, len(self.drained()))
        return OK

    def answer(self, method: str, path: str, body: Any) -> Reply:
        with self.lock:
            self.requests.append((method, path))
            _, _, version, kind, *rest = path.split("/")
            if version != self.version:
                return 404, "Unable to find requested URL"
            if method == "GET":
                return self._read(kind, unquote(rest[0]))
            names = list(body["name"]) if kind == "nodes" else unquote(rest[0]).split(",")
            changes = {key: value for key, value in body.items() if key != "name"}
            self.writes.append((names, changes))
            return self.on_write(names, changes) or self.apply(names, changes)

    def _read(self, kind: str, name: str) -> Reply:
        while self.later:
            self.later.pop(0)()
        reply = self.on_read()
        if reply is not None:
            return reply
        if kind == "node" and name not in self.nodes:
            return UNKNOWN_NODE_READ
        wanted = [name] if kind == "node" else list(self.nodes)
        return 200, {"nodes": [self.nodes[n].entry(n) for n in wanted], "errors": [], "warnings": []}


@contextmanager
def fake_slurm() -> Iterator[FakeSlurm]:
    """Run a FakeSlurm on a free port of this host."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.play()

        def do_POST(self) -> None:
            self.play()

        def do_DELETE(self) -> None:
            self.play()

        def play(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = fake.answer(self.command, self.path, json.loads(sent) if sent else None)
            raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # joined by server_close: no socket outlives its test
        request_queue_size = 1024

    server = Server(("127.0.0.1", 0), Handler)
    fake = FakeSlurm(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
