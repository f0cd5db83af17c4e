"""`nodeproof controller`: the drain controller, its secret, and the credentials of its nodes."""

import os
from collections.abc import Sequence

import click

from nodeproof.cli.fleet import site_settings
from nodeproof.controller.credentials import Authority, new_secret, read_secrets
from nodeproof.errors import NodeproofError, PolicyError
from nodeproof.files import replace_file
from nodeproof.policy.hosts import host_set
from nodeproof.policy.resolve import DEFAULT_DIRECTORY
from nodeproof.policy.settings import Settings
from nodeproof.slurm.wish import NODE_NAME
from nodeproof.verdict import plural

_POLICY_HELP = f"Directory of policy files.  [default: {DEFAULT_DIRECTORY}]"


@click.group("controller", invoke_without_command=True)
@click.option("--policy", "directory", help=_POLICY_HELP)
@click.pass_context
def command(ctx: click.Context, directory: str | None) -> None:
    """Carry out drains and resumes for nodes that hold no Slurm token.

    Listens at policy's [controller] listen, and serves until SIGTERM. Nodes that have a controller.url and a
    credential hand it what they want; it alone holds the token of [slurm], and keeps to the limits of [guard].
    """
    if ctx.invoked_subcommand is None:
        _serve(site_settings(directory))
    elif directory is not None:
        raise click.UsageError("--policy belongs behind the command")


@command.command("credential")
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
@click.option("--policy", "directory", help=_POLICY_HELP)
@click.option("--secret-file", help="Make them from this secret.  [default: policy's controller.secret_file]")
@click.option("--out-dir", help="Write each to a file there, named like its node and private to its owner.")
def credential(nodes: Sequence[str], directory: str | None, secret_file: str | None, out_dir: str | None) -> None:
    """Make the credentials of nodes, such as n1 or gpu[001-128], one a line.

    Each goes to its node as policy's controller.credential_file, mode 0600: whoever holds it can drain and resume
    that node, and no other.
    """
    path = site_settings(directory).controller.secret_file if secret_file is None else secret_file
    authority = Authority(read_secrets(path))
    made = {name: authority.credential(name) for name in _names(nodes)}
    if out_dir is None:
        for line in made.values():
            click.echo(line)
        return
    os.makedirs(out_dir, mode=0o700, exist_ok=True)
    for name, line in made.items():
        replace_file(os.path.join(out_dir, name), f"{line}\n".encode(), 0o600)
    click.echo(f"{out_dir}: wrote {plural(len(made), 'credential')}")


@command.command("secret")
@click.argument("path", metavar="FILE")
@click.option("--add", is_flag=True, help="Put a new one on top of FILE; what was made from the others stays valid.")
def secret(path: str, add: bool) -> None:
    """Make the secret that credentials are made from, for policy's controller.secret_file.

    To change it: --add, restart the controller, hand out new credentials, take the old line out of FILE, restart.
    """
    kept = [line.decode() + "\n" for line in read_secrets(path)] if add else []
    if not add and os.path.lexists(path):
        raise NodeproofError(f"{path}: is there already, and credentials may have been made from it (see --add)")
    replace_file(path, "".join([new_secret(), *kept]).encode(), 0o600)
    click.echo(f"{path}: {'a new secret before ' + plural(len(kept), 'other') if add else 'a new secret'}")


def _names(nodes: Sequence[str]) -> list[str]:
    try:
        names = [str(name) for hosts in nodes for name in host_set(hosts)]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if wrong := [name for name in names if not NODE_NAME.fullmatch(name)]:
        raise click.UsageError(f"not the name of a node: {wrong[0]!r}")
    return names


def _serve(settings: Settings) -> None:
    import asyncio

    from nodeproof.controller.allowance import Log
    from nodeproof.controller.batch import Batches, Demand
    from nodeproof.controller.carrier import Carrier
    from nodeproof.controller.listening import listening, tls_of
    from nodeproof.controller.server import Desk, serve
    from nodeproof.slurm import Client

    if not settings.slurm.url:
        raise PolicyError("policy", "slurm.url", "not set, and the controller writes through it")
    log = Log(lambda line: click.echo(f"nodeproof: {line}", err=True))
    authority, tls = Authority(read_secrets(settings.controller.secret_file)), tls_of(settings.controller)
    with Client(settings.slurm, keep_alive=True) as client, listening(settings.controller) as opened:
        demand = Demand(settings.guard.window_s)
        batches = Batches(Carrier(client, settings, log).carry_out, demand, settings.controller.batch_s)
        host, port = opened.getsockname()[:2]
        how = "" if tls else " without TLS"
        log.say(f"listens at {host} port {port}{how}, writes through {client.place}", "start")
        asyncio.run(serve(Desk(authority, client.account, batches, log), batches, opened, tls))
    log.say("ended", "start")
