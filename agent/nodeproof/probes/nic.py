"""Facts of network interfaces from sysfs, the ethtool ioctl and devlink."""

import re
from collections.abc import Iterator
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.devlink import Versions, devlink_info
from nodeproof.host.ethtool import ethtool_drvinfo
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter
from nodeproof.probes.infiniband import HCAS
from nodeproof.probes.parse import integer, read_int
from nodeproof.probes.pci import uevent

NET = "/sys/class/net"

#: ARPHRD_ETHER and ARPHRD_LOOPBACK of linux/if_arp.h; InfiniBand's is 32.
_ETHERNET, _LOOPBACK = 1, 772

#: `phys_port_name` of what stands for a function of an adapter, e.g. `pf0vf3` or `c1pf0sf1` (devlink-port.rst).
_REPRESENTOR = re.compile("(c[0-9]+)?pf[0-9]+")

#: Subfunctions of an adapter, USB adapters, and the service processor: it comes and goes with its own resets.
_NO_PORT = ("auxiliary:", "usb:")

#: Packets of RDMA traffic, which passes by the kernel, by the counter that lacks them.
_RDMA_COUNTERS = {"rx_packets": "port_rcv_packets", "tx_packets": "port_xmit_packets"}

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
    """One interface. Speed (Mb/s) and duplex are None where the driver does not know them or has no link.

    `carrier_changes` and `counters` count since the driver was loaded; counters are read of ports alone.
    `rdma_packets` says by counter what passed the port and not the kernel: None where no RDMA does,
    empty where nobody counts it.
    """

    operstate: str
    has_carrier: bool
    speed_mb_per_s: int | None
    duplex: str | None
    mtu_bytes: int
    carrier_changes: int
    counters: dict[str, int]
    rdma_packets: dict[str, int] | None

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
    "/sys/class/net/*/{type,operstate,carrier,speed,duplex,mtu,carrier_changes,phys_port_name,device/uevent}",
    "/sys/class/net/*/statistics/*",
    "/sys/class/net/*/device/infiniband/*",
    "/sys/class/infiniband/*/ports/*/counters/port_{rcv,xmit}_packets",
    isolated=True,
)
class Interfaces(NamedTuple):
    """Every interface but the loopback by name, and which of them are `ports`, read or not.

    Ports are Ethernet, with a device of their own: no bonds, VLANs, virtual functions or USB adapters.
    Source: kernel documentation, ABI/testing/sysfs-class-net and sysfs-class-net-statistics.
    """

    known: dict[str, Interface]
    unread: dict[str, FactError]
    ports: frozenset[str]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no interface."""
        known: dict[str, Interface] = {}
        unread: dict[str, FactError] = {}
        names = _candidates(host)
        ports = set(names)
        rdma = {parts[4]: parts[-1] for parts in _paths(host, f"{NET}/*/device/infiniband/*")}
        for name in dict.fromkeys([*names, *_names(host, f"{NET}/*/type")]):
            try:
                if name in ports and _model(host, name) is None:
                    ports.remove(name)
                if name in ports or read_int(host, f"{NET}/{name}/type") != _LOOPBACK:
                    known[name] = _interface(host, name, is_port=name in ports, rdma_device=rdma.get(name))
            except FactError as error:
                if error.kind != "absent":  # taken away meanwhile
                    unread[name] = error
        if not known and not unread:
            raise FactError(NET, "absent", "no network interface")
        return cls(known, unread, frozenset(ports))

    def counters(self) -> Iterator[Counter]:
        """Yield what ports count of what goes wrong; how wide those counters are is the driver's business."""
        for name in sorted(self.ports & self.known.keys()):
            port = self.known[name]
            yield Counter("nic.carrier_changes", f"nic:{name}", port.carrier_changes, bits=32)
            for counter, value in port.counters.items():
                if not counter.endswith("_packets"):
                    yield Counter(f"nic.{counter}", f"nic:{name}", value)


@fact(
    "/sys/class/net/*/{type,phys_port_name,device/uevent}",
    "ioctl SIOCETHTOOL ETHTOOL_GDRVINFO",
    "generic netlink: devlink DEVLINK_CMD_INFO_GET",
    isolated=True,
)
class NicFirmwares(NamedTuple):
    """Firmware by interface, for the ports of `Interfaces`; `unread` also has an unanswered `devlink`."""

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
        names = _candidates(host)
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


def _candidates(host: Host) -> list[str]:
    """Return the interfaces that have a device and are no slice of another, as virtual functions are."""
    slices = _names(host, f"{NET}/*/device/physfn")
    names = [name for name in _names(host, f"{NET}/*/device") if name not in slices]
    return [name for name in names if not _REPRESENTOR.match(_port_name(host, name))]


def _paths(host: Host, pattern: str) -> list[list[str]]:
    """Return paths in parts; none where a recording of an earlier version was not asked."""
    try:
        return [path.split("/") for path in host.glob(pattern)]
    except FactError as error:
        if error.kind == "not_recorded":
            return []
        raise


def _names(host: Host, pattern: str) -> list[str]:
    """Return the interfaces that have such a file."""
    return [parts[4] for parts in _paths(host, pattern)]


def _port_name(host: Host, name: str) -> str:
    """Return what the driver calls the port on its adapter; most call it nothing."""
    try:
        return host.text(f"{NET}/{name}/phys_port_name")
    except FactError:
        return ""


def _model(host: Host, name: str) -> str | None:
    """Return what ports of one make share, e.g. `15b3:101d/15b3:0040`; None for what is no Ethernet port."""
    if read_int(host, f"{NET}/{name}/type") != _ETHERNET:
        return None
    variables = uevent(host, f"{NET}/{name}/device")
    if "PCI_ID" in variables:
        return f"{variables['PCI_ID']}/{variables.get('PCI_SUBSYS_ID', '')}".lower()
    alias = variables.get("MODALIAS", "")
    return None if alias.startswith(_NO_PORT) else alias


def _interface(host: Host, name: str, *, is_port: bool, rdma_device: str | None) -> Interface:
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
        counters={c: read_int(host, f"{directory}/statistics/{c}") for c in COUNTERS} if is_port else {},
        rdma_packets=_rdma_packets(host, rdma_device) if is_port and rdma_device else None,
    )


def _rdma_packets(host: Host, device: str) -> dict[str, int]:
    """Return the packets of all ports of an RDMA device, nothing if it does not count them."""
    packets = {}
    try:
        for name, counter in _RDMA_COUNTERS.items():
            paths = host.glob(f"{HCAS}/{device}/ports/*/counters/{counter}")
            if not paths:
                return {}
            packets[name] = sum(read_int(host, path) for path in paths)
    except FactError as error:
        if error.kind == "timed_out":
            raise
        return {}
    return packets


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
