"""Run a benchmark in a process of its own, within a deadline, and take its one line of JSON.

A crash on bad hardware is then a return code. Deliberately not here: what a result means
(`nodeproof_bench.result`) and whether it is good enough (`nodeproof_bench.checks`).
"""

import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from nodeproof.check import refuse_foreign
from nodeproof.errors import BenchError, FactError, PolicyError

PROGRAM = "nodeproof-bench"
SCHEMA = "nodeproof.bench/1"

#: How long one benchmark may take. Below the engine's own deadline of a question, which would say less.
DEADLINE_S = 4.5

#: Most that a program may write before it is stopped: a result is a few hundred bytes.
MAX_OUTPUT_BYTES = 256 << 10

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


def bench(name: str, *args: str) -> dict[str, Any]:
    """Run benchmark `name` of the installed program and return its result.

    To be called as `host.call(bench, name, …)`. Raises FactError, never of kind `absent`: that a
    benchmark is not installed or failed says nothing about the machine.
    """
    source = " ".join(["bench", name, *args])
    try:
        return run(find_program(), name, *args)
    except BenchError as error:
        raise as_fact_error(source, error) from error
    except PolicyError as error:
        raise FactError(source, "failed", str(error)) from error


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


def run(program: str, name: str, *args: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """Run one benchmark and return its result.

    Raises BenchError if the program cannot be started, fails or crashes, BenchTimedOut, BenchMalformed.
    """
    argv = [program, name, *args, "--die-with-parent", str(os.getpid())]
    status, out, err = _spawn(argv, time.monotonic() + deadline_s)
    tail = err.decode(errors="replace").strip()[-500:]
    if status is None:
        raise BenchTimedOut(argv, -signal.SIGKILL, f"no result in {deadline_s:g} s")
    if status != 0:
        raise BenchError(argv, status, tail)
    return _result(argv, name, out)


def _result(argv: Sequence[str], name: str, out: bytes) -> dict[str, Any]:
    try:
        result = json.loads(out, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
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
    if not math.isfinite(result["value"]):  # 1e999 is a number to JSON
        raise BenchMalformed(argv, 0, '"value" is not finite')
    return result


def _not_finite(word: str) -> float:
    raise ValueError(word)


def _spawn(argv: list[str], until_s: float) -> tuple[int | None, bytes, bytes]:
    """Run a program in its own session. Returns exit status (None: deadline passed), output, error output."""
    pipes = (os.pipe(), os.pipe())
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        *((os.POSIX_SPAWN_DUP2, write_end, fd) for fd, (_, write_end) in enumerate(pipes, 1)),
    ]
    try:
        try:
            pid = os.posix_spawn(
                argv[0],
                argv,
                {"LC_ALL": "C"},
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE),
            )
        except OSError as error:
            raise BenchError(argv, 127, f"cannot be started: {error.strerror}") from error
        finally:
            for _, write_end in pipes:
                os.close(write_end)
        try:
            out, err = _drain([read_end for read_end, _ in pipes], until_s)
            if max(len(out), len(err)) > MAX_OUTPUT_BYTES:
                raise BenchMalformed(argv, 0, f"printed more than {MAX_OUTPUT_BYTES} bytes")
            is_done = _has_ended(pid, until_s)
        finally:
            status = _end(pid)
        return status if is_done else None, out, err
    finally:
        for read_end, _ in pipes:
            os.close(read_end)


def _drain(fds: Sequence[int], until_s: float) -> list[bytes]:
    """Return what comes through each pipe until its end, the deadline, or too much."""
    taken = dict.fromkeys(fds, b"")
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    waiting = set(fds)
    while waiting and (left_s := until_s - time.monotonic()) > 0:
        for fd, _ in poll.poll(left_s * 1000 + 1):
            chunk = os.read(fd, 1 << 16)
            taken[fd] += chunk
            if len(taken[fd]) > MAX_OUTPUT_BYTES:
                return [taken[f] for f in fds]
            if not chunk:
                poll.unregister(fd)
                waiting.discard(fd)
    return [taken[fd] for fd in fds]


def _has_ended(pid: int, until_s: float) -> bool:
    """Wait until the process has ended, at most until the deadline. It stays a zombie: its group keeps its number."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= until_s:
            return False
        time.sleep(0.002)
    return True


def _end(pid: int) -> int | None:
    """Kill what is left of the process's group. Returns its exit status, negative for a signal; None in D state."""
    os.killpg(pid, signal.SIGKILL)
    if not _has_ended(pid, time.monotonic() + 0.2):
        return None
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def as_fact_error(source: str, error: BenchError) -> FactError:
    """Return why the fact could not be had: never that the machine lacks the part."""
    if isinstance(error, BenchTimedOut):
        return FactError(source, "timed_out", error.tail)
    if isinstance(error, BenchMalformed):
        return FactError(source, "malformed", error.tail)
    if error.returncode < 0:
        name = signal.strsignal(-error.returncode)
        return FactError(source, "crashed", f"ended by signal {-error.returncode} ({name})")
    return FactError(source, "failed", error.tail or f"exit {error.returncode}")
