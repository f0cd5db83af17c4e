"""`nodeproof policy`: check, show, describe and learn policy."""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from nodeproof.check import CheckSpec, registry
from nodeproof.engine.identity import read_identity
from nodeproof.engine.worker import read_facts
from nodeproof.errors import NodeproofError, PolicyError
from nodeproof.files import replace_file
from nodeproof.host import open_host
from nodeproof.policy.resolve import DEFAULT_DIRECTORY, check_policy, load_settings
from nodeproof.policy.settings import Settings
from nodeproof.probes.identity import Identity
from nodeproof.verdict import harmless, plural

if TYPE_CHECKING:
    from nodeproof.policy.learn import Node

_ROOT_HELP = "A recording or a tree that mirrors /, instead of this node."


@click.group("policy")
def command() -> None:
    """Check, show, learn and describe policy."""


@command.command("check")
@click.argument("directory", default=DEFAULT_DIRECTORY)
@click.pass_context
def check_(ctx: click.Context, directory: str) -> None:
    """Check the policy files of DIRECTORY.

    Prints one line for each mistake: file, line, key, and what was expected. Exit code: 0 all is well, 2 it is not.
    """
    try:
        plan = check_policy(directory, registry())
    except PolicyError as error:
        for line in str(error).splitlines():
            click.echo(harmless(line, 1000), err=True)
        ctx.exit(2)
    layers = plan["layers"]
    classes = sum(layer["class"] is not None for layer in layers)
    of_classes = "1 class" if classes == 1 else f"{classes} classes"
    click.echo(f"{directory}: good: {plural(len(layers) - classes, 'file')}, {of_classes}")


@command.command("show")
@click.option("--policy", "directory", help=f"Directory of policy files.  [default: {DEFAULT_DIRECTORY}]")
@click.option("--root", default="/", show_default=True, help=_ROOT_HELP)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def show(directory: str | None, root: str, is_json: bool) -> None:
    """Show the effective policy of a node, and which file and line set each value.

    What is printed is a policy file itself.
    """
    from nodeproof.policy import shown

    specs = registry()
    with open_host(root) as host:
        identity = read_identity(host)
    settings, warnings = load_settings(directory, identity, specs, cache=None if root == "/" else "")
    for warning in warnings:
        click.echo(f"nodeproof: {harmless(warning, 1000)}", err=True)
    if is_json:
        click.echo(json.dumps(shown.document(settings, identity, specs), indent=2))
    else:
        click.echo(shown.text(settings, identity, specs), nl=False)


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of a policy file, for editors that check TOML while it is written."""
    from nodeproof.policy.model import policy_schema

    click.echo(json.dumps(policy_schema(registry()), indent=2))


@command.command("learn")
@click.argument("recordings", nargs=-1, metavar="[RECORDING]...")
@click.option("--name", default="", help="Name of the class.  [default: the product, or the node]")
@click.option("--out", help="Write the policy to this file, not to standard output.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document instead.")
def learn_(recordings: Sequence[str], name: str, out: str | None, is_json: bool) -> None:
    """Learn a class of nodes: what this node is, or what most of the recorded nodes agree on.

    The policy goes to standard output. Who differs from the others, and in what, goes to standard
    error as a table: the odd one out of a fleet is the finding.
    """
    from nodeproof.policy import learned_text
    from nodeproof.policy.learn import learn, learnable

    specs = learnable(registry())
    learned = learn(_apart([_read(root, specs) for root in recordings or ["/"]], recordings), specs)
    text = learned_text.class_text(learned, specs, name)
    if out is not None:
        _write(out, text)
    if is_json:
        click.echo(json.dumps(learned_text.document(learned, specs, name), indent=2))
    elif out is None:
        click.echo(text, nl=False)
    if learned.oddities and not is_json:
        click.echo(learned_text.oddity_table(learned.oddities), err=True)


def _read(root: str, specs: Mapping[str, CheckSpec]) -> "Node":
    from nodeproof.policy.learn import learn_node

    limits, facts = Settings(), list(dict.fromkeys(f for s in specs.values() for f in s.facts))
    with open_host(root) as host:
        identity = read_identity(host)
        readings = read_facts(host, facts, deadline_s=limits.deadline_s, until_s=time.monotonic() + limits.budget_s)
    return learn_node(_name(identity, root), identity, specs, {f: r.value for f, r in readings.items()})


def _name(identity: Identity, root: str) -> str:
    return identity.host_name or os.path.basename(os.path.normpath(root)) or "this node"


def _apart(nodes: "Sequence[Node]", recordings: Sequence[str]) -> "list[Node]":
    """Return the nodes with the recording added to names that are not unique: all were scrubbed alike, say."""
    counts = Counter(node.name for node in nodes)
    roots = recordings or ["/"]
    return [
        node._replace(name=f"{node.name} ({root})") if counts[node.name] > 1 else node
        for node, root in zip(nodes, roots, strict=True)
    ]


def _write(out: str, text: str) -> None:
    try:
        replace_file(out, text.encode(), 0o644)
    except OSError as error:
        raise NodeproofError(f"{out}: cannot write: {error.strerror}") from error
