"""`nodeproof campaign plan`: what a plan comes down to before anything runs."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from nodeproof.errors import PolicyError
from nodeproof.policy.hosts import folded
from nodeproof.policy.settings import Settings
from nodeproof.slurm.jobs import require_jobs
from nodeproof.slurm.placed import Placed, read_placed
from nodeproof.slurm.rest import Client
from nodeproof.verdict import harmless, plural
from nodeproof_bench.campaign.begin import draft, node_names
from nodeproof_bench.campaign.book_engine import parsed
from nodeproof_bench.campaign.phases import estimates, nodes_at_once
from nodeproof_bench.campaign.plan_file import load_plan
from nodeproof_bench.campaign.times import moment, shown, window_of

SCHEMA = "nodeproof.campaign-plan/1"

#: Most skipped nodes that are named one by one.
_MOST_NAMED = 50


def site(directory: str | None) -> Settings:
    """Return the site's policy, which says where slurmrestd is. Raises PolicyError if it does not."""
    from nodeproof.cli.fleet import site_settings

    settings = site_settings(directory)
    if not settings.slurm.url:
        raise PolicyError("policy", "slurm.url", "not set: a campaign runs where the token is")
    return settings


def read_nodes(client: Client) -> dict[str, Placed]:
    """Return all nodes. Raises SlurmReadOnly for a Slurm that is too old for campaigns."""
    require_jobs(client)
    return read_placed(client)


def document(file: str, directory: str | None) -> dict[str, Any]:
    """Return what a plan file comes down to, as JSON values."""
    plan = load_plan(file)
    with Client(site(directory).slurm) as client:
        fleet = read_nodes(client)
        made = draft(plan, fleet, client.place)
        cluster = client.place
    names = node_names(made.nodes)
    found = estimates(plan, made.tasks, {name: fleet[name] for name in names})
    seconds = sum(estimate.seconds for estimate in found)
    now = time.time()
    wait_s = window_of(plan.submit.window).wait_s(now) if plan.submit.window else 0.0
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "cluster": cluster,
        "nodes": names,
        "skipped": [{"node": row.node, "why": row.why} for row in made.nodes if row.state == "skipped"],
        "out_of_service": [{"node": r.node, "why": r.why} for r in made.nodes if r.state == "included" and r.why],
        "nodes_at_once": nodes_at_once(plan, {name: fleet[name] for name in names}),
        "phases": [
            {
                "name": estimate.phase.name,
                "kind": estimate.phase.kind,
                "tasks": estimate.tasks,
                "jobs": estimate.jobs,
                "node_hours": round(estimate.node_hours, 3),
                "seconds": round(estimate.seconds, 1),
            }
            for estimate in found
        ],
        "jobs": sum(estimate.jobs for estimate in found),
        "node_hours": round(sum(estimate.node_hours for estimate in found), 3),
        "seconds": round(seconds, 1),
        "window": plan.submit.window,
        "expected_end": round(now + wait_s + seconds),
        "findings": plan.act.findings,
        "database": parsed(plan.database()).render_as_string(hide_password=True),
    }


def lines(made: dict[str, Any]) -> Iterator[str]:
    """Yield a plan for people."""
    yield f"{made['name']} on {made['cluster']}: {plural(len(made['nodes']), 'node')}, {folded(made['nodes'])}"
    yield ""
    rows = [("PHASE", "KIND", "TASKS", "JOBS", "NODE-HOURS", "TAKES")]
    for phase in made["phases"]:
        numbers = str(phase["tasks"]), str(phase["jobs"]), f"{phase['node_hours']:.2f}", shown(phase["seconds"])
        rows.append((phase["name"], phase["kind"], *numbers))
    total = str(sum(p["tasks"] for p in made["phases"])), str(made["jobs"]), f"{made['node_hours']:.2f}"
    rows.append(("all", "", *total, shown(made["seconds"])))
    yield from table(rows, "<<>>>>")
    yield ""
    for row in made["skipped"][:_MOST_NAMED]:
        yield f"skipped: {row['node']}: {harmless(row['why'], 200)}"
    if len(made["skipped"]) > _MOST_NAMED:
        yield f"skipped: {len(made['skipped']) - _MOST_NAMED} more (--json names all)"
    for row in made["out_of_service"][:_MOST_NAMED]:
        yield f"waited for: {row['node']}: {harmless(row['why'], 200)}"
    window = f", only from {made['window']}" if made["window"] else ""
    yield f"At most {plural(made['nodes_at_once'], 'node')} at once{window}. If no node is busy with other jobs, it"
    yield f"ends about {moment(made['expected_end'])}. Findings: {made['findings']}. Book: {made['database']}"


def table(rows: Sequence[Sequence[str]], alignment: str) -> Iterator[str]:
    """Yield rows in columns, each to the left or to the right."""
    shown_rows = [[harmless(cell, 300) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown_rows, strict=True)]
    for row in shown_rows:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(row, alignment, widths, strict=True))
        yield "  ".join(cells).rstrip()
