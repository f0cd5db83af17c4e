"""Which parts of a machine are one: the device that an interface is a function of, and what that is behind."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact

_PCI = "/sys/bus/pci/devices"

#: Where a link for each part leads to its place in the tree of devices, by kind of part.
_CLASSES = {
    "pci": _PCI,
    "nic": "/sys/class/net",
    "ib": "/sys/class/infiniband",
    "nvme": "/sys/class/nvme",
    "disk": "/sys/block",
}


@fact(*(f"{path}/* (link)" for path in _CLASSES.values()), f"{_PCI}/*/pci_bus")
class Relations(NamedTuple):
    """By part: first the device that it is a function of, then the bridges above that, nearest first.

    Parts that hang on no PCI device are left out. Source: kernel documentation, driver-api/driver-model, and
    admin-guide/sysfs-rules.rst (a link in a class directory leads to the device's directory below its parents).
    """

    of: Mapping[str, tuple[str, ...]] = {}

    @classmethod
    def read(cls, host: Host) -> Self:
        """Never raises: what cannot be read is related to nothing."""
        bridges = {f"pci:{path.split('/')[-2]}" for path in _names(host, f"{_PCI}/*/pci_bus")}
        known = {}
        for kind, directory in _CLASSES.items():
            for path in _names(host, f"{directory}/*"):
                if chain := _chain(host, path):
                    part = f"{kind}:{path.rpartition('/')[2]}"
                    known[part] = (part, *chain) if _is_shared(part) else chain
        return cls({part: _first_function(chain, known, bridges) for part, chain in known.items()})


def _names(host: Host, pattern: str) -> Iterator[str]:
    try:
        yield from host.glob(pattern)
    except FactError:
        return


def _chain(host: Host, path: str) -> tuple[str, ...]:
    """Return the PCI devices on the way to a part, the nearest first."""
    try:
        target = host.link(path)
    except FactError:
        return ()
    found = [part for part in target.split("/") if part.count(":") == 2 and "." in part]
    return tuple(f"pci:{address}" for address in reversed(found))


def _is_shared(part: str) -> bool:
    """Tell whether a part is behind its controller, with others, and not one with it as an NVMe drive is."""
    return part.startswith("disk:") and not part.startswith("disk:nvme")


def _first_function(chain: tuple[str, ...], known: Mapping[str, tuple[str, ...]], bridges: set[str]) -> tuple[str, ...]:
    """Return the chain with function 0 in place of another function of the same card; ports of a bridge stay apart."""
    device, *above = chain
    first = f"{device.rpartition('.')[0]}.0"
    return (first, *above) if device.startswith("pci:") and device not in bridges and first in known else chain
