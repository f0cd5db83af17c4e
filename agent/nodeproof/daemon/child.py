"""Work in a child process: what may hang, crash or need memory costs the agent a return code.

The agent has one thread and an event loop that must not wait; a fork of it has all modules loaded already. A child
that does not die (D state) is left and collected when the kernel lets it go.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import pickle
import signal
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from nodeproof.errors import NodeproofError
from nodeproof.verdict import harmless

#: Most bytes that a child may answer with: a pass of a large node with its recording.
MOST_BYTES = 64 << 20

_CHUNK_BYTES = 1 << 18
_HEAD_BYTES = 8

_ERROR_CHARS = 300


class ChildFailed(NodeproofError):
    """A child gave no answer: it crashed, raised or took too long. The message says which."""


class Answered(NamedTuple):
    """What a child returned, and the processor time that it and its own children took, in seconds."""

    value: Any
    cpu_s: float


class Children:
    """Starts children, one call each, and collects those that could not be collected at once."""

    def __init__(self) -> None:
        self._left: dict[int, str] = {}

    @property
    def left(self) -> int:
        """How many were killed and have not died."""
        self._collect()
        return len(self._left)

    async def run(self, work: Callable[[], Any], limit_s: float) -> Answered:
        """Return what `work()` returns in a child, pickled. Raises ChildFailed, also after `limit_s` seconds."""
        self._collect()
        try:
            reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise ChildFailed(f"no pipe for a child process: {error.strerror}") from error
        try:
            pid = os.fork()
        except OSError as error:
            os.close(reading)
            os.close(writing)
            raise ChildFailed(f"no child process: {error.strerror}") from error
        if pid == 0:
            os.close(reading)
            _be_child(work, writing)
        os.close(writing)
        raw, problem = b"", ""
        try:
            async with asyncio.timeout(limit_s):  # wait_for of 3.11 can lose that we were told to end
                raw = await _all_of(reading)
        except TimeoutError:
            problem = f"no answer in {limit_s:g} s"
        finally:  # be it done, late or cancelled
            os.close(reading)
            cpu_s, ended = await self._end(pid)
        if problem or not raw:
            raise ChildFailed(problem or f"it ended without an answer ({ended})")
        try:
            is_done, value = pickle.loads(raw)  # noqa: S301  # from our own child
        except Exception as error:  # whatever a plug-in's value does when it is made again
            raise ChildFailed(f"its answer cannot be read: {type(error).__name__}") from error
        if not is_done:
            raise ChildFailed(value)
        return Answered(value, cpu_s)

    async def _end(self, pid: int) -> tuple[float, str]:
        """Kill a child with all it started, and return its processor time and how it ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # it may not have had time for a group of its own
        for wait_s in (0.0, 0.001, 0.01, 0.1):
            await asyncio.sleep(wait_s)
            found, status, usage = os.wait4(pid, os.WNOHANG)  # noqa: ASYNC222  # it does not wait
            if found:
                ended = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {status >> 8}"
                return usage.ru_utime + usage.ru_stime, ended
        self._left[pid] = "killed"
        return 0.0, "it does not die"

    def _collect(self) -> None:
        for pid in list(self._left):
            with contextlib.suppress(ChildProcessError):
                if not os.waitpid(pid, os.WNOHANG)[0]:
                    continue
            del self._left[pid]


def _be_child(work: Callable[[], Any], pipe: int) -> NoReturn:
    """Do the work, send what came of it, and end without taking anything of the parent apart."""
    try:
        os.setsid()
        _die_with_parent()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        gc.disable()
        os.set_blocking(pipe, True)
        try:
            answer = (True, work())
        except Exception as error:  # noqa: BLE001  # the worker boundary: the parent says what it was
            answer = (False, harmless(f"{type(error).__name__}: {error}", _ERROR_CHARS))
        try:
            raw = pickle.dumps(answer)
        except Exception as error:  # noqa: BLE001  # a plug-in may return anything
            raw = pickle.dumps((False, harmless(f"its answer cannot be sent: {type(error).__name__}", _ERROR_CHARS)))
        raw = len(raw).to_bytes(_HEAD_BYTES, "little") + raw
        while raw:
            raw = raw[os.write(pipe, raw) :]
    finally:
        os._exit(0)


def _die_with_parent() -> None:
    """Have the kernel kill us when the agent is killed: nobody would take the answer (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


async def _all_of(fd: int) -> bytes:
    """Return one answer, or nothing of one that is not whole.

    Its length comes first: a worker in D state may hold the other end open for good.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    raw = bytearray()

    def take() -> None:
        try:
            chunk = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        raw.extend(chunk)
        if (not chunk or len(raw) >= min(MOST_BYTES, _end_of(raw))) and not done.done():
            done.set_result(None)

    loop.add_reader(fd, take)
    try:
        await done
    finally:
        loop.remove_reader(fd)
    return bytes(raw[_HEAD_BYTES:]) if len(raw) == _end_of(raw) else b""


def _end_of(raw: bytearray) -> int:
    return _HEAD_BYTES + int.from_bytes(raw[:_HEAD_BYTES], "little") if len(raw) >= _HEAD_BYTES else MOST_BYTES
