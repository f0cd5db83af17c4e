"""PCI facts from sysfs: which devices there are, how their links run, which errors they reported."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self, TypeVar

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter
from nodeproof.probes.parse import integer, optional_int, optional_text, read_int

DEVICES = "/sys/bus/pci/devices"

#: Kinds by base class and subclass (PCI Code and ID Assignment Specification).
_KINDS = {
    0x0108: "nvme",
    0x0200: "nic",
    0x0207: "ib",
    0x0208: "ib",  # fabric controller: Omni-Path
    0x0302: "gpu",
    0x0380: "gpu",
    0x0604: "bridge",
    0x1200: "gpu",  # processing accelerator
}

#: Vendors whose VGA controllers compute; those of the others belong to the service processor.
_GPU_VENDORS = frozenset({"1002", "10de", "8086"})

#: What kinds have a PCIe link that is worth judging.
_LINKED = frozenset({"nic", "ib", "gpu", "nvme", "storage", "switch"})

#: NVSwitches are bridges of a kind of their own, and bridge nothing that the kernel lists.
_NVIDIA, _OTHER_BRIDGE = "10de", 0x0680

#: Widest link of the PCI Express Base Specification; 63 and 255 stand for no answer and not known.
_MAX_LANES = 32
_ALL_ONES_LANES = 63

_Number = TypeVar("_Number", int, float)


class PciDevice(NamedTuple):
    """`id` is `vendor:device` in hexadecimal; `kind` is nic, ib, gpu, nvme, nvswitch, storage, bridge or other."""

    id: str
    kind: str
    is_virtual_function: bool


class Link(NamedTuple):
    """Speed and width of a PCIe link; None is not known (a virtual device, a device that sleeps)."""

    gt_per_s: float | None
    lanes: int | None


class PciLink(NamedTuple):
    """The link above a device. `port` is the address of the slot's side, `best` what both sides can do.

    A device that answers every read with ones is not there any more, though the kernel still lists it.
    """

    device: PciDevice
    port: str
    now: Link
    best: Link
    is_answering: bool


class PciErrorCounts(NamedTuple):
    """Messages that a device sent since boot, and by name the errors that are not zero.

    `received_fatal` are those that a root port had from below it: all there is to see if the sender
    could not be asked any more.
    """

    fatal: int
    nonfatal: int
    correctable: int
    received_fatal: int
    by_name: dict[str, int]


def uevent(host: Host, directory: str) -> dict[str, str]:
    """Return the variables of a device, e.g. DRIVER and PCI_ID: one read instead of six."""
    pairs = (line.partition("=") for line in host.text(f"{directory}/uevent").splitlines())
    return {name: value for name, _, value in pairs}


@fact("/sys/bus/pci/devices/*/{uevent,physfn}")
class PciDevices(NamedTuple):
    """Devices by address, e.g. `0000:41:00.0`.

    Source: kernel documentation, PCI/sysfs-pci.rst and ABI/testing/sysfs-bus-pci.
    """

    known: dict[str, PciDevice]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` on a machine without PCI."""
        directories = host.glob(f"{DEVICES}/*")
        if not directories:
            raise FactError(DEVICES, "absent", "no PCI devices")
        virtual = {_address(path) for path in host.glob(f"{DEVICES}/*/physfn")}
        known: dict[str, PciDevice] = {}
        unread: dict[str, FactError] = {}
        for directory in directories:
            address = _address(directory)
            try:
                known[address] = _device(host, address, is_virtual_function=address in virtual)
            except FactError as error:
                unread[address] = error
        return cls(known, unread)


@fact(
    "/sys/bus/pci/devices/* (link)",
    "/sys/bus/pci/devices/*/{uevent,{current,max}_link_{speed,width},power_state}",
    isolated=True,
)
class PciLinks(NamedTuple):
    """PCIe links by the address of the device below them; bridges only where they are a switch's uplink.

    Source: kernel documentation, ABI/testing/sysfs-bus-pci.
    """

    known: dict[str, PciLink]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where no PCIe device shows a link."""
        paths = host.glob(f"{DEVICES}/*/current_link_width")
        if not paths:
            raise FactError(f"{DEVICES}/*/current_link_width", "absent", "no PCI Express devices")
        known: dict[str, PciLink] = {}
        unread: dict[str, FactError] = {}
        for address in map(_address, paths):
            try:
                link = _link_above(host, address)
            except FactError as error:
                if error.kind != "absent":  # taken away meanwhile
                    unread[address] = error
            else:
                if link is not None:
                    known[address] = link
        return cls(known, unread)


@fact("/sys/bus/pci/devices/*/{aer_dev_{fatal,nonfatal,correctable},aer_rootport_total_err_fatal}")
class PciErrors(NamedTuple):
    """Advanced Error Reporting counters by device address. `receivers` are root ports that count what they receive.

    Source: kernel documentation, ABI/testing/sysfs-bus-pci-devices-aer_stats.
    """

    known: dict[str, PciErrorCounts]
    unread: dict[str, FactError]
    receivers: tuple[str, ...] = ()

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where firmware or kernel leave AER off (most virtual machines)."""
        paths = host.glob(f"{DEVICES}/*/aer_dev_fatal")
        if not paths:
            raise FactError(f"{DEVICES}/*/aer_dev_fatal", "absent", "no device reports PCIe errors")
        known: dict[str, PciErrorCounts] = {}
        unread: dict[str, FactError] = {}
        receivers = []
        for address in map(_address, paths):
            try:
                received = optional_int(host, f"{DEVICES}/{address}/aer_rootport_total_err_fatal")
                known[address] = _error_counts(host, address, received or 0)
                receivers += [address] if received is not None else []
            except FactError as error:
                if error.kind != "absent":  # taken away meanwhile
                    unread[address] = error
        return cls(known, unread, tuple(receivers))

    def counters(self) -> Iterator[Counter]:
        for address, counts in self.known.items():
            part = f"pci:{address}"
            yield Counter("pci.aer_fatal", part, counts.fatal, bits=64)
            yield Counter("pci.aer_nonfatal", part, counts.nonfatal, bits=64)
            yield Counter("pci.aer_correctable", part, counts.correctable, bits=64)
            if address in self.receivers:
                yield Counter("pci.aer_received_fatal", part, counts.received_fatal, bits=64)


def _address(path: str) -> str:
    return path.split("/")[5]


def _device(host: Host, address: str, *, is_virtual_function: bool) -> PciDevice:
    source = f"{DEVICES}/{address}"
    return described(source, uevent(host, source), is_virtual_function=is_virtual_function)


def described(source: str, variables: Mapping[str, str], *, is_virtual_function: bool) -> PciDevice:
    """Return the device that the variables of an event or a `uevent` file describe."""
    vendor, colon, device = variables.get("PCI_ID", "").lower().partition(":")
    if not colon:
        raise FactError(f"{source}/uevent", "malformed", "expected PCI_ID=VENDOR:DEVICE")
    code = integer(f"{source}/uevent", variables.get("PCI_CLASS", ""), 16)
    return PciDevice(f"{vendor}:{device}", _kind(vendor, code >> 8), is_virtual_function)


def _kind(vendor: str, code: int) -> str:
    if code == 0x0300 and vendor in _GPU_VENDORS:
        return "gpu"
    if code == _OTHER_BRIDGE and vendor == _NVIDIA:
        return "nvswitch"
    return _KINDS.get(code, "storage" if code >> 8 == 0x01 else "other")


def _link_above(host: Host, address: str) -> PciLink | None:
    """Return the link between a device and the port above it, None if there is none to judge.

    Below a root port, devices and switches' upstream ports alternate with downstream ports, which
    a link lies below and not above: each second device of the path is the lower end of a link.
    """
    device = _device(host, address, is_virtual_function=False)
    path = _path(host.link(f"{DEVICES}/{address}"))
    if device.kind == "bridge":
        device = device._replace(kind="switch")
    if device.kind not in _LINKED or len(path) < 2 or len(path) % 2:
        return None
    port = path[-2]
    lanes = read_int(host, f"{DEVICES}/{address}/current_link_width")
    now = Link(_speed(host, address, "current"), _known_lanes(lanes))
    best = Link(
        _lesser(_speed(host, address, "max"), _speed(host, port, "max")),
        _lesser(_max_lanes(host, address), _max_lanes(host, port)),
    )
    # a device that sleeps in D3cold reads as ones too
    is_gone = lanes == _ALL_ONES_LANES and optional_text(host, f"{DEVICES}/{address}/power_state") != "D3cold"
    return PciLink(device, port, now, best, is_answering=not is_gone)


def _path(target: str) -> list[str]:
    """Return the addresses from the root port down to a device.

    A device may hold a root complex of its own (`…/pci0000:16/0000:16:00.5/pci10000:00/…`, Intel VMD):
    ports are then counted from there.
    """
    parts = target.split("/")
    roots = [i for i, part in enumerate(parts) if part.startswith("pci") and part.count(":") == 1]
    return [part for part in parts[roots[-1] if roots else 0 :] if part.count(":") == 2]


def _max_lanes(host: Host, address: str) -> int | None:
    return _known_lanes(optional_int(host, f"{DEVICES}/{address}/max_link_width"))


def _known_lanes(lanes: int | None) -> int | None:
    return lanes if lanes is not None and 0 < lanes <= _MAX_LANES else None


def _speed(host: Host, address: str, which: str) -> float | None:
    """Return the number of `16.0 GT/s PCIe`, None for `Unknown`, `Unknown speed` and a port that is no PCIe port."""
    source = f"{DEVICES}/{address}/{which}_link_speed"
    text = optional_text(host, source)
    if text is None or text.startswith("Unknown"):
        return None
    number, _, unit = text.partition(" ")
    if not unit.startswith("GT/s") or not number.replace(".", "", 1).isdecimal():
        raise FactError(source, "malformed", f"expected a speed in GT/s, found {text[:40]!r}")
    return float(number)


def _lesser(a: _Number | None, b: _Number | None) -> _Number | None:
    return None if a is None or b is None else min(a, b)


def _error_counts(host: Host, address: str, received_fatal: int) -> PciErrorCounts:
    counters: dict[str, int] = {}
    for severity in ("fatal", "nonfatal", "correctable"):
        source = f"{DEVICES}/{address}/aer_dev_{severity}"
        for line in host.text(source).splitlines():
            name, _, count = line.strip().rpartition(" ")
            # the same name occurs in the files of two severities
            counters[name if name.startswith("TOTAL_") else f"{severity} {name}"] = integer(source, count)
    try:
        fatal, nonfatal, correctable = (counters.pop(f"TOTAL_ERR_{s}") for s in ("FATAL", "NONFATAL", "COR"))
    except KeyError as error:
        raise FactError(f"{DEVICES}/{address}/aer_dev_*", "malformed", f"no line {error.args[0]}") from error
    by_name = {name: n for name, n in counters.items() if n}
    return PciErrorCounts(fatal, nonfatal, correctable, received_fatal, by_name)
