"""HTTP to slurmrestd over httpx: one request out, one answer in, and never longer than there is time.

Nothing is judged here, and nothing repeated but a read whose kept connection turned out to be closed.
All that could carry the token stays in here: httpx's errors hold the request, and with it the header.
"""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

from nodeproof.errors import PolicyError, SlurmUnreachable
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm.address import address_of, tls_of
from nodeproof.slurm.token import Token
from nodeproof.verdict import harmless

if TYPE_CHECKING:
    import httpx

#: httpx says best what took too long. Where its limits do not reach (looking up a host name, an answer
#: that drips), we stop waiting this much later.
GRACE_S = 0.1

#: How long a connection may be idle and still be used again, where connections are kept.
KEPT_IDLE_S = 15.0


class Request(NamedTuple):
    """`path` is relative to slurmrestd's address; a larger answer than `most_bytes` is none to what was asked."""

    method: str
    path: str
    body: object
    most_bytes: int


class Reply(NamedTuple):
    """`body` is decoded if it is JSON, else text. `date` is the server's clock in its own words, or ""."""

    status: int
    body: Any
    date: str


class Transport:
    """The connections to one slurmrestd. For one thread at a time.

    Without `keep_alive` each request has a connection of its own: slurmrestd closes one after an error,
    and a fresh one races with nothing. With it reads share one; a write, which must not be sent twice
    after a disconnect, still has its own.
    """

    def __init__(self, settings: SlurmSettings, token: Token, *, keep_alive: bool) -> None:
        if not (settings.user_name.isascii() and settings.user_name.isprintable()):
            raise PolicyError("policy", "slurm.user_name", f"expected a name in ASCII, found {settings.user_name!r}")
        # It would log, where debugging is on, what a server says word for word: our token, should it repeat it.
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        self.sent = 0
        self._user_name = settings.user_name
        self._token = token
        self._address = address_of(settings)
        self._tls = tls_of(settings, self._address)
        self._fresh = self._line(kept=0)
        self._kept = self._line(kept=1) if keep_alive else None

    @property
    def place(self) -> str:
        return self._address.place

    def close(self) -> None:
        self._fresh.http.close()
        if self._kept is not None:
            self._kept.http.close()

    def exchange(self, request: Request, left_s: float) -> Reply:
        """Send one request. Raises SlurmUnreachable if there is no whole answer within `left_s`."""
        import httpx

        if left_s <= 0:
            raise SlurmUnreachable(f"no time left to ask {self.place}")
        lines = (self._fresh,) if self._kept is None or request.method != "GET" else (self._kept, self._fresh)
        work = _Exchange(request, self._headers(), lines, time.monotonic() + left_s)
        # A thread does it, since nothing else can be left alone while it looks up a host name.
        outcome: Future[Reply] = Future()
        threading.Thread(target=_fulfil, args=(outcome, work.run), name="slurmrestd", daemon=True).start()
        # Raised below and not where it is caught: the error must carry nothing of the request.
        try:
            reply = outcome.result(left_s + GRACE_S)
        except TimeoutError:
            self._abandon(lines)
            problem = "not in time"
        except SlurmUnreachable as error:
            problem = str(error)
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            return reply._replace(body=_decoded(self._token.hidden(reply.body)))
        finally:
            self.sent += work.sent
        said = self._token.hidden(problem.encode(errors="replace")).decode()
        raise SlurmUnreachable(harmless(f"no answer from {self.place}: {said}", 300))

    def _headers(self) -> dict[str, str]:
        if not self._token.value:
            return {}
        return {"X-SLURM-USER-NAME": self._user_name, "X-SLURM-USER-TOKEN": self._token.value}

    def _abandon(self, lines: "tuple[_Line, ...]") -> None:
        """Let the thread fail that is still at it, and use nothing again that it holds."""
        for line in lines:
            line.hang_up()
        self._fresh = self._line(kept=0)
        if self._kept in lines:
            self._kept = self._line(kept=1)

    def _line(self, kept: int) -> "_Line":
        import httpx

        transport = httpx.HTTPTransport(
            verify=self._tls or False,  # http: load no certificates
            uds=self._address.socket_path,
            limits=httpx.Limits(max_keepalive_connections=kept, keepalive_expiry=KEPT_IDLE_S),
        )
        headers = {"Accept-Encoding": "identity"}
        try:
            return _Line(
                httpx.Client(base_url=self._address.base_url, headers=headers, transport=transport, trust_env=False)
            )
        except httpx.InvalidURL as error:
            transport.close()
            raise PolicyError("policy", "slurm.url", str(error)) from error


class _Line:
    """An httpx client and the connection that it opened last."""

    def __init__(self, http: "httpx.Client") -> None:
        self.http = http
        self._stream: Any = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Note a connection: httpx calls this for each step (its extension "trace")."""
        if event.endswith(("connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete")):
            self._stream = info["return_value"]

    def hang_up(self) -> None:
        """End the connection under whoever waits on it. Not closed: another file could get its number meanwhile."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


class _Exchange:
    """One request on its way. The lines are tried in turn where the first was closed while nobody looked."""

    def __init__(self, request: Request, headers: dict[str, str], lines: tuple[_Line, ...], until_s: float) -> None:
        self.sent = 0
        self._request = request
        self._headers = headers
        self._lines = lines
        self._until_s = until_s

    def run(self) -> Reply:
        import httpx

        for line in self._lines[:-1]:
            with contextlib.suppress(httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                return self._on(line)
        return self._on(self._lines[-1])

    def _on(self, line: _Line) -> Reply:
        self.sent += 1
        content = bytearray()
        with line.http.stream(
            self._request.method,
            self._request.path,
            json=self._request.body,
            headers=self._headers,
            timeout=max(self._until_s - time.monotonic(), 0.001),
            extensions={"trace": line.trace},
        ) as response:
            for chunk in response.iter_raw():
                content += chunk
                if time.monotonic() > self._until_s:
                    raise SlurmUnreachable("it did not end in time")
                if len(content) > self._request.most_bytes:
                    raise SlurmUnreachable(f"it has more than {self._request.most_bytes} bytes")
            return Reply(response.status_code, bytes(content), response.headers.get("Date", ""))


def _fulfil(outcome: "Future[Reply]", run: Callable[[], Reply]) -> None:
    try:
        outcome.set_result(run())
    except BaseException as error:  # noqa: BLE001  # handed on to the thread that waits
        outcome.set_exception(error)


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace").strip()
