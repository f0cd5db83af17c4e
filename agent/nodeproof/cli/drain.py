"""`nodeproof drain`: an operator takes this node out of service, through the agent."""

import click

from nodeproof.cli.status import show
from nodeproof.daemon.control import ask
from nodeproof.host.base import RUN_DIR

_LIMIT_S = 150.0


@click.command("drain")
@click.argument("reason")
@click.option("--run-dir", default=RUN_DIR, show_default=True, help="The agent's run directory.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(reason: str, run_dir: str, is_json: bool) -> int:
    """Have the agent drain this node and keep it so until `nodeproof resume`: REASON is one line for Slurm.

    The drain is nodeproof's own, so it follows policy: nothing is done in mode observe, and the guard may hold it back.
    """
    return show(ask(run_dir, {"do": "drain", "reason": reason}, _LIMIT_S), is_json=is_json)
