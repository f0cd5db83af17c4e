"""The history of `nodeproof bench`: one file of JSON lines that is replaced as a whole, and a lock around a run.

Never raises for a bad disk: it warns, and the results are printed all the same.
"""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Container, Iterator, Sequence
from typing import Any

from nodeproof.errors import FactError
from nodeproof.files import replace_file
from nodeproof.host.base import MAX_FILE_BYTES, read_regular
from nodeproof.state import default_directory
from nodeproof_bench.result import run_of
from nodeproof_bench.strict_json import loads

FILE, LOCK, SET_ASIDE = "bench.jsonl", "bench.lock", "bench.jsonl.bad"

#: How many runs are kept, and how large the file may grow: a probe reads no more than `MAX_FILE_BYTES`.
MOST_RUNS, MOST_BYTES = 100, MAX_FILE_BYTES * 3 // 4

#: Lists of more parts (a matrix of all pairs of cores) are kept of the newest run alone. Histograms are kept of the
#: newest results of a benchmark: over time its figures are compared.
MOST_OLD_POINTS = 1024

Document = dict[str, Any]


class Store:
    """Benchmark results in a directory of ours. What goes wrong is told through `warnings`, one sentence each."""

    def __init__(self, directory: str = "") -> None:
        self.directory = os.path.abspath(directory or default_directory())
        self.warnings: list[str] = []
        self.is_saved = False

    @property
    def path(self) -> str:
        return os.path.join(self.directory, FILE)

    @contextlib.contextmanager
    def locked(self, who: str) -> Iterator[str]:
        """Let no second run begin. Gives who is running already, or an empty string if it is us."""
        lock = self._open_lock()
        if lock is None:
            yield ""
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 200, 0).decode(errors="replace").strip()
            os.close(lock)
            yield holder or "another run"
            return
        try:
            with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
                os.ftruncate(lock, 0)
                os.pwrite(lock, f"process {os.getpid()} ({who})\n".encode(), 0)
            yield ""
        finally:
            os.close(lock)

    def load(self) -> list[Document]:
        """Return the runs that are kept, oldest first. A file that is damaged is set aside, and its good lines stay."""
        try:
            self._check_directory()
            text = read_regular(self.path, self.path).decode(errors="replace")
        except FileNotFoundError:
            return []
        except (FactError, OSError) as error:
            self.warnings.append(f"cannot read earlier results in {self.path}: {_why(error)}")
            return []
        runs, damage = list[Document](), ""
        for number, line in enumerate(text.splitlines(), 1):
            try:
                run = loads(line)
                run_of(run)
                runs.append(run)
            except ValueError as error:
                damage = damage or f"line {number}: {str(error)[:200]}"
        if damage:
            self._set_aside(damage)
        return runs

    def save(self, runs: Sequence[Document]) -> None:
        """Keep these runs, oldest first, and of too many the newest."""
        try:
            self._make_directory()
            replace_file(self.path, content(runs), 0o644)
            self.is_saved = True
        except OSError as error:
            self.warnings.append(f"cannot keep the results in {self.path}: {_why(error)}")

    def _open_lock(self) -> int | None:
        try:
            self._make_directory()
            return os.open(os.path.join(self.directory, LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            self.warnings.append(f"cannot lock {self.directory}, so another run may disturb this one: {_why(error)}")
            return None

    def _make_directory(self) -> None:
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        self._check_directory()

    def _check_directory(self) -> None:
        """Raise OSError if it is not ours alone: whoever else may write there could forge what a check believes."""
        status = os.stat(self.directory)
        if status.st_uid not in {0, os.geteuid()} or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(1, "others may write there (expected an own directory, 0700)")

    def _set_aside(self, damage: str) -> None:
        aside = os.path.join(self.directory, SET_ASIDE)
        self.warnings.append(f"{self.path} is damaged and set aside as {SET_ASIDE}: {damage}")
        try:
            os.replace(self.path, aside)
        except OSError as error:
            self.warnings.append(f"cannot rename {self.path}: {_why(error)}")


def content(runs: Sequence[Document]) -> bytes:
    """Return the file: the newest runs, fewer than `MOST_RUNS` if they would not fit into `MOST_BYTES`."""
    kept = list[bytes]()
    room = MOST_BYTES
    newer = set[str]()
    for age, run in enumerate(reversed(runs[-MOST_RUNS:])):
        line = _line(run if age == 0 else _slim(run, newer))
        if age == 0 and len(line) > room:
            line = _line(_slim(run, newer))
        if len(line) > room:
            break
        kept.append(line)
        room -= len(line)
        newer |= {result["name"] for result in run["results"]}
    return b"".join(reversed(kept))


def _line(run: Document) -> bytes:
    return json.dumps(_rounded(run), separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _slim(run: Document, newer: Container[str]) -> Document:
    """Return a run without large matrices, and without histograms of benchmarks that have newer results."""

    def slim(line: Document) -> Document:
        points = line.get("points", [])
        if len(points) > MOST_OLD_POINTS:
            return {key: value for key, value in line.items() if key != "points"}
        if not points or line["name"] not in newer:
            return line
        return {**line, "points": [{k: v for k, v in point.items() if k != "histogram"} for point in points]}

    return {**run, "results": [slim(line) for line in run["results"]]}


def _rounded(run: Document) -> Document:
    """Return a run with the figures of points in seven digits: there are thousands of them."""

    def point(values: Document) -> Document:
        return {k: float(f"{v:.7g}") if isinstance(v, float) else v for k, v in values.items()}

    lines = [
        {**line, "points": [point(p) for p in line["points"]]} if "points" in line else line for line in run["results"]
    ]
    return {**run, "results": lines}


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
