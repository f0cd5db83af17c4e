"""`nodeproof fleet lemons`: which nodes fail again and again."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from nodeproof.verdict import plural
from nodeproof_bench.table import aligned

if TYPE_CHECKING:
    from nodeproof_bench.campaign.book import Book
    from nodeproof_bench.campaign.book_rows import FindingRow, NodeEvent
    from nodeproof_bench.campaign.report.lemons import Incident, Ranked

_UNITS_S = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}

#: Rows of the table; the JSON document has all.
_MOST_ROWS = 50

#: Incidents that the table names of a lemon.
_MOST_INCIDENTS = 4


@click.command("lemons")
@click.option("--since", default="90d", show_default=True, metavar="TIME", help="How far to look back: 36h, 90d, 12w.")
@click.option(
    "--database",
    metavar="URL",
    help="URL of the book of campaigns.  [default: sqlite:////var/lib/nodeproof/campaigns.db]",
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(since: str, database: str | None, is_json: bool) -> None:
    """Rank nodes by what happened to them: drains, XIDs, failures, flaps, slow results.

    All campaigns of the database count, and what nodes told of their past. Events within a day are one incident. It
    counts as much as the heaviest kind in it (drain and failure 4, XID 3, slow 2, flap 1), and half as much after
    each 30 days. A lemon has two incidents or more, and more than one of them could count.
    """
    from nodeproof_bench.campaign.report.lemons import document, ranked
    from nodeproof_bench.campaign.report.opened import open_book

    now = time.time()
    start = now - _seconds(since)
    with open_book(database) as book:
        nodes = ranked(events(book, start), now)
    click.echo(json.dumps(document(nodes, start, now), indent=2) if is_json else "\n".join(_lines(nodes, since)))


def events(book: "Book", start: float) -> "list[NodeEvent]":
    """Return what is remembered of nodes, and what all campaigns since then confirmed of them."""
    found = book.node_events(start)
    for campaign in book.campaigns():
        at = campaign.created_at if campaign.ended_at is None else campaign.ended_at
        if at >= start:
            found += [_event(f, at) for f in book.findings(campaign.id) if f.node and f.state == "confirmed"]
    return found


def _event(finding: "FindingRow", at: float) -> "NodeEvent":
    from nodeproof_bench.campaign.book_rows import NodeEvent

    kind = "failure" if finding.detector == "check" else "slow"
    detail = finding.text or f"{finding.metric} ({finding.detector})"
    return NodeEvent(finding.node, at, kind, detail, f"campaign {finding.campaign_id}")


def _seconds(word: str) -> float:
    match = re.fullmatch(r"(\d{1,5})([hdw])", word, re.ASCII)
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"expected a time such as 36h, 90d or 12w, found {word[:40]!r}", param_hint="--since")
    return int(match[1]) * _UNITS_S[match[2]]


def _lines(nodes: "Sequence[Ranked]", since: str) -> Iterator[str]:
    if not nodes:
        yield f"Nothing is known to have happened to any node within {since}."
        return
    lemons = sum(node.is_lemon for node in nodes)
    yield f"{plural(lemons, 'lemon')} among {plural(len(nodes), 'node')} to which something happened within {since}."
    yield ""
    rows = [["NODE", "LEMON", "SCORE", "INCIDENTS", "EVENTS", "WHAT HAPPENED, NEWEST FIRST"]]
    for node in nodes[:_MOST_ROWS]:
        events_said = ", ".join(f"{count} {kind}" for kind, count in sorted(node.counts.items()))
        said = [_said(incident) for incident in node.incidents[: _MOST_INCIDENTS if node.is_lemon else 1]]
        lemon = "yes" if node.is_lemon else "-"
        rows.append([node.node, lemon, f"{node.score:.1f}", str(len(node.incidents)), events_said, said[0]])
        rows += [["", "", "", "", "", line] for line in said[1:]]
    yield from aligned(rows, right=(2, 3))
    if len(nodes) > _MOST_ROWS:
        yield f"… and {len(nodes) - _MOST_ROWS} more: see --json"


def _said(incident: "Incident") -> str:
    day = datetime.fromtimestamp(incident.at, UTC).strftime("%Y-%m-%d")
    return f"{day} {incident.details[0] if incident.details else ', '.join(incident.kinds)}"
