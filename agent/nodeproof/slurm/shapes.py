"""The shapes in which slurmrestd describes a node, and the one Node that they come down to.

Two shapes are told apart, not ten versions: `state` is a list since v0.0.39, and was one lower-case
word with `state_flags` beside it before (v0.0.36 has no flags: there a drain cannot be seen).
"""

from typing import Any

from nodeproof.slurm.node import Node, node_of


def described(entry: Any) -> Node:
    """Return the Node of one entry of `nodes`, whatever its shape. Raises ValueError for anything else."""
    if isinstance(entry, dict) and isinstance(entry.get("state"), str):
        return node_of(_as_since_v39(entry))
    return node_of(entry)


def _as_since_v39(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a node of Slurm 22.05 in the newer shape. What is not set is null there."""
    flags = entry.get("state_flags")
    known = {key: value for key, value in entry.items() if value is not None}
    return {**known, "state": [entry["state"], *(flags if isinstance(flags, list) else [])]}
