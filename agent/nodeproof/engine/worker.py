"""Read facts in child processes, so that nothing that hangs or crashes takes the pass with it.

A worker leaves each question and its time on a shared page before it asks. When the newest is
older than the deadline, the worker is killed and abandoned (a process in D state dies when it can),
the question is noted as hung, and a new worker goes on, for which that question fails at once.
Deliberately not here: what a fact that could not be had means (`engine.run`).
"""

import contextlib
import mmap
import os
import pickle
import select
import signal
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.record import Notes, Recorder
from nodeproof.probes import FACTS

#: Most questions that may hang in one group of facts before the rest of the group is given up.
MAX_HUNG = 8

_PAGE_BYTES = 4096

#: A child's alarm clock where a pass has no end, in seconds.
_LONGEST_S = 86_400.0


class Reading(NamedTuple):
    """A fact, or why it could not be had, and how long that took."""

    value: Any
    seconds: float


def read_facts(host: Host, facts: Sequence[type], *, deadline_s: float, until_s: float) -> dict[type, Reading]:
    """Read every fact once. Never raises for a machine's fault and never waits beyond `until_s` (monotonic).

    `deadline_s` is how long one question may take. What hung is in `host.hung` afterwards: nobody asks it again.
    """
    if not host.machine.can_hang:
        return {f: _read(host, f) for f in facts}
    _reap()
    workers = [_Worker(host, group, deadline_s, until_s) for group in _groups(facts)]
    try:
        for worker in workers:
            worker.start()
        _serve(workers, until_s)
    finally:
        for worker in workers:
            worker.abandon()
        host.hung = host.hung.union(*(worker.hung for worker in workers))
    return {f: r for worker in workers for f, r in worker.readings.items()}


def _groups(facts: Sequence[type]) -> list[list[type]]:
    """Return the facts of each worker: one for each that is isolated, or for all of a library, and one for the rest."""
    groups = dict[object, list[type]]()
    for fact in sorted(facts, key=lambda fact: not FACTS[fact].isolated):  # the quick ones begin last
        spec = FACTS[fact]
        groups.setdefault((spec.library or fact) if spec.isolated else None, []).append(fact)
    return list(groups.values())


def _read(host: Host, fact: Any) -> Reading:
    began = time.perf_counter()
    try:
        value = fact.read(host)
    except FactError as error:
        value = error
    except Exception as error:  # noqa: BLE001  # the worker boundary: a probe's bug is an unknown
        value = FactError(fact.__name__, "malformed", f"{type(error).__name__}: {error}")
    return Reading(value, time.perf_counter() - began)


def _serve(workers: "list[_Worker]", until_s: float) -> None:
    """Collect answers until all workers are done or time is up."""
    while running := [w for w in workers if w.is_running]:
        now = time.monotonic()
        if now >= until_s:
            for worker in running:
                worker.give_up("no time left in this pass")
            return
        poll = select.poll()
        by_fd = {w.pipe: w for w in running}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        wait_s = min([until_s, *(w.hangs_at_s() for w in running)]) - now
        for fd, _ in poll.poll(max(0.0, wait_s) * 1000 + 1):
            by_fd[fd].receive()
        for worker in running:
            worker.replace_if_hung()


class _Worker:
    """One group of facts and the child that reads it now."""

    def __init__(self, host: Host, facts: Sequence[type], deadline_s: float, until_s: float) -> None:
        self.host = host
        self.deadline_s = deadline_s
        self.until_s = until_s
        self.missing = list(facts)
        self.readings: dict[type, Reading] = {}
        self.hung: set[str] = set(host.hung)
        self._most_hung = len(self.hung) + MAX_HUNG
        self.is_running = False
        self._page = mmap.mmap(-1, _PAGE_BYTES)
        self.pid = self.pipe = -1

    def start(self) -> None:
        """Start a child for what is missing; with nothing missing there is nothing to do."""
        if not self.missing:
            return
        self._buffer = b""
        _leave(self._page, "")
        try:
            self.pipe, write_end = os.pipe()
            try:
                self.pid = os.fork()
            except OSError:
                os.close(self.pipe)
                os.close(write_end)
                raise
        except OSError as error:  # the node has no descriptor, process or memory to spare
            while self.missing:
                self._fail(FactError(self.missing[0].__name__, "failed", f"no worker: {error.strerror}"))
            return
        _PIPES.add(self.pipe)
        if self.pid == 0:
            self._read_and_exit(write_end)
        os.close(write_end)
        self.is_running = True

    def _read_and_exit(self, pipe: int) -> None:
        """Be the child: read facts and send them."""
        try:
            _settle(self.until_s)
            host, page = self.host, self._page
            host.touch, host.hung = lambda name: _leave(page, name), frozenset(self.hung)
            for fact in self.missing:
                notes = None
                if isinstance(host.machine, Recorder):
                    notes = host.machine.notes = Notes()
                raw = pickle.dumps((_read(host, fact), notes))
                raw = len(raw).to_bytes(4, "little") + raw
                while raw:
                    raw = raw[os.write(pipe, raw) :]
        finally:
            os._exit(1)

    def hangs_at_s(self) -> float:
        """Return when the child counts as hung, if it asks nothing new until then."""
        return int.from_bytes(self._page[:8], "little") * 1e-9 + self.deadline_s

    def receive(self) -> None:
        """Take what the child sent; the end of its pipe is the end of the child."""
        chunk = os.read(self.pipe, 1 << 16)
        self._buffer += chunk
        while len(self._buffer) >= (end := 4 + int.from_bytes(self._buffer[:4], "little")) > 4:
            reading, notes = pickle.loads(self._buffer[4:end])  # noqa: S301  # from our own child
            self._buffer = self._buffer[end:]
            self.readings[self.missing.pop(0)] = reading
            if notes is not None and isinstance(self.host.machine, Recorder):
                self.host.machine.notes.add(notes)
        if not self.missing:
            self.abandon()
        elif not chunk:
            self._crashed()

    def _crashed(self) -> None:
        asked, status = self._asked(), self.abandon()
        ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status >> 8}"
        self._note(asked, FactError(asked, "crashed", ended))
        self._fail(FactError(asked or self.missing[0].__name__, "crashed", ended))
        self.start()

    def replace_if_hung(self) -> None:
        """Kill a child that hangs, note its question, and let a new child go on."""
        if not self.is_running or time.monotonic() < self.hangs_at_s():
            return
        asked = self._asked()
        self.abandon()
        error = FactError(asked or self.missing[0].__name__, "timed_out", f"no answer in {self.deadline_s:g} s")
        if not asked or len(self.hung) >= self._most_hung:
            self._fail(error)
        else:
            self.hung.add(asked)
            self._note(asked, FactError(asked, "timed_out"))
        self.start()

    def give_up(self, why: str) -> None:
        """Say what is still missing, and what was being asked, and stop."""
        asked = self._asked()
        while self.missing:
            self._fail(FactError(asked or self.missing[0].__name__, "timed_out", why))
        self.abandon()

    def _fail(self, error: FactError) -> None:
        self.readings[self.missing.pop(0)] = Reading(error, 0.0)

    def _asked(self) -> str:
        return self._page[10 : 10 + int.from_bytes(self._page[8:10], "little")].decode(errors="replace")

    def _note(self, asked: str, error: FactError) -> None:
        """Record what only the parent saw: the child that asked has not lived to tell."""
        if asked and isinstance(self.host.machine, Recorder):
            self.host.machine.notes.add_error(asked, error)

    def abandon(self) -> int:
        """Kill the child and return its wait status, or 0 if it does not die (D state): never waits for it."""
        if not self.is_running:
            return 0
        self.is_running = False
        os.close(self.pipe)
        _PIPES.discard(self.pipe)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        _LEFT.append(self.pid)
        if not self.missing:
            return 0
        for _ in range(20):
            if statuses := _reap().get(self.pid):
                return statuses
            time.sleep(0.001)
        return 0


#: Read ends of the workers' pipes. A child that kept one open would keep its siblings from noticing our end.
_PIPES: set[int] = set()

#: Children that were killed and not yet seen dead; those in D state die when the kernel lets them.
_LEFT: list[int] = []


def _reap() -> dict[int, int]:
    """Collect children that are dead by now, without waiting. Returns wait status by PID."""
    dead = {}
    for pid in list(_LEFT):
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # somebody ignores SIGCHLD, and the kernel has reaped it
            found, status = pid, 0
        if found:
            _LEFT.remove(pid)
            dead[pid] = status
    return dead


def _leave(page: mmap.mmap, name: str) -> None:
    """Leave the question and the time on the shared page."""
    raw = name.encode(errors="replace")[: _PAGE_BYTES - 10]
    page[: 10 + len(raw)] = time.monotonic_ns().to_bytes(8, "little") + len(raw).to_bytes(2, "little") + raw


def _settle(until_s: float) -> None:
    """Make a child that nobody has to look after: it dies with its parent, or with the pass, and holds nothing.

    A child in D state lives on; were the caller's output open in it, whoever reads that to its end would hang too.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, min(max(0.0, until_s - time.monotonic()) + 1, _LONGEST_S))
    for fd in _PIPES:
        os.close(fd)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
