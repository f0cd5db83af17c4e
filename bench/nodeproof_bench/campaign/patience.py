"""How long a node that is out of service is waited for."""

from collections.abc import Iterable, Mapping

from nodeproof.slurm.placed import Placed
from nodeproof.verdict import harmless


class Patience:
    """Remembers since when nodes are out of service, as far as one life of the controller has seen."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: dict[str, float] = {}

    def lost(self, nodes: Iterable[str], fleet: Mapping[str, Placed], now: float) -> dict[str, str]:
        """Return the nodes that are out of service for too long, and why they are."""
        found = {}
        for node in sorted(nodes):
            why = why_out(fleet.get(node))
            if not why:
                self._since.pop(node, None)
            elif now - self._since.setdefault(node, now) >= self._limit_s:
                found[node] = why
        return found


def why_out(placed: Placed | None) -> str:
    """Return why a node is out of service; "" if it is not."""
    if placed is None:
        return "Slurm knows no such node"
    node = placed.node
    if not node.is_out_of_service:
        return ""
    state = "+".join([node.base_state, *sorted(node.flags)])
    return harmless(f"{state}: {node.reason}" if node.reason else state, 200)
