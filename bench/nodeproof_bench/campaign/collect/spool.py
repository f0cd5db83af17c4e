"""The spool: a directory of result files, and how they come into the book.

It is shared with the nodes, or the endpoint fills it (`collect.server`): the controller collects from it either way.
What is in it stays: after a restart all of it is looked at again, which changes nothing in the book.
"""

import contextlib
import hashlib
import os
import stat
import time
from typing import NamedTuple

from nodeproof.errors import NodeproofError
from nodeproof.verdict import harmless
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Result, Task
from nodeproof_bench.campaign.collect.files import MOST_BYTES, SUFFIX, ResultError, ResultFile, read
from nodeproof_bench.campaign.collect.rows import rows_of
from nodeproof_bench.campaign.order import Key, OrderError, key_of

#: What the endpoint refused is told in a file of this name beside the result, one sentence long.
REFUSED = ".refused"

#: Files that a spool may hold before somebody has to look.
MOST_FILES = 1_000_000

_REASON_BYTES = 500


class Taken(NamedTuple):
    """What became of one result file: `stored`, `same` (was there already), `other` (a second one) or `refused`."""

    key: Key
    outcome: str
    problem: str = ""


class Spool:
    """The spool of one campaign. Remembers which files it has seen: looking again costs a listing."""

    def __init__(self, directory: str, campaign_id: str) -> None:
        self.campaign_id = campaign_id
        self.directory = os.path.join(directory, campaign_id)
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._tasks: dict[int, Task] = {}
        self._stored: dict[Key, str] | None = None

    def prepare(self) -> None:
        """Make the directory. Raises NodeproofError."""
        try:
            os.makedirs(self.directory, mode=0o770, exist_ok=True)
        except OSError as error:
            raise NodeproofError(f"{self.directory}: cannot be made: {error.strerror}") from error

    def collect(self, book: Book) -> list[Taken]:
        """Take what is new into the book, and say what became of it. Raises NodeproofError where it cannot be read."""
        fresh = self._fresh()
        if not fresh:
            return []
        self._tasks = {task.task: task for task in book.tasks(self.campaign_id)}
        if self._stored is None:
            self._stored = {Key(*r[:4]): r.sha256 for r in book.results(self.campaign_id)}
        found = []
        for name, identity in fresh:
            taken = self._take(book, name, self._stored)
            self._seen[name] = identity
            found += [taken] if taken is not None else []
        return found

    def _fresh(self) -> list[tuple[str, tuple[int, int, int]]]:
        """Return files that are new or changed, by name, with what tells that they are the same the next time."""
        found = []
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.name.endswith((SUFFIX, REFUSED)):
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
                        if self._seen.get(entry.name) != identity:
                            found.append((entry.name, identity))
        except OSError as error:
            raise NodeproofError(f"{self.directory}: cannot be read: {error.strerror}") from error
        return sorted(found[:MOST_FILES])

    def _take(self, book: Book, name: str, stored: dict[Key, str]) -> Taken | None:
        stem, end = os.path.splitext(name)
        try:
            key = key_of(self.campaign_id, stem)
        except OrderError:
            return None  # nobody's: there is no row in the book for it
        task = self._tasks.get(key.task)
        if task is None or key.node not in task.nodes or key.attempt > task.attempts:
            return self._refuse(book, key, "no such job was ever submitted")
        if end == REFUSED:
            return self._refuse(book, key, _reason(os.path.join(self.directory, name)))
        try:
            content = content_of(os.path.join(self.directory, name))
            if stored.get(key) == hashlib.sha256(content).hexdigest():
                return Taken(key, "same")
            result = read(key, task.phase, content)
        except ResultError as error:
            return self._refuse(book, key, str(error))
        taken = self._store(book, task, result)
        if taken.outcome == "stored":
            stored[key] = result.sha256
        return taken

    def _store(self, book: Book, task: Task, result: ResultFile) -> Taken:
        rows = rows_of(result, task)
        problem = "; ".join(rows.problems)[:_REASON_BYTES]
        row = Result(*result.key, result.sha256, time.time(), float(result.head["began_at"]), result.ended_at, problem)
        outcome = book.store_result(row, rows.samples, rows.facts, rows.verdicts, rows.events)
        if outcome == "stored" and rows.hardware_class:
            book.set_hardware_class(self.campaign_id, result.key.node, rows.hardware_class)
        return Taken(result.key, outcome, problem)

    def _refuse(self, book: Book, key: Key, why: str) -> Taken:
        problem = f"a result file was refused: {harmless(why, 300)}"
        book.store_result(Result(*key, "", time.time(), problem=problem))
        return Taken(key, "refused", problem)


def content_of(path: str) -> bytes:
    """Return a file that is no larger than a result may be. Raises ResultError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ResultError(f"it cannot be read: {error.strerror}") from error
    with open(fd, "rb") as stream:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ResultError("it is no regular file")
        if status.st_size > MOST_BYTES:
            raise ResultError(f"it has {status.st_size} bytes, expected at most {MOST_BYTES}")
        try:
            return stream.read(MOST_BYTES + 1)
        except OSError as error:
            raise ResultError(f"it cannot be read: {error.strerror}") from error


def _reason(path: str) -> str:
    try:
        return content_of(path)[:_REASON_BYTES].decode(errors="replace").strip()
    except ResultError as error:
        return str(error)
