"""Where RDMA adapters are in the machine, and what the kernel says of them over netlink."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.rdma_netlink import rdma_links
from nodeproof.probes import fact
from nodeproof.probes.infiniband import HCAS
from nodeproof.probes.parse import optional_int, optional_text

_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class IbAdapter(NamedTuple):
    """One adapter. `pci_path` are PCI addresses from the root port down to the adapter, empty for Soft-RoCE.

    `numa_node` is -1 where the firmware does not say, None where there is no device to have one. Adapters of one
    `sys_image_guid` are one card.
    """

    node_guid: str
    sys_image_guid: str
    node_type: str
    pci_path: tuple[str, ...]
    numa_node: int | None
    is_virtual_function: bool

    @property
    def pci_address(self) -> str | None:
        return self.pci_path[-1] if self.pci_path else None


@fact(
    "/sys/class/infiniband/* (link)",
    "/sys/class/infiniband/*/{node_guid,sys_image_guid,node_type,device/physfn,device/numa_node}",
)
class IbAdapters(NamedTuple):
    """Adapters by name. Nothing here asks the hardware: the kernel keeps it since the driver was loaded.

    Source: kernel documentation, ABI/stable/sysfs-class-infiniband and ABI/testing/sysfs-bus-pci.
    """

    known: dict[str, IbAdapter]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no RDMA device."""
        names = adapter_names(host)
        virtual = virtual_functions(host)
        known: dict[str, IbAdapter] = {}
        unread: dict[str, FactError] = {}
        for name in names:
            try:
                known[name] = _adapter(host, name, is_virtual_function=name in virtual)
            except FactError as error:
                unread[name] = error
        return cls(known, unread)

    @property
    def physical(self) -> dict[str, IbAdapter]:
        """Adapters on a PCI bus that are no virtual functions."""
        return {name: a for name, a in self.known.items() if a.pci_path and not a.is_virtual_function}


def adapter_names(host: Host) -> list[str]:
    """Return the names of RDMA devices. Raises FactError `absent` where there are none."""
    names = [path.split("/")[4] for path in host.glob(f"{HCAS}/*")]
    if not names:
        raise FactError(HCAS, "absent", "no RDMA device")
    return names


def port_paths(host: Host) -> Iterator[tuple[str, str]]:
    """Yield `adapter/port` and directory of each port. Raises FactError `absent` where there is no RDMA device."""
    adapter_names(host)
    for path in host.glob(f"{HCAS}/*/ports/*"):
        yield f"{path.split('/')[4]}/{path.split('/')[6]}", path


def virtual_functions(host: Host) -> set[str]:
    """Return the names of adapters that are virtual functions of another."""
    return {path.split("/")[4] for path in host.glob(f"{HCAS}/*/device/physfn")}


def _adapter(host: Host, name: str, *, is_virtual_function: bool) -> IbAdapter:
    directory = f"{HCAS}/{name}"
    return IbAdapter(
        node_guid=optional_text(host, f"{directory}/node_guid") or "",
        sys_image_guid=optional_text(host, f"{directory}/sys_image_guid") or "",
        node_type=(optional_text(host, f"{directory}/node_type") or "").partition(": ")[2],
        pci_path=tuple(part for part in host.link(directory).split("/") if _PCI_ADDRESS.fullmatch(part)),
        numa_node=optional_int(host, f"{directory}/device/numa_node"),
        is_virtual_function=is_virtual_function,
    )


class RdmaPort(NamedTuple):
    """One port as the kernel tells it over netlink; LIDs are those of InfiniBand ports alone.

    `netdev` is the interface that a RoCE port belongs to, None where it has none in this network namespace.
    """

    state: int
    physical_state: int
    capability_mask: int | None
    subnet_prefix: str | None
    lid: int | None
    sm_lid: int | None
    lid_mask_count: int | None
    netdev: str | None


class RdmaDevice(NamedTuple):
    """One device. `protocol` is ib, roce, iw, opa or usnic, empty before Linux 5.1; `node_type` 1 is an HCA."""

    firmware: str
    node_guid: str
    sys_image_guid: str
    node_type: int | None
    protocol: str


@fact("/sys/class/infiniband/*", "RDMA netlink: RDMA_NLDEV_CMD_GET, RDMA_NLDEV_CMD_PORT_GET", isolated=True)
class RdmaLinks(NamedTuple):
    """Devices by name and ports by `adapter/port`, as the kernel tells them over netlink.

    Source: kernel header rdma/rdma_netlink.h and drivers/infiniband/core/nldev.c.
    """

    devices: dict[str, RdmaDevice]
    ports: dict[str, RdmaPort]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no RDMA device."""
        adapter_names(host)  # without the module ib_core there is nobody to ask
        devices: dict[str, RdmaDevice] = {}
        ports: dict[str, RdmaPort] = {}
        for name, answer in host.call(rdma_links).items():
            devices[name] = RdmaDevice(
                firmware=answer.get("firmware", ""),
                node_guid=answer.get("node_guid", ""),
                sys_image_guid=answer.get("sys_image_guid", ""),
                node_type=answer.get("node_type"),
                protocol=answer.get("protocol", ""),
            )
            for number, port in answer["ports"].items():
                ports[f"{name}/{number}"] = _rdma_port(port)
        return cls(devices, ports)


def _rdma_port(answer: dict[str, Any]) -> RdmaPort:
    values: dict[str, Any] = {field: answer.get(field) for field in RdmaPort._fields}
    if not isinstance(values["state"], int) or not isinstance(values["physical_state"], int):
        raise FactError("rdma_links", "malformed", "a port without a state")
    return RdmaPort(**values)
