"""Two ends of a measurement between hosts: here both run on this one, over real sockets."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema

Child = subprocess.Popen[str]

SCHEMA = json.loads((Path(__file__).parents[1] / "native/schema/result.schema.json").read_text())
CPUS = sorted(os.sched_getaffinity(0))
ONE, OTHER = str(CPUS[0]), str(CPUS[-1])


class Hosts:
    """Starts ends of a measurement, and ends those that are left."""

    def __init__(self, program: Path, stack: ExitStack) -> None:
        self._program = program
        self._stack = stack

    def start(self, *args: str, prefix: Sequence[str] = ()) -> Child:
        argv = [*prefix, str(self._program), *args]
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._stack.callback(child.communicate, timeout=10)
        self._stack.callback(child.kill)
        return child

    def listen(self, name: str, *args: str, at: str = "127.0.0.1:0", prefix: Sequence[str] = ()) -> tuple[Child, str]:
        """Start a server; return it and the address at which it waits."""
        child = self.start(name, "--listen", at, "--cpus", ONE, *args, prefix=prefix)
        assert child.stderr is not None
        line = child.stderr.readline()
        match = re.fullmatch(r"nodeproof-bench: listening on (\S+:\d+)\n", line)
        assert match, line + child.stderr.read()
        return child, match[1]

    def connect(self, name: str, address: str, *args: str, prefix: Sequence[str] = ()) -> Child:
        return self.start(name, "--connect", address, "--cpus", OTHER, *args, prefix=prefix)


def ended(child: Child, within_s: float = 20) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=within_s)
    return child.returncode, out, err


def result(child: Child) -> dict[str, Any]:
    status, out, err = ended(child)
    assert status == 0, err
    parsed: dict[str, Any] = json.loads(out)
    jsonschema.Draft202012Validator(SCHEMA).validate(parsed)
    return parsed


def port(address: str) -> int:
    return int(address.rpartition(":")[2])
