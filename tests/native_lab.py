"""Builds of the C core by other compilers, and machines to run them on that this one is not."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

NATIVE = Path(__file__).parents[1] / "native"

#: What a small or emulated machine can do in a moment, where a benchmark would choose something larger.
SMALL: dict[str, tuple[str, ...]] = {
    "memory.": ("--bytes", "6M"),
    "memory.verify": ("--share", "0.001"),
    "numa.": ("--bytes", "6M"),
    "disk.": ("--bytes", "4M"),
}


@dataclass(frozen=True)
class Toolchain:
    """A way to build: the first of these compilers that is there, the packages that bring one, what CMake is told."""

    compilers: tuple[str, ...]
    packages: tuple[str, ...]
    options: tuple[str, ...] = ()


STATIC = "-DCMAKE_EXE_LINKER_FLAGS=-static"

TOOLCHAINS = {
    "gcc": Toolchain(("gcc",), ("gcc", "libc6-dev"), (STATIC,)),
    "aarch64": Toolchain(
        ("aarch64-linux-gnu-gcc",),
        ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"),
        (STATIC, "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"),
    ),
    "clang": Toolchain(("clang", *(f"clang-{n}" for n in range(30, 13, -1))), ("clang",)),
    "musl": Toolchain(("musl-gcc",), ("musl-tools",), (STATIC,)),
    "asan": Toolchain(("gcc",), ("gcc", "libc6-dev"), ("--preset", "asan")),
    "tsan": Toolchain(("gcc",), ("gcc", "libc6-dev"), ("--preset", "tsan")),
}


@dataclass(frozen=True)
class Machine:
    """How to run what a toolchain built, and the instructions that this machine has, widest first."""

    toolchain: str
    command: tuple[str, ...]
    isas: tuple[str, ...]


def _x86(cpu: str, *isas: str) -> Machine:
    return Machine("gcc", ("qemu-x86_64-static", "-cpu", cpu), isas)


def _arm(cpu: str, *isas: str) -> Machine:
    return Machine("aarch64", ("qemu-aarch64-static", "-cpu", cpu), isas)


EMULATED = {
    "nehalem": _x86("Nehalem", "sse2", "generic"),
    "haswell": _x86("Haswell", "avx2", "sse2", "generic"),
    "cortex-a72": _arm("cortex-a72", "neon", "generic"),
    "sve-128": _arm("max,sve128=on", "sve", "neon", "generic"),
    "sve-256": _arm("max,sve256=on", "sve", "neon", "generic"),
    "sve-512": _arm("max,sve512=on", "sve", "neon", "generic"),
}

#: The address space is not shuffled: the thread sanitizer of gcc 12 does not find its place in one that is too well.
REAL = {
    "clang": Machine("clang", (), ()),
    "musl": Machine("musl", (), ()),
    "asan": Machine("asan", (), ()),
    "tsan": Machine("tsan", ("setarch", "--addr-no-randomize"), ()),
}

MACHINES = EMULATED | REAL


def need(programs: tuple[str, ...], packages: tuple[str, ...]) -> str:
    """Return the path of the first program that is there, installed if none is; skip the test where that cannot be."""
    if path := _which(programs):
        return path
    if shutil.which("apt-get") is None:
        pytest.skip(f"needs {programs[0]}, and this is no Debian to install {' '.join(packages)} on")
    _install(packages)
    path = _which(programs)
    assert path, f"{' '.join(packages)} did not bring {programs[0]}"
    return path


def _which(programs: tuple[str, ...]) -> str | None:
    return next((path for program in programs if (path := shutil.which(program))), None)


@cache
def _install(packages: tuple[str, ...]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", "-qq", *argv], capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr


def tool(name: str) -> str:
    """Return cmake or ctest, which are in the virtual environment if nowhere else."""
    path = shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))
    assert path, f"needs {name}: pip install cmake"
    return path


class Builds:
    """The C core, built when it is first asked for, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.built: set[str] = set()

    def get(self, name: str) -> Path:
        """Return the folder of a build: `nodeproof-bench` and `tests/test_*`."""
        build = self.folder / name
        if name not in self.built:
            toolchain = TOOLCHAINS[name]
            compiler = need(toolchain.compilers, toolchain.packages)
            options = [f"-DCMAKE_C_COMPILER={compiler}", "-DNODEPROOF_WERROR=ON", *toolchain.options]
            _checked([tool("cmake"), "-S", str(NATIVE), "-B", str(build), *options])
            _checked([tool("cmake"), "--build", str(build), "--parallel", str(os.cpu_count())])
            self.built.add(name)
        return build


def _checked(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=NATIVE)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


class Runner:
    """Runs the programs of a build on a machine."""

    def __init__(self, name: str, builds: Builds) -> None:
        self.machine = MACHINES[name]
        self.command = list(self.machine.command)
        if self.command and self.command[0].startswith("qemu-"):
            self.command[0] = need((self.command[0],), ("qemu-user-static",))
        self.build = builds.get(self.machine.toolchain)

    def run(self, program: Path, *args: str) -> "subprocess.CompletedProcess[str]":
        argv = [*self.command, str(program), *args]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)

    def bench(self, name: str, *args: str, seconds: str = "0.05") -> "subprocess.CompletedProcess[str]":
        """Run a benchmark, small."""
        size = max((prefix for prefix in SMALL if name.startswith(prefix)), key=len, default=None)
        options = SMALL[size] if size else ()
        return self.run(self.build / "nodeproof-bench", name, "--seconds", seconds, *options, *args)

    def measure(self, name: str, *args: str) -> dict[str, Any]:
        done = self.bench(name, *args)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def names(self) -> list[str]:
        """Return the benchmarks that it has."""
        listed = self.run(self.build / "nodeproof-bench", "--list")
        assert listed.returncode == 0, listed.stderr
        return [line.split("\t")[0] for line in listed.stdout.splitlines()]

    def test_programs(self) -> list[Path]:
        return sorted(p for p in (self.build / "tests").glob("test_*") if p.is_file() and os.access(p, os.X_OK))
