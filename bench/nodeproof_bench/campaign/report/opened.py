"""Which book, and which campaign in it: what the commands that read have in common."""

import os

from nodeproof.errors import NodeproofError
from nodeproof.state import default_directory
from nodeproof.verdict import harmless, named
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign

#: Stands for the newest campaign.
LAST = "last"


def default_database() -> str:
    """Return where campaigns are kept that name no database: a file in the state directory, root's or one's own."""
    return f"sqlite:///{os.path.abspath(default_directory())}/campaigns.db"


def open_book(url: str | None) -> Book:
    """Open a book to read it. Raises NodeproofError where there is none: reading must not make one."""
    place = url or default_database()
    file = place.removeprefix("sqlite:///")
    if file != place and os.path.isabs(file) and not os.path.exists(file):
        raise NodeproofError(f"{harmless(file, 300)}: no such book of campaigns: name it with --database")
    return Book(place)


def find_campaign(book: Book, word: str) -> Campaign:
    """Return the campaign of this id, of the one id that begins so, or the newest for `last`."""
    campaigns = book.campaigns()
    if not campaigns:
        raise NodeproofError(f"{book.place}: no campaigns there yet")
    if word == LAST:
        return campaigns[-1]
    found = [c for c in campaigns if c.id == word] or [c for c in campaigns if word and c.id.startswith(word)]
    if len(found) == 1:
        return found[0]
    if not found:
        some = named([c.id for c in reversed(campaigns)])
        raise NodeproofError(f"{book.place}: no campaign {harmless(word, 80)!r}: there is {harmless(some, 300)}")
    raise NodeproofError(f"{harmless(word, 80)!r} is the beginning of several: {named([c.id for c in found])}")
