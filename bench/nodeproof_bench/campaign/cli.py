"""`nodeproof campaign`: validate a fleet through Slurm. What a subcommand needs is imported when it runs."""

import importlib
import json

import click

_DATABASE_HELP = "URL of the book of campaigns.  [default: sqlite:////var/lib/nodeproof/campaigns.db]"
_POLICY_HELP = "Directory of policy files, for [slurm] and [guard].  [default: /etc/nodeproof/policy.d]"

#: Subcommands that other modules bring, each under its own name there.
_ELSEWHERE = {
    "export": "nodeproof_bench.campaign.report.cli",
    "report": "nodeproof_bench.campaign.report.cli",
    "work": "nodeproof_bench.campaign.node.cli",
}

_policy = click.option("--policy", "directory", help=_POLICY_HELP)
_database = click.option("--database", metavar="URL", help=_DATABASE_HELP)
_json = click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(importlib.import_module(_ELSEWHERE[cmd_name]), cmd_name)
        return command


@click.group("campaign", cls=_Lazy)
def command() -> None:
    """Validate a fleet: submit its burn-in through Slurm, collect, judge and report."""


@command.command("plan")
@click.argument("file")
@_policy
@_json
def plan(file: str, directory: str | None, is_json: bool) -> None:
    """Say what a campaign would do: jobs, node-hours, expected end, and which nodes are skipped and why.

    FILE is a plan in TOML. Slurm is only read.
    """
    from nodeproof_bench.campaign import planning

    document = planning.document(file, directory)
    click.echo(json.dumps(document, indent=2) if is_json else "\n".join(planning.lines(document)))


@command.command("run")
@click.argument("file")
@_policy
def run(file: str, directory: str | None) -> int:
    """Run a campaign until its end.

    It may be interrupted, or killed, at any moment: its jobs go on, and `nodeproof campaign resume` goes on with it.

    Exit code: 0 done, and nothing was found; 1 done, with confirmed findings or tasks that failed; 2 usage, plan or
    policy error; 3 stopped or cancelled before its end.
    """
    from nodeproof_bench.campaign.running import begin

    return begin(file, directory)


@command.command("resume")
@click.argument("campaign", default="last")
@_policy
@_database
def resume(campaign: str, directory: str | None, database: str | None) -> int:
    """Go on with a campaign whose controller was stopped or killed. Nothing is run twice.

    CAMPAIGN is an id, the beginning of one, or `last` (the default).

    Exit code: as of `nodeproof campaign run`.
    """
    from nodeproof_bench.campaign.running import go_on

    return go_on(campaign, directory, database)


@command.command("collect")
@click.argument("campaign")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@_database
def collect(campaign: str, files: tuple[str, ...], database: str | None) -> int:
    """Take result files that nodes could not deliver, and kept. Reports judge them with all others.

    CAMPAIGN is an id, the beginning of one, or `last`; each FILE has the name that it had on its node.

    Exit code: 0 all are in the book; 1 some were refused; 2 usage error, or no file of this campaign.
    """
    from nodeproof_bench.campaign.collect.by_hand import take

    return take(campaign, files, database)


@command.command("status")
@click.argument("campaign", default="")
@_database
@_json
def status(campaign: str, database: str | None, is_json: bool) -> None:
    """Show how far campaigns are: all of them, or one with its phases and what is at work.

    CAMPAIGN is an id, the beginning of one, or `last`. Only the book is read.
    """
    from nodeproof_bench.campaign import standing

    document = standing.document(campaign, database)
    click.echo(json.dumps(document, indent=2) if is_json else "\n".join(standing.lines(document)))


@command.command("cancel")
@click.argument("campaign")
@_policy
@_database
def cancel(campaign: str, directory: str | None, database: str | None) -> int:
    """Cancel a campaign and all its jobs, and see that none is left.

    CAMPAIGN is an id, the beginning of one, or `last`. What was measured stays in the book.

    Exit code: 0 no job is left; 2 usage or policy error; 3 that could not be seen.
    """
    from nodeproof_bench.campaign.cancelling import cancel_campaign

    return cancel_campaign(campaign, directory, database)
