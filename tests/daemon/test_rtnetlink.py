"""Links that are lost and regained, told by this kernel of a tap device in a network namespace of its own."""

import asyncio
import ctypes
import fcntl
import os
import pickle
import socket
import struct
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from nodeproof.daemon.sources.rtnetlink import _DONE, _HEADER, _LINK, _LOWER_UP, _MULTI, _NEWLINK, _UP, Links
from nodeproof.errors import FactError
from nodeproof.events import Event

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _TUNSETCARRIER, _SIOCSIFFLAGS, _SIOCSIFNAME = 0x400454CA, 0x400454E2, 0x8914, 0x8923
_IFF_TAP = 0x1002  # without packet information
_SETLINK, _REQUEST, _IFLA_NET_NS_FD = 19, 1, 28

_NOT_ALONE = "no network namespace of our own here"

Seen = list[tuple[str, str, str]]


class Tap:
    """An Ethernet port of a driver whose carrier we hold; gone when closed. `net` takes the place of sysfs."""

    def __init__(self, net: Path, name: str = "np0") -> None:
        self.name, self.net = name, net
        (net / name / "device").mkdir(parents=True)
        self.file = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.file, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP))
        self.index = socket.if_nametoindex(name)

    def carrier(self, on: int) -> None:
        fcntl.ioctl(self.file, _TUNSETCARRIER, struct.pack("i", on))

    def switch(self, on: int) -> None:
        self._ioctl(_SIOCSIFFLAGS, struct.pack("16sH22x", self.name.encode(), on))

    def rename(self, name: str) -> None:
        (self.net / name / "device").mkdir(parents=True)
        self._ioctl(_SIOCSIFNAME, struct.pack("16s16s8x", self.name.encode(), name.encode()))
        self.name = name

    def move(self, namespace: int) -> None:
        body = _LINK.pack(0, 0, self.index, 0, 0) + struct.pack("=HHi", 8, _IFLA_NET_NS_FD, namespace)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
            sock.sendto(_HEADER.pack(_HEADER.size + len(body), _SETLINK, _REQUEST, 1, 0) + body, (0, 0))

    def close(self) -> None:
        os.close(self.file)

    def _ioctl(self, number: int, argument: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, number, argument)


class Watched:
    """A source at work and what it delivered."""

    def __init__(self, net: Path) -> None:
        self.events: list[Event] = []
        self.lost = 0
        self.source = Links(self.events.extend, self._lose, "boot", str(net))

    def _lose(self, count: int) -> None:
        self.lost += count

    async def until(self, *rules: str) -> None:
        """Wait until the last events are of these rules."""
        for _ in range(2000):
            if [e.rule for e in self.events][-len(rules) :] == list(rules):
                return
            await asyncio.sleep(0.01)
        raise AssertionError((rules, self.events))

    async def state(self, *, is_on: bool, has_carrier: bool) -> None:
        """Wait until the one port is so: the kernel puts quick changes together."""
        for _ in range(2000):
            if [(p.is_on, p.has_carrier) for p in self.source._ports.values()] == [(is_on, has_carrier)]:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.source._ports)


def isolated(scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Return what a scenario returns in a child process with a network namespace of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            is_alone = ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0
            answer: tuple[Any, str] = (asyncio.run(scenario()), "") if is_alone else (_NOT_ALONE, "")
        except BaseException:  # noqa: BLE001  # the test is told
            answer = (None, traceback.format_exc())
        os.write(writing, pickle.dumps(answer))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(pid, 0)
    value, problem = pickle.loads(raw)
    assert not problem, problem
    if value == _NOT_ALONE:
        pytest.skip(_NOT_ALONE)
    return value


def told(events: list[Event]) -> Seen:
    return [(e.rule, e.part, e.text) for e in events]


needs_tap = pytest.mark.skipif(not os.access("/dev/net/tun", os.W_OK), reason="no /dev/net/tun to make a port of")


@pytest.mark.root
@needs_tap
def test_a_lost_link_is_told_and_a_port_that_is_switched_off_is_not(tmp_path: Path) -> None:
    async def scenario() -> tuple[Seen, list[str], str]:
        watched, tap = Watched(tmp_path), Tap(tmp_path)
        tap.switch(1)
        watched.source.start(asyncio.get_running_loop())
        await watched.until("device.present")
        tap.carrier(0)
        await watched.until("device.link_down")
        tap.carrier(1)
        await watched.until("device.link_up")
        tap.switch(0)
        tap.carrier(0)
        await watched.state(is_on=False, has_carrier=False)
        tap.switch(1)  # without a link: nobody lost one
        await watched.state(is_on=True, has_carrier=False)
        tap.carrier(1)
        await watched.state(is_on=True, has_carrier=True)
        tap.carrier(0)
        await watched.until("device.link_up", "device.link_down")
        tap.switch(0)
        await watched.until("device.link_off")
        problem = watched.source.problem
        watched.source.stop()
        return told(watched.events), [watched.events[0].fields["whole"], watched.events[2].fields["down_s"]], problem

    seen, (whole, down_s), problem = isolated(scenario)
    assert [rule for rule, _, _ in seen[1:]] == [
        "device.link_down",
        "device.link_up",
        "device.link_down",
        "device.link_off",
    ]
    assert seen[1] == ("device.link_down", "nic:np0", "np0 lost its link and was not switched off")
    assert (whole, problem) == ("nic:np0", "")
    assert 0 <= float(down_s) < 60
    assert seen[2][2] == f"np0 has its link again after {down_s} s"


@pytest.mark.root
@needs_tap
def test_a_port_that_goes_is_told_apart_from_one_that_a_container_takes(tmp_path: Path) -> None:
    async def scenario() -> Seen:
        libc = ctypes.CDLL(None)
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        libc.unshare(_CLONE_NEWNET)
        elsewhere = os.open("/proc/self/ns/net", os.O_RDONLY)
        assert libc.setns(here, _CLONE_NEWNET) == 0
        watched, moved, taken = Watched(tmp_path), Tap(tmp_path, "np1"), Tap(tmp_path, "np2")
        watched.source.start(asyncio.get_running_loop())
        await watched.until("device.present")
        moved.move(elsewhere)
        await watched.until("device.link_off")
        taken.close()
        await watched.until("device.removed")
        back = Tap(tmp_path / "again", "np2")
        await watched.until("device.added")
        back.rename("np3")
        await watched.until("device.added", "device.added")
        return told(watched.events[1:])

    (tmp_path / "again").mkdir()
    assert isolated(scenario) == [
        ("device.link_off", "nic:np1", "np1 went to another network namespace"),
        ("device.removed", "nic:np2", "network port np2 is gone: its driver took it away"),
        ("device.added", "nic:np2", "network port np2 is there"),
        ("device.added", "nic:np3", "network port np3 is there"),
    ]


@pytest.mark.root
@needs_tap
def test_virtual_interfaces_and_virtual_functions_raise_nothing(tmp_path: Path) -> None:
    async def scenario() -> Seen:
        (tmp_path / "vf0" / "device" / "physfn").mkdir(parents=True)
        (tmp_path / "usb1").mkdir()
        (tmp_path / "usb0").mkdir()
        (tmp_path / "usb0" / "device").symlink_to(tmp_path / "usb1")
        (tmp_path / "none").mkdir()
        taps = []
        for name, net in (("vf0", "1"), ("usb0", "2"), ("veth0", "3")):
            taps.append(Tap(tmp_path / "elsewhere" / net, name))
        watched, port = Watched(tmp_path), Tap(tmp_path)
        for tap in (*taps, port):
            tap.switch(1)
        watched.source.start(asyncio.get_running_loop())
        await watched.until("device.present")
        for tap in (*taps, port):
            tap.carrier(0)
        await watched.until("device.link_down")
        for tap in (*taps, port):
            tap.close()
        await watched.until("device.removed")
        return told(watched.events)

    seen = isolated(scenario)
    assert {part for _, part, _ in seen} == {"", "nic:np0"}
    assert seen[0][2] == "1 network port, 1 with a link or switched off"


@pytest.mark.root
@needs_tap
def test_after_a_flood_nothing_stays_wrong(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, Seen]:
        watched, tap, gone = Watched(tmp_path), Tap(tmp_path), Tap(tmp_path, "np1")
        tap.switch(1)
        watched.source.start(asyncio.get_running_loop())
        await watched.until("device.present")
        assert watched.source._socket is not None
        watched.source._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for i in range(400):
            gone.switch(i % 2)
        tap.carrier(0)
        gone.close()
        await watched.until("device.link_down")
        # what was lost may be told as another's business, but is not kept
        for _ in range(200):
            if len(watched.source._ports) == 1:
                break
            await asyncio.sleep(0.01)
        assert [p.name for p in watched.source._ports.values()] == ["np0"]
        return watched.lost, told(watched.events[-1:])

    lost, seen = isolated(scenario)
    assert lost >= 1
    assert seen == [("device.link_down", "nic:np0", "np0 lost its link and was not switched off")]


@pytest.mark.root
@needs_tap
def test_what_another_process_sends_is_no_news(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, Seen]:
        watched, tap = Watched(tmp_path), Tap(tmp_path)
        tap.switch(1)
        watched.source.start(asyncio.get_running_loop())
        await watched.until("device.present")
        assert watched.source._socket is not None
        port = watched.source._socket.getsockname()[0]
        body = _LINK.pack(0, 1, tap.index, _UP, 0) + struct.pack("=HH4s", 8, 3, b"np0\0")
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as other:
            other.sendto(_HEADER.pack(_HEADER.size + len(body), _NEWLINK, 0, 0, 0) + body, (port, 0))
            other.sendto(b"no message at all", (port, 0))
        tap.switch(0)
        tap.switch(1)
        tap.carrier(0)
        await watched.until("device.link_down")
        return watched.lost, told(watched.events[1:])

    lost, seen = isolated(scenario)
    assert lost == 0
    assert [rule for rule, _, _ in seen] == ["device.link_down"]


def message(
    kind: int, name: str = "eth0", *, flags: int = _UP | _LOWER_UP, family: int = 0, extra: bytes = b""
) -> bytes:
    raw = name.encode() + b"\0"
    padded = raw.ljust((len(raw) + 3) & ~3, b"\0")
    body = _LINK.pack(family, 1, 7, flags, 0) + struct.pack("=HH", 4 + len(raw), 3) + padded + extra
    return _HEADER.pack(_HEADER.size + len(body), kind, _MULTI, 0, 0) + body


def planted(tmp_path: Path) -> Links:
    (tmp_path / "eth0" / "device").mkdir(parents=True)
    source = Links(_never, _never, "boot", str(tmp_path))
    source._listed = set()
    return source


def _never(what: object) -> None:
    raise AssertionError(what)


def test_a_view_of_a_link_by_a_bridge_is_not_the_link(tmp_path: Path) -> None:
    source = planted(tmp_path)

    assert source.take(message(_NEWLINK) + message(_NEWLINK, flags=_UP, family=7), 100.0) == []
    [present] = source.take(_HEADER.pack(_HEADER.size, _DONE, 0, 0, 0), 100.0)
    assert present.fields == {"parts": "nic:eth0", "whole": "nic:eth0", "at": "100.000000"}


@pytest.mark.parametrize("extra", [struct.pack("=HHi", 8, 5, 3), struct.pack("=HH8s", 12, 38, b"pf0vf3\0\0")])
def test_a_link_on_top_of_another_or_in_the_place_of_a_function_is_no_port(tmp_path: Path, extra: bytes) -> None:
    source = planted(tmp_path)

    source.take(message(_NEWLINK, extra=extra), 100.0)
    assert source.take(message(_NEWLINK, flags=_UP, extra=extra), 101.0) == []


@pytest.mark.parametrize("datagram", [b"\x01", message(_NEWLINK)[:-1], message(_NEWLINK, extra=b"\xff\xff\1\0")])
def test_what_is_cut_short_or_wrong_is_malformed(tmp_path: Path, datagram: bytes) -> None:
    with pytest.raises(FactError, match="malformed"):
        planted(tmp_path).take(datagram, 100.0)


def test_a_hostile_name_stays_one_line(tmp_path: Path) -> None:
    source = planted(tmp_path)
    name = "e\x1b[2J\nth"
    (tmp_path / name / "device").mkdir(parents=True)

    source.take(message(_NEWLINK, name), 100.0)
    [down] = source.take(message(_NEWLINK, name, flags=_UP), 101.0)
    assert down.text == "e?[2J?th lost its link and was not switched off"
