"""`nodeproof resume`: an operator says that this node is repaired."""

import click

from nodeproof.cli.status import show
from nodeproof.daemon.control import ask
from nodeproof.host.base import RUN_DIR

_LIMIT_S = 150.0


@click.command("resume")
@click.option("--run-dir", default=RUN_DIR, show_default=True, help="The agent's run directory.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(run_dir: str, is_json: bool) -> int:
    """Say that this node is repaired: the agent judges it now, and resumes it if all that it was drained for passes.

    One pass is enough then, however often policy's clear_after asks for, and however often the node flapped. A drain
    of somebody else stays.
    """
    return show(ask(run_dir, {"do": "resume"}, _LIMIT_S), is_json=is_json)
