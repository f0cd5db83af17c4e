"""`nodeproof baseline`: policy from what a campaign measured."""

import click

from nodeproof.errors import NodeproofError
from nodeproof.files import replace_file
from nodeproof.verdict import harmless

#: Policy is read by everybody's `nodeproof check`.
_FILE_MODE = 0o644


@click.group("baseline")
def command() -> None:
    """Turn what a campaign measured into limits for policy."""


@command.command("learn")
@click.argument("campaign")
@click.option("--output", metavar="FILE", help="Write the policy to this file, not to standard output.")
@click.option(
    "--database",
    metavar="URL",
    help="URL of the book of campaigns.  [default: sqlite:////var/lib/nodeproof/campaigns.db]",
)
def learn_(campaign: str, output: str | None, database: str | None) -> None:
    """Learn limits for each class of hardware from the healthy nodes of CAMPAIGN.

    CAMPAIGN is an id, the beginning of one, or `last`. A limit is the median of the class less a margin that follows
    from its spread; the comment above it says how many runs it comes from. Nodes with a finding, with a failed check or
    without a result are left out.
    """
    from nodeproof_bench.campaign.report.baseline import learn
    from nodeproof_bench.campaign.report.baseline_text import policy_text
    from nodeproof_bench.campaign.report.gathered import gather
    from nodeproof_bench.campaign.report.opened import find_campaign, open_book
    from nodeproof_bench.campaign.report.verdicts import judged

    with open_book(database) as book:
        found = find_campaign(book, campaign)
        gathered = gather(book, found.id)
        healthy = [row["node"] for row in judged(gathered) if row["verdict"] == "ok"]
        classes = learn(book, gathered, healthy)
    if not any(of_class.limits for of_class in classes):
        nodes = f"{len(healthy)} of {len(gathered.nodes)} nodes are healthy"
        raise NodeproofError(f"campaign {found.id}: nothing to learn limits from: {nodes}")
    text = policy_text(found, classes)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        replace_file(output, text.encode(), _FILE_MODE)
    except OSError as error:
        raise NodeproofError(f"{harmless(output, 300)}: cannot write: {error.strerror}") from error
    click.echo(f"{harmless(output, 300)}: limits of {len(classes)} classes from {len(healthy)} healthy nodes")
