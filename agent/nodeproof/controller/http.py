"""HTTPS for many short calls: one request on each connection, and a limit on all that a client could hold on to.

h11 reads and writes the protocol. Servers such as aiohttp set no limit on how long the head of a request may
take, and take as many connections as come; here a client that is slow, greedy or many costs the others nothing.
Deliberately not here: who may say what (`nodeproof.controller.server`).
"""

import asyncio
import contextlib
import json
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import h11

from nodeproof.controller.place import is_loopback
from nodeproof.verdict import Json, harmless

#: A head holds a credential, and a body one wish: neither comes near this.
MOST_HEAD_BYTES = 16 << 10
MOST_BODY_BYTES = 64 << 10


class Limits(NamedTuple):
    """What a client may hold on to: handshake, request and answer must each be over in their time.

    `linger_s`: the rest of a request that was refused is read for so long, so that the refusal arrives.
    `connections`: asyncio keeps 256 KiB for each with TLS; who comes after these waits in the kernel. `unheard`:
    those from one address that have not made their request yet; loopback may have more.
    """

    handshake_s: float = 10.0
    read_s: float = 10.0
    write_s: float = 10.0
    linger_s: float = 1.0
    connections: int = 2048
    unheard: int = 64


LIMITS = Limits()


class Request(NamedTuple):
    """`authorization` and `accept` are the headers of that name, "" where there is none; `peer` is an IP address."""

    method: str
    path: str
    authorization: str
    body: bytes
    peer: str
    accept: str = ""


class Response(NamedTuple):
    """`body` is sent as JSON; bytes as they are, and `content_type` says what they are."""

    status: int
    body: Json | bytes
    content_type: str = "application/json"


Answer = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Answers requests on a listening socket. `answer` raises nothing."""

    def __init__(
        self, listening: socket.socket, tls: ssl.SSLContext | None, answer: Answer, limits: Limits = LIMITS
    ) -> None:
        listening.setblocking(False)
        self._limits = limits
        self._listening = listening
        self._tls = tls
        self._answer = answer
        self._slots = asyncio.Semaphore(limits.connections)
        self._tasks: set[asyncio.Task[None]] = set()
        self._unheard: Counter[str] = Counter()

    async def accept(self) -> None:
        """Take connections while there is room, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._slots.acquire()
            try:
                connection, address = await loop.sock_accept(self._listening)
            except OSError:  # the client has gone, or no descriptor is left
                self._slots.release()
                await asyncio.sleep(0.05)
                continue
            task = loop.create_task(self._serve(connection, str(address[0])))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def finish(self) -> None:
        """Wait until answers are written, then hang up on whoever is left."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._limits.write_s)
        for task in list(self._tasks):
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _serve(self, connection: socket.socket, peer: str) -> None:
        with self._counted(peer) as is_welcome:
            stream = await _opened(connection, self._tls, self._limits) if is_welcome else None
            if stream is None:
                connection.close()
                return
            heard = await stream.heard(peer)
        try:
            if heard is not None:
                await stream.respond(heard if isinstance(heard, Response) else await self._answer(heard))
        finally:
            stream.abort()

    @contextlib.contextmanager
    def _counted(self, peer: str) -> Iterator[bool]:
        """Count who has not made a request yet. Gives False if these are too many from one address."""
        self._unheard[peer] += 1
        try:
            yield self._unheard[peer] <= self._limits.unheard or is_loopback(peer)
        finally:
            self._unheard[peer] -= 1
            if not self._unheard[peer]:
                del self._unheard[peer]


async def _opened(connection: socket.socket, tls: ssl.SSLContext | None, limits: Limits) -> "_Stream | None":
    """Shake hands. Returns None if that came to nothing."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    handshake_s, shutdown_s = (None, None) if tls is None else (limits.handshake_s, limits.write_s)
    try:
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=tls,
            ssl_handshake_timeout=handshake_s,
            ssl_shutdown_timeout=shutdown_s,
        )
    except OSError:  # an SSLError is one as well
        return None
    return _Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop), limits)


class _Stream:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        self._limits = limits
        self._reader = reader
        self._writer = writer
        self._h11 = h11.Connection(h11.SERVER, MOST_HEAD_BYTES)
        self._method = b""

    def abort(self) -> None:
        self._writer.transport.abort()

    async def heard(self, peer: str) -> Request | Response | None:
        """Return the request, or how to refuse it; None if there was none."""
        try:
            async with asyncio.timeout(self._limits.read_s):
                return await self._read(peer)
        except TimeoutError:
            return refusal(408, "the request took too long")
        except h11.RemoteProtocolError as error:
            return refusal(error.error_status_hint, str(error))
        except OSError:
            return None

    async def _read(self, peer: str) -> Request | Response | None:
        head, body = None, bytearray()
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(await self._reader.read(MOST_BODY_BYTES))
            elif isinstance(event, h11.Request):
                head, self._method = event, event.method
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body), peer)
            else:
                return None
            if len(body) > MOST_BODY_BYTES:
                return refusal(413, f"expected at most {MOST_BODY_BYTES} bytes")

    async def respond(self, response: Response) -> None:
        """Send a response and hang up. Who does not read it in time has lost it."""
        raw = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
        length = str(len(raw))
        headers = [("Content-Type", response.content_type), ("Content-Length", length), ("Connection", "close")]
        head = h11.Response(status_code=response.status, headers=headers)
        events = [head, h11.Data(data=b"" if self._method == b"HEAD" else raw), h11.EndOfMessage()]
        with contextlib.suppress(OSError, h11.LocalProtocolError):
            async with asyncio.timeout(self._limits.write_s):
                self._writer.write(b"".join(self._h11.send(event) or b"" for event in events))
                await self._writer.drain()
                if self._h11.their_state in {h11.SEND_BODY, h11.ERROR}:
                    await self._discard()
                self._writer.close()
                await self._writer.wait_closed()

    async def _discard(self) -> None:
        """Read what is still coming: a connection that is closed before would take the answer with it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger_s):
                while await self._reader.read(MOST_BODY_BYTES):
                    pass


def refusal(status: int, words: str) -> Response:
    return Response(status, {"error": harmless(words, 300)})


def _request(head: h11.Request, body: bytes, peer: str) -> Request:
    authorization = next((value for name, value in head.headers if name == b"authorization"), b"")
    accept = b",".join(value for name, value in head.headers if name == b"accept")
    parts = (head.method, head.target, authorization, accept)
    method, path, credential, accepted = (part.decode("latin-1") for part in parts)
    return Request(method, path, credential, body, peer, accepted)
