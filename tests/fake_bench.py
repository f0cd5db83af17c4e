"""Stand-ins for nodeproof-bench, which print, crash or hang as a test needs, and `nodeproof bench` run on them."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = "nodeproof.bench/1"

UNITS = {"memory.latency": "s", "cpu.verify": "1", "memory.verify": "1"}


def result(name: str = "memory.triad", value: float = 5e10, **changes: Any) -> dict[str, Any]:
    """Return the values of a line of an undisturbed benchmark on node 0."""
    return {
        "schema": SCHEMA,
        "name": name,
        "unit": UNITS.get(name, "B/s"),
        "value": value,
        "sustained": 0.97 * value,
        "stability": 0.95,
        "interval": [0.998 * value, 1.002 * value],
        "is_converged": True,
        "samples": 200,
        "seconds": 0.3,
        "cpus": "0-1",
        "threads": 2,
        "node": 0,
        "isa": "avx512",
        "is_contended": False,
        "conditions": conditions(),
        "compiler": "GCC 12.2.0",
        **changes,
    }


def run(*lines: dict[str, Any], failures: tuple[dict[str, Any], ...] = (), time_s: float = 1.8e9) -> dict[str, Any]:
    return {
        "schema": "nodeproof.benchrun/1",
        "time_s": time_s,
        "boot_id": "b",
        "suite": "quick",
        "host": "n1",
        "conditions": {},
        "results": [{"args": ["--node", "0"], "is_inconclusive": False, "reason": "", **line} for line in lines],
        "failures": list(failures),
    }


def conditions(**changes: float) -> dict[str, float]:
    """Return what the C core says of an undisturbed second."""
    return {"seconds": 1.0, "own_cpu_s": 2.0, "busy_cpu_s": 2.01, "foreign_cpu_s": 0.01, "steal_s": 0.0, **changes}


def busy(foreign_s: float = 1.0) -> dict[str, Any]:
    """Return the change to a result that makes it a disturbed one."""
    return {"conditions": conditions(foreign_cpu_s=foreign_s)}


def prints(*args: Any, **kwargs: Any) -> str:
    """Return the shell command that prints a result."""
    return f"echo '{json.dumps(result(*args, **kwargs))}'"


def program(directory: Path, commands: Mapping[str, str]) -> str:
    """Make a program that has these benchmarks, each a shell command."""
    rows = "".join(f"{name}\\tB/s\\t1\\tmeasures something\\tnothing\\n" for name in commands)
    cases = "\n".join(f"{name})\n{command}\n;;" for name, command in commands.items())
    file = directory / "stand-in"
    file.write_text(f"#!/bin/sh\ncase \"$1\" in\n--list) printf '{rows}' ;;\n{cases}\n*) exit 2 ;;\nesac\n")
    file.chmod(0o755)
    return str(file)


class Site:
    """A place with a stand-in for nodeproof-bench and a state directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"

    def argv(self, commands: dict[str, str], *args: object) -> list[str]:
        path = program(self.directory, commands)
        fixed = ["--program", path, "--state-dir", str(self.state), "--policy", str(self.policy)]
        return [sys.executable, "-I", "-m", "nodeproof", "bench", *map(str, args), *fixed]

    @property
    def policy(self) -> Path:
        (self.directory / "policy.d").mkdir(exist_ok=True)
        return self.directory / "policy.d"

    def run(self, commands: dict[str, str], *args: object, **more: Any) -> "subprocess.CompletedProcess[str]":
        argv = self.argv(commands, *args)
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, **more)

    def start(self, commands: dict[str, str], *args: object, **more: Any) -> "subprocess.Popen[str]":
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(self.argv(commands, *args), text=True, **streams)

    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.state / "bench.jsonl").read_text().splitlines()]
