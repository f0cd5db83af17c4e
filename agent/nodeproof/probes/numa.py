"""NUMA facts from sysfs: nodes, their memory and distances, and where devices are attached."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.parse import integer, number_list, read_int

NODES = "/sys/devices/system/node"
PCI = "/sys/bus/pci/devices"

#: PCI class prefixes (PCI Code and ID Assignment Specification) of devices whose place matters to a job:
#: networks and InfiniBand (02), NVMe (01 08), displays and GPUs (03), accelerators (12).
PLACED_CLASSES = ("0x02", "0x0108", "0x03", "0x12")


class NumaNode(NamedTuple):
    """One NUMA node. `distances` are to every online node in ascending order, itself included."""

    cpus: tuple[int, ...]
    memory_bytes: int
    distances: tuple[int, ...]


@fact("/sys/devices/system/node/online", "/sys/devices/system/node/node*/{cpulist,meminfo,distance}")
class NumaNodes(NamedTuple):
    """Every online NUMA node by number.

    Nodes without CPUs are ordinary: high-bandwidth or CXL memory, memory of a GPU.
    Source: kernel documentation, ABI/stable/sysfs-devices-node.
    """

    nodes: dict[int, NumaNode]

    @classmethod
    def read(cls, host: Host) -> Self:
        online = number_list(f"{NODES}/online", host.text(f"{NODES}/online"))
        nodes = {n: _node(host, f"{NODES}/node{n}") for n in online}
        for n, node in nodes.items():
            if len(node.distances) != len(nodes):
                path = f"{NODES}/node{n}/distance"
                raise FactError(path, "malformed", f"{len(node.distances)} distances for {len(nodes)} nodes")
        return cls(nodes)

    @property
    def with_cpus(self) -> dict[int, NumaNode]:
        return {n: node for n, node in self.nodes.items() if node.cpus}


def _node(host: Host, directory: str) -> NumaNode:
    distance = f"{directory}/distance"
    return NumaNode(
        cpus=tuple(number_list(f"{directory}/cpulist", host.text(f"{directory}/cpulist"))),
        memory_bytes=_memory_bytes(host, f"{directory}/meminfo"),
        distances=tuple(integer(distance, word) for word in host.text(distance).split()),
    )


def _memory_bytes(host: Host, path: str) -> int:
    for line in host.text(path).splitlines():
        words = line.split()
        if len(words) >= 4 and words[2] == "MemTotal:":
            return integer(path, words[3]) * 1024
    raise FactError(path, "malformed", "no MemTotal")


@fact("/proc/sys/kernel/numa_balancing")
class NumaBalancing(NamedTuple):
    """Automatic NUMA balancing: 0 off, 1 on, 2 memory tiering (kernel documentation, sysctl/kernel.rst)."""

    mode: int

    @classmethod
    def read(cls, host: Host) -> Self:
        return cls(read_int(host, "/proc/sys/kernel/numa_balancing"))


class PlacedDevice(NamedTuple):
    """A PCI device's class code (`0x020000`) and NUMA node; -1: the firmware does not say."""

    pci_class: str
    node: int


@fact("/sys/bus/pci/devices/*/{class,numa_node}")
class DeviceLocality(NamedTuple):
    """NUMA node of each GPU, network adapter and NVMe drive by PCI address. Virtual functions come and go: not here."""

    devices: dict[str, PlacedDevice]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no PCI bus."""
        directories = host.glob(f"{PCI}/*")
        if not directories:
            raise FactError(PCI, "absent", "no PCI devices")
        virtual = {p.rpartition("/")[0] for p in host.glob(f"{PCI}/*/physfn")}
        devices = {}
        for d in directories:
            if d in virtual or not (pci_class := host.text(f"{d}/class")).startswith(PLACED_CLASSES):
                continue
            devices[d.rpartition("/")[2]] = PlacedDevice(pci_class, read_int(host, f"{d}/numa_node"))
        return cls(devices)
