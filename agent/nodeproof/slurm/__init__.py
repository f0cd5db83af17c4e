"""The only module that talks to slurmrestd."""

from nodeproof.slurm.actions import (
    Drained,
    Foreign,
    Free,
    LostRace,
    NotReady,
    Outcome,
    Record,
    Resumed,
    Standing,
    drain,
    look,
    resume,
)
from nodeproof.slurm.node import Node
from nodeproof.slurm.rest import Client

__all__ = [
    "Client",
    "Drained",
    "Foreign",
    "Free",
    "LostRace",
    "Node",
    "NotReady",
    "Outcome",
    "Record",
    "Resumed",
    "Standing",
    "drain",
    "look",
    "resume",
]
