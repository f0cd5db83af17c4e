"""Which RDMA ports are alike, and what the slot of each carries, as far as the kernel says.

A fact that is never absent: a machine without RDMA has no ports, and of Soft-RoCE no slot is known.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.infiniband import HCAS
from nodeproof.probes.pci import PciLinks
from nodeproof_bench.physics import pcie_bytes_per_s

#: Directories of all ports.
PORTS = f"{HCAS}/*/ports/*"

#: Bytes around the payload of each packet. InfiniBand: LRH 8, BTH 12, both CRCs 6 (InfiniBand Architecture
#: Specification, volume 1, chapters 7 and 9). RoCE v2: preamble and gap 20, Ethernet 14 and 4, IPv4 20, UDP 8, BTH 12,
#: ICRC 4 (annex A17). The 16 bytes that the first packet of a write has more do not count in a long one.
_HEADER_BYTES = {"InfiniBand": 26, "Ethernet": 82}

#: Where the driver does not say it, the MTU is the least usual one.
_LEAST_MTU_BYTES = 1024

#: Of what a PCIe link carries, packets of 256 bytes with 26 around them leave that much (PCI Express Base Specification
#: 6.0, chapters 2 to 4: header 16, sequence number 2, LCRC 4, framing 4).
_SLOT_PAYLOAD_SHARE = 256 / (256 + 26)


class PortKind(NamedTuple):
    """`link_layer` is InfiniBand, Ethernet or not known (""); `slot_bytes_per_s` is what its PCIe link carries."""

    link_layer: str
    slot_bytes_per_s: float | None


@fact(
    f"{HCAS}/* (link)",
    f"{PORTS}/link_layer",
    "/sys/bus/pci/devices/*/current_link_{speed,width}",
    isolated=True,
)
class PortKinds(NamedTuple):
    """Ports by `adapter/port`, e.g. `mlx5_0/1`. Source: kernel documentation, ABI/stable/sysfs-class-infiniband."""

    known: Mapping[str, PortKind]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Never raises: what cannot be read is not known."""
        links = _slots(host)
        known = dict[str, PortKind]()
        for path in port_paths(host):
            *_, adapter, _, port = path.split("/")
            known[f"{adapter}/{port}"] = PortKind(_link_layer(host, path), links.get(_address(host, adapter)))
        return cls(known)

    def link_layer(self, port: str) -> str:
        return self.known[port].link_layer if port in self.known else ""

    def slot_bytes_per_s(self, port: str) -> float | None:
        """Return what the port's slot carries of payload; None if it has none that is known."""
        slot = self.known[port].slot_bytes_per_s if port in self.known else None
        return None if slot is None else _SLOT_PAYLOAD_SHARE * slot

    def link_bytes_per_s(self, port: str, rate_bits_per_s: float, mtu_bytes: int | None) -> float:
        """Return what a link of this rate carries of payload: headers are taken off."""
        payload = mtu_bytes or _LEAST_MTU_BYTES
        header = _HEADER_BYTES.get(self.link_layer(port), max(_HEADER_BYTES.values()))
        return rate_bits_per_s / 8 * payload / (payload + header)


def port_paths(host: Host) -> list[str]:
    """Return the directories of all ports, without asking any adapter: one whose firmware died would not answer."""
    try:
        return host.glob(PORTS)
    except FactError:
        return []


def _link_layer(host: Host, path: str) -> str:
    try:
        return host.text(f"{path}/link_layer")
    except FactError:
        return ""


def _address(host: Host, adapter: str) -> str:
    """Return the PCI address in `../../devices/pci0000:40/0000:40:01.1/0000:41:00.0/infiniband/mlx5_0`, or nothing."""
    try:
        *_, address, _, _ = host.link(f"{HCAS}/{adapter}").split("/")
    except (FactError, ValueError):
        return ""
    return address


def _slots(host: Host) -> dict[str, float | None]:
    try:
        links = PciLinks.read(host).known
    except FactError:
        return {}
    known = {address: link.now for address, link in links.items()}
    return {
        address: pcie_bytes_per_s(now.gt_per_s, now.lanes)
        for address, now in known.items()
        if now.gt_per_s is not None and now.lanes is not None
    }
