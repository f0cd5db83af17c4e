"""How long slurmd waits for `nodeproof-gate` on a healthy node, beside a health check in the manner of NHC.

Whole processes are timed from outside, spawned and waited for as slurmd does it. A round runs the gate several times
and then the script once (`nhc_style.sh`, ten checks, see there), so that what slows this machine for a while falls out
of the ratio of a round: its script over the median of its gates. Run it with `make gate-time`, on a quiet machine.
"""

import os
import statistics
import sys
import sysconfig
import tempfile
import time

from nodeproof.daemon.gate import Answer, Gate, write

ROUNDS, GATES_A_ROUND = 100, 20
WARM_UP = 50

PROGRAM = os.path.join(sysconfig.get_path("scripts"), "nodeproof-gate")
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nhc_style.sh")

ENVIRONMENT = {"SLURM_JOB_ID": "4711", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def milliseconds(argv: list[str]) -> float:
    began_ns = time.perf_counter_ns()
    pid = os.posix_spawn(argv[0], argv, ENVIRONMENT)
    _, status = os.waitpid(pid, 0)
    took_ns = time.perf_counter_ns() - began_ns
    if status != 0:
        sys.exit(f"{' '.join(argv)}: expected exit code 0, found wait status {status}")
    return took_ns / 1e6


def healthy(run_dir: str) -> None:
    """Leave the gate file of a healthy node, good for an hour."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    until_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 3600 * 10**9
    write(run_dir, Gate(boot_id, until_ns, Answer(0, ()), Answer(0, ()), Answer(0, ())))


def configuration(path: str) -> None:
    """Write ten checks that this machine passes."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        lines = [line.split(":") for line in file if ":" in line]
    sockets = {value.strip() for key, value in lines if key.strip() == "physical id"}
    threads = sum(key.strip() == "processor" for key, _ in lines)
    with open(f"/proc/{os.getpid()}/cmdline", "rb") as file:
        ourselves = os.path.basename(file.read().split(b"\0")[0].decode())
    checks = (
        "check_fs_mount_rw /",
        "check_fs_mount /proc proc",
        "check_fs_free / 1%",
        "check_fs_ifree / 1",
        f"check_hw_cpuinfo {len(sockets)} {threads}",
        "check_hw_physmem 16M 64T",
        "check_hw_swap 0 64T",
        "check_hw_eth lo",
        f"check_ps_service '*' {ourselves}",
        "check_ps_loadavg 10000",
    )
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"* || {check}\n" for check in checks)


def told(name: str, times: list[float]) -> str:
    ordered = sorted(times)
    p99 = ordered[len(ordered) * 99 // 100]
    return (
        f"{name:<28} {statistics.median(ordered):8.3f} {p99:8.3f} {ordered[0]:8.3f} {ordered[-1]:8.3f} ms "
        f"({len(ordered)} runs)"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as run_dir:
        healthy(run_dir)
        conf = os.path.join(run_dir, "nhc.conf")
        configuration(conf)
        gate = [PROGRAM, "--run-dir", run_dir, "prolog"]
        script = ["/bin/bash", SCRIPT, conf]
        nothing = ["/bin/true"]
        for _ in range(WARM_UP):
            milliseconds(gate)
        milliseconds(script)
        gates, scripts, ratios, empty = [], [], [], []
        for _ in range(ROUNDS):
            of_round = [milliseconds(gate) for _ in range(GATES_A_ROUND)]
            empty += [milliseconds(nothing) for _ in range(3)]
            scripts.append(milliseconds(script))
            gates += of_round
            ratios.append(scripts[-1] / statistics.median(of_round))
    print(f"{'whole process':<28} {'median':>8} {'p99':>8} {'min':>8} {'max':>8}")
    print(told("nodeproof-gate prolog", gates))
    print(told("/bin/true, for comparison", empty))
    print(told("ten checks in NHC's manner", scripts))
    ratios.sort()
    low, high = ratios[len(ratios) // 20], ratios[len(ratios) * 19 // 20]
    print(
        f"the gate is {statistics.median(ratios):.0f} times as fast "
        f"(median of {len(ratios)} rounds; nine of ten rounds: {low:.0f} to {high:.0f})"
    )


if __name__ == "__main__":
    main()
