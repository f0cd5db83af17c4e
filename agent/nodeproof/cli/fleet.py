"""`nodeproof fleet`: all nodes at once."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from nodeproof.check import entry_points
from nodeproof.cli import plugin_command
from nodeproof.errors import PolicyError, SlurmUnreachable
from nodeproof.policy.resolve import DEFAULT_DIRECTORY
from nodeproof.policy.settings import GuardSettings, Settings, SlurmSettings
from nodeproof.slurm import Client
from nodeproof.slurm.budget import Budget, budget_of
from nodeproof.slurm.fleet import read_fleet
from nodeproof.slurm.metrics import read_counts, why_full
from nodeproof.verdict import harmless

SCHEMA = "nodeproof.guard/1"

#: Entry points whose modules hold a click command named `command`: other packages bring subcommands of their own.
ENTRY_POINTS = "nodeproof.fleet"


class _WithPlugins(click.Group):
    """Imports a subcommand of another package when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *dict(entry_points(ENTRY_POINTS))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        module = dict(entry_points(ENTRY_POINTS)).get(cmd_name)
        return None if module is None else plugin_command(module)


@click.group("fleet", cls=_WithPlugins)
def command() -> None:
    """Look at all nodes."""


@command.command("guard")
@click.option("--policy", "directory", help=f"Directory of policy files.  [default: {DEFAULT_DIRECTORY}]")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def guard(directory: str | None, is_json: bool) -> None:
    """Show how many nodes are out of service and how many may be, and which nodeproof drained.

    Reads all nodes once through policy's [slurm], so it runs where the token is. For all nodes and for each
    partition it says what the guard would say to one more drain. With slurm.metrics_url slurmctld's own count is
    shown as well: by that alone a node may be refused, before it reads anything else.
    """
    settings = site_settings(directory)
    if not settings.slurm.url:
        raise PolicyError("policy", "slurm.url", "not set: this runs where the token is, such as on the controller")
    with Client(settings.slurm) as client:
        fleet = read_fleet(client)
        source = f"{client.place}, {client.version()}"
    document = {
        "schema": SCHEMA,
        "source": source,
        **_document(budget_of(fleet, settings.guard), settings.guard, fleet.now),
        "metrics": _metrics(settings.slurm, settings.guard),
    }
    click.echo(json.dumps(document, indent=2) if is_json else "\n".join(_lines(document)))


def site_settings(directory: str | None) -> Settings:
    """Return what policy says to all nodes alike; a class and its `mode` are the nodes' business."""
    from nodeproof.check import registry
    from nodeproof.policy.resolve import load_settings
    from nodeproof.probes.identity import Identity

    return load_settings(directory, Identity(""), registry(), cache="")[0]


def _document(budget: Budget, settings: GuardSettings, now_s: int) -> dict[str, Any]:
    return {
        "shares": [
            {"partition": share.partition or None, **share.usage._asdict(), "why_not": share.why_not or None}
            for share in budget.shares
        ],
        "drains": {"count": budget.drains, "limit": settings.drains, "window_s": settings.window_s},
        "checks": {"counts": dict(budget.checks), "limit": settings.same_check_nodes},
        "drained": [
            {
                "node": node.name,
                "state": [node.base_state, *sorted(node.flags)],
                "reason": node.reason,
                "user": node.reason_user,
                "age_s": max(0, now_s - node.reason_changed_at),
            }
            for node in budget.drained
        ],
    }


def _metrics(slurm: SlurmSettings, settings: GuardSettings) -> dict[str, Any] | None:
    """Return slurmctld's own count, or why there is none; None where policy names no metrics."""
    if not slurm.metrics_url:
        return None
    try:
        counts = read_counts(slurm.metrics_url, slurm.timeout_s)
    except SlurmUnreachable as error:
        return {"source": slurm.metrics_url, "error": str(error)}
    return {"source": slurm.metrics_url, **counts._asdict(), "why_not": why_full(counts, settings) or None}


def _lines(document: dict[str, Any]) -> Iterator[str]:
    rows = [("NODES OF", "IN ALL", "OUT", "LIMIT", "ONE MORE DRAIN")]
    for share in document["shares"]:
        name = "all" if share["partition"] is None else f"partition {share['partition']}"
        verdict = f"refused: {share['why_not']}" if share["why_not"] else "let through"
        rows.append((name, str(share["total"]), str(share["out"]), str(share["limit"]), verdict))
    yield from _table(rows, "<>>><")
    drains, checks = document["drains"], document["checks"]
    yield ""
    yield f"Drained within {_duration(drains['window_s'])}: {drains['count']}, the limit is {drains['limit']}."
    for check, count in checks["counts"].items():
        yield f"  for {check}: {count}, the limit is {checks['limit']}"
    yield f"Counted from {document['source']}."
    if metrics := document["metrics"]:
        yield _metrics_line(metrics)
    yield ""
    if not document["drained"]:
        yield "nodeproof holds no node drained."
        return
    held = [(n["node"], "+".join(n["state"]), _duration(n["age_s"]), n["reason"]) for n in document["drained"]]
    yield from _table([("DRAINED BY NODEPROOF", "STATE", "SINCE", "REASON"), *held], "<<><")


def _metrics_line(metrics: dict[str, Any]) -> str:
    if "error" in metrics:
        return f"slurmctld's own count is not to be had: {metrics['error']}"
    counts = ", ".join(f"{metrics[key]} {key}" for key in ("down", "drain", "fail"))
    verdict = f"refuses: {metrics['why_not']}" if metrics["why_not"] else "refuses nothing"
    return f"slurmctld's own count at {metrics['source']}: {metrics['total']} nodes, {counts}; that alone {verdict}."


def _table(rows: Sequence[Sequence[str]], alignment: str) -> Iterator[str]:
    """Yield rows in columns, each to the left or to the right."""
    shown = [[harmless(cell, 300) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(row, alignment, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _duration(seconds: float) -> str:
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            number = seconds / unit_s
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"
    return f"{seconds:.0f} s"
