"""`nodeproof reload`: have the agent read its policy again."""

import click

from nodeproof.daemon.control import ask
from nodeproof.host.base import RUN_DIR

_LIMIT_S = 60.0


@click.command("reload")
@click.option("--run-dir", default=RUN_DIR, show_default=True, help="The agent's run directory.")
def command(run_dir: str) -> int:
    """Have the agent read its policy again. A broken one is refused, and the last good one stays in force.

    Exit code: 0 it is in force, 1 it is broken, 2 no agent answers.
    """
    answer = ask(run_dir, {"do": "reload"}, _LIMIT_S)
    if not answer["is_good"]:
        click.echo(f"policy is broken, the last good one stays in force: {answer['problem']}", err=True)
        return 1
    click.echo("policy was read")
    return 0
