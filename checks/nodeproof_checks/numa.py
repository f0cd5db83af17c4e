"""Judgement of NUMA layout."""

from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.probes.numa import DeviceLocality, NumaBalancing, NumaNodes
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn

MAX_DIFFERENCE_PERCENT = 5


def _without_memory(numa: NumaNodes) -> list[int]:
    return [n for n, node in numa.with_cpus.items() if not node.memory_bytes]


def _learn_nodes(numa: NumaNodes) -> dict[str, object]:
    bare = _without_memory(numa)
    return {"claimed": len(numa.nodes)} | ({"without_memory": bare} if bare else {})


@check(
    "numa.nodes",
    tags="boot",
    remedy="Compare the firmware's NUMA settings (NPS, SNC, node interleaving) with another node of the class; "
    "a node that lost all its memory has failed DIMMs or a failed channel.",
    learn=_learn_nodes,
)
def nodes(
    numa: NumaNodes,
    *,
    claimed: Annotated[int, "NUMA nodes online, those with memory only (HBM, CXL, GPU) included"],
    without_memory: Annotated[tuple[int, ...], "nodes that have CPUs and no memory by design"] = (),
) -> Verdict:
    """The expected NUMA nodes are there, and each with CPUs has memory.

    Node interleaving or another NPS/SNC setting changes how ranks and memory are placed: the same job
    script then pins to the wrong cores. CPUs without local memory run every access over the fabric.
    """
    bare = [n for n in _without_memory(numa) if n not in without_memory]
    without_cpus = sorted(set(numa.nodes) - set(numa.with_cpus))
    evidence = {"nodes": len(numa.nodes), "nodes_without_cpus": without_cpus, "nodes_without_memory": bare}
    if len(numa.nodes) != claimed:
        return fail(f"{len(numa.nodes)} NUMA nodes, expected {claimed}: node {named(sorted(numa.nodes))}", **evidence)
    if bare:
        return fail(f"NUMA node {named(bare)} has CPUs and no memory, expected memory at each", **evidence)
    also = f", {len(without_cpus)} of them without CPUs" if without_cpus else ""
    return ok(f"{plural(len(numa.nodes), 'NUMA node')}{also}", **evidence)


def _difference_percent(numa: NumaNodes) -> float:
    sizes = [node.memory_bytes for node in numa.with_cpus.values() if node.memory_bytes]
    return 100 * (max(sizes) - min(sizes)) / max(sizes) if sizes else 0.0


def _learn_difference(numa: NumaNodes) -> dict[str, object]:
    percent = _difference_percent(numa)
    return {} if percent <= MAX_DIFFERENCE_PERCENT else {"max_difference_percent": int(percent) + 2}


@check(
    "numa.memory_balance",
    tags="boot",
    remedy="Look for a missing or disabled DIMM on the smaller node: memory.dimms, firmware event log.",
    learn=_learn_difference,
)
def memory_balance(
    numa: NumaNodes,
    *,
    max_difference_percent: Annotated[int, "most that the smallest node may lack, in percent of the largest"] = (
        MAX_DIFFERENCE_PERCENT
    ),
    reserved_bytes: Annotated[int, "difference that kernel and firmware reservations explain, in bytes"] = 2 << 30,
) -> Verdict:
    """NUMA nodes with CPUs have the same amount of memory.

    A DIMM that failed training disappears without an error. What is left shows as one smaller node,
    on which jobs run out of memory or spill over to the neighbour. One DIMM of twelve is 8 percent.
    """
    sizes = {n: node.memory_bytes for n, node in numa.with_cpus.items() if node.memory_bytes}
    evidence = {"memory_bytes": {str(n): size for n, size in sizes.items()}}
    if len(sizes) < 2:
        return ok("one NUMA node with CPUs and memory: nothing to compare", **evidence)
    least, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    percent = _difference_percent(numa)
    if percent > max_difference_percent and sizes[most] - sizes[least] > reserved_bytes:
        return fail(
            f"NUMA node {least} has {sizes[least] >> 20} MiB, {percent:.1f} % less than the {sizes[most] >> 20} MiB "
            f"of node {most}, expected at most {max_difference_percent} %",
            **evidence,
        )
    return ok(f"{len(sizes)} NUMA nodes differ by {percent:.1f} % in memory", **evidence)


def _rows(numa: NumaNodes) -> list[str]:
    return [" ".join(map(str, node.distances)) for node in numa.nodes.values()]


@check(
    "numa.distances",
    tags="boot",
    remedy="Compare firmware version and NUMA settings with another node of the class; "
    "the distances are the firmware's SLIT table.",
    learn=lambda numa: {"expected": _rows(numa)},
)
def distances(
    numa: NumaNodes,
    *,
    expected: Annotated[tuple[str, ...] | None, "distances from each node, as in its `distance` file"] = None,
) -> Verdict:
    """NUMA distances are plausible, and as expected.

    Schedulers, MPI and the kernel choose the nearest memory and cores by these numbers. A wrong table
    sends traffic over the slow link.
    """
    rows = _rows(numa)
    evidence = {"distances": rows}
    for i, (n, node) in enumerate(numa.nodes.items()):
        others = node.distances[:i] + node.distances[i + 1 :]
        if others and min(others) <= node.distances[i]:
            return fail(f"NUMA node {n} is not nearest to itself, expected {n} to be: distances {rows[i]}", **evidence)
    if expected is not None and tuple(rows) != tuple(expected):
        return fail(f"NUMA distances are {' / '.join(rows)}, expected {' / '.join(expected)}", **evidence)
    numbers = [node.distances for node in numa.nodes.values()]
    if expected is None and [*zip(*numbers, strict=True)] != numbers:
        return warn(f"NUMA distances are not the same both ways: {' / '.join(rows)}", **evidence)
    return ok(f"NUMA distances are {' / '.join(rows)}", **evidence)


@check(
    "numa.balancing",
    remedy="Switch it {required}: set kernel.numa_balancing to 1 for on, 0 for off, and make it permanent in "
    "/etc/sysctl.d.",
    learn=lambda balancing: {"required": "on" if balancing.mode else "off"},
)
def balancing(
    balancing: NumaBalancing,
    *,
    required: Annotated[Literal["on", "off"], "state that automatic NUMA balancing must be in"],
) -> Verdict:
    """Automatic NUMA balancing is switched as required.

    It unmaps pages to see who uses them, and moves them: good for unpinned services, pure jitter for a
    job that places its memory itself.
    """
    found = "on" if balancing.mode else "off"
    if found != required:
        return fail(f"automatic NUMA balancing is {found}, expected {required}", mode=balancing.mode)
    return ok(f"automatic NUMA balancing is {found}", mode=balancing.mode)


def _learn_places(numa: NumaNodes, locality: DeviceLocality) -> dict[str, object]:
    if len(numa.with_cpus) < 2:
        return {}
    return {"expected": {address: device.node for address, device in locality.devices.items()}}


@check(
    "numa.device_locality",
    tags="boot",
    remedy="Compare slot, riser and firmware version with another node of the class: the firmware says in its "
    "ACPI tables (_PXM) which node a PCIe root belongs to.",
    learn=_learn_places,
)
def device_locality(
    numa: NumaNodes,
    locality: DeviceLocality,
    *,
    expected: Annotated[dict[str, int] | None, "NUMA node by PCI address; -1: not known"] = None,
) -> Verdict:
    """GPUs, network adapters and NVMe drives are attached to the expected NUMA nodes.

    MPI, NCCL and Slurm bind ranks to the device's node. If the firmware does not say which, they guess,
    and half of the guesses cross the socket link.
    """
    found = {address: device.node for address, device in locality.devices.items()}
    evidence = {"numa_node": found}
    wrong = {a: n for a, n in (expected or {}).items() if a in found and found[a] != n}
    if wrong:
        places = [f"{a} is at NUMA node {found[a]}, expected {n}" for a, n in wrong.items()]
        return fail(named(places), **evidence)
    lost = [a for a, n in found.items() if n < 0 and a not in (expected or {})]
    if lost and len(numa.with_cpus) > 1:
        return warn(
            f"{len(lost)} of {len(found)} devices have no NUMA node, expected one each: {named(lost)}", **evidence
        )
    return ok(f"{plural(len(found), 'device')} at {plural(len(numa.nodes), 'NUMA node')}", **evidence)
