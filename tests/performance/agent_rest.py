"""What the agent costs a node on which nothing happens: processor time, memory, wake-ups, and noise for a job.

Part one watches an agent with its default groups for ten minutes, beginning when its first passes are over. Part two
pins it to CPU 0 and runs fixed quanta of work there, ROUNDS times with the agent and ROUNDS times with it stopped
(SIGSTOP), in turns; a pair of neighbours is compared, so that what slows this machine for a while falls out. Run it
with `make agent-rest`, as root, on a quiet machine; `make agent-rest REST='--seconds 60 --rounds 5'` for a trial.
"""

import argparse
import contextlib
import os
import re
import signal
import statistics
import tempfile
import time
from pathlib import Path

from nodeproof.history import History, Position
from running_agent import RunningAgent

CPU = 0

#: Work of about half a millisecond, many times: a quantum of more than so many medians was disturbed.
QUANTUM_TURNS, QUANTA, MEDIANS = 20_000, 5_000, 1.5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agent-rest-") as home:
        agent = RunningAgent(Path(home))
        _pass_over_the_log(agent)
        agent.start()
        try:
            agent.judged()
            time.sleep(35)  # the first readings of counters, and whatever they woke
            at_rest(agent, options.seconds)
            if options.rounds:
                noise(agent, options.rounds)
        finally:
            assert agent.process is not None
            agent.process.send_signal(signal.SIGCONT)
            agent.stop()


def _pass_over_the_log(agent: RunningAgent) -> None:
    """Let the agent begin where the kernel log ends now: what earlier tests left there is no part of a node at rest."""
    last, kernel_log = 0, os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            with contextlib.suppress(BrokenPipeError):
                last = int(os.read(kernel_log, 8192).split(b",")[1])
    os.close(kernel_log)
    history = History(str(agent.state_dir))
    history.add_events([], Position(Path("/proc/sys/kernel/random/boot_id").read_text().strip(), last))
    history.close()


def at_rest(agent: RunningAgent, seconds: float) -> None:
    """Print what the agent and its passes cost over `seconds`."""
    before, switches = agent.status(), _switches(agent)
    time.sleep(seconds)
    after = agent.status()
    took_s = after["at"] - before["at"]
    cpu_s = after["cpu_s"] - before["cpu_s"]
    passes = {g["name"]: g["passes"] - b["passes"] for b, g in zip(before["groups"], after["groups"], strict=True)}
    print(
        f"at rest for {took_s:.0f} s: {cpu_s:.3f} s of processor time, passes included = {100 * cpu_s / took_s:.3f} %"
    )
    print(f"  passes: {', '.join(f'{n} {name}' for name, n in passes.items())}")
    print(f"  resident: {after['resident_bytes'] / 2**20:.1f} MiB; the most it ever was: {_peak_mib(agent):.1f} MiB")
    print(f"  wake-ups: {_switches(agent) - switches} in {took_s:.0f} s")


def noise(agent: RunningAgent, rounds: int) -> None:
    """Print how quanta of work fare beside the agent on one CPU, and without it."""
    assert agent.process is not None
    os.sched_setaffinity(agent.process.pid, {CPU})
    os.sched_setaffinity(0, {CPU})
    pairs = []
    for n in range(rounds):
        found = {}
        for is_running in (True, False) if n % 2 else (False, True):
            agent.process.send_signal(signal.SIGCONT if is_running else signal.SIGSTOP)
            time.sleep(0.2)
            found[is_running] = _disturbed()
        pairs.append((found[True], found[False]))
    for k, words in enumerate(("mean time of a quantum, us", "quanta disturbed, %", "p99.9 of a quantum, us")):
        ours, without = ([pair[i][k] for pair in pairs] for i in (0, 1))
        ratios = sorted(a / b for a, b in zip(ours, without, strict=True) if b)
        low, high = _interval(ratios)
        print(
            f"{words}: {statistics.median(ours):.3f} with, {statistics.median(without):.3f} without;"
            f" ratio of pairs {statistics.median(ratios):.4f} (95 %: {low:.4f} to {high:.4f})"
        )


def _disturbed() -> tuple[float, float, float]:
    """Return mean (us), share disturbed (%) and p99.9 (us) of quanta of the same work."""
    took = []
    for _ in range(QUANTA):
        began_ns = time.perf_counter_ns()
        for _ in range(QUANTUM_TURNS):
            pass
        took.append((time.perf_counter_ns() - began_ns) / 1e3)
    usual = statistics.median(took)
    late = sum(t > usual * MEDIANS for t in took)
    return statistics.fmean(took), 100 * late / len(took), sorted(took)[-len(took) // 1000]


def _interval(ratios: list[float]) -> tuple[float, float]:
    """Return order statistics that enclose the median with at least 95 % (binomial), or the whole range."""
    n = len(ratios)
    k = max(0, int((n - 1.96 * n**0.5) / 2))
    return ratios[k], ratios[n - 1 - k]


def _switches(agent: RunningAgent) -> int:
    return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", _proc(agent), re.MULTILINE)[0])


def _peak_mib(agent: RunningAgent) -> float:
    return int(re.findall(r"^VmHWM:\s+(\d+)", _proc(agent), re.MULTILINE)[0]) / 1024


def _proc(agent: RunningAgent) -> str:
    assert agent.process is not None
    return Path(f"/proc/{agent.process.pid}/status").read_text()


main()
