"""`nodeproof hook`: what slurmd runs. `nodeproof.__main__` takes a short cut to the same code."""

import click

from nodeproof import hooks


@click.command("hook")
@click.argument("kind", type=click.Choice(hooks.KINDS))
@click.option("--policy", "policy_directory", help="Directory of policy files.  [default: /etc/nodeproof/policy.d]")
@click.option("--state-dir", help="Where to keep what must outlive a pass.")
def command(kind: str, policy_directory: str | None, state_dir: str | None) -> int:
    """Judge this node for slurmd, as its HealthCheckProgram, Prolog or Epilog, and act as policy says.

    Prints nothing about a healthy node. Exit code of a prolog: 1 the node is not fit and the job must not start on
    it; 0 in all other cases, also where the node could not be judged. Of an epilog: 1 the node is not fit and
    drained. Of a health check: 0 nothing to tell, 1 something failed, 3 something else is to be told; Slurm makes
    no difference between them, but logs what is printed.
    """
    return hooks.run(kind, policy_directory, state_dir)
