"""From an empty process to a running agent, and back."""

import asyncio
import contextlib
import fcntl
import gc
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from nodeproof.check import registry
from nodeproof.daemon.agent import Agent
from nodeproof.daemon.child import Children
from nodeproof.daemon.control import Control
from nodeproof.daemon.jobs import Jobs
from nodeproof.daemon.marks import Marks, wake_socket
from nodeproof.daemon.memory import Memory
from nodeproof.daemon.metrics import MetricsPage
from nodeproof.daemon.operator import Operator
from nodeproof.daemon.policy import Policy
from nodeproof.daemon.publish import Publisher
from nodeproof.daemon.sources import all_sources
from nodeproof.daemon.status import Status
from nodeproof.errors import NodeproofError
from nodeproof.history import History
from nodeproof.host.nvml_session import preload
from nodeproof.notify import Notifier
from nodeproof.verdict import harmless

_LINE_CHARS = 1000

#: How often history is trimmed, in seconds.
_TRIM_S = 3600.0

#: Most counters of jobs that are told one by one at a time.
_MOST_TOLD = 20


class Places(NamedTuple):
    """Where the agent publishes, where it keeps what must survive, and where its policy is (None: the default)."""

    run_dir: str
    state_dir: str
    policy_dir: str | None


async def serve(places: Places, say: Callable[[str], None]) -> None:
    """Run the agent until SIGTERM or SIGINT. Raises NodeproofError where it cannot be started at all."""
    notifier, children, policy = Notifier(), Children(), Policy(places.policy_dir)
    prepare(places.run_dir)
    with alone(places.run_dir):
        await _serve(places, notifier, children, policy, say)


async def _serve(
    places: Places, notifier: Notifier, children: Children, policy: Policy, say: Callable[[str], None]
) -> None:
    await policy.load(children)
    if not policy.loaded_at:
        raise NodeproofError(f"no policy to go by: {policy.problem}")
    if policy.problem:
        say(f"policy: {policy.problem}")
    history, operator = History(places.state_dir), Operator(places.state_dir)
    memory = Memory(history, *_boot())
    preload()
    agent = Agent(policy, memory, Publisher(places.run_dir, say), registry(), places.state_dir, say)
    agent.operator = operator.reason
    sources = all_sources(agent.deliver, agent.lose, history.position(), memory.boot_id)
    memory.unfollowed = sources.problems
    status = Status(agent, sources, operator)
    async with _Served(places, agent, status, notifier, say):
        sources.start()
        try:
            await agent.serve()
        finally:
            sources.stop()


def prepare(run_dir: str) -> None:
    """Make the run directory, or see that nobody else can write it. Raises NodeproofError."""
    try:
        os.makedirs(run_dir, mode=0o755, exist_ok=True)
        status = os.stat(run_dir)
    except OSError as error:
        raise NodeproofError(f"{run_dir}: {error.strerror} (--run-dir)") from error
    if status.st_uid not in {0, os.geteuid()} or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NodeproofError(f"{run_dir}: others may write there (expected an own directory, 0755)")


@contextlib.contextmanager
def alone(run_dir: str) -> Iterator[None]:
    """Hold the run directory for a `with` block. Raises NodeproofError while another agent has it."""
    path = os.path.join(run_dir, "lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of this process: its children do not hold it
        yield
    except BlockingIOError as error:
        raise NodeproofError(f"{path}: another agent runs here") from error
    finally:
        os.close(fd)


def _boot() -> tuple[str, float]:
    """Return this boot's id, and when it was (seconds since the epoch)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip(), time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class _Served:
    """What runs beside the loop: signals, the control socket, job marks, metrics, and the service manager."""

    def __init__(
        self, places: Places, agent: Agent, status: Status, notifier: Notifier, say: Callable[[str], None]
    ) -> None:
        self._agent, self._status, self._notifier, self._say = agent, status, notifier, say
        commands = {name: getattr(status, name) for name in ("status", "check", "reload", "drain", "resume")}
        self._control = Control(places.run_dir, commands)
        self._marks, self._jobs = Marks(places.run_dir), Jobs()
        self._wake = wake_socket(places.run_dir)
        self._metrics = MetricsPage(status.snapshot, say)
        self._trimmed_s = time.monotonic()

    async def __aenter__(self) -> None:
        loop, serving = asyncio.get_running_loop(), asyncio.current_task()
        assert serving is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, serving.cancel)
        loop.add_signal_handler(signal.SIGHUP, lambda: asyncio.ensure_future(self._reload()))
        settings = self._agent.policy.settings.agent
        if warning := await self._control.start(settings.socket_group):
            self._say(warning)
        loop.add_reader(self._wake, self._marked)
        self._agent.after_pass = self._after_pass
        self._agent.after_counters = self._after_counters
        self._agent.after_reload = self._after_reload
        await self._metrics.start(settings.metrics_listen)
        self._marked()
        gc.collect()
        gc.freeze()  # forked children then share these pages for good
        self._notifier.ready(f"watching {self._agent.policy.node}, {self._agent.policy.settings.mode}s")
        self._feed()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._notifier.stopping()
        self._agent.publisher.no_gate()
        await self._control.stop()
        await self._metrics.stop()
        self._agent.memory.history.close()
        return kind is asyncio.CancelledError

    async def _reload(self) -> None:
        self._notifier.reloading()
        await self._agent.reload()

    async def _after_reload(self) -> None:
        settings = self._agent.policy.settings.agent
        await self._metrics.start(settings.metrics_listen)
        if warning := self._control.let_in(settings.socket_group):
            self._say(warning)
        self._notifier.ready(f"watching {self._agent.policy.node}, {self._agent.policy.settings.mode}s")

    def _marked(self) -> None:
        self._wake.drain()
        marks = self._marks.read_new()
        if self._jobs.mark(marks, self._agent.memory.boot_id):
            self._agent.sample(has_prolog=any(mark.kind == "prolog" for mark in marks))

    def _after_counters(self, began_ns: int) -> None:
        """Tell what counters did while the jobs ran that have ended before these were read."""
        memory = self._agent.memory
        shares = self._jobs.read(memory.counters, began_ns)
        for share in shares:
            memory.history.add_job(time.time(), share._asdict())
        for share in shares[:_MOST_TOLD]:
            self._say(f"job {share.job_id} saw {share.delta} {share.name} on {share.part}")

    def _after_pass(self) -> None:
        memory, settings = self._agent.memory, self._agent.policy.settings.agent
        if not os.path.lexists(self._control.path):
            raise NodeproofError(f"{self._control.path} was removed: ended, to be started anew")
        self._metrics.write(settings.metrics_file)
        if time.monotonic() - self._trimmed_s >= _TRIM_S:
            self._trimmed_s = time.monotonic()
            memory.history.trim(settings.history_days * 86400, int(settings.history_mb * 1e6))

    def _feed(self) -> None:
        """Tell the watchdog that the loop still turns, twice in its time."""
        self._notifier.alive()
        if self._notifier.watchdog_s:
            asyncio.get_running_loop().call_later(self._notifier.watchdog_s / 2, self._feed)


def say(line: str) -> None:
    """Write a line for the journal, which puts the time to it."""
    sys.stderr.write(harmless(line, _LINE_CHARS) + "\n")
    sys.stderr.flush()
