"""Transceivers and cables in network ports. What their memory means is in `module_memory`."""

import re
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.module_eeprom import module_eeprom
from nodeproof.probes import fact
from nodeproof.probes.module_memory import Module, parse
from nodeproof.probes.pci import uevent

_NET = "/sys/class/net"

#: ARPHRD_ETHER and ARPHRD_INFINIBAND of linux/if_arp.h.
_TYPES = ("1", "32")

#: `phys_port_name` of what stands for a function of an adapter (devlink-port.rst).
_REPRESENTOR = re.compile("(c[0-9]+)?pf[0-9]+")


@fact(
    "/sys/class/net/*/{type,carrier,phys_port_name,device/uevent}",
    "generic netlink: ethtool ETHTOOL_MSG_MODULE_EEPROM_GET",
    "ioctl SIOCETHTOOL ETHTOOL_GMODULEINFO, ETHTOOL_GMODULEEEPROM",
    isolated=True,
)
class Transceivers(NamedTuple):
    """Modules by network interface, of adapters on PCI that can have one; `linked` are those with a carrier.

    An interface that has no carrier and cannot be read has an empty cage, as far as drivers can be told apart, and is
    left out.
    """

    known: dict[str, Module]
    unread: dict[str, FactError]
    linked: frozenset[str]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where no interface has a module."""
        known: dict[str, Module] = {}
        unread: dict[str, FactError] = {}
        linked = set[str]()
        for name in _ports(host):
            if _has_carrier(host, name):
                linked.add(name)
            try:
                known[name] = parse(name, host.call(module_eeprom, name))
            except FactError as error:
                if name in linked and error.kind != "absent":
                    unread[name] = error
        if not known and not unread:
            raise FactError(f"{_NET}/*", "absent", "no network interface has a transceiver")
        return cls(known, unread, frozenset(linked))


def _ports(host: Host) -> list[str]:
    """Return the interfaces of PCI adapters that are no slice of another, as virtual functions are."""
    slices = {path.split("/")[4] for path in host.glob(f"{_NET}/*/device/physfn")}
    names = [path.split("/")[4] for path in host.glob(f"{_NET}/*/device/uevent")]
    return [name for name in names if name not in slices and _is_port(host, name)]


def _is_port(host: Host, name: str) -> bool:
    try:
        if host.text(f"{_NET}/{name}/type") not in _TYPES or "PCI_ID" not in uevent(host, f"{_NET}/{name}/device"):
            return False
    except FactError:  # taken away meanwhile
        return False
    try:
        return not _REPRESENTOR.match(host.text(f"{_NET}/{name}/phys_port_name"))
    except FactError:  # most drivers have no name for a port
        return True


def _has_carrier(host: Host, name: str) -> bool:
    try:
        return host.text(f"{_NET}/{name}/carrier") == "1"
    except FactError:  # switched off: the kernel says EINVAL
        return False
