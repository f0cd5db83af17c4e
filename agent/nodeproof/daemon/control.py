"""The control socket: one line of JSON asks, one line answers, and the kernel says who asks.

root may do all; members of policy's agent.socket_group, who can open the socket, may read the status. What the
commands do is not here (`nodeproof.daemon.agent`).
"""

import asyncio
import contextlib
import grp
import json
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from nodeproof.errors import NodeproofError
from nodeproof.verdict import harmless

SOCKET = "control"

#: What whoever can open the socket may ask for.
OPEN_TO_ALL = frozenset({"status"})

_MOST_BYTES = 4096
_READ_S = 5.0
_ANSWER_S = 120.0

#: Clients at one time: more are closed unheard.
_MOST_CLIENTS = 32

Command = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Control:
    """Serves commands by name on `directory`/control."""

    def __init__(self, directory: str, commands: dict[str, Command]) -> None:
        self.path = os.path.join(directory, SOCKET)
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._clients = 0

    async def start(self, group: str) -> str:
        """Listen. Returns a warning, or "". Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
                raise FileExistsError(17, "not a socket of ours", self.path)
            os.unlink(self.path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        before = os.umask(0o177)
        try:
            listening.bind(self.path)
        finally:
            os.umask(before)
        warning = self.let_in(group)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=_MOST_BYTES)
        return warning

    def let_in(self, group: str) -> str:
        """Give the socket its group and mode. Returns a warning if that cannot be done: root alone gets in then."""
        try:
            os.chown(self.path, -1, grp.getgrnam(group).gr_gid if group else os.getegid())
            os.chmod(self.path, 0o660 if group else 0o600)
        except (KeyError, OSError) as error:
            return f"agent.socket_group {group!r} cannot be let in: {error}"
        return ""

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= _MOST_CLIENTS:
                answer = await self._answer(reader, peer_uid(writer.get_extra_info("socket")))
                writer.write(json.dumps(answer, default=str).encode() + b"\n")
                await asyncio.wait_for(writer.drain(), _READ_S)
        except (OSError, TimeoutError):
            pass  # the client has gone, or does not read
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, uid: int) -> dict[str, Any]:
        try:
            line = await asyncio.wait_for(reader.readline(), _READ_S)
            request = json.loads(line)
            name = request["do"]
            command = self._commands[name]
        except (ValueError, KeyError, TypeError, TimeoutError, RecursionError):
            return {"error": f"expected one line of JSON whose `do` is one of {', '.join(self._commands)}"}
        if name not in OPEN_TO_ALL and uid not in {0, os.geteuid()}:
            return {"error": f"{name} is for root (this is user {uid})"}
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(command(request))), _ANSWER_S)
        except TimeoutError:
            return {"error": f"{name} took longer than {_ANSWER_S:g} s, and goes on"}
        except NodeproofError as error:
            return {"error": harmless(str(error), 1000)}


def peer_uid(connection: Any) -> int:
    """Return the user at the other end, by the kernel's word (SO_PEERCRED, unix(7))."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])


def ask(directory: str, request: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """Ask the agent from another process. Raises NodeproofError: none is there, it refuses, or its answer is bad."""
    path = os.path.join(directory, SOCKET)
    raw = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(limit_s)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            while chunk := connection.recv(1 << 16):
                raw += chunk
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NodeproofError(f"no agent is running here ({path})") from error
    except PermissionError as error:
        raise NodeproofError(f"{path}: root and members of agent.socket_group may ask the agent") from error
    except OSError as error:
        raise NodeproofError(f"{path}: {error}") from error
    try:
        answer = json.loads(raw)
    except ValueError as error:
        raise NodeproofError(f"{path}: the agent gave no answer") from error
    if not isinstance(answer, dict) or "error" in answer:
        raise NodeproofError(str(answer["error"]) if isinstance(answer, dict) else f"{path}: not an answer")
    return answer
