"""Work in a child: what it returns, and every way in which it can fail."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodeproof.daemon.child import Answered, ChildFailed, Children


def run(work: Callable[[], Any], limit_s: float = 20.0) -> Answered:
    return asyncio.run(Children().run(work, limit_s))


def test_an_answer_comes_back_with_what_it_cost() -> None:
    def work() -> tuple[int, bytes]:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        return os.getpid(), b"x" * 5_000_000

    answered = run(work)

    assert answered.value[0] != os.getpid()
    assert len(answered.value[1]) == 5_000_000
    assert answered.cpu_s >= 0.05


def test_what_it_raises_is_said_in_one_harmless_line() -> None:
    def work() -> None:
        raise ValueError("no\nsuch\x1b[31m thing")

    with pytest.raises(ChildFailed, match=r"^ValueError: no\?such\?\[31m thing$"):
        run(work)


def test_a_crash_is_said() -> None:
    with pytest.raises(ChildFailed, match="ended without an answer"):
        run(lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_an_answer_that_cannot_be_sent_is_said() -> None:
    with pytest.raises(ChildFailed, match="its answer cannot be sent: "):
        run(lambda: lambda: 1)


class Stubborn(Exception):
    """Cannot be made again from what it was made of: many exceptions are like this."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def test_an_answer_that_cannot_be_read_is_said() -> None:
    with pytest.raises(ChildFailed, match="its answer cannot be read: TypeError"):
        run(lambda: Stubborn("a", "b"))


def test_a_process_without_descriptors_is_told_so() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def starved() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(ChildFailed, match="no pipe for a child process: Too many open files"):
                await Children().run(lambda: 1, 20)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    asyncio.run(starved())


def test_it_is_killed_with_all_that_it_started_when_time_is_up(tmp_path: Path) -> None:
    started = tmp_path / "pid"

    def work() -> None:
        if (grandchild := os.fork()) == 0:
            time.sleep(600)
        started.write_text(str(grandchild))
        time.sleep(600)

    with pytest.raises(ChildFailed, match=r"no answer in 0\.5 s"):
        run(work, 0.5)
    assert is_gone(int(started.read_text()))


def test_a_worker_that_outlives_it_does_not_hold_the_answer_up() -> None:
    def work() -> str:
        if os.fork() == 0:
            os.setsid()  # as if it could not be killed
            time.sleep(3)
            os._exit(0)
        return "done"

    began_s = time.monotonic()
    assert run(work).value == "done"
    assert time.monotonic() - began_s < 2.5


def test_the_loop_goes_on_meanwhile() -> None:
    async def both() -> int:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        turning = asyncio.ensure_future(turn())
        await Children().run(lambda: time.sleep(0.3), 20)
        turning.cancel()
        return turns

    assert asyncio.run(both()) >= 3


def test_being_cancelled_kills_it() -> None:
    reading, writing = os.pipe()

    async def cancelled() -> None:
        def work() -> None:
            os.write(writing, str(os.getpid()).encode())
            time.sleep(600)

        running = asyncio.ensure_future(Children().run(work, 600))
        loop, began = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(reading, began.set)
        await began.wait()
        loop.remove_reader(reading)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    assert is_gone(int(os.read(reading, 20)))
    os.close(reading)
    os.close(writing)


def is_gone(pid: int) -> bool:
    """Tell whether a process is dead, or soon will be."""
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
