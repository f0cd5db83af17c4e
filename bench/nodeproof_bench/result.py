"""Benchmark results as facts: what was measured on each part of this machine.

Deliberately not here: how good a result has to be (`nodeproof_bench.checks`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.parse import number_list, optional_text
from nodeproof_bench.runner import bench

NODES = "/sys/devices/system/node"


class Triad(NamedTuple):
    """Memory bandwidth of one NUMA node, all its cores together.

    `capability` is what 10 % of the time was exceeded, `sustained` the median, `stability` the 10th
    percentile over the 90th (0 to 1). `is_contended`: foreign processes had the CPUs;
    `is_partial`: this process may not use all cores of the node; `is_cache_bound`: memory was too
    scarce to get past the caches. None of the three says much of the hardware.
    """

    capability_bytes_per_s: float
    sustained_bytes_per_s: float
    stability: float
    cpus: str
    isa: str
    is_contended: bool
    is_partial: bool
    is_cache_bound: bool
    wrong_elements: int


@fact("nodeproof-bench memory.triad", f"{NODES}/{{has_cpu,has_memory}}", isolated=True)
class MemoryTriad(NamedTuple):
    """Memory bandwidth by NUMA node, and why it could not be measured on the others."""

    nodes: dict[int, Triad]
    unread: tuple[FactError, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Measure one node after the other: at once they would slow each other down."""
        nodes: dict[int, Triad] = {}
        unread: list[FactError] = []
        for node in _nodes(host):
            try:
                nodes[node] = _triad(host.call(bench, "memory.triad", "--node", str(node)))
            except FactError as error:
                unread.append(error)
        if not nodes and not unread:
            raise FactError(f"{NODES}/has_cpu", "malformed", "no NUMA node has both CPUs and memory")
        return cls(nodes, tuple(unread))


def _nodes(host: Host) -> list[int]:
    """Return the NUMA nodes that have both CPUs and memory; a kernel without NUMA is one node."""
    with_cpus = optional_text(host, f"{NODES}/has_cpu")
    with_memory = optional_text(host, f"{NODES}/has_memory")
    if with_cpus is None or with_memory is None:
        return [0]
    having_memory = number_list(f"{NODES}/has_memory", with_memory)
    return [n for n in number_list(f"{NODES}/has_cpu", with_cpus) if n in having_memory]


def _triad(result: Mapping[str, Any]) -> Triad:
    try:
        return Triad(
            capability_bytes_per_s=float(result["value"]),
            sustained_bytes_per_s=float(result["sustained"]),
            stability=float(result["stability"]),
            cpus=str(result["cpus"]),
            isa=str(result["isa"]),
            is_contended=bool(result["is_contended"]),
            is_partial=bool(result["is_partial"]),
            is_cache_bound=bool(result["is_cache_bound"]),
            wrong_elements=int(result["wrong_elements"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FactError("bench memory.triad", "malformed", f"{type(error).__name__}: {error}") from error
