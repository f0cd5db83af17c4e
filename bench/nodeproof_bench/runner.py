"""Run a benchmark in a process of its own, within a deadline, and take its one line of JSON.

A crash on bad hardware is then a return code. Deliberately not here: what a result means
(`nodeproof_bench.result`) and whether it is good enough (`nodeproof_bench.checks`).
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nodeproof.check import refuse_foreign
from nodeproof.errors import BenchError, FactError, Kind
from nodeproof_bench.strict_json import loads

PROGRAM = "nodeproof-bench"
SCHEMA = "nodeproof.bench/1"

#: How long one benchmark may take where the caller has no estimate.
DEADLINE_S = 10.0

#: Most that a program may write before it is stopped: a matrix of 192 cores is 2 MB.
MAX_OUTPUT_BYTES = 4 << 20

#: How long a program that is to end may take to remove what it made before it is killed, and then to give back its
#: memory: a terabyte takes seconds.
_GRACE_S, _DEATH_S = 0.3, 5.0

#: How often a caller hears that the program still runs: each time takes processor time from what is measured.
_TICK_S = 0.5

#: Signals that end us, and with us the program.
_STOPPING = (signal.SIGINT, signal.SIGTERM)

#: How long the program may take to say what it has.
_LIST_S = 10.0

#: What the program exits with where the machine, or the build, lacks what a benchmark needs.
_EXIT_IMPOSSIBLE = 3

#: Where the RPM and DEB packages install it.
_LIBEXEC = "/usr/libexec/nodeproof"

#: What every result has, whatever was measured; `native/schema/result.schema.json` says more.
_KEYS: dict[str, tuple[type, ...]] = {
    "unit": (str,),
    "value": (int, float),
    "samples": (int,),
    "cpus": (str,),
    "isa": (str,),
    "compiler": (str,),
}


class BenchTimedOut(BenchError):
    """It took longer than its deadline and was killed with all its children."""


class BenchMalformed(BenchError):
    """It said that it succeeded, but what it printed is no result."""


def find_program() -> str:
    """Return the path of the installed program. Raises BenchError, or PolicyError if others could have written it."""
    import sysconfig

    places = (sysconfig.get_path("scripts"), os.path.dirname(sys.executable), _LIBEXEC)
    for place in places:
        path = os.path.join(place, PROGRAM)
        if os.access(path, os.X_OK):
            refuse_foreign(os.path.realpath(path))
            return path
    raise BenchError([PROGRAM], 127, f"not installed: it is in none of {', '.join(places)}")


def run(
    program: str, name: str, *args: str, deadline_s: float = DEADLINE_S, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Run one benchmark and return its result. `tick` is called every now and then while it runs.

    Raises BenchError if the program cannot be started, fails or crashes, BenchTimedOut, BenchMalformed.
    """
    argv = [program, name, *args, "--die-with-parent", str(os.getpid())]
    status, out, err = _spawn(argv, time.monotonic() + deadline_s, tick)
    tail = err.decode(errors="replace").strip()[-500:]
    if status is None:
        raise BenchTimedOut(argv, -signal.SIGKILL, f"no result in {deadline_s:g} s")
    if status != 0:
        raise BenchError(argv, status, tail)
    return _result(argv, name, out)


class Listed(NamedTuple):
    """What the program says of one of its benchmarks; `seconds` is how long it measures at most by default."""

    unit: str
    seconds: float
    title: str
    needs: str


def listed(program: str) -> dict[str, Listed]:
    """Return the benchmarks that the program has, by name. Raises BenchError."""
    argv = [program, "--list"]
    status, out, err = _spawn(argv, time.monotonic() + _LIST_S)
    if status is None:
        raise BenchTimedOut(argv, -signal.SIGKILL, f"no answer in {_LIST_S:g} s")
    if status != 0:
        raise BenchError(argv, status, err.decode(errors="replace").strip()[-500:])
    rows = [line.split("\t") for line in out.decode(errors="replace").splitlines()]
    try:
        return {name: Listed(unit, float(seconds), title, needs) for name, unit, seconds, title, needs in rows}
    except ValueError as error:
        raise BenchMalformed(argv, 0, f"expected name, unit, seconds, title and needs on a line: {error}") from error


def _result(argv: Sequence[str], name: str, out: bytes) -> dict[str, Any]:
    try:
        result = loads(out)
    except ValueError as error:
        raise BenchMalformed(argv, 0, f"expected one line of JSON, found {out[:80]!r}") from error
    if not isinstance(result, dict) or out.count(b"\n") != 1 or not out.endswith(b"\n"):
        raise BenchMalformed(argv, 0, f"expected one JSON object on one line, found {out[:80]!r}")
    for key, expected in (("schema", SCHEMA), ("name", name)):
        if result.get(key) != expected:
            raise BenchMalformed(argv, 0, f'"{key}" is {str(result.get(key))[:80]!r}, expected {expected!r}')
    for key, types in _KEYS.items():
        value = result.get(key)
        if not isinstance(value, types) or isinstance(value, bool):
            raise BenchMalformed(argv, 0, f'"{key}" is {str(value)[:80]!r}')
    return result


def _spawn(argv: list[str], until_s: float, tick: Callable[[], None] = lambda: None) -> tuple[int | None, bytes, bytes]:
    """Run a program in its own session. Returns exit status (None: deadline passed), output, error output."""
    pipes = (os.pipe(), os.pipe())
    read_ends = [read_end for read_end, _ in pipes]
    # a signal that came between its start and the `try` below would leave the program to itself
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        pid = _start(argv, [write_end for _, write_end in pipes])
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            out, err = _drain(read_ends, until_s, tick)
            if max(len(out), len(err)) > MAX_OUTPUT_BYTES:
                raise BenchMalformed(argv, 0, f"printed more than {MAX_OUTPUT_BYTES} bytes")
            is_done = _has_ended(pid, until_s)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
            status = _end(pid)
        return status if is_done else None, out, err
    finally:
        for read_end in read_ends:
            os.close(read_end)
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)


def _start(argv: list[str], outputs: Sequence[int]) -> int:
    """Start a program that writes to these two pipes, and close our ends of them. Returns its PID."""
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        *((os.POSIX_SPAWN_DUP2, write_end, fd) for fd, write_end in enumerate(outputs, 1)),
    ]
    try:
        return os.posix_spawn(
            argv[0],
            argv,
            {"LC_ALL": "C"},
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=(*_STOPPING, signal.SIGPIPE),
        )
    except OSError as error:
        raise BenchError(argv, 127, f"cannot be started: {error.strerror}") from error
    finally:
        for write_end in outputs:
            os.close(write_end)


def _drain(fds: Sequence[int], until_s: float, tick: Callable[[], None]) -> list[bytes]:
    """Return what comes through each pipe until its end, the deadline, or too much."""
    taken = dict.fromkeys(fds, b"")
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    waiting = set(fds)
    while waiting and (left_s := until_s - time.monotonic()) > 0:
        for fd, _ in poll.poll(min(left_s, _TICK_S) * 1000 + 1):
            chunk = os.read(fd, 1 << 16)
            taken[fd] += chunk
            if len(taken[fd]) > MAX_OUTPUT_BYTES:
                return [taken[f] for f in fds]
            if not chunk:
                poll.unregister(fd)
                waiting.discard(fd)
        tick()
    return [taken[fd] for fd in fds]


def _has_ended(pid: int, until_s: float) -> bool:
    """Wait until the process has ended, at most until the deadline. It stays a zombie: its group keeps its number."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= until_s:
            return False
        time.sleep(0.002)
    return True


def _end(pid: int) -> int | None:
    """End what is left of the process's group. Returns its exit status, negative for a signal; None in D state."""
    os.kill(pid, signal.SIGTERM)  # nothing to a zombie
    _has_ended(pid, time.monotonic() + _GRACE_S)
    os.killpg(pid, signal.SIGKILL)
    if not _has_ended(pid, time.monotonic() + _DEATH_S):
        return None
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def as_fact_error(source: str, error: BenchError) -> FactError:
    """Return why there is no result; kind `absent` if the machine or the build lacks what the benchmark needs."""
    if isinstance(error, BenchTimedOut):
        return FactError(source, "timed_out", error.tail)
    if isinstance(error, BenchMalformed):
        return FactError(source, "malformed", error.tail)
    if error.returncode < 0:
        name = signal.strsignal(-error.returncode)
        hint = ", by the kernel if memory ran out" if error.returncode == -signal.SIGKILL else ""
        return FactError(source, "crashed", f"ended by signal {-error.returncode} ({name}){hint}")
    kind: Kind = "absent" if error.returncode == _EXIT_IMPOSSIBLE else "failed"
    return FactError(source, kind, error.tail or f"exit {error.returncode}")
