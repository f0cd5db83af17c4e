"""Where the milliseconds of a pass go, against the bare interpreter, in interleaved rounds.

Whole processes are timed from outside, `python -I` start included; GPU checks are left out (NVML
alone takes longer than all the rest). Prints medians with their spread, and the ratio to the peer,
pair by pair. Run it with `make pass-time`.
"""

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 21

BARE = [sys.executable, "-I", "-c", "pass"]
CLICK = [sys.executable, "-I", "-c", "import click"]
IMPORTS = [sys.executable, "-I", "-c", "import nodeproof.cli.check; from nodeproof.check import registry; registry()"]


def subjects() -> list[str]:
    argv = [sys.executable, "-I", "-m", "nodeproof", "list", "--json"]
    listed = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    return sorted({c["id"].partition(".")[0] + ".*" for c in listed if "bench" not in c["tags"]} - {"gpu.*"})


def milliseconds(argv: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=False, capture_output=True)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    full = [sys.executable, "-I", "-m", "nodeproof", "check", "--json", *subjects()]
    commands = {"bare interpreter": BARE, "+ click": CLICK, "+ all our imports": IMPORTS, "whole pass": full}
    for argv in commands.values():
        milliseconds(argv)
    rounds = [{name: milliseconds(argv) for name, argv in commands.items()} for _ in range(ROUNDS)]
    print(f"{'':<20} {'median':>8} {'min':>8} {'max':>8} ms   ratio to bare interpreter (median, min-max)")
    for name in commands:
        times = [r[name] for r in rounds]
        ratios = [r[name] / r["bare interpreter"] for r in rounds]
        print(
            f"{name:<20} {statistics.median(times):8.1f} {min(times):8.1f} {max(times):8.1f}      "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
    stages = stages_of(full)
    print("inside one pass (median of the stages it reports itself):")
    for stage, values in stages.items():
        print(f"  {stage:<18} {statistics.median(values):8.1f} ms")


def stages_of(argv: list[str]) -> dict[str, list[float]]:
    stages: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        done = subprocess.run([*argv, "--trace"], check=False, capture_output=True, text=True)
        for line in done.stderr.splitlines():
            kind, rest = line.split(maxsplit=1)
            if kind == "stage":
                name, value, _ = rest.rsplit(maxsplit=2)
                stages.setdefault(name.strip(), []).append(float(value))
    return stages


if __name__ == "__main__":
    main()
