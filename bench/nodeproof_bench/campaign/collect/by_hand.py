"""Result files that somebody brought from nodes which could not deliver them, into the book."""

import os
import tempfile
from collections.abc import Sequence

import click

from nodeproof.errors import NodeproofError
from nodeproof.verdict import harmless
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.collect.files import SUFFIX, ResultError
from nodeproof_bench.campaign.collect.spool import Spool, Taken, content_of
from nodeproof_bench.campaign.order import OrderError, key_of
from nodeproof_bench.campaign.report.opened import find_campaign, open_book

_TAKEN = {"stored": "taken", "same": "was there already"}


def take(campaign: str, files: Sequence[str], database: str | None) -> int:
    """Take files into the book as from a spool, and say what became of each.

    Returns 0 if all are in the book, else 1. Raises NodeproofError for what is no file of this campaign.
    """
    with open_book(database) as book:
        found = find_campaign(book, campaign).id
        return max([_told(file, _take(book, found, file)) for file in files])


def _told(file: str, taken: Taken) -> int:
    said = _TAKEN.get(taken.outcome, f"{taken.outcome}: {harmless(taken.problem, 300)}")
    click.echo(f"{harmless(file, 300)}: {said}")
    return 0 if taken.outcome in _TAKEN else 1


def _take(book: Book, campaign: str, file: str) -> Taken:
    """Take one, from a spool that holds nothing else."""
    name = os.path.basename(file).removeprefix(f"{campaign}.")
    stem, end = os.path.splitext(name)
    try:
        key_of(campaign, stem if end == SUFFIX else "")
        content = content_of(file)
    except OrderError:
        expected = f"{campaign}.TASK.ATTEMPT.NODE{SUFFIX}"
        raise NodeproofError(f"{harmless(file, 300)}: expected the name that it had on its node, {expected}") from None
    except ResultError as error:
        raise NodeproofError(f"{harmless(file, 300)}: {error}") from None
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(directory, campaign)
        spool.prepare()
        with open(os.path.join(spool.directory, name), "wb") as copy:
            copy.write(content)
        (taken,) = spool.collect(book)
    return taken
