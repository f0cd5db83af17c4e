"""Judgement of PCI devices and their links."""

from collections import Counter
from typing import Annotated

from nodeproof.check import check
from nodeproof.probes.pci import PciDevices, PciErrorCounts, PciErrors, PciLink, PciLinks
from nodeproof.verdict import Verdict, fail, named, ok, plural

#: Kinds that a node is bought for; what else is on the bus comes with the board.
_LEARNT = frozenset({"nic", "ib", "gpu", "nvme", "nvswitch", "storage"})


def _counts(devices: PciDevices) -> Counter[str]:
    physical = [d for d in devices.known.values() if not d.is_virtual_function]
    return Counter(d.id for d in physical) + Counter(d.kind for d in physical)


def _learn_devices(devices: PciDevices) -> dict[str, object]:
    """Count by id, but drives by kind: nodes of one class have them from several vendors."""
    physical = (d for d in devices.known.values() if d.kind in _LEARNT and not d.is_virtual_function)
    return {"claimed": dict(sorted(Counter("nvme" if d.kind == "nvme" else d.id for d in physical).items()))}


@check(
    "pci.devices",
    tags="prolog healthcheck boot",
    remedy="Power-cycle the node (a reboot may not retrain the link) and look for the device with `lspci`; "
    "if it stays away, reseat or replace it.",
    learn=_learn_devices,
)
def devices(
    pci: PciDevices,
    *,
    claimed: Annotated[
        dict[str, int],
        "least number of devices by `vendor:device` id or by kind (gpu, ib, nic, nvme, nvswitch, storage)",
    ],
) -> Verdict:
    """Every claimed PCI device is on the bus.

    A GPU, network adapter or drive that failed to train its link at boot is simply not listed. Jobs
    then fail on a missing rail or GPU, or silently use the one next to it.
    """
    found = _counts(pci)
    missing = {name: (found[name.lower()], count) for name, count in claimed.items() if found[name.lower()] < count}
    if not missing:
        return ok(f"all claimed PCI devices are there: {named([f'{count} {name}' for name, count in claimed.items()])}")
    if pci.unread:  # the missing one may be among them
        raise next(iter(pci.unread.values()))
    words = [f"{have} of {count} {name}" for name, (have, count) in missing.items()]
    return fail(
        f"PCI devices are missing: found {named(words)}",
        found_count={name: have for name, (have, _) in missing.items()},
        expected_count={name: count for name, (_, count) in missing.items()},
    )


@check(
    "pci.link",
    remedy="Reseat the card, its riser and its cables, then compare `lspci -vv` (LnkCap, LnkSta) of device and port. "
    "A card in a slot that has fewer lanes by design belongs into `excepted`.",
)
def link(
    links: PciLinks,
    *,
    classes: Annotated[tuple[str, ...], "kinds to judge: any of gpu, ib, nic, nvme, storage, switch (uplinks)"] = (
        "nic",
        "ib",
        "gpu",
        "nvme",
        "switch",
    ),
    excepted: Annotated[tuple[str, ...], "devices that are not judged, by PCI address or `vendor:device` id"] = (),
    is_gpu_speed_judged: Annotated[
        bool, "whether a GPU must run at full speed; an idle one lowers it to save power"
    ] = False,
    is_switch_speed_judged: Annotated[
        bool, "whether the uplink of a switch must run at full speed; some lower it with the GPUs below them"
    ] = False,
) -> Verdict:
    """PCIe links run at the speed and width that device and slot both can do.

    A badly seated card or riser trains with half its lanes or one generation lower, and everything
    still works: the adapter just has half its bandwidth, and each collective waits for that node.
    """
    judged = {
        address: pcie
        for address, pcie in links.known.items()
        if pcie.device.kind in classes and not {address, pcie.device.id} & set(excepted)
    }
    problems = {}
    for address, pcie in judged.items():
        is_speed_judged = {"gpu": is_gpu_speed_judged, "switch": is_switch_speed_judged}.get(pcie.device.kind, True)
        if words := _problem(pcie, is_speed_judged=is_speed_judged):
            problems[address] = f"{pcie.device.kind} {address} {words}"
    if problems:
        return fail(named(list(problems.values()), 2), devices=sorted(problems))
    for error in links.unread.values():
        raise error
    return ok(f"{plural(len(judged), 'PCIe link')} at the speed and width that both ends can do")


def _problem(pcie: PciLink, *, is_speed_judged: bool) -> str:
    """Return what is wrong with a link, or nothing; what is not known is not judged."""
    if not pcie.is_answering:
        return "does not answer (its registers read as ones)"
    now, best = pcie.now, pcie.best
    if now.lanes and best.lanes and now.lanes < best.lanes:
        return f"runs at x{now.lanes}, expected x{best.lanes} below port {pcie.port}"
    if is_speed_judged and now.gt_per_s and best.gt_per_s and now.gt_per_s < best.gt_per_s:
        return f"runs at {now.gt_per_s:g} GT/s, expected {best.gt_per_s:g} GT/s below port {pcie.port}"
    return ""


@check(
    "pci.aer",
    remedy="Look for `AER:` in the kernel log. Reseat the device and its riser, check its cooling; if the errors come "
    "back after a reboot (which resets the counters), replace it.",
)
def aer(
    errors: PciErrors,
    *,
    max_fatal_count: Annotated[int, "fatal error messages that one device sent or received since boot"] = 0,
    max_nonfatal_count: Annotated[int, "uncorrected non-fatal error messages of one device since boot"] = 10,
    max_correctable_count: Annotated[int, "corrected error messages of one device since boot"] = 1_000_000,
) -> Verdict:
    """No device reported fatal PCIe errors, nor more of the others than tolerated.

    A fatal error takes the link down and a GPU or adapter with it, in the middle of a job. Corrected
    ones cost a replay each: a storm of them is a bad contact that shows as lost bandwidth first. The
    fault may lie with the link partner of the device that counts it.
    """
    problems = {}
    for address, counts in errors.known.items():
        if words := _excess(counts, max_fatal_count, max_nonfatal_count, max_correctable_count):
            problems[address] = f"{address} {words}"
    if problems:
        counts_by_device = {address: errors.known[address]._asdict() for address in problems}
        return fail(named(list(problems.values()), 2), error_count=counts_by_device)
    for error in errors.unread.values():
        raise error
    total = sum(c.correctable for c in errors.known.values())
    return ok(f"{plural(len(errors.known), 'device')} with no PCIe errors above the limits ({total} corrected)")


def _excess(counts: PciErrorCounts, max_fatal_count: int, max_nonfatal_count: int, max_correctable_count: int) -> str:
    """Return the worst excess of a device with the names of its errors, or nothing."""
    names = sorted(counts.by_name, key=lambda name: -counts.by_name[name])
    why = f" ({named(names)})" if names else ""
    if counts.fatal > max_fatal_count:
        return f"reported {plural(counts.fatal, 'fatal PCIe error')}, limit {max_fatal_count}{why}"
    if counts.received_fatal > max_fatal_count:
        received = plural(counts.received_fatal, "fatal PCIe error")
        return f"received {received} from below, limit {max_fatal_count}{why}"
    if counts.nonfatal > max_nonfatal_count:
        return f"reported {plural(counts.nonfatal, 'non-fatal PCIe error')}, limit {max_nonfatal_count}{why}"
    if counts.correctable > max_correctable_count:
        return f"reported {plural(counts.correctable, 'corrected PCIe error')}, limit {max_correctable_count}{why}"
    return ""
