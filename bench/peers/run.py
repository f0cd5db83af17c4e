"""Run the commands in rounds, each with an account of what else the machine did meanwhile."""

import os
import resource
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from peers.commands import Command
from peers.samples import Sample

DEADLINE_S = 90
_SERVER_START_S, _HOG_START_S = 0.2, 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Clocks(dict[str, float]):
    """Seconds by now: of the wall, of all CPUs busy, of all CPUs stolen by the host, of us and our ended children."""

    @classmethod
    def read(cls) -> "Clocks":
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, file.readline().split()[1:9])
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(
            wall=time.monotonic(),
            busy=(user + nice + system + irq + softirq) / _TICKS_PER_S,
            steal=steal / _TICKS_PER_S,
            own=sum(usage.ru_utime + usage.ru_stime for usage in usages),
        )

    def since(self, start: "Clocks") -> "Clocks":
        return Clocks({key: value - start[key] for key, value in self.items()})


def lacking(commands: Iterable[Command], ours: frozenset[str]) -> dict[str, str]:
    """Return why each command that cannot be run cannot. `ours` are the benchmarks that nodeproof-bench has."""
    return {command.id: reason for command in commands if (reason := _lack(command, ours))}


def _lack(command: Command, ours: frozenset[str]) -> str:
    program, name, *_ = command.text.split()
    if command.lacks:
        return command.lacks
    if program == "nodeproof-bench" and name not in ours:
        return f"nodeproof-bench has no {name} yet"
    missing = [program for program in _programs(command.text) if shutil.which(program) is None]
    return f"{missing[0]} is not installed" if missing else ""


def _programs(text: str) -> Iterator[str]:
    """Yield the programs that a command needs: the first word, and those that numactl, env or taskset start."""
    words = iter(shlex.split(text))
    for word in words:
        if word.startswith("-") or "=" in word or word.replace(",", "").isdigit():
            continue
        yield word
        if os.path.basename(word) not in {"numactl", "env", "taskset"}:
            return


def benchmarks() -> frozenset[str]:
    """Return the names that `nodeproof-bench --list` has."""
    listed = subprocess.run(
        ["nodeproof-bench", "--list"], capture_output=True, text=True, check=True, timeout=DEADLINE_S
    )
    return frozenset(line.split("\t")[0] for line in listed.stdout.splitlines())


def run_round(commands: list[Command], number: int, hog: str) -> Iterator[Sample]:
    """Run each command that is due, every other round in the opposite order: a steady drift then favours nobody."""
    for command in commands if number % 2 == 0 else reversed(commands):
        if number % command.every == 0:
            yield measure(command, number, hog)


def measure(command: Command, number: int, hog: str) -> Sample:
    """Run a command once. Its children have ended when the clocks are read again: their time is ours."""
    start = Clocks.read()
    output, error, wall_s = "", "", 0.0
    with ExitStack() as meanwhile:
        if command.server:
            meanwhile.enter_context(_meanwhile(command.server, _SERVER_START_S))
        if command.is_hogged:
            meanwhile.enter_context(_meanwhile(hog, _HOG_START_S))
        begun_s = time.monotonic()
        output, error = _output(command)
        wall_s = time.monotonic() - begun_s
    spent = Clocks.read().since(start)
    figures = {}
    if not error:
        try:
            figures = command.parse(output)
        except (ValueError, KeyError, IndexError) as problem:
            error = f"not understood: {type(problem).__name__}: {problem}"
    return Sample(
        number=number,
        command=command.id,
        text=command.shown,
        figures=figures,
        wall_s=wall_s,
        foreign_s=max(0.0, spent["busy"] - spent["own"]),
        steal_s=spent["steal"],
        cores=os.cpu_count() or 1,
        allowed_cores=command.foreign_cores,
        error=error,
    )


def _output(command: Command) -> tuple[str, str]:
    """Return what a command printed on both streams, and what went wrong."""
    with subprocess.Popen(
        shlex.split(command.text), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return "", f"took longer than {DEADLINE_S} s"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode not in command.passes:
        return "", f"exit status {process.returncode}: {err.strip()[-200:]}"
    return out or err, ""


@contextmanager
def _meanwhile(text: str, start_s: float) -> Iterator[None]:
    """Run something beside the commands."""
    with subprocess.Popen(
        shlex.split(text), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            time.sleep(start_s)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
