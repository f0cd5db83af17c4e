"""`nodeproof agent`: stay on this node and look after it."""

import click

from nodeproof.host.base import RUN_DIR
from nodeproof.policy.resolve import DEFAULT_DIRECTORY


@click.command("agent")
@click.option("--run-dir", default=RUN_DIR, show_default=True, help="Where the gate file and the control socket are.")
@click.option("--state-dir", help="Where to keep what must survive a reboot.  [default: /var/lib/nodeproof]")
@click.option("--policy", "policy_dir", help=f"Directory of policy files.  [default: {DEFAULT_DIRECTORY}]")
def command(run_dir: str, state_dir: str | None, policy_dir: str | None) -> None:
    """Watch this node, judge it, and act as policy says, until SIGTERM. SIGHUP: read policy again.

    It follows the kernel log, devices and links, reads counters, runs the checks, and leaves what Slurm's hooks ask
    for in the run directory. `nodeproof status` says what it knows, `nodeproof history` what has happened.
    """
    import asyncio
    import os

    from nodeproof.daemon.run import Places, say, serve
    from nodeproof.files import state_directory

    places = Places(os.path.abspath(run_dir), os.path.abspath(state_dir or state_directory()), policy_dir)
    asyncio.run(serve(places, say))
