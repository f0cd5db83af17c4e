"""What the agent knows for Prometheus: over HTTP, and as a file for node_exporter's textfile collector.

Nothing here may end the agent: what cannot be served or written is said once, and tried again.
"""

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import Callable

from nodeproof.controller.http import HttpServer, Limits, Request, Response, refusal
from nodeproof.controller.listening import opened_at
from nodeproof.controller.place import Listen, listen_of
from nodeproof.daemon.exposition import OPENMETRICS, TEXT, accepts_openmetrics, exposed
from nodeproof.daemon.metric_families import families
from nodeproof.daemon.snapshot import Snapshot
from nodeproof.errors import PolicyError
from nodeproof.files import replace_file
from nodeproof.verdict import harmless

PATH = "/metrics"

#: A page that was made less than so many seconds ago is served again: whoever asks often costs the agent nothing.
_SAME_PAGE_S = 1.0

#: Seconds to the next try where an address is taken, or not there yet.
_RETRY_S = 60.0

#: A file of which nothing but times and costs has changed is left alone for so long: less than a pass a minute.
_SAME_FILE_S = 45.0

_LIMITS = Limits(read_s=5.0, write_s=5.0, connections=32, unheard=16)
_BACKLOG = 32
_LISTEN_KEY = "agent.metrics_listen"


def render(snapshot: Snapshot, *, is_openmetrics: bool) -> bytes:
    """Return the page of metrics."""
    return exposed(families(snapshot), is_openmetrics=is_openmetrics)


def write_textfile(path: str, snapshot: Snapshot) -> None:
    """Write the page where node_exporter, which is not root, finds it whole. Raises OSError.

    Not synced to the disk: whoever is busy there would stop the agent, and a boot makes a new file anyway.
    """
    replace_file(path, render(snapshot, is_openmetrics=False), 0o644, is_durable=False)


class MetricsPage:
    """Serves and writes what `snapshot` gives. `say` gets what an administrator should read."""

    def __init__(self, snapshot: Callable[[], Snapshot], say: Callable[[str], None], retry_s: float = _RETRY_S) -> None:
        self._snapshot, self._say, self._retry_s = snapshot, say, retry_s
        self._said: dict[str, str] = {}
        self._listen = ""
        self._listening: socket.socket | None = None
        self._server: HttpServer | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._pages: dict[bool, tuple[float, bytes]] = {}
        self._file: tuple[str, Snapshot] | None = None
        self._file_s = 0.0

    @property
    def port(self) -> int:
        """The port that is listened on, 0 while there is none."""
        return int(self._listening.getsockname()[1]) if self._listening else 0

    async def start(self, listen: str) -> None:
        """Serve on `address:port`, or nowhere if it is empty. May be called again with another address."""
        if listen == self._listen and (self._listening or self._retry):
            return
        await self.stop()
        self._listen = listen
        if listen:
            self._open()

    async def stop(self) -> None:
        """Close the address, for children that still have it too, and finish what was asked."""
        if self._retry is not None:
            self._retry.cancel()
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        if self._listening is not None:
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        if self._server is not None:
            await self._server.finish()
        self._retry = self._accepting = self._listening = self._server = None

    def write(self, path: str) -> None:
        """Write the file if what it says has changed, or is no longer fresh. No path: no file."""
        if not path:
            return
        snapshot = self._snapshot()
        file, now_s = (path, _lasting(snapshot)), time.monotonic()
        if file == self._file and now_s - self._file_s < _SAME_FILE_S:
            return
        try:
            write_textfile(path, snapshot)
        except OSError as error:
            self._warn("file", f"no metrics in {path} (agent.metrics_file): {error.strerror}")
        else:
            self._file, self._file_s = file, now_s
            self._warn("file", "")

    def _open(self) -> None:
        self._retry = None
        try:
            self._listening = _listening_on(self._listen)
        except PolicyError as error:
            self._warn("listen", f"no metrics: {error}")
            return
        except OSError as error:
            self._warn("listen", f"no metrics on {self._listen} ({_LISTEN_KEY}) yet: {error.strerror or error}")
            self._retry = asyncio.get_running_loop().call_later(self._retry_s, self._open)
            return
        self._warn("listen", "")
        self._server = HttpServer(self._listening, None, self._answer, _LIMITS)
        self._accepting = asyncio.get_running_loop().create_task(self._server.accept())

    async def _answer(self, request: Request) -> Response:
        if request.path.partition("?")[0] != PATH:
            return refusal(404, f"there is only {PATH}")
        if request.method not in {"GET", "HEAD"}:
            return refusal(405, "expected GET")
        is_openmetrics = accepts_openmetrics(request.accept)
        return Response(200, self._page(is_openmetrics), OPENMETRICS if is_openmetrics else TEXT)

    def _page(self, is_openmetrics: bool) -> bytes:
        made_s, page = self._pages.get(is_openmetrics, (0.0, b""))
        if not page or time.monotonic() - made_s >= _SAME_PAGE_S:
            page = render(self._snapshot(), is_openmetrics=is_openmetrics)
            self._pages[is_openmetrics] = (time.monotonic(), page)
        return page

    def _warn(self, what: str, words: str) -> None:
        """Say what is wrong once, and that it is right again."""
        before, self._said[what] = self._said.get(what, ""), words
        if words != before:
            self._say(words or f"metrics: it works again ({before})")


def _listening_on(text: str) -> socket.socket:
    """Return a socket that listens there. Raises OSError, and PolicyError for a name: to ask for it may take long."""
    listen = listen_of(text, _LISTEN_KEY)
    host = "127.0.0.1" if listen.host == "localhost" else listen.host
    try:
        ipaddress.ip_address(host or "::")
    except ValueError as error:
        raise PolicyError("policy", _LISTEN_KEY, f"expected an IP address, found {harmless(host, 80)}") from error
    return opened_at(Listen(host, listen.port), _BACKLOG)


def _lasting(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot without what changes all the time."""
    checks = tuple(check._replace(at=0.0, seconds=0.0) for check in snapshot.checks)
    quiet = snapshot._replace(at=0.0, checks=checks, groups=(), cpu_s=0.0, resident_bytes=0)
    return quiet._replace(gate_until=0.0, history_bytes=0, actions={})
