"""Ethernet facts from sysfs, the ethtool ioctl and devlink."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.devlink import Versions, devlink_info
from nodeproof.host.ethtool import ethtool_drvinfo
from nodeproof.probes import fact
from nodeproof.probes.parse import integer, read_int
from nodeproof.probes.pci import uevent

NET = "/sys/class/net"

#: ARPHRD_ETHER of linux/if_arp.h; InfiniBand's is 32.
_ETHERNET = 1

#: Counters of struct rtnl_link_stats64 that are read (linux/if_link.h says which include which).
COUNTERS = (
    "rx_packets",
    "tx_packets",
    "rx_errors",
    "rx_crc_errors",
    "rx_missed_errors",
    "tx_errors",
    "tx_carrier_errors",
)

#: SPEED_UNKNOWN of linux/ethtool.h, which older kernels print without its sign.
_UNKNOWN_SPEED = 0xFFFFFFFF

#: Names that devlink has for the version of all firmware on a card (devlink-info.rst).
_COMPONENTS = ("fw", "fw.version", "fw.bundle_id")

#: What drivers say instead of nothing.
_NO_VERSION = frozenset({"", "N/A", "n/a", "unknown"})


class Interface(NamedTuple):
    """One Ethernet port. Speed (Mb/s) and duplex are None where the driver does not know them or has no link.

    `carrier_changes` and `counters` count since the driver was loaded.
    """

    operstate: str
    has_carrier: bool
    speed_mb_per_s: int | None
    duplex: str | None
    mtu_bytes: int
    carrier_changes: int
    counters: dict[str, int]

    @property
    def is_up(self) -> bool:
        """True with a carrier and nothing above that says down; some drivers keep no operational state."""
        return self.has_carrier and self.operstate in ("up", "unknown")


class NicFirmware(NamedTuple):
    """`model` is what ports of one make share; `version` is empty where no driver says one.

    `pending` are versions, by component, that are stored on the card and not running yet.
    """

    driver: str
    model: str
    version: str
    pending: dict[str, str]


@fact(
    "/sys/class/net/*/{type,operstate,carrier,speed,duplex,mtu,carrier_changes,device/uevent}",
    "/sys/class/net/*/statistics/*",
    isolated=True,
)
class Interfaces(NamedTuple):
    """Ethernet ports with a device of their own by name: no bonds, bridges, virtual functions or USB adapters.

    Source: kernel documentation, ABI/testing/sysfs-class-net and sysfs-class-net-statistics.
    """

    known: dict[str, Interface]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no such port."""
        known: dict[str, Interface] = {}
        unread: dict[str, FactError] = {}
        for name in _ports(host):
            try:
                if (interface := _interface(host, name)) is not None:
                    known[name] = interface
            except FactError as error:
                unread[name] = error
        if not known and not unread:
            raise FactError(NET, "absent", "no Ethernet port")
        return cls(known, unread)


@fact(
    "/sys/class/net/*/{type,device/uevent}",
    "ioctl SIOCETHTOOL ETHTOOL_GDRVINFO",
    "generic netlink: devlink DEVLINK_CMD_INFO_GET",
    isolated=True,
)
class NicFirmwares(NamedTuple):
    """Firmware by interface, for the same ports as `Interfaces`; `unread` also has an unanswered `devlink`."""

    known: dict[str, NicFirmware]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no Ethernet port."""
        known: dict[str, NicFirmware] = {}
        unread: dict[str, FactError] = {}
        try:
            devlink = host.call(devlink_info)
        except FactError as error:
            devlink = {}
            if error.kind != "absent":
                unread["devlink"] = error
        names = _ports(host)
        for name in names:
            try:
                if (firmware := _firmware(host, name, devlink)) is not None:
                    known[name] = firmware
            except FactError as error:
                if error.kind != "absent":
                    unread[name] = error
        if not known and not unread.keys() & set(names):
            raise FactError(NET, "absent", "no Ethernet port whose driver knows its firmware")
        return cls(known, unread)


def _ports(host: Host) -> list[str]:
    """Return the interfaces that have a device; virtual functions are slices of a port that is there too."""
    names = [_name(path) for path in host.glob(f"{NET}/*/device")]
    slices = {_name(path) for path in host.glob(f"{NET}/*/device/physfn")}
    return [name for name in names if name not in slices]


def _name(path: str) -> str:
    return path.split("/")[4]


def _model(host: Host, name: str) -> str | None:
    """Return what ports of one make share, e.g. `15b3:101d/15b3:0040`; None for what is no Ethernet port of the node.

    On USB there are adapters, and the service processor: it comes and goes with every reset of its own.
    """
    if read_int(host, f"{NET}/{name}/type") != _ETHERNET:
        return None
    variables = uevent(host, f"{NET}/{name}/device")
    if "PCI_ID" in variables:
        return f"{variables['PCI_ID']}/{variables.get('PCI_SUBSYS_ID', '')}".lower()
    alias = variables.get("MODALIAS", "")
    return None if alias.startswith("usb:") else alias


def _interface(host: Host, name: str) -> Interface | None:
    if _model(host, name) is None:
        return None
    directory = f"{NET}/{name}"
    speed, duplex = _if_up(host, f"{directory}/speed"), _if_up(host, f"{directory}/duplex")
    mb_per_s = None if speed is None else integer(f"{directory}/speed", speed)
    return Interface(
        operstate=host.text(f"{directory}/operstate"),
        has_carrier=_if_up(host, f"{directory}/carrier") == "1",
        speed_mb_per_s=mb_per_s if mb_per_s is not None and 0 < mb_per_s < _UNKNOWN_SPEED else None,
        duplex=None if duplex == "unknown" else duplex,
        mtu_bytes=read_int(host, f"{directory}/mtu"),
        carrier_changes=read_int(host, f"{directory}/carrier_changes"),
        counters={c: read_int(host, f"{directory}/statistics/{c}") for c in COUNTERS},
    )


def _if_up(host: Host, path: str) -> str | None:
    """Return the file's text, or None for an interface that is switched off: the kernel says EINVAL then."""
    try:
        return host.text(path)
    except FactError as error:
        if error.kind == "absent" or error.detail == "EINVAL":
            return None
        raise


def _firmware(host: Host, name: str, devlink: dict[str, Versions]) -> NicFirmware | None:
    model = _model(host, name)
    if model is None:
        return None
    driver = host.call(ethtool_drvinfo, name)
    versions = devlink.get(f"pci/{driver['bus']}", {})
    running, stored = versions.get("running", {}), versions.get("stored", {})
    version = driver["firmware_version"]
    if version in _NO_VERSION:
        version = next((running[c] for c in _COMPONENTS if c in running), "")
    pending = {c: v for c, v in stored.items() if c in running and running[c] != v}
    return NicFirmware(driver["driver"], model, version, pending)
