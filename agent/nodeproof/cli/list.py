"""`nodeproof list`: every check that is installed."""

import json

import click

from nodeproof.check import CheckSpec, registry


@click.command("list")
@click.option("--tag", help="Only checks with this tag (prolog, healthcheck, boot, bench, infiniband, gpu).")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(tag: str | None, is_json: bool) -> None:
    """List all checks."""
    specs = [s for s in registry().values() if tag is None or tag in s.tags]
    if is_json:
        click.echo(json.dumps([_as_json(s) for s in specs], indent=2))
        return
    width = max((len(s.id) for s in specs), default=0)
    for spec in specs:
        beside_a_job = "" if spec.interference == "passive" else f" ({spec.interference})"
        click.echo(f"{spec.id:<{width}}  {spec.title}{beside_a_job}")


def _as_json(spec: CheckSpec) -> dict[str, object]:
    return {
        "id": spec.id,
        "title": spec.title,
        "tags": sorted(spec.tags),
        "is_beta": spec.beta,
        "interference": spec.interference,
    }
