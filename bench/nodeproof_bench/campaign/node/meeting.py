"""Two jobs of a pair find each other, agree on what both can measure, and keep in step. Over one TCP connection.

The jobs are begun apart, so either may come first. Who knocks must know the session of the pair. Between two
benchmarks the port is free again: `nodeproof-bench` meets at it by itself.
"""

import hmac
import ipaddress
import json
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple, Self

from nodeproof.errors import NodeproofError
from nodeproof.verdict import harmless
from nodeproof_bench.campaign.order import WorkOrder
from nodeproof_bench.strict_json import loads

#: How long a stranger may take to say who it is, one attempt to connect, and the pause until the next.
_HELLO_S, _CONNECT_S, _PAUSE_S = 3.0, 3.0, 0.2

_MOST_LINE_BYTES = 8192
_MOST_BENCHMARKS = 100
_BACKLOG = 16


class MeetingError(NodeproofError):
    """The other node did not come, or went away."""


class Peer(NamedTuple):
    """The other node's job. `address` is where `nodeproof-bench` listens or connects; `benchmarks` what both can do."""

    connection: socket.socket
    name: str
    address: str
    benchmarks: tuple[str, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def exchange(self, word: str, most_s: float) -> str:
        """Say a word, and return the other's. Raises MeetingError if none comes in time."""
        try:
            self.connection.settimeout(most_s)
            self.connection.sendall(word.encode() + b"\n")
            return _line(self.connection, time.monotonic() + most_s).decode(errors="replace")
        except TimeoutError as error:
            raise MeetingError(f"{self.name} did not answer in {most_s:g} s") from error
        except OSError as error:
            raise MeetingError(f"{self.name} went away: {error.strerror or error}") from error


def meet(order: WorkOrder, benchmarks: Sequence[str], until_s: float) -> Peer:
    """Return the other node's job once it is there. Raises MeetingError if it does not come until then (monotonic)."""
    hello: dict[str, object] = {"session": order.session, "node": order.node, "benchmarks": list(benchmarks)}
    return _listen(order, hello, until_s) if order.role == "listen" else _connect(order, hello, until_s)


def _listen(order: WorkOrder, hello: dict[str, object], until_s: float) -> Peer:
    is_both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_both else socket.AF_INET
    try:
        listening = socket.create_server(("", order.port), family=family, backlog=_BACKLOG, dualstack_ipv6=is_both)
    except OSError as error:
        raise MeetingError(f"cannot listen on port {order.port}: {error.strerror or error}") from error
    with listening:
        while (left_s := until_s - time.monotonic()) > 0:
            listening.settimeout(left_s)
            try:
                connection, _ = listening.accept()
            except OSError:
                continue  # the time is up, or who came has gone
            peer = _greeted(connection, order, hello)
            if peer is not None:
                return peer
    raise MeetingError(f"{order.peer_node} did not come to port {order.port} in time")


def _connect(order: WorkOrder, hello: dict[str, object], until_s: float) -> Peer:
    problem = "no attempt was made"
    while time.monotonic() < until_s:
        try:
            for *_, address in socket.getaddrinfo(order.peer_address, order.port, type=socket.SOCK_STREAM):
                host, port = str(address[0]), int(address[1])
                connection = socket.create_connection((host, port), timeout=_CONNECT_S)
                if connection.getsockname() == connection.getpeername():  # TCP may connect a socket with itself
                    connection.close()
                    continue
                peer = _greeted(connection, order, hello)
                if peer is not None:
                    return peer
                problem = "somebody else answers there"
        except OSError as error:
            problem = error.strerror or str(error)
        time.sleep(_PAUSE_S)
    raise MeetingError(f"{order.peer_node} was not found at {order.peer_address} port {order.port}: {problem}")


def _greeted(connection: socket.socket, order: WorkOrder, hello: dict[str, object]) -> Peer | None:
    """Say hello and hear one. Returns None for whoever is not of this pair, who hears nothing of us then."""
    is_listener = order.role == "listen"
    try:
        connection.settimeout(_HELLO_S)
        if not is_listener:
            connection.sendall(json.dumps(hello).encode() + b"\n")
        theirs = _hello(_line(connection, time.monotonic() + _HELLO_S), order)
        if is_listener and theirs is not None:
            connection.sendall(json.dumps(hello).encode() + b"\n")
        address = _words(connection.getsockname() if is_listener else connection.getpeername())
    except (OSError, ValueError):
        theirs, address = None, ""
    if theirs is None:
        connection.close()
        return None
    ours = tuple(map(str, hello["benchmarks"])) if isinstance(hello["benchmarks"], list) else ()
    first, second = (ours, theirs) if is_listener else (theirs, ours)
    return Peer(connection, order.peer_node, address, tuple(name for name in first if name in second))


def _hello(line: bytes, order: WorkOrder) -> tuple[str, ...] | None:
    """Return what the other can measure; None if it is not the other of this pair. Raises ValueError."""
    said = loads(line)
    if not isinstance(said, dict) or not isinstance(said.get("session"), str):
        return None
    is_of_pair = hmac.compare_digest(said["session"].encode(), order.session.encode())
    names = said.get("benchmarks")
    if not is_of_pair or said.get("node") != order.peer_node or not isinstance(names, list):
        return None
    return tuple(harmless(name, 60) for name in names[:_MOST_BENCHMARKS] if isinstance(name, str))


def _line(connection: socket.socket, until_s: float) -> bytes:
    """Return one line without its end. Raises OSError, TimeoutError among it."""
    found = b""
    while not found.endswith(b"\n"):
        connection.settimeout(max(0.001, until_s - time.monotonic()))
        more = connection.recv(1)
        if not more or len(found) > _MOST_LINE_BYTES:
            raise ConnectionResetError("it hung up" if not more else "it says too much")
        found += more
    return found[:-1]


def _words(address: tuple[object, ...]) -> str:
    """Return an address as `nodeproof-bench` takes it."""
    host = ipaddress.ip_address(str(address[0]).partition("%")[0])
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    host = mapped or host
    return f"[{host}]:{address[1]}" if host.version == 6 else f"{host}:{address[1]}"
