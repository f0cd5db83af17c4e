"""Devices that leave this node or come back, by the kernel's own events (libudev through pyudev).

The kernel's and not udev's: they need no running udevd, and wait for none of its rules. Network ports are told by
`nodeproof.daemon.sources.rtnetlink`, and NVMe drives and GPUs by their PCI function, which has the same name when it
is back.
"""

import asyncio
import contextlib
import errno
import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from nodeproof.daemon.inventory import Inventory, Told, Uevent
from nodeproof.events import Event
from nodeproof.host import Host
from nodeproof.verdict import harmless, plural

_SUBSYSTEMS = ("pci", "infiniband", "block")

#: Bytes that the kernel may hold for us, and events that are taken in one go.
_BUFFER_BYTES, _AT_ONCE = 1 << 20, 64


class Devices:
    """Follows the kernel's device events."""

    name = "uevent"

    def __init__(self, deliver: Callable[[Sequence[Event]], None], lose: Callable[[int], None], boot_id: str) -> None:
        self.problem = "not started"
        self._deliver, self._lose, self._boot_id = deliver, lose, boot_id
        self._inventory = Inventory(Host())
        self._monitor: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._monitor = _started()
        except (ImportError, OSError) as error:
            self.problem = f"no device events: {error}"
            return
        self._loop, self.problem = loop, ""
        loop.add_reader(self._monitor.fileno(), self._wake)
        self._inventory.known = self._inventory.scan()
        self._deliver([self._present(time.time())])

    def stop(self) -> None:
        if self._monitor is not None and self._loop is not None:
            self._loop.remove_reader(self._monitor.fileno())
            self._monitor = None  # libudev closes it
        self.problem = "stopped"

    def _wake(self) -> None:
        told: list[Told] = []
        try:
            for _ in range(_AT_ONCE):
                device = self._monitor.poll(0)
                if device is None:
                    break
                event = Uevent(device.action or "", device.subsystem or "", device.device_path, dict(device.properties))
                if (one := self._inventory.take(event)) is not None:
                    told.append(one)
        except OSError as error:
            self._lose(1)
            told += self._inventory.compared(self._inventory.scan())
            if error.errno != errno.ENOBUFS:
                self.stop()
                self.problem = f"device events ended: {error.strerror}"
        if told:
            self._deliver([self._event(one, time.time()) for one in told])

    def _event(self, told: Told, now: float) -> Event:
        fields = {"pci": told.pci.removeprefix("pci:"), "at": f"{now:.6f}"}
        text = harmless(told.text, 200)
        return Event(told.rule, now, self._boot_id, "uevent", text, told.part, told.variant, fields=fields)

    def _present(self, now: float) -> Event:
        """Return what is there at the start: what had gone may have come back while nobody watched."""
        parts = sorted(self._inventory.known)
        fields = {"parts": " ".join(parts), "at": f"{now:.6f}"}
        text = plural(len(parts), "device")
        return Event("device.present", now, self._boot_id, "uevent", text, variant=self.name, fields=fields)


def _started() -> Any:
    """Return a monitor that listens. Raises ImportError without libudev, OSError where the kernel refuses."""
    pyudev: Any = importlib.import_module("pyudev")
    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
    for subsystem in _SUBSYSTEMS:
        monitor.filter_by(subsystem)
    with contextlib.suppress(OSError):  # needs CAP_NET_ADMIN; what does not fit is seen to be lost
        monitor.set_receive_buffer_size(_BUFFER_BYTES)
    monitor.start()
    return monitor
