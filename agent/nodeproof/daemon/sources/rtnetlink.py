"""Network ports that lose and regain their link, or vanish, over rtnetlink (rtnetlink(7), netlink(7)).

What a port's removal is, only rtnetlink tells: the same message says whether it was moved into a container.
Deliberately not here: whether a lost link matters (`nodeproof_checks.devices`).
"""

import asyncio
import errno
import os
import re
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nodeproof.errors import FactError
from nodeproof.events import Event
from nodeproof.host.devlink import attributes, messages
from nodeproof.verdict import harmless, plural

NET = "/sys/class/net"

_NETLINK_ROUTE, _GROUP_LINK = 0, 1
_NEWLINK, _DELLINK, _GETLINK, _DONE = 16, 17, 18, 3
_REQUEST_DUMP, _MULTI = 0x1 | 0x300, 0x2
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_UP, _LOWER_UP = 1 << 0, 1 << 16  # linux/if.h: switched on; has a carrier
_TYPES = (1, 32)  # linux/if_arp.h: Ethernet, InfiniBand

#: Attributes of linux/if_link.h. The last two are there where an interface went to another network namespace.
_IFNAME, _IFLINK, _PORT_NAME, _NEW_NETNSID, _NEW_IFINDEX = 3, 5, 38, 45, 49

#: What stands for a function of an adapter (devlink-port.rst), and where ports of other kinds hang.
_REPRESENTOR = re.compile("(c[0-9]+)?pf[0-9]+")
_NO_PORT = ("/usb", ".sf.", "/virtual/")

#: Bytes that the kernel may hold for us, of one datagram, and datagrams that are taken in one go.
_BUFFER_BYTES, _DATAGRAM_BYTES, _AT_ONCE = 1 << 20, 1 << 16, 64

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; not in the module `socket`


class Port(NamedTuple):
    """`down_at` is since when (seconds since the epoch) a port that is switched on lacks the link it had, else 0."""

    name: str
    is_on: bool
    has_carrier: bool
    down_at: float = 0.0


class Links:
    """The ports of this node: with a device of their own, no virtual function, VLAN, bond or container's end."""

    name = "rtnetlink"

    def __init__(
        self,
        deliver: Callable[[Sequence[Event]], None],
        lose: Callable[[int], None],
        boot_id: str,
        net: str = NET,
    ) -> None:
        self.problem = "not started"
        self._deliver, self._lose, self._boot_id, self._net = deliver, lose, boot_id, net
        self._ports: dict[int, Port] = {}
        self._others: set[int] = set()
        self._listed: set[int] | None = None
        self._is_known = self._is_asked_again = False
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._socket = _listening()
            loop.add_reader(self._socket, self._wake)
            self._loop = loop
            self._ask()
        except OSError as error:
            self.stop()
            self.problem = f"no rtnetlink: {error.strerror}"
        else:
            self.problem = ""

    def stop(self) -> None:
        if self._socket is not None:
            if self._loop is not None:
                self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self.problem = "stopped"

    def _ask(self) -> None:
        """Have the kernel list all links, among what it tells anyway; not while it does, or it refuses."""
        if self._listed is not None:
            self._is_asked_again = True
            return
        assert self._socket is not None
        body = _LINK.pack(0, 0, 0, 0, 0)
        self._socket.sendto(_HEADER.pack(_HEADER.size + len(body), _GETLINK, _REQUEST_DUMP, 1, 0) + body, (0, 0))
        self._listed = set()

    def _wake(self) -> None:
        events: list[Event] = []
        for _ in range(_AT_ONCE):
            try:
                assert self._socket is not None
                datagram, (sender, _) = self._socket.recvfrom(_DATAGRAM_BYTES)
                if sender == 0:  # the kernel
                    events += self.take(datagram, time.time())
            except BlockingIOError:
                break
            except (OSError, FactError) as error:
                self._lost(error)
                break
        if events:
            self._deliver(events)

    def _lost(self, error: OSError | FactError) -> None:
        """Say that something was lost; after an overflow list all links again, so that nothing stays wrong."""
        self._lose(1)
        if isinstance(error, FactError):
            return  # what cannot be read now cannot be read again
        try:
            if error.errno != errno.ENOBUFS:
                raise error
            self._ask()
        except OSError as worse:
            self.stop()
            self.problem = f"rtnetlink ended: {worse.strerror}"

    def take(self, datagram: bytes, now: float) -> list[Event]:
        """Return what the messages of a datagram tell. Raises FactError `malformed`."""
        events: list[Event] = []
        for kind, payload, message_flags in messages(datagram):
            if kind == _DONE:
                events += self._end_of_list(now)
            elif kind in (_NEWLINK, _DELLINK) and len(payload) >= _LINK.size:
                family, hardware, index, flags, _ = _LINK.unpack_from(payload)
                if family == 0:  # others tell of a bridge's or a protocol's view of a link
                    if self._listed is not None and message_flags & _MULTI:  # of the list, and no older news
                        self._listed.add(index)
                    found = dict(attributes(payload[_LINK.size :]))
                    is_new = kind == _NEWLINK
                    events += self._new(index, hardware, flags, found, now) if is_new else self._gone(index, found, now)
        return events

    def _new(self, index: int, hardware: int, flags: int, found: dict[int, bytes], now: float) -> list[Event]:
        if index in self._others:
            return []
        name = found.get(_IFNAME, b"").partition(b"\0")[0].decode(errors="replace")
        old = self._ports.get(index)
        if old is None and not self._is_port(name, hardware, index, found):
            self._others.add(index)
            return []
        port, events = Port(name, bool(flags & _UP), bool(flags & _LOWER_UP)), []
        if old is not None and old.name != name and old.down_at:
            events.append(self._event("device.link_off", old, now, f"{old.name} is called {name} now"))
        if self._is_known and (old is None or old.name != name):
            events.append(self._event("device.added", port, now, f"network port {name} is there"))
        if old is not None:
            changes, port = self._changed(old, port, now)
            events += changes
        self._ports[index] = port
        return events

    def _changed(self, old: Port, port: Port, now: float) -> tuple[list[Event], Port]:
        """Return what a change of a port's state tells, and the port with since when it is down."""
        if not port.is_on:
            if not old.down_at:
                return [], port
            return [self._event("device.link_off", port, now, f"{port.name} was switched off while down")], port
        if port.has_carrier:
            if not old.down_at:
                return [], port
            words = f"{port.name} has its link again after {now - old.down_at:.1f} s"
            return [self._event("device.link_up", port, now, words, down_s=f"{now - old.down_at:.1f}")], port
        if old.is_on and old.has_carrier:
            words = f"{port.name} lost its link and was not switched off"
            return [self._event("device.link_down", port, now, words)], port._replace(down_at=now)
        return [], port._replace(down_at=old.down_at)

    def _gone(self, index: int, found: dict[int, bytes], now: float) -> list[Event]:
        self._others.discard(index)
        port = self._ports.pop(index, None)
        if port is None:
            return []
        if _NEW_NETNSID in found or _NEW_IFINDEX in found:
            words = f"{port.name} went to another network namespace"
            return [self._event("device.link_off", port, now, words)]
        words = f"network port {port.name} is gone: its driver took it away"
        return [self._event("device.removed", port, now, words, variant="unbound")]

    def _end_of_list(self, now: float) -> list[Event]:
        """Forget what is not there any more; say for once what is, since nobody watched before."""
        listed, self._listed = self._listed, None
        if self._is_asked_again:  # something was lost meanwhile
            self._is_asked_again = False
            self._ask()
            return []
        if listed is None:
            return []
        # moved or removed, that was lost; of a removed device the bus tells too
        self._ports = {index: port for index, port in self._ports.items() if index in listed}
        self._others &= listed
        if self._is_known:
            return []
        self._is_known = True
        ports = sorted(self._ports.values())
        whole = [port for port in ports if port.has_carrier or not port.is_on]
        fields = {"parts": _parts(ports), "whole": _parts(whole), "at": f"{now:.6f}"}
        text = f"{plural(len(ports), 'network port')}, {len(whole)} with a link or switched off"
        return [Event("device.present", now, self._boot_id, "rtnetlink", text, variant=self.name, fields=fields)]

    def _is_port(self, name: str, hardware: int, index: int, found: dict[int, bytes]) -> bool:
        above = found.get(_IFLINK, b"")
        if hardware not in _TYPES or (len(above) == 4 and struct.unpack("=i", above) != (index,)):
            return False
        if _REPRESENTOR.match(found.get(_PORT_NAME, b"").decode(errors="replace")):
            return False
        device = os.path.join(self._net, name, "device")
        if not name or not os.path.exists(device) or os.path.exists(os.path.join(device, "physfn")):
            return False
        return not any(place in os.path.realpath(device) for place in _NO_PORT)

    def _event(self, rule: str, port: Port, now: float, text: str, variant: str = "", **fields: str) -> Event:
        fields = {"nic": port.name, "at": f"{now:.6f}", **fields}
        text = harmless(text, 200)
        return Event(rule, now, self._boot_id, "rtnetlink", text, f"nic:{port.name}", variant, fields=fields)


def _listening() -> socket.socket:
    kinds = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    sock = socket.socket(socket.AF_NETLINK, kinds, _NETLINK_ROUTE)
    try:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        sock.bind((0, _GROUP_LINK))
    except OSError:
        sock.close()
        raise
    return sock


def _parts(ports: Sequence[Port]) -> str:
    return " ".join(f"nic:{port.name}" for port in ports)
