"""One controller for each campaign: a lock that the kernel, or the database, takes back when its holder dies."""

import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.sql import func

from nodeproof_bench.campaign.book import Book, BookError


@contextlib.contextmanager
def only_controller(book: Book, campaign_id: str) -> Iterator[None]:
    """Be the one controller of a campaign for a `with` block. Raises BookError if there is another."""
    url = book.engine.url
    if url.get_backend_name() == "sqlite":
        with _file_lock(f"{url.database}.{campaign_id}.lock", campaign_id):
            yield
        return
    with book.engine.connect() as connection:
        key = zlib.crc32(f"nodeproof campaign {campaign_id}".encode())
        if not connection.execute(select(func.pg_try_advisory_lock(key))).scalar():
            raise _taken(campaign_id)
        connection.commit()  # the lock is the session's, and no transaction stays open
        yield


@contextlib.contextmanager
def _file_lock(path: str, campaign_id: str) -> Iterator[None]:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BookError(path, f"cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(campaign_id) from error
        yield
    finally:
        os.close(file)


def _taken(campaign_id: str) -> BookError:
    return BookError(f"campaign {campaign_id}", "another controller is at work on it")
