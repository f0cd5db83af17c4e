"""The C programs, built once from the source with warnings as errors, and how to run them."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import campaign_book
from nodeproof_bench.campaign.book import Book
from two_hosts import Hosts

NATIVE = Path(__file__).parents[2] / "native"

Bench = Callable[..., "subprocess.CompletedProcess[str]"]
Measure = Callable[..., dict[str, Any]]


def tool(name: str) -> str:
    """Return cmake or ctest: installed, or as the PyPI package cmake brings it."""
    path = shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))
    if path is None:
        pytest.skip(f"needs {name} (package cmake)")
    return path


@pytest.fixture(scope="session")
def build() -> Path:
    """Build the C core; return the directory of `nodeproof-bench` and `nodeproof-bench-hooks`.

    Once for all workers, and only what has changed since the last time: it takes a minute of processor time.
    """
    cmake, directory = tool("cmake"), NATIVE.parent / "build/tests"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for argv in (
            [cmake, "-S", str(NATIVE), "-B", str(directory), "-DNODEPROOF_WERROR=ON", "-DCMAKE_BUILD_TYPE=Release"],
            [cmake, "--build", str(directory), "--parallel", "4"],
        ):
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return directory


@pytest.fixture(scope="session")
def ctest() -> str:
    """Return the program that runs the C tests."""
    return tool("ctest")


@pytest.fixture(scope="session")
def bench(build: Path) -> Bench:
    """Run `nodeproof-bench` with these arguments."""

    def run(*args: str, program: str = "nodeproof-bench", **kwargs: Any) -> "subprocess.CompletedProcess[str]":
        argv = [str(build / program), *args]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, **kwargs)

    return run


@pytest.fixture(scope="session")
def measure(bench: Bench) -> Measure:
    """Run a benchmark and return its result, which follows the schema; skip what this machine cannot do."""
    schema = json.loads((NATIVE / "schema/result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def run(*args: str, **kwargs: Any) -> dict[str, Any]:
        for _ in range(5):  # other tests use the CPUs, too: a few milliseconds may all be theirs
            done = bench(*args, **kwargs)
            if "other processes had the CPUs" not in done.stderr:
                break
        if done.returncode == 3:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 1
        assert done.stderr == ""
        result: dict[str, Any] = json.loads(done.stdout)
        validator.validate(result)
        return result

    return run


@pytest.fixture(scope="session")
def first_cpu() -> str:
    """Return a CPU that this process may use."""
    return str(min(os.sched_getaffinity(0)))


@pytest.fixture
def hosts(build: Path) -> Iterator[Hosts]:
    """Start ends that do not outlive the test."""
    with ExitStack() as stack:
        yield Hosts(build / "nodeproof-bench", stack)


@pytest.fixture
def hosts_in_a_hurry(build: Path) -> Iterator[Hosts]:
    """Start ends that give up soon when told to hurry."""
    with ExitStack() as stack:
        yield Hosts(build / "nodeproof-bench-hooks", stack)


@pytest.fixture(scope="module")
def shared_book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    with campaign_book.book(tmp_path_factory.mktemp("book")) as opened:
        yield opened


@pytest.fixture
def book(shared_book: Book) -> Book:
    """Return an empty book of campaigns."""
    return campaign_book.emptied(shared_book)
