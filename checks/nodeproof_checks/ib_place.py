"""Judgement of where InfiniBand and RoCE adapters are in a node: their slots, NUMA nodes and GPUs."""

from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.ib_adapters import IbAdapter, IbAdapters
from nodeproof.probes.infiniband import HCAS, Infiniband
from nodeproof.probes.numa import DeviceLocality
from nodeproof.probes.pci import Link, PciLink, PciLinks
from nodeproof.probes.relations import Relations
from nodeproof.verdict import Verdict, fail, named, ok, plural
from nodeproof_checks.ib import parts

#: PCI class prefixes of GPUs and accelerators; a VGA controller (0x0300) is the service processor's more often.
_GPU_CLASSES = ("0x0302", "0x0380", "0x12")


def _slots(adapters: IbAdapters, links: PciLinks) -> dict[str, PciLink]:
    """Return the PCIe link of each physical adapter. Raises FactError `absent` where there is none."""
    known = {n: links.known[a.pci_address] for n, a in adapters.physical.items() if a.pci_address in links.known}
    if not known and not adapters.unread and not links.unread:
        raise FactError(HCAS, "absent", "no RDMA adapter has a PCIe link")
    return known


def _able(link: PciLink) -> Link:
    """Return what slot and card can do together; what the link does now where they do not say."""
    return Link(link.best.gt_per_s or link.now.gt_per_s, link.best.lanes or link.now.lanes)


def _learn_slots(_ib: Infiniband, adapters: IbAdapters, links: PciLinks) -> dict[str, object]:
    able = [_able(link) for link in _slots(adapters, links).values()]
    lanes = [a.lanes for a in able if a.lanes]
    speeds = [a.gt_per_s for a in able if a.gt_per_s]
    learnt: dict[str, object] = {"min_width": min(lanes)} if lanes else {}
    return learnt | ({"min_gt_per_s": min(speeds)} if speeds else {})


@check(
    "ib.pci",
    tags="boot infiniband",
    remedy="Move the card into a slot that has the lanes and the generation it needs, or set the slot's bifurcation "
    "and speed in the firmware (`lspci -vv`: LnkCap of card and port). A slot that is narrow by design belongs into "
    "`excepted`.",
    learn=_learn_slots,
    beta=True,
)
def pci(  # noqa: PLR0913  # three facts, and what policy says of each slot
    ib: Infiniband,
    adapters: IbAdapters,
    links: PciLinks,
    *,
    min_width: Annotated[int, "lanes that card and slot of every adapter must be able to do; 0: any"] = 0,
    min_gt_per_s: Annotated[float, "transfers that each of their lanes must be able to do, e.g. 32 for PCIe 5"] = 0.0,
    is_rate_judged: Annotated[bool, "whether the link must be able to carry the rate of the faster port"] = True,
    excepted: Annotated[tuple[str, ...], "adapters that are not judged, by name or PCI address"] = (),
) -> Verdict:
    """Every adapter is in a slot that can carry what its port does.

    A 400 Gb/s card in a slot of eight lanes is half a rail, and no counter anywhere says so. Judged is what card and
    slot can do together at best: a link that runs below that is a bad seat or riser, and `pci.link` reports it, for
    adapters as for all other cards. So a link that lost half its lanes is one finding and not two. Source: PCI
    Express Base Specification (encoding: 8b/10b up to 5 GT/s, 128b/130b up to 32, FLITs of 242 in 256 bytes above).
    """
    slots = _slots(adapters, links)
    problems = {}
    for name, link in slots.items():
        address = adapters.known[name].pci_address
        if link.is_answering and not {name, address} & set(excepted):
            rate = _rate_gb_per_s(ib, name) if is_rate_judged else 0.0
            if words := _too_little(_able(link), min_width, min_gt_per_s, rate):
                problems[name] = f"{name} ({address}) {words}"
    if problems:
        return fail(named(list(problems.values()), 2), parts=parts(problems))
    for error in (*adapters.unread.values(), *_unread_links(adapters, links)):
        raise error
    found = {_slot(_able(link)) for link in slots.values()}
    return ok(f"{plural(len(slots), 'adapter')} in sufficient slots: {named(found)}")


def _unread_links(adapters: IbAdapters, links: PciLinks) -> list[FactError]:
    addresses = {a.pci_address for a in adapters.physical.values()}
    return [error for address, error in links.unread.items() if address in addresses]


def _slot(able: Link) -> str:
    speed = f"{able.gt_per_s:g} GT/s" if able.gt_per_s else "an unknown speed"
    return f"{f'x{able.lanes}' if able.lanes else 'an unknown width'} at {speed}"


def _rate_gb_per_s(ib: Infiniband, adapter: str) -> float:
    """Return the rate of the adapter's fastest port."""
    rates = (port.rate_gb_per_s for name, port in ib.ports.items() if name.partition("/")[0] == adapter)
    return max(rates, default=0.0)


def _too_little(able: Link, min_width: int, min_gt_per_s: float, rate_gb_per_s: float) -> str:
    """Return what a link cannot do, or nothing; what is not known is not judged."""
    if able.lanes and able.lanes < min_width:
        return f"is in a slot that can do x{able.lanes} with it, expected x{min_width}"
    if able.gt_per_s and able.gt_per_s < min_gt_per_s:
        return f"is in a slot that can do {able.gt_per_s:g} GT/s with it, expected {min_gt_per_s:g}"
    if not able.lanes or not able.gt_per_s:
        return ""
    most = usable_gb_per_s(able.gt_per_s, able.lanes)
    if most < rate_gb_per_s:
        return f"has a port of {rate_gb_per_s:g} Gb/s in a slot for {most:.0f} ({_slot(able)}), expected at least that"
    return ""


def usable_gb_per_s(gt_per_s: float, lanes: int) -> float:
    """Return how much a PCIe link carries each way after its encoding; packet headers cost a few per cent more."""
    encoding = 8 / 10 if gt_per_s <= 5 else 128 / 130 if gt_per_s <= 32 else 242 / 256
    return gt_per_s * lanes * encoding


def _learn_places(adapters: IbAdapters, places: DeviceLocality, relations: Relations) -> dict[str, object]:
    nodes = {n: a.numa_node for n, a in adapters.physical.items() if a.numa_node is not None and a.numa_node >= 0}
    gpus = [a for a, device in places.devices.items() if device.pci_class.startswith(_GPU_CLASSES)]
    nearest = {gpu: _nearest(gpu, adapters, places, relations) for gpu in gpus}
    pairs = {gpu: names[0] for gpu, names in nearest.items() if len(names) < len(adapters.physical)}
    return ({"expected": nodes} if len(set(nodes.values())) > 1 else {}) | ({"pairs": pairs} if pairs else {})


@check(
    "ib.locality",
    tags="boot infiniband",
    remedy="Compare slot, riser and NUMA settings with another node of the class. If the cards are where they should "
    "be, the adapters were numbered in another order: name them by PCI address (rdma-core's udev rule "
    "60-rdma-persistent-naming.rules), or correct the policy.",
    learn=_learn_places,
    beta=True,
)
def locality(
    adapters: IbAdapters,
    places: DeviceLocality,
    relations: Relations,
    *,
    expected: Annotated[dict[str, int] | None, "NUMA node by adapter, e.g. `mlx5_0 = 0`"] = None,
    pairs: Annotated[
        dict[str, str] | None, "adapter that must be nearest, or as near as any other, by PCI address of a GPU"
    ] = None,
) -> Verdict:
    """Adapters are at the NUMA nodes, and beside the GPUs, that policy says.

    Launch scripts and NCCL's topology files bind rank, GPU and rail by these names. If `mlx5_0` and `mlx5_4` swapped
    places, everything runs, and all of it crosses the socket link. A GPU is near an adapter below the same PCIe
    switch, then at the same root port, then at the same NUMA node. Parts that are missing are for `ib.port` and
    `gpu.count` to find.
    """
    nodes = {name: adapter.numa_node for name, adapter in adapters.known.items()}
    wrong = {
        n: f"{n} is at NUMA node {nodes[n]}, expected {e}"
        for n, e in (expected or {}).items()
        if n in nodes and nodes[n] != e
    }
    for gpu, name in (pairs or {}).items():
        if gpu in places.devices and name in adapters.physical:
            nearest = _nearest(gpu, adapters, places, relations)
            if name not in nearest:
                wrong[gpu] = f"GPU {gpu} is nearest to {named(nearest, 2)}, expected {name}"
    if wrong:
        concerned = [f"pci:{name}" if name in places.devices else f"ib:{name}" for name in wrong]
        return fail(named(list(wrong.values())), parts=sorted(concerned), numa_node=nodes)
    for error in adapters.unread.values():
        raise error
    judged = f"{plural(len(expected or {}), 'place')} and {plural(len(pairs or {}), 'GPU')} compared with policy"
    return ok(f"{plural(len(nodes), 'adapter')}, {judged}", numa_node=nodes)


def _nearest(gpu: str, adapters: IbAdapters, places: DeviceLocality, relations: Relations) -> list[str]:
    """Return the adapters that are as near to a GPU as any."""
    if not adapters.physical:
        return []
    nearness = {name: _nearness(gpu, a, places, relations) for name, a in adapters.physical.items()}
    return [name for name, near in nearness.items() if near == max(nearness.values())]


def _nearness(gpu: str, adapter: IbAdapter, places: DeviceLocality, relations: Relations) -> tuple[int, bool]:
    """Return how many bridges lie above both, and whether both are at one NUMA node."""
    bridges = {part.removeprefix("pci:") for part in relations.of.get(f"pci:{gpu}", ())[1:]}
    return len(bridges & set(adapter.pci_path[:-1])), places.devices[gpu].node == adapter.numa_node
