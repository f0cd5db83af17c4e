"""Benchmarks of a job: repeats of a suite, a stress, or what two nodes measure together. Nothing is judged here.

A campaign's job has its node for itself, and Slurm sees to that: jobs beside it are not looked for, and `nodeproof
bench` refuses to measure beside it. What disturbs a measurement nevertheless shows in it
(`nodeproof_bench.conditions`).
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from nodeproof.engine.worker import read_facts
from nodeproof.errors import FactError, NodeproofError
from nodeproof.host import Host
from nodeproof.probes.infiniband import Infiniband
from nodeproof_bench.campaign.node.lines import Lines
from nodeproof_bench.campaign.node.local import local_directory
from nodeproof_bench.campaign.node.meeting import Peer, meet
from nodeproof_bench.campaign.order import WorkOrder
from nodeproof_bench.execute import MOST_ATTEMPTS, Executor
from nodeproof_bench.measure import Measured, measure
from nodeproof_bench.placement import Plan, Planned, Topology, UnknownName, plan
from nodeproof_bench.runner import find_program, listed
from nodeproof_bench.suites import BENCHMARKS

#: What an RDMA port that works says: ACTIVE (InfiniBand Architecture Specification, volume 1, PortInfo).
_ACTIVE = 4

#: How long adapters may take to say whether they have an active port.
_PORTS_S = 5.0

#: How much longer than a benchmark itself the other node may take until it is ready for the next.
_STEP_MARGIN_S = 30.0


class Bench(NamedTuple):
    """What a job measures with."""

    executor: Executor
    topology: Topology
    directory: str


def opened(host: Host, order: WorkOrder) -> Bench:
    """Return what to measure with. Raises NodeproofError where nodeproof-bench cannot be used."""
    program = find_program()
    topology = Topology.read(host)
    try:
        directory = local_directory(order)
    except NodeproofError:
        directory = ""  # benchmarks of disks say that they cannot write, the others need none
    return Bench(Executor(program, listed(program), host, topology.cpus), topology, directory)


def repeats(bench: Bench, order: WorkOrder, lines: Lines) -> None:
    """Measure the suite again and again. What ends it early is raised once all is in `lines`."""
    runs = _in_question(_plan(order.benchmarks, bench, order), order)
    for repeat in range(1, order.repeats + 1):
        if repeat > 1:
            time.sleep(order.interval_s)
        lines.bench(repeat, _whole(measure(runs, bench.executor, 0), lines, repeat).document)


def stress(bench: Bench, order: WorkOrder, lines: Lines) -> None:
    """Load the node, and look for wrong values, for as long as the order says."""
    runs = _plan(order.benchmarks or ("burnin",), bench, order)
    lines.bench(1, _whole(measure(runs, bench.executor, order.duration_s), lines, 1).document)


def pair(bench: Bench, order: WorkOrder, lines: Lines, until_s: float) -> None:
    """Measure with the other node whatever both can. Raises MeetingError if it does not come, or goes away."""
    names = [name for name in order.benchmarks if name in bench.executor.has and name in BENCHMARKS]
    if not _has_active_port(bench.executor.host):
        names = [name for name in names if not BENCHMARKS[name].is_on_rdma]
    with meet(order, names, min(until_s, time.monotonic() + order.meet_s)) as peer:
        if not peer.benchmarks:
            _say_what_is_missing(order, names, lines)
        for repeat in range(1, order.repeats + 1):
            for name in peer.benchmarks:
                _WithPeer(bench, order, peer).measure(name, repeat, lines)


def _say_what_is_missing(order: WorkOrder, own: Sequence[str], lines: Lines) -> None:
    """Say why two nodes can measure nothing together. A node without RDMA is not sick: it has nothing to try again."""
    if not all(name in BENCHMARKS and BENCHMARKS[name].is_on_rdma for name in order.benchmarks):
        raise NodeproofError(f"{order.node} and {order.peer_node} have no benchmark in common")
    why = f"not available: {order.peer_node if own else order.node} has no active RDMA port"
    lines.unavailable(order.benchmarks, why)


class _WithPeer(NamedTuple):
    """One node's part in what two measure together."""

    bench: Bench
    order: WorkOrder
    peer: Peer

    def measure(self, name: str, repeat: int, lines: Lines) -> None:
        """Measure one benchmark, again if either of the two was disturbed."""
        planned = self._planned(name)
        most_s = planned.deadline_s + _STEP_MARGIN_S
        step = f"begin {name} {repeat}"
        for attempt in range(1, MOST_ATTEMPTS + 1):
            if (said := self.peer.exchange(step, most_s)) != step:
                raise NodeproofError(f"{self.peer.name} does something else: {said[:80]!r}")
            once = Plan(name, (planned,), limit_s=0)  # no time for repeats that the other knows nothing of
            measured = _whole(measure(once, self.bench.executor, 0), lines, repeat)
            is_disturbed = any(result["is_inconclusive"] for result in measured.document["results"])
            theirs = self.peer.exchange("disturbed" if is_disturbed else "done", most_s)
            if attempt == MOST_ATTEMPTS or (not is_disturbed and theirs == "done"):
                break
        if theirs != "done":
            _doubt(measured, f"the other node, {self.peer.name}, was disturbed")
        lines.bench(repeat, measured.document)

    def _planned(self, name: str) -> Planned:
        planned = _plan([name], self.bench, self.order).runs[0]
        ends = (f"--{self.order.role}", self.peer.address, "--session", self.order.session)
        return planned._replace(args=(*ends, *planned.args))


def _doubt(measured: Measured, why: str) -> None:
    """Both nodes print the same figures: what disturbed one of them is in both."""
    for result in measured.document["results"]:
        if not result["is_inconclusive"]:
            result |= {"is_inconclusive": True, "reason": why}


def _plan(words: Sequence[str], bench: Bench, order: WorkOrder) -> Plan:
    limits = {"duration_s": order.duration_s} if order.duration_s else {}
    try:
        return plan(words, bench.topology, seconds=order.seconds, path=bench.directory, **limits)
    except UnknownName as error:
        raise NodeproofError(f"benchmarks: {error}") from error


def _in_question(runs: Plan, order: WorkOrder) -> Plan:
    """Return the runs that the order is about, each as it is among all of them."""
    kept = tuple(run for run in runs.runs if not order.only or run.name in order.only)
    if not kept:
        raise NodeproofError(f"{' '.join(order.benchmarks)} has none of {', '.join(order.only)} on this node")
    return runs._replace(runs=kept)


def _whole(measured: Measured, lines: Lines, repeat: int) -> Measured:
    """Return what was measured; what ended it early is raised again, once what there is has been said."""
    if measured.signal is not None:
        if measured.is_any:
            lines.bench(repeat, measured.document)
        raise measured.signal
    return measured


def _has_active_port(host: Host) -> bool:
    until_s = time.monotonic() + _PORTS_S
    found = read_facts(host, [Infiniband], deadline_s=_PORTS_S, until_s=until_s)[Infiniband].value
    return not isinstance(found, FactError) and any(port.state == _ACTIVE for port in found.ports.values())
