"""Which devices of this node are there, and what an event of the kernel changes of that.

Deliberately not here: how events come (`nodeproof.daemon.sources.uevent`), and whether a missing device matters
(`nodeproof_checks.devices`).
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes.pci import PciDevice, PciDevices, described

#: What a part is called by the subsystem of its events, and where sysfs lists such devices.
_PREFIX = {"infiniband": "ib", "block": "disk"}
_LISTED = {"infiniband": "/sys/class/infiniband/*", "block": "/sys/block/*"}

#: Kinds of PCI devices that a node is bought for.
_KINDS = frozenset({"nic", "ib", "gpu", "nvme", "nvswitch", "storage"})

_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")

#: Disks that come and go by themselves: USB sticks, a service processor's media, sessions of iSCSI and ports of FC.
_LOOSE_DISKS = ("/usb", "/session", "/rport-")


class Uevent(NamedTuple):
    """One event of the kernel: `path` is below /sys."""

    action: str
    subsystem: str
    path: str
    variables: Mapping[str, str]


class Told(NamedTuple):
    """What an event comes to. `variant` is `unbound` where only a driver let go of a device."""

    rule: str
    part: str
    text: str
    pci: str
    variant: str = ""


class Inventory:
    """The devices that count, in words by part: `known` are there, `gone` were."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.known: dict[str, str] = {}
        self.gone: dict[str, str] = {}
        self._unbound: set[str] = set()

    def scan(self) -> dict[str, str]:
        """Return what sysfs shows: no device is asked anything."""
        try:
            devices = PciDevices.read(self._host).known
        except FactError:
            devices = {}
        physical = {a: d for a, d in devices.items() if d.kind in _KINDS and not d.is_virtual_function}
        found = {f"pci:{address}": _words(address, device) for address, device in physical.items()}
        for subsystem, pattern in _LISTED.items():
            for path in self._paths(pattern):
                part = _named(Uevent("add", subsystem, path, {"DEVTYPE": "disk"}), found)
                if part is not None:
                    found[part] = _child_words(part, path)
        return found

    def take(self, event: Uevent) -> Told | None:
        """Take an event; an administrator's synthetic one (`udevadm trigger`) says nothing."""
        if "SYNTH_UUID" in event.variables:
            return None
        return self._pci(event) if event.subsystem == "pci" else self._child(event)

    def compared(self, found: Mapping[str, str]) -> Iterator[Told]:
        """Yield what has changed unseen, after events were lost."""
        for part in sorted(self.known.keys() - found.keys()):
            yield self._removed(part)
        for part in sorted(found.keys() - self.known.keys()):
            yield self._added(part, found[part])

    def _pci(self, event: Uevent) -> Told | None:
        address = event.path.rpartition("/")[2]
        part = f"pci:{address}"
        if event.action == "remove" and part in self.known:
            return self._removed(part)
        if event.action == "unbind" and part in self.known:
            self._unbound.add(part)
            return Told("device.removed", part, f"{self.known[part]} has no driver any more", part, "unbound")
        if event.action == "add" and part in self.gone:
            return self._added(part, self.gone[part])
        if event.action != "bind" or (part in self.known and part not in self._unbound):
            return None
        # a device that is new counts once a driver has it: whether it is a virtual function can be seen then
        device = self._described(event)
        return None if device is None or device.kind not in _KINDS else self._added(part, _words(address, device))

    def _child(self, event: Uevent) -> Told | None:
        """Take an event of what hangs on a PCI device."""
        prefix = _PREFIX.get(event.subsystem)
        if event.action == "remove":
            part = f"{prefix}:{event.path.rpartition('/')[2]}"
            return self._removed(part, event.path) if part in self.known else None
        named = _named(event, self.known)
        if prefix is None or named is None or event.action not in ("add", "move"):
            return None
        if event.action == "move":  # another name: udev gives adapters names that stay
            self.known.pop(f"{prefix}:{event.variables.get('DEVPATH_OLD', '').rpartition('/')[2]}", None)
        return None if named in self.known else self._added(named, _child_words(named, event.path))

    def _removed(self, part: str, path: str = "") -> Told:
        words = self.gone[part] = self.known.pop(part)
        self._unbound.discard(part)
        if part.startswith("pci:"):
            return Told("device.removed", part, f"{words} left the bus", part)
        # an adapter goes with its driver, a disk with its connection
        pci = f"pci:{_parent(path)}" if path else ""
        return Told("device.removed", part, f"{words} is gone", pci, "unbound" if part.startswith("ib:") else "")

    def _added(self, part: str, words: str) -> Told:
        self.known[part] = words
        self.gone.pop(part, None)
        self._unbound.discard(part)
        return Told("device.added", part, f"{words} is there", part if part.startswith("pci:") else "")

    def _described(self, event: Uevent) -> PciDevice | None:
        """Return the physical device that an event is of."""
        try:
            is_virtual = bool(self._host.glob(f"/sys{event.path}/physfn"))
            device = described(event.path, event.variables, is_virtual_function=is_virtual)
        except FactError:
            return None
        return None if is_virtual else device

    def _paths(self, pattern: str) -> Iterator[str]:
        """Yield where the entries of a class lead to, as paths of events."""
        try:
            for entry in self._host.glob(pattern):
                yield "/devices/" + self._host.link(entry).partition("/devices/")[2]
        except FactError:
            return


def _named(event: Uevent, known: Mapping[str, str]) -> str | None:
    """Return the part that an RDMA device or a disk is, None where it is not one that counts."""
    name = event.path.rpartition("/")[2]
    if f"pci:{_parent(event.path)}" not in known:
        return None  # virtual, or a virtual function's
    if event.subsystem == "infiniband":
        return None if ".sf." in event.path else f"ib:{name}"
    is_disk = event.variables.get("DEVTYPE") == "disk" and not name.startswith("nvme")
    return f"disk:{name}" if is_disk and not any(place in event.path for place in _LOOSE_DISKS) else None


def _parent(path: str) -> str:
    """Return the address of the PCI device that is the nearest above a path."""
    return next((part for part in reversed(path.split("/")) if _ADDRESS.fullmatch(part)), "")


def _words(address: str, device: PciDevice) -> str:
    return f"{device.kind} {address} ({device.id})"


def _child_words(part: str, path: str) -> str:
    kind, _, name = part.partition(":")
    return f"{'RDMA device' if kind == 'ib' else 'disk'} {name} of {_parent(path)}"
