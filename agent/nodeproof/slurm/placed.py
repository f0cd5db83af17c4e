"""Nodes with what matters where work is placed on them: address, switch, reservation and size."""

import re
from typing import Any, NamedTuple

from nodeproof.errors import SlurmUnreachable
from nodeproof.slurm.answer import error_of
from nodeproof.slurm.node import Node, number
from nodeproof.slurm.rest import MOST_BYTES_OF_NODES, Client
from nodeproof.slurm.shapes import described
from nodeproof.verdict import harmless

_MOST_CHARS = 255

#: Where on the node a GPU is, as in `gpu:4(S:0-1)`.
_PLACES_OF_GRES = re.compile(r"\([^)]*\)")


class Placed(NamedTuple):
    """A node and where it is. `topology` is Slurm's own word (25.05 and newer), such as `tree:s1`; may be empty."""

    node: Node
    address: str
    features: tuple[str, ...] = ()
    topology: str = ""
    reservation: str = ""
    cpus: int = 1
    sockets: int = 1
    cores_per_socket: int = 1
    memory_mib: int = 0
    gres: str = ""

    @property
    def size(self) -> str:
        """What the node is by Slurm's configuration: `2 x 32 cores, 512 GiB, gpu:4`. Alike for nodes of one kind."""
        parts = [f"{self.sockets} x {self.cores_per_socket} cores", f"{self.memory_mib / 1024:.0f} GiB", self.gres]
        return ", ".join(filter(None, parts))


def read_placed(client: Client) -> dict[str, Placed]:
    """Return all nodes by name, in one request. Raises SlurmUnreachable or SlurmRejected."""
    answer, body = client.ask("GET", "nodes/", None, MOST_BYTES_OF_NODES)
    error = error_of(answer)
    if error is not None:
        raise error
    try:
        found = [placed_of(entry) for entry in body["nodes"]]
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        text = harmless(str(problem), 200)
        raise SlurmUnreachable(f"{client.place} describes a node in a way we do not know: {text}") from problem
    return {placed.node.name: placed for placed in found}


def placed_of(entry: Any) -> Placed:
    """Return the Placed of one entry of `nodes`. Raises ValueError or TypeError for anything else."""
    features = entry.get("active_features") or entry.get("features") or ()
    if isinstance(features, str):  # until v0.0.39
        features = features.split(",")
    return Placed(
        node=described(entry),
        address=harmless(str(entry.get("address") or entry["name"]), _MOST_CHARS),
        features=tuple(harmless(str(word), _MOST_CHARS) for word in features),
        topology=harmless(str(entry.get("topology") or ""), _MOST_CHARS),
        reservation=harmless(str(entry.get("reservation") or ""), _MOST_CHARS),
        cpus=max(1, number(entry.get("cpus", 1))),
        sockets=max(1, number(entry.get("sockets", 1))),
        cores_per_socket=max(1, number(entry.get("cores", 1))),
        memory_mib=number(entry.get("real_memory", 0)),
        gres=harmless(_PLACES_OF_GRES.sub("", str(entry.get("gres") or "")), _MOST_CHARS),
    )


def switch_of(placed: Placed, feature_prefix: str = "") -> str:
    """Return the switch of a node: of a feature with this prefix, else what Slurm's topology says; "" if unknown.

    Of several topologies the first counts, and of a path of switches (`tree:spine:s1`) the last: the node's own.
    """
    if feature_prefix:
        named = (word.removeprefix(feature_prefix) for word in placed.features if word.startswith(feature_prefix))
        return next((word for word in named if word), "")
    first = placed.topology.partition(",")[0]
    return first.rpartition(":")[2] if ":" in first else ""
