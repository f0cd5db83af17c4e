"""Judgement of bandwidth and latency between NUMA nodes."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from nodeproof.check import check
from nodeproof.verdict import Verdict, fail, named, ok, plural
from nodeproof_bench.checks.common import MIN_STABILITY, learnt, number, refuse, rounded, wrong_values
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.stats import median
from nodeproof_bench.units import scaled

#: Memory pages that must be where they were asked for.
_LEAST_LOCAL_SHARE = 0.9

#: A remote node that is better by more than this is no noise: virtual nodes are alike, and real ones far apart.
_BETTER = 1.1

#: Learnt limits for remote memory leave this much room.
_REMOTE_MARGIN = 0.9

_BANDWIDTH, _LATENCY = "numa.bandwidth", "numa.latency"


class _Cell(NamedTuple):
    """CPUs of one node and memory of another. `speed` is a rate, or one over a time: more is better."""

    cpu_node: int
    memory_node: int
    value: float
    speed: float
    is_noisy: bool

    @property
    def is_local(self) -> bool:
        return self.cpu_node == self.memory_node

    @property
    def words(self) -> str:
        return f"node {self.cpu_node} from memory of node {self.memory_node}"


def _learn(history: BenchHistory, name: str) -> Mapping[str, object]:
    for result in learnt(history, name):
        cells = _cells(result)
        local = _local(cells)
        shares = [_share(c, local) for c in cells if not c.is_local and c.memory_node in local]
        return {"min_remote_share": rounded(_REMOTE_MARGIN * min(shares))} if shares else {}
    return {}


_REMEDY = (
    "Compare `numa.nodes`, `numa.distances` and the BIOS (NPS, SNC, NUMA node interleaving, link speed between "
    "sockets) with a good node; a node that is slow alone has a missing or slow DIMM (`memory.dimms`). In a "
    "virtual machine, bind its virtual nodes to those of the host."
)


@check(
    "numa.bandwidth", tags="boot bench", beta=True, remedy=_REMEDY, learn=lambda history: _learn(history, _BANDWIDTH)
)
def bandwidth(
    history: BenchHistory,
    *,
    min_sibling_share: Annotated[
        float, "least bandwidth of a node to its own memory, as a share of the median of all nodes"
    ] = 0.95,
    min_remote_share: Annotated[
        float | None, "least bandwidth to the memory of another node, as a share of that to its own"
    ] = None,
) -> Verdict:
    """Every NUMA node reads its own memory as fast as its siblings do, and faster than that of others.

    Ranks are pinned in the belief that node 0 is near memory 0. Where the firmware numbers nodes wrongly, all that
    is pinned with care runs over the slow link. A link between sockets that trained with half its lanes shows in the
    remote cells alone.
    """
    return _judge(history.need(_BANDWIDTH), min_sibling_share, min_remote_share)


@check("numa.latency", tags="boot bench", beta=True, remedy=_REMEDY, learn=lambda history: _learn(history, _LATENCY))
def latency(
    history: BenchHistory,
    *,
    min_sibling_share: Annotated[
        float, "least speed (one over the latency) of a node with its own memory, as a share of the median of all nodes"
    ] = 0.9,
    min_remote_share: Annotated[
        float | None,
        "least speed (one over the latency) with the memory of another node, as a share of that of its own",
    ] = None,
) -> Verdict:
    """Every NUMA node reaches its own memory as soon as its siblings do, and sooner than that of others.

    A table of distances is what the firmware claims, this is what loads take. A fabric that was left in a
    power-saving state, or nodes with their memory swapped, make every pinned program wait.
    """
    return _judge(history.need(_LATENCY), min_sibling_share, min_remote_share)


def _judge(results: Sequence[BenchResult], min_sibling_share: float, min_remote_share: float | None) -> Verdict:
    result = results[0]
    cells = _cells(result)
    local = _local(cells)
    evidence = {"cells": {f"{c.cpu_node}-{c.memory_node}": c.value for c in cells}}
    if wrong := wrong_values(results):
        return wrong
    bad = {
        **_misplaced(cells, local, result.unit),
        **_slow_nodes(local, min_sibling_share, result.unit),
        **_slow_links(cells, local, min_remote_share or 0, result.unit),
    }
    if bad and result.is_inconclusive:
        refuse(result, f"inconclusive: {result.reason}")
    noisy = {c for cell in bad for c in (cell, local.get(cell.cpu_node, cell)) if c.is_noisy}
    if proven := [words for cell, words in bad.items() if not {cell, local.get(cell.cpu_node, cell)} & noisy]:
        return fail(named(proven, 2), **evidence)
    if noisy:
        refuse(result, f"not repeatable: {named([c.words for c in noisy])} was disturbed, or not stable")
    slowest = min(local.values() or cells, key=lambda c: c.speed)
    shares = [_share(c, local) for c in cells if not c.is_local and c.cpu_node in local]
    remote = f", that of others at {min(shares):.0%} of its speed" if shares else ""
    words = f"{plural(len(local), 'NUMA node')}, own memory at {scaled(slowest.value, result.unit)} or better{remote}"
    return ok(words, **evidence)


def _cells(result: BenchResult) -> list[_Cell]:
    """Return the matrix. Raises FactError for pages that were not where they should have been."""
    cells = []
    for point in result.points:
        value, local_share = number(point, "value", result), point.get("local_share")
        cpu_node, memory_node = (int(number(point, key, result)) for key in ("cpu_node", "memory_node"))
        if isinstance(local_share, int | float) and local_share < _LEAST_LOCAL_SHARE:
            refuse(result, f"only {local_share:.0%} of the pages were on node {memory_node}, expected all")
        is_noisy = point.get("is_contended") is True or number(point, "stability", result) < MIN_STABILITY
        cells.append(_Cell(cpu_node, memory_node, value, 1 / value if result.is_time else value, is_noisy))
    if not cells:
        refuse(result, "the result has no points")
    return cells


def _local(cells: Sequence[_Cell]) -> dict[int, _Cell]:
    return {c.cpu_node: c for c in cells if c.is_local}


def _share(cell: _Cell, local: Mapping[int, _Cell]) -> float:
    own = local.get(cell.cpu_node)
    return cell.speed / own.speed if own is not None else 1.0


def _misplaced(cells: Sequence[_Cell], local: Mapping[int, _Cell], unit: str) -> dict[_Cell, str]:
    """Return the cells where another node's memory is nearer than the own. Memory without CPUs may well be: HBM."""
    return {
        c: f"{c.words} gets {scaled(c.value, unit)}, from its own {scaled(local[c.cpu_node].value, unit)}, "
        "expected its own to be nearest"
        for c in cells
        if c.memory_node in local and not c.is_local and _share(c, local) > _BETTER
    }


def _slow_nodes(local: Mapping[int, _Cell], min_share: float, unit: str) -> dict[_Cell, str]:
    """Return the nodes that are slower than their siblings; of two, the slower one."""
    if len(local) < 2:
        return {}
    usual = max(c.speed for c in local.values()) if len(local) == 2 else median(c.speed for c in local.values())
    like = scaled(1 / usual if unit == "s" else usual, unit)
    return {
        c: f"node {node} gets {scaled(c.value, unit)} from its own memory, expected {min_share:.0%} of the {like} "
        "of its siblings"
        for node, c in local.items()
        if c.speed < min_share * usual
    }


def _slow_links(cells: Sequence[_Cell], local: Mapping[int, _Cell], min_share: float, unit: str) -> dict[_Cell, str]:
    return {
        c: f"{c.words} gets {scaled(c.value, unit)}, {_share(c, local):.0%} of what it gets from its own, "
        f"expected at least {min_share:.0%}"
        for c in cells
        if not c.is_local and c.memory_node in local and _share(c, local) < min_share
    }
