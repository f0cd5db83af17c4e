"""Begin a campaign: which nodes, which tasks, and an id."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nodeproof.errors import NodeproofError
from nodeproof.policy.hosts import host_set
from nodeproof.slurm.placed import Placed, switch_of
from nodeproof.verdict import named
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign, NodeRow, Task
from nodeproof_bench.campaign.patience import why_out
from nodeproof_bench.campaign.phases import tasks_of
from nodeproof_bench.campaign.plan import Plan


class Draft(NamedTuple):
    """A campaign that is not in the book yet: all its nodes, also those that are skipped, and its tasks."""

    campaign: Campaign
    nodes: list[NodeRow]
    tasks: list[Task]

    def save(self, book: Book) -> None:
        book.add_campaign(*self)


def draft(plan: Plan, fleet: Mapping[str, Placed], cluster: str, now: float | None = None) -> Draft:
    """Return what a plan comes down to on these nodes. Raises NodeproofError if nothing is left."""
    campaign_id = new_id(plan.name)
    nodes = [_row(campaign_id, name, plan, fleet) for name in chosen(plan, fleet)]
    names = [row.node for row in nodes if row.state == "included"]
    if not names:
        why = f": {named([f'{row.node} ({row.why})' for row in nodes])}" if nodes else ""
        raise NodeproofError(f"no node is left for this campaign{why}")
    switches = {row.node: row.switch for row in nodes if row.switch}
    text = plan.model_dump_json(exclude_none=True)
    created_at = time.time() if now is None else now
    campaign = Campaign(campaign_id, plan.name, created_at, seed=plan.seed, plan=text, cluster=cluster)
    return Draft(campaign, nodes, tasks_of(campaign_id, plan, names, switches))


def chosen(plan: Plan, fleet: Mapping[str, Placed]) -> list[str]:
    """Return the names of the nodes that a plan speaks of, in the order of host sets."""
    if plan.nodes is not None:
        return [str(name) for name in host_set(plan.nodes)]
    if plan.partition is not None:
        names = [name for name, placed in fleet.items() if plan.partition in placed.node.partitions]
        where = f"partition {plan.partition}"
    else:
        names = [name for name, placed in fleet.items() if placed.reservation == plan.reservation]
        where = f"reservation {plan.reservation} (it must have begun)"
    if not names:
        raise NodeproofError(f"Slurm knows no nodes of {where}")
    return [str(name) for name in host_set(",".join(names))]


def new_id(name: str) -> str:
    """Return an id that no other campaign has. The end begins with a letter: no job name can be read in two ways."""
    return f"{name}-{secrets.choice('abcdef')}{secrets.token_hex(3)[:5]}"


def _row(campaign_id: str, name: str, plan: Plan, fleet: Mapping[str, Placed]) -> NodeRow:
    placed = fleet.get(name)
    why = why_out(placed)
    if placed is None:
        return NodeRow(campaign_id, name, state="skipped", why=why)
    return NodeRow(
        campaign_id,
        name,
        hardware_class=placed.size,
        address=placed.address,
        switch=switch_of(placed, plan.submit.switch_feature),
        partitions=placed.node.partitions,
        state="skipped" if why and plan.out_of_service == "skip" else "included",
        why=why,
    )


def node_names(nodes: Sequence[NodeRow]) -> list[str]:
    """Return the nodes that take part."""
    return [row.node for row in nodes if row.state == "included"]
