"""Where GPUs sit: at which NUMA node, and beside which network adapters."""

from collections.abc import Mapping
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.gpu_vendor import PCI_DEVICES, gpus_on_bus
from nodeproof.probes.parse import read_int

_RDMA = "/sys/class/infiniband"


class GpuPlace(NamedTuple):
    """`nearest` are the PCI addresses of RDMA adapters that share most bridges with the GPU, if they share any."""

    numa_node: int
    nearest: tuple[str, ...]

    @property
    def words(self) -> str:
        return " ".join([f"node {self.numa_node}", *self.nearest])


@fact(f"{PCI_DEVICES}/* (link)", f"{PCI_DEVICES}/*/numa_node", f"{_RDMA}/* (link)")
class GpuPlaces(NamedTuple):
    """By the PCI address of the GPU. Source: kernel documentation, ABI/testing/sysfs-bus-pci (numa_node)."""

    of: Mapping[str, GpuPlace]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` without a GPU on the bus."""
        adapters = {path[-1]: path for path in (_path(host, name) for name in host.glob(f"{_RDMA}/*")) if path}
        places = {}
        for address in gpus_on_bus(host)[1]:
            directory = f"{PCI_DEVICES}/{address}"
            path = _path(host, directory)
            shared = {adapter: _shared(path, other) for adapter, other in adapters.items()}
            most = max(shared.values(), default=0)
            nearest = sorted(adapter for adapter, count in shared.items() if count == most and count > 0)
            places[address] = GpuPlace(read_int(host, f"{directory}/numa_node"), tuple(nearest))
        return cls(places)


def _path(host: Host, name: str) -> tuple[str, ...]:
    """Return the way from the root complex to a device: `pci0000:15`, then PCI addresses down to its own."""
    try:
        parts = host.link(name).split("/")
    except FactError as error:
        if error.kind == "absent":
            return ()
        raise
    is_pci = [part.startswith("pci0") or (part.count(":") == 2 and "." in part) for part in parts]
    return tuple(part for part, is_one in zip(parts, is_pci, strict=True) if is_one)


def _shared(path: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for a, b in zip(path[:-1], other[:-1], strict=False):
        if a != b:
            break
        count += 1
    return count
