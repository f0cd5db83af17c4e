"""The worker against real hangs, crashes and slow readers: real child processes, real FIFOs."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from nodeproof.engine.worker import MAX_HUNG, read_facts
from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact


def read(host: Host, *facts: type, deadline_s: float = 0.3, budget_s: float = 10.0) -> dict[type, object]:
    until_s = time.monotonic() + budget_s
    return {f: r.value for f, r in read_facts(host, facts, deadline_s=deadline_s, until_s=until_s).items()}


FIFO = ""


@fact("a FIFO that nobody writes")
class Hanging(NamedTuple):
    known: dict[str, str]
    unread: list[str]

    @classmethod
    def read(cls, host: Host) -> Self:
        known, unread = {}, []
        for path in ("/proc/version", FIFO, "/proc/uptime"):
            try:
                known[path] = host.text(path)
            except FactError as error:
                unread.append(f"{error.source} {error.kind}")
        return cls(known, unread)


@fact("a FIFO that nobody writes")
class HangingWhole(NamedTuple):
    text: str

    @classmethod
    def read(cls, host: Host) -> Self:
        return cls(host.text(FIFO))


@fact("/proc/version")
class Healthy(NamedTuple):
    text: str

    @classmethod
    def read(cls, host: Host) -> Self:
        return cls(host.text("/proc/version"))


@fact("nothing")
class Crashing(NamedTuple):
    text: str

    @classmethod
    def read(cls, host: Host) -> Self:
        text = host.text("/proc/version")
        faulthandler.disable()  # pytest's; its report would look like a failure
        os.kill(os.getpid(), signal.SIGSEGV)
        return cls(text)


@fact("nothing")
class Buggy(NamedTuple):
    text: str

    @classmethod
    def read(cls, host: Host) -> Self:
        return cls(str(1 // len([])))


@fact("nothing", isolated=True)
class Spinning(NamedTuple):
    text: str

    @classmethod
    def read(cls, host: Host) -> Self:
        host.text("/proc/version")
        while True:
            pass


@fact("/proc/self/fd")
class OpenFiles(NamedTuple):
    links: dict[str, str]

    @classmethod
    def read(cls, host: Host) -> Self:
        return cls({p: host.link(p) for p in ("/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2")})


@fact("a FIFO that nobody writes", isolated=True, library="one")
class OfLibrary(NamedTuple):
    pid: int
    hung: list[str]

    @classmethod
    def read(cls, host: Host) -> Self:
        hung = []
        try:
            host.text(FIFO)
        except FactError as error:
            hung.append(f"{error.source} {error.kind}")
        return cls(os.getpid(), hung)


@fact("a FIFO that nobody writes", isolated=True, library="one")
class OfSameLibrary(OfLibrary):
    pass


@fact("a FIFO that nobody writes", isolated=True, library="another")
class OfOtherLibrary(OfLibrary):
    pass


def plant_fifo(tmp_path: Path) -> str:
    global FIFO  # noqa: PLW0603
    FIFO = str(tmp_path / "fifo")
    os.mkfifo(FIFO)
    return FIFO


def test_a_hung_path_is_named_and_the_rest_of_the_fact_is_read(tmp_path: Path) -> None:
    fifo = plant_fifo(tmp_path)

    readings = read(Host(), Hanging, Healthy)

    value = readings[Hanging]
    assert isinstance(value, Hanging)
    assert list(value.known) == ["/proc/version", "/proc/uptime"]
    assert value.unread == [f"{fifo} timed_out"]
    assert isinstance(readings[Healthy], Healthy)


def test_a_fact_that_hangs_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    fifo = plant_fifo(tmp_path)

    error = read(Host(), HangingWhole)[HangingWhole]

    assert isinstance(error, FactError)
    assert (error.source, error.kind) == (fifo, "timed_out")


def test_the_budget_is_kept_whatever_hangs(tmp_path: Path) -> None:
    plant_fifo(tmp_path)
    began = time.monotonic()

    error = read(Host(), HangingWhole, deadline_s=60, budget_s=0.5)[HangingWhole]

    assert time.monotonic() - began < 2
    assert isinstance(error, FactError)
    assert error.detail == "no time left in this pass"


def test_a_crash_loses_one_fact_and_names_the_signal() -> None:
    readings = read(Host(), Crashing, Healthy)

    error = readings[Crashing]
    assert isinstance(error, FactError)
    assert (error.kind, error.detail, error.source) == ("crashed", "SIGSEGV", "/proc/version")
    assert isinstance(readings[Healthy], Healthy)


def test_a_bug_in_a_probe_is_malformed_not_a_crash() -> None:
    error = read(Host(), Buggy, Healthy)[Buggy]

    assert isinstance(error, FactError)
    assert error.kind == "malformed"
    assert "ZeroDivisionError" in error.detail


def test_a_probe_that_spins_is_stopped_and_holds_up_nobody() -> None:
    readings = read(Host(), Spinning, Healthy, budget_s=20)

    error = readings[Spinning]
    assert isinstance(error, FactError)
    assert error.kind == "timed_out"
    assert isinstance(readings[Healthy], Healthy)


def test_facts_of_one_library_share_a_worker_and_what_hangs_costs_its_deadline_once(tmp_path: Path) -> None:
    fifo = plant_fifo(tmp_path)

    began = time.monotonic()
    values = read(Host(), OfLibrary, OfOtherLibrary, OfSameLibrary, deadline_s=0.5)

    assert time.monotonic() - began < 0.9
    found = [values[f] for f in (OfLibrary, OfSameLibrary, OfOtherLibrary)]
    assert all(isinstance(value, OfLibrary) for value in found)
    first, same, other = (value for value in found if isinstance(value, OfLibrary))
    assert (first.pid == same.pid, first.pid == other.pid) == (True, False)
    assert first.hung == same.hung == [f"{fifo} timed_out"]


def test_no_child_is_left_behind(tmp_path: Path) -> None:
    plant_fifo(tmp_path)
    others = children()  # of fixtures of other tests

    read(Host(), HangingWhole, Crashing, Healthy, Spinning)

    until_s = time.monotonic() + 5
    while {"R", "S"} & {state_of(pid) for pid in children() - others}:
        assert time.monotonic() < until_s


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def state_of(pid: str) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_child_holds_none_of_the_callers_streams() -> None:
    value = read(Host(), OpenFiles)[OpenFiles]

    assert isinstance(value, OpenFiles)
    assert set(value.links.values()) == {"/dev/null"}


def run_alone(tmp_path: Path, call: str) -> "subprocess.Popen[str]":
    """Start a process of its own that reads a fact which hangs."""
    fifo = plant_fifo(tmp_path)
    code = f"import test_worker as t; t.FIFO = {fifo!r}; {call}"
    environment = os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parent.parent}"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def children_of(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition: Callable[[], object]) -> None:
    until_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until_s


def test_children_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    process = run_alone(tmp_path, "t.read(t.Host(), t.HangingWhole, t.Spinning, deadline_s=60, budget_s=2)")
    wait_until(lambda: len(children_of(process.pid)) == 2)
    children = children_of(process.pid)

    process.kill()
    process.communicate()

    wait_until(lambda: not any(Path(f"/proc/{c}").exists() for c in children))


def test_a_parent_that_ignores_its_children_still_gets_their_facts(tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    process = run_alone(tmp_path, f"{ignore}; print(len(t.read(t.Host(), t.Healthy, t.Crashing, t.HangingWhole)))")

    assert process.communicate(timeout=60)[0] == "3\n"


def test_no_descriptor_to_spare_is_unknown_not_a_crash(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))"
    process = run_alone(tmp_path, f"{limit}; print(t.read(t.Host(), t.Healthy, t.Spinning)[t.Healthy])")

    assert process.communicate(timeout=60)[0] == "Healthy: failed (no worker: Too many open files)\n"


@fact("many FIFOs that nobody writes")
class HangingOften(NamedTuple):
    hung: int

    @classmethod
    def read(cls, host: Host) -> Self:
        hung = 0
        for n in range(20):
            try:
                host.text(f"{FIFO}{n}")
            except FactError:
                hung += 1
        return cls(hung)


def test_a_fact_whose_every_question_hangs_is_given_up(tmp_path: Path) -> None:
    fifo = plant_fifo(tmp_path)
    for n in range(20):
        os.mkfifo(f"{fifo}{n}")

    value = read(Host(), HangingOften, Healthy, deadline_s=0.3)[HangingOften]

    assert isinstance(value, FactError)
    assert value.source == f"{fifo}{MAX_HUNG}"
