"""Judge GPU checks with a fake library, in a program of its own: the loader reads LD_LIBRARY_PATH when one starts."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent

Found = dict[str, tuple[str, str]]

#: What a check says that finds nothing wrong; `skip` is what a generation does not have, or nobody has counted yet.
FINE = ("ok", "skip")


def built(source: Path, library: Path) -> Path:
    """Build a fake library, and return its directory."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip(f"no C compiler to build {library.name}")
    flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", str(library), str(source)], check=True)
    return library.parent


@contextmanager
def judging(library: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a program that judges with the libraries of a directory."""
    command = [sys.executable, str(HERE / "fake_nvml" / "judge.py")]
    environment = os.environ | {"LD_LIBRARY_PATH": str(library)}
    with subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        yield started


def judged_by(  # noqa: PLR0917  # all that the program is told
    program: subprocess.Popen[str],
    scenario: str,
    root: Path,
    checks: Mapping[str, Mapping[str, object]],
    deadline_s: float = 10.0,
    job_gpus: Sequence[str] = (),
) -> Found:
    """Return status and summary of each check, and see that the recording of the pass gives the same ones."""
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(json.dumps([scenario, str(root), deadline_s, checks, job_gpus]) + "\n")
    program.stdin.flush()
    live, replayed = json.loads(program.stdout.readline())
    # a crash takes along what its worker had noted, so that live and replay know different things then
    has_crashed = any("crashed" in summary for _, summary in live.values())
    for check_id, verdict in live.items():
        assert replayed[check_id] == verdict or (has_crashed and "unknown" in (replayed[check_id][0], verdict[0]))
    return {check_id: (status, summary) for check_id, (status, summary) in live.items()}


def findings(found: Found) -> Found:
    return {check_id: verdict for check_id, verdict in found.items() if verdict[0] not in FINE}
