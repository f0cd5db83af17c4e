"""A database that is on disk while that can be written, and else in memory. Never raises for a bad disk."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from nodeproof.history import place, rows, schema

#: How long nothing is tried on a disk that could not be written.
RETRY_S = 60.0

FAULTS = (OSError, sqlite3.Error, schema.UnusableError)

_T = TypeVar("_T")


class Kept:
    """The `database` in `directory`, or one in memory; `is_kept` and `problem` are those of `History`.

    `restore` writes what is so now into a database that does not hold it yet, in the transaction that it is called in.
    """

    def __init__(self, directory: str, restore: Callable[[sqlite3.Connection], None], retry_s: float) -> None:
        self.directory = directory
        self.is_kept, self.problem = True, ""
        self._restore, self._retry_s = restore, retry_s
        self._retry_at_s = self._fresh_until_s = 0.0
        try:
            self.database, self.problem = place.opened(directory, is_thorough=True)
        except FAULTS as error:
            self._stay_in_memory(error)
        self._identity = place.identity(directory)

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what `work` does in one transaction: on disk if that is possible, else in memory."""
        self.come_back()
        while True:
            try:
                with schema.Transaction(self.database):
                    return work(self.database)
            except sqlite3.Error as error:
                self.lose(error)

    def lose(self, error: Exception) -> None:
        """Go on in a fresh file if the old one is damaged (but not time and again), else in memory.

        Raises what is no fault of the disk.
        """
        if not self.is_kept:
            raise error
        with suppress(sqlite3.Error):
            self.database.close()
        if schema.is_damage(error) and time.monotonic() >= self._fresh_until_s:
            self._fresh_until_s = time.monotonic() + self._retry_s
            with suppress(*FAULTS):
                note = place.set_aside(self.directory, str(error))
                self._go_on_in(None)
                self.problem = note
                return
        self._stay_in_memory(error)

    def come_back(self, *, is_urgent: bool = False) -> None:
        """Try the disk again if it is time to, and take along what was kept in memory."""
        if self.is_kept or not (is_urgent or time.monotonic() >= self._retry_at_s):
            return
        self._retry_at_s = time.monotonic() + self._retry_s
        memory = self.database
        try:
            self._go_on_in(memory)
        except FAULTS as error:
            self.problem = self._why(error)
        else:
            memory.close()

    def see_that_it_is_there(self) -> None:
        """Begin a new file if somebody took ours away: what is written into that one nobody will ever read."""
        if self.is_kept and place.identity(self.directory) != self._identity:
            self.lose(OSError(0, "the file was taken away"))
            self.come_back(is_urgent=True)

    @contextmanager
    def left_on_disk(self) -> Iterator[sqlite3.Connection]:
        """Give what is on disk and can be read, though not written. Raises what says that there is nothing else."""
        if self.is_kept:
            raise FileNotFoundError("what is on disk is in use")
        database = place.left_behind(self.directory)
        try:
            yield database
        finally:
            database.close()

    def size_bytes(self) -> int:
        return place.size_bytes(self.directory) if self.is_kept else schema.used_bytes(self.database)

    def _go_on_in(self, memory: sqlite3.Connection | None) -> None:
        """Use the file from now on, with what is so now in it and what happened meanwhile. Raises one of FAULTS."""
        database, note = place.opened(self.directory)
        try:
            with schema.Transaction(database):
                if memory is not None:
                    rows.copy(memory, database)
                self._restore(database)
        except BaseException:
            database.close()
            raise
        self.database, self.is_kept, self.problem = database, True, note
        self._identity = place.identity(self.directory)

    def _stay_in_memory(self, error: Exception) -> None:
        self.database, self.is_kept, self.problem = schema.connect(schema.IN_MEMORY), False, self._why(error)
        self._retry_at_s = time.monotonic() + self._retry_s

    def _why(self, error: Exception) -> str:
        words = (isinstance(error, OSError) and error.strerror) or str(error)
        return f"the history is kept in memory only: {self.directory}/{place.FILE}: {words}"
