"""`nodeproof campaign report` and `export`: what a campaign found, for people and for programs."""

import json

import click

from nodeproof.errors import NodeproofError
from nodeproof.files import replace_file
from nodeproof.verdict import harmless, plural

_DATABASE_HELP = "URL of the book of campaigns.  [default: sqlite:////var/lib/nodeproof/campaigns.db]"

#: A report names nodes, addresses and users' reservations: for the group, and not for everybody.
_FILE_MODE = 0o640


@click.command("report")
@click.argument("campaign")
@click.option("--html", "html_file", metavar="FILE", help="Write the report as one self-contained HTML file.")
@click.option("--json", "json_file", metavar="FILE", help="Write the report as one JSON document; - prints it.")
@click.option("--database", metavar="URL", help=_DATABASE_HELP)
def report(campaign: str, html_file: str | None, json_file: str | None, database: str | None) -> None:
    """Show what a campaign found: a verdict for each node, and the evidence.

    CAMPAIGN is an id, the beginning of one, or `last`. The HTML file needs no network and can be read on paper and on a
    phone; it and the JSON document say the same.
    """
    from nodeproof_bench.campaign.assess import assess
    from nodeproof_bench.campaign.report.document import write
    from nodeproof_bench.campaign.report.html import page
    from nodeproof_bench.campaign.report.opened import find_campaign, open_book
    from nodeproof_bench.campaign.report.text import lines

    with open_book(database) as book:
        found = find_campaign(book, campaign)
        document = write(book, found, assess(book, found.id))
    if html_file is not None:
        _write(html_file, page(document))
    text = json.dumps(document, indent=2)
    if json_file == "-":
        click.echo(text)
        return
    if json_file is not None:
        _write(json_file, f"{text}\n")
    click.echo("\n".join(lines(document)))
    for file in filter(None, (html_file, json_file)):
        click.echo(f"\nThe whole report: {harmless(file, 300)}")
    if html_file is None and json_file is None:
        click.echo("\nWith distributions, pairs and all nodes: --html FILE")


@click.command("export")
@click.argument("campaign")
@click.option("--format", "form", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--output", required=True, metavar="FILE", help="Where to write the table.")
@click.option("--database", metavar="URL", help=_DATABASE_HELP)
def export(campaign: str, form: str, output: str, database: str | None) -> None:
    """Write all samples of a campaign as a table, one in each row.

    CAMPAIGN is an id, the beginning of one, or `last`. Parquet needs pyarrow (nodeproof[parquet]).
    """
    from nodeproof_bench.campaign.report.export import export as write_table
    from nodeproof_bench.campaign.report.opened import find_campaign, open_book

    with open_book(database) as book:
        found = find_campaign(book, campaign)
        count = write_table(book, found.id, form, output)
    click.echo(f"{plural(count, 'sample')} of {harmless(found.name, 80)} ({found.id}): {harmless(output, 300)}")


def _write(file: str, text: str) -> None:
    try:
        replace_file(file, text.encode(errors="backslashreplace"), _FILE_MODE)
    except OSError as error:
        raise NodeproofError(f"{harmless(file, 300)}: cannot write: {error.strerror}") from error
