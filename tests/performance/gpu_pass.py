"""What a passive pass over eight NVIDIA GPUs costs in processor time, workers included, in several rounds.

The fake libnvidia-ml.so.1 answers: what the driver and the GPUs' firmware take is not among it. A round is what a
pass of the agent is: the engine forks a worker for what asks NVML and one for the rest, and judges all GPU checks but
those of benchmarks. Counted is processor time (user and system) of this process and of its workers until they are
gone. About half of it would be to import pynvml: the agent has done so before it forks, where a driver is loaded; a
hook, or `nodeproof check`, has not. Both are measured. Usage: gpu_pass.py [ROUNDS]; prints medians and spread.
"""

import gc
import importlib
import os
import resource
import shutil
import statistics
import subprocess  # the loader reads LD_LIBRARY_PATH only when a process starts
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from gpu_node import node_files, node_links, policy
from nodeproof.check import CheckSpec, registry
from nodeproof.engine.run import run
from nodeproof.host import Host
from nodeproof.host.base import Live, read_bounded, walk
from nodeproof.policy.settings import CheckSettings, Settings
from support import plant

GOAL_MS = 50.0
_BUILT = "NODEPROOF_FAKE_NVML_BUILT"


class PlantedFiles(Live):
    """This machine with files from a tree: read as live ones are, without the care that a recording needs."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = str(root)

    def read(self, path: str) -> bytes:
        return read_bounded(self._root + path)

    def glob(self, pattern: str) -> list[str]:
        return walk(self._root, pattern)

    def link(self, path: str) -> str:
        return os.readlink(self._root + path)


def _plant(root: Path) -> None:
    """Plant what sysfs and procfs show of eight GPUs; places of devices are links there."""
    for path, target in node_links().items():
        link = Path(f"{root}{path}")
        Path(os.path.normpath(link.parent / target)).mkdir(parents=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    plant(root, node_files())


def main(rounds: int) -> None:
    if _BUILT not in os.environ:
        _again_with_library()
    gc.disable()  # as nodeproof.__main__ and the agent's children do
    with tempfile.TemporaryDirectory(prefix="nodeproof-gpu-pass-") as directory:
        root = Path(directory)
        _plant(root)
        wanted = policy("H100")
        settings = Settings(checks={check_id: CheckSettings(parameters=values) for check_id, values in wanted.items()})
        specs = [spec for check_id, spec in registry().items() if check_id in wanted]
        each = _rounds(root, specs, settings, rounds)
        importlib.import_module("pynvml")  # workers are forks of this process
        once = _rounds(root, specs, settings, rounds)
    print(f"{len(specs)} checks, {rounds} rounds, ms of processor time and by the clock:")
    _print("as a hook: pynvml imported", each)
    _print("as the agent: imported before", once)
    print(f"the goal is at most {GOAL_MS:g} ms of processor time")


def _rounds(root: Path, specs: list[CheckSpec], settings: Settings, rounds: int) -> list[tuple[float, float]]:
    spent = []
    for _ in range(rounds + 1):
        began, began_ms = time.perf_counter(), _cpu_ms()
        outcome = run(Host(PlantedFiles(root)), specs, settings)
        took_ms = (time.perf_counter() - began) * 1000
        _wait_for_workers()
        spent.append((_cpu_ms() - began_ms, took_ms))
        assert {r.verdict.status.word for r in outcome.results} == {"ok", "skip"}, outcome.results[0]
    return spent[1:]  # the first one imports what every process does


def _print(name: str, spent: list[tuple[float, float]]) -> None:
    cpu, wall = (sorted(values) for values in zip(*spent, strict=True))
    for kind, values in (("CPU", cpu), ("clock", wall)):
        middle, p90 = statistics.median(values), values[len(values) * 9 // 10]
        print(f"{name:<32}{kind:<6} median {middle:6.1f}  from {values[0]:6.1f} to {values[-1]:6.1f}  p90 {p90:6.1f}")


def _cpu_ms() -> float:
    """Return processor time of this process and of its children that have been waited for."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage) * 1000


def _wait_for_workers() -> None:
    """Wait for workers that the engine did not: their time counts only then."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _again_with_library() -> None:
    """Start this program anew where the loader finds the fake library."""
    compiler = shutil.which("cc") or sys.exit("no C compiler to build the fake libnvidia-ml.so.1")
    with tempfile.TemporaryDirectory(prefix="nodeproof-fake-nvml-") as directory:
        library = Path(directory, "libnvidia-ml.so.1")
        command = [compiler, "-std=gnu17", "-O2", "-shared", "-fPIC", "-o", str(library)]
        subprocess.run([*command, str(Path(__file__).parent.parent / "fake_nvml" / "nvml.c")], check=True)
        environment = os.environ | {"LD_LIBRARY_PATH": directory, "FAKE_NVML": "generation=H100", _BUILT: "yes"}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25)
