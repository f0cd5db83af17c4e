"""Judgement of local disks by what they did."""

from collections.abc import Mapping
from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.nvme import CLASS, NvmeDrives
from nodeproof.probes.pci import PciLinks
from nodeproof.verdict import Verdict, fail, named, ok, warn
from nodeproof_bench.checks.common import certain, learnt, number, raise_doubts, rounded, wrong_values
from nodeproof_bench.physics import pcie_bytes_per_s
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.units import scaled

#: Disks vary more than memory does: by wear, by how full they are, by what was written before.
_RATE_MARGIN, _TIME_MARGIN = 0.8, 1.5


def _bandwidths(result: BenchResult) -> dict[str, float]:
    return {str(p.get("operation")): number(p, "value", result) for p in result.points} | {"read": result.value}


def _learn_bandwidth(history: BenchHistory) -> Mapping[str, object]:
    for result in learnt(history, "disk.bandwidth"):
        return {"min_bytes_per_s": rounded(_RATE_MARGIN * result.value)}
    return {}


@check(
    "disk.bandwidth",
    tags="boot bench",
    remedy="Compare `nvme.health`, `pci.link` and temperature of the drive with a good node; look for others that "
    "use it and for a RAID that rebuilds. A worn or full drive may recover after `fstrim`.",
    learn=_learn_bandwidth,
)
def bandwidth(
    history: BenchHistory,
    *,
    min_bytes_per_s: Annotated[float, "least sequential read bandwidth, in bytes per second"],
    min_write_bytes_per_s: Annotated[float | None, "least sequential write bandwidth, in bytes per second"] = None,
) -> Verdict:
    """The local disk moves data as fast as its class promises.

    Data sets are staged and checkpoints written at that rate. A drive that throttles, wears out or lost lanes of its
    link stays healthy in its own log while each epoch on that node takes longer.
    """
    results = history.need("disk.bandwidth")
    if wrong := wrong_values(results):
        return wrong
    result = results[0]
    found = _bandwidths(result)
    limits = {"read": min_bytes_per_s, "write": min_write_bytes_per_s or 0}
    slow = [what for what, least in limits.items() if found.get(what, least) < least]
    evidence = {"bytes_per_s": {what: round(rate) for what, rate in found.items()}, **_where(result)}
    if slow and certain([result]):
        words = [
            f"{what}s {scaled(found[what], 'B/s')}, expected at least {scaled(limits[what], 'B/s')}" for what in slow
        ]
        return fail(f"{_disk(result)} {named(words)}", **evidence)
    raise_doubts(history, results, results if slow else [])
    return ok(f"{_disk(result)} reads {scaled(result.value, 'B/s')}", **evidence)


def _learn_latency(history: BenchHistory) -> Mapping[str, object]:
    for result in learnt(history, "disk.latency"):
        return {"max_latency_s": rounded(_TIME_MARGIN * result.value, up=True)}
    return {}


@check(
    "disk.latency",
    tags="boot bench",
    remedy="Compare `nvme.health`, power states of drive and link (`nvme get-feature -f 2`, ASPM) and the I/O "
    "scheduler with a good node; look for others that use the disk.",
    learn=_learn_latency,
)
def latency(
    history: BenchHistory,
    *,
    max_latency_s: Annotated[float, "longest that one random read of 4 KiB may take, in seconds"],
    max_p99_s: Annotated[float | None, "longest that 99 of 100 such reads may take, in seconds"] = None,
) -> Verdict:
    """A small read from the local disk takes no longer than its class promises.

    Metadata, swap-in and small files wait for single reads. A tail that has grown is what a drive shows that moves
    data away from failing blocks, long before its log says so.
    """
    results = history.need("disk.latency")
    if wrong := wrong_values(results):
        return wrong
    result = results[0]
    p99_s = result.fields.get("p99_s")
    is_tail_long = max_p99_s is not None and isinstance(p99_s, float) and p99_s > max_p99_s
    evidence = {"latency_s": result.value, "p99_s": p99_s, **_where(result)}
    if result.value <= max_latency_s and not is_tail_long:
        return ok(f"{_disk(result)} reads 4 KiB in {scaled(result.value, 's')}", **evidence)
    raise_doubts(history, results, results)
    if result.value > max_latency_s:
        words = f"reads 4 KiB in {scaled(result.value, 's')}, expected at most {scaled(max_latency_s, 's')}"
    else:
        words = f"takes {scaled(p99_s or 0, 's')} for one of 100 reads, expected at most {scaled(max_p99_s or 0, 's')}"
    return fail(f"{_disk(result)} {words}", **evidence)


@check(
    "disk.link",
    tags="boot bench",
    remedy="What is faster than its link was not read from the drive: measure with a larger file, and look for a cache "
    "in between (a RAID controller, a hypervisor).",
)
def link(history: BenchHistory, drives: NvmeDrives, links: PciLinks) -> Verdict:
    """An NVMe drive is not faster than the PCIe link that it hangs on.

    Speed x lanes of the link is a limit of physics. A figure beyond it is one of a cache, and must not become the
    limit by which other nodes are judged.
    """
    result = history.need("disk.bandwidth")[0]
    device = str(result.fields.get("device"))
    name = _controller(device)
    drive = drives.known.get(name)
    pcie = links.known.get(drive.address) if drive is not None else None
    if drive is None or pcie is None or pcie.now.gt_per_s is None or pcie.now.lanes is None:
        raise FactError(f"{CLASS}/{name}", "absent", f"no PCIe link is known of {device}")
    most = pcie_bytes_per_s(pcie.now.gt_per_s, pcie.now.lanes)
    if most is None:
        raise FactError(f"{CLASS}/{name}", "absent", f"no specification has links of {pcie.now.gt_per_s:g} GT/s")
    found = _bandwidths(result)
    words = f"the link of {name} carries {scaled(most, 'B/s')} ({pcie.now.gt_per_s:g} GT/s x{pcie.now.lanes})"
    evidence = {"link_bytes_per_s": round(most), "bytes_per_s": {what: round(v) for what, v in found.items()}}
    if beyond := [f"{what}s {scaled(rate, 'B/s')}" for what, rate in found.items() if rate > most]:
        return warn(f"{device} {named(beyond)}, but {words}: a cache was measured", **evidence)
    return ok(f"{words}, {found['read'] / most:.0%} of it was read", **evidence)


def _controller(device: str) -> str:
    """Return `nvme0` for `/dev/nvme0n1p2`; what is no NVMe namespace stays as it is."""
    name = device.rpartition("/")[2]
    rest = name.removeprefix("nvme")
    return f"nvme{rest.partition('n')[0]}" if name.startswith("nvme") else name


def _disk(result: BenchResult) -> str:
    device = result.fields.get("device")
    return f"disk {device}" if isinstance(device, str) else "the disk"


def _where(result: BenchResult) -> Mapping[str, object]:
    return {key: result.fields.get(key) for key in ("device", "filesystem")}
