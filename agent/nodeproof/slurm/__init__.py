"""The only module that talks to slurmrestd.

What speaks HTTP is imported when it is used: a healthy node, which has nothing to ask, does not pay for it.
"""

from typing import TYPE_CHECKING, Any

from nodeproof.slurm.node import Node
from nodeproof.slurm.outcome import (
    Denied,
    Drained,
    Foreign,
    Free,
    HeldBack,
    LostRace,
    NotReady,
    Outcome,
    Resumed,
    Standing,
    Unsure,
)
from nodeproof.slurm.wish import Record, Wish

if TYPE_CHECKING:
    from nodeproof.slurm.carry import carry_out
    from nodeproof.slurm.rest import Client

__all__ = [
    "Client",
    "Denied",
    "Drained",
    "Foreign",
    "Free",
    "HeldBack",
    "LostRace",
    "Node",
    "NotReady",
    "Outcome",
    "Record",
    "Resumed",
    "Standing",
    "Unsure",
    "Wish",
    "carry_out",
]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from nodeproof.slurm.rest import Client

        return Client
    if name == "carry_out":
        from nodeproof.slurm.carry import carry_out

        return carry_out
    raise AttributeError(name)
