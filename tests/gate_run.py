"""`nodeproof-gate` as slurmd runs it: whole processes, next to no environment, and a Python beside it that we chose."""

import shutil
import subprocess
import sysconfig
import time
from pathlib import Path

from nodeproof.daemon.gate import Answer, Gate, write

PROGRAM = Path(sysconfig.get_path("scripts")) / "nodeproof-gate"

KINDS = ("healthcheck", "prolog", "epilog")

WELL = Answer(0, ())

#: What the stand-in for Python says and ends with, when no other was planted.
FELL_BACK = "python -I -m nodeproof hook "


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def in_seconds(seconds: float) -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(seconds * 1e9)


def well() -> Gate:
    """Return the answers of a healthy node, good for ten minutes."""
    return Gate(boot_id(), in_seconds(600), WELL, WELL, WELL)


class Gated:
    """A run directory, and a copy of the gate beside a stand-in for Python."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run_dir, self.bin = folder, folder / "run", folder / "bin"
        self.run_dir.mkdir(mode=0o755)
        self.bin.mkdir()
        self.program = Path(shutil.copy(PROGRAM, self.bin))
        self.python('echo "python $*"')

    @property
    def file(self) -> Path:
        return self.run_dir / "gate"

    def python(self, script: str) -> None:
        """Plant what stands in for Python."""
        path = self.bin / "python"
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def leave(self, answers: Gate) -> None:
        write(str(self.run_dir), answers)

    def leave_raw(self, raw: bytes) -> None:
        self.file.write_bytes(raw)
        self.file.chmod(0o644)

    def argv(self, kind: str, *options: str) -> list[str]:
        return [str(self.program), "--run-dir", str(self.run_dir), *options, kind]

    def run(self, kind: str, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.argv(kind, *options),
            capture_output=True,
            check=False,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            timeout=60,
            encoding="utf-8",
            errors="replace",
        )

    def fell_back(self, kind: str, **environment: str) -> str:
        """Run it, see that Python was asked, and return what was said about that."""
        done = self.run(kind, **environment)
        assert (done.returncode, done.stdout) == (0, f"{FELL_BACK}{kind}\n"), done
        return done.stderr


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; nobody may have reaped it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_until_gone(pid: int, limit_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not is_gone(pid):
        assert time.monotonic() < deadline_s, f"process {pid} is still there"
        time.sleep(0.01)


def pid_in(path: Path, limit_s: float = 20.0) -> int:
    """Return the process number that a stand-in wrote, when it has."""
    deadline_s = time.monotonic() + limit_s
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline_s, f"nothing in {path}"
        time.sleep(0.01)
    return int(path.read_text())


def is_static() -> bool:
    """Tell whether the gate needs no shared library: its program headers (elf(5)) name no interpreter."""
    raw = PROGRAM.read_bytes()
    start, size = int.from_bytes(raw[32:40], "little"), int.from_bytes(raw[54:56], "little")
    count = int.from_bytes(raw[56:58], "little")
    return 3 not in {int.from_bytes(raw[at : at + 4], "little") for at in range(start, start + count * size, size)}
