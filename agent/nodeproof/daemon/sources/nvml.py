"""XIDs that the NVIDIA driver reports through NVML, read by a child: NVML can hang, crash, and costs memory.

The child sends one JSON object a line. It dies with the agent, and is started again when it ends.
Source: NVIDIA NVML API reference, event handling methods.
"""

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from nodeproof.daemon.echoes import TOLD_BY
from nodeproof.events import Event
from nodeproof.verdict import harmless

#: How long the child waits for an event at a time, in milliseconds.
_WAIT_MS = 600_000

#: Seconds until a child that ended is started again, doubled each time until one lasts for an hour.
_AGAIN_S, _MOST_AGAIN_S = 60.0, 3600.0

_MOST_GPUS = 64
_MOST_LINE_BYTES = 4096
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class NvmlEvents:
    """Follows what the child says."""

    name = "nvml"

    def __init__(
        self,
        deliver: Callable[[Sequence[Event]], None],
        lose: Callable[[int], None],
        boot_id: str,
        again_s: float = _AGAIN_S,
    ) -> None:
        self.problem = "not started"
        self._deliver, self._lose, self._boot_id = deliver, lose, boot_id
        self._first_again_s = self._again_s = again_s
        self._pid = 0
        self._pipe = -1
        self._rest = b""
        self._is_wanted = True
        self._started_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the child; whether there is a library it finds out."""
        self._loop, self._timer, self._is_wanted, self._started_s = loop, None, True, loop.time()
        agent = os.getpid()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid = os.fork()
        except OSError as error:
            os.close(reading)
            os.close(writing)
            self.problem = f"no child process: {error.strerror}"
            self._start_later()
            return
        if self._pid == 0:
            _be_child(writing, agent)
        os.close(writing)
        os.set_blocking(reading, False)
        self._pipe, self._rest = reading, b""
        self.problem = "NVML has not answered yet"
        loop.add_reader(reading, self._wake)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._is_wanted = False
        self._end_child()
        self.problem = "stopped"

    def _wake(self) -> None:
        try:
            chunk = os.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return
        if not chunk:
            self._ended()
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[-_MOST_LINE_BYTES:]
        events = [event for line in lines if (event := self._taken(line)) is not None]
        if events:
            self._deliver(events)

    def _taken(self, line: bytes) -> Event | None:
        try:
            said = json.loads(line)
            if "problem" in said:
                self._is_wanted, self.problem = bool(said["again"]), harmless(str(said["problem"]), 200)
                return None
            if "watching" in said:
                self.problem = ""
                return None
            code, pci, at = int(said["code"]), str(said["pci"]), float(said["at"])
        except (ValueError, KeyError, TypeError):
            self._lose(1)
            return None
        fields = {"code": str(code), "pci": pci, TOLD_BY: self.name}
        text = harmless(f"NVML: Xid {code} on {pci}", 200)
        part = f"pci:{pci}" if pci else ""
        return Event("event.xid", at, self._boot_id, "nvml", text, part, str(code), fields=fields)

    def _ended(self) -> None:
        """Start the child again some time after it ended, but not where there is no library."""
        if not self.problem:
            self.problem = "the process that asks NVML ended"
            self._lose(1)
        self._end_child()
        if self._is_wanted:
            self._start_later()

    def _start_later(self) -> None:
        assert self._loop is not None
        if self._loop.time() - self._started_s > _MOST_AGAIN_S:
            self._again_s = self._first_again_s
        self._timer = self._loop.call_later(self._again_s, self.start, self._loop)
        self._again_s = min(self._again_s * 2, _MOST_AGAIN_S)

    def _end_child(self) -> None:
        if self._pipe >= 0 and self._loop is not None:
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            _collect(self._pid, self._loop)
            self._pid = 0


def _collect(pid: int, loop: asyncio.AbstractEventLoop | None) -> None:
    """Wait for a child that was killed, without waiting: in D state it dies when the driver lets it."""
    with contextlib.suppress(ChildProcessError):
        if not os.waitpid(pid, os.WNOHANG)[0] and loop is not None and loop.is_running():
            loop.call_later(30.0, _collect, pid, loop)


def _be_child(pipe: int, agent: int) -> NoReturn:
    """Do nothing but ask NVML, with none of the agent's files open, and never come back."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != agent:
            os._exit(0)  # it died meanwhile
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        gc.disable()
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) != pipe:
                with contextlib.suppress(OSError):  # the one of this listing is closed already
                    os.close(int(name))
        _watch(pipe)
    finally:
        os._exit(0)


def _watch(pipe: int) -> None:
    """Send every XID. Returns, with a reason sent, when NVML has no more to say."""
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        gpus = _registered(nvml, events := nvml.nvmlEventSetCreate())
        _send(pipe, {"watching": len(gpus)} if gpus else {"problem": "no GPU tells NVML of XIDs", "again": True})
        while gpus:
            try:
                found = nvml.nvmlEventSetWait_v2(events, _WAIT_MS)
            except nvml.NVMLError_Timeout:
                continue
            pci = gpus.get(_pointer(found.device), "")
            _send(pipe, {"code": int(found.eventData), "pci": pci, "at": time.time()})
    except nvml.NVMLError as error:
        is_there = error.value != nvml.NVML_ERROR_LIBRARY_NOT_FOUND
        _send(pipe, {"problem": f"no XIDs from NVML: {error}", "again": is_there})


def _registered(nvml: Any, events: Any) -> dict[int, str]:
    """Have NVML tell XIDs of every GPU that it has a handle for; return PCI addresses by handle."""
    gpus = {}
    for index in range(min(nvml.nvmlDeviceGetCount(), _MOST_GPUS)):
        with contextlib.suppress(nvml.NVMLError):  # a GPU that is lost: the others are followed
            gpu = nvml.nvmlDeviceGetHandleByIndex(index)
            nvml.nvmlDeviceRegisterEvents(gpu, nvml.nvmlEventTypeXidCriticalError, events)
            gpus[_pointer(gpu)] = _address(nvml.nvmlDeviceGetPciInfo(gpu).busId)
    return gpus


def _pointer(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _address(raw: str | bytes) -> str:
    """Return NVML's `00000000:4B:00.0` as sysfs and the kernel log write it: `0000:4b:00.0`."""
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    domain, _, rest = text.lower().partition(":")
    return f"{domain[-4:] if domain.startswith('0000') else domain}:{rest}"


def _send(pipe: int, said: dict[str, Any]) -> None:
    os.write(pipe, json.dumps(said).encode() + b"\n")
