"""RDMA devices and their ports asked over RDMA netlink.

Layouts and numbers: kernel headers linux/netlink.h and rdma/rdma_netlink.h; which attributes an answer has:
drivers/infiniband/core/nldev.c (fill_dev_info, fill_port_info).
"""

import struct
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nodeproof.errors import FactError
from nodeproof.host.devlink import attributes, messages

if TYPE_CHECKING:
    from _socket import socket

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_NUMBER = struct.Struct("=HHI")  # nlattr with 32 bits: length, type, value

_NETLINK_RDMA, _KERNEL = 20, 0
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST_DUMP = 0x1 | 0x300

#: RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, …) of RDMA_NLDEV_CMD_GET and RDMA_NLDEV_CMD_PORT_GET.
_GET, _PORT_GET = (5 << 10) + 1, (5 << 10) + 5

_DEV_INDEX, _DEV_NAME, _PORT_INDEX = 1, 2, 3
_NUMBERS_OF_DEVICE = {14: "node_type"}
_GUIDS_OF_DEVICE = {6: "node_guid", 7: "sys_image_guid"}
_TEXTS_OF_DEVICE = {5: "firmware", 67: "protocol"}
_NUMBERS_OF_PORT = {
    4: "capability_mask",
    9: "lid",
    10: "sm_lid",
    11: "lid_mask_count",
    12: "state",
    13: "physical_state",
}
_GUIDS_OF_PORT = {8: "subnet_prefix"}
_TEXTS_OF_PORT = {51: "netdev"}

#: Most bytes of a whole answer: a device takes some 150.
_MAX_ANSWER_BYTES = 1 << 20
_RECEIVE_BYTES = 1 << 16

#: More devices than any machine has.
_MAX_DEVICES = 1024

_SOURCE = "rdma_links"


def rdma_links() -> dict[str, dict[str, Any]]:
    """Return every RDMA device of this network namespace by name, its ports by number below `ports`.

    What the kernel does not say is left out: firmware of a device without one, LIDs of a RoCE port, the interface
    of a port that has none (InfiniBand ports have none here: IPoIB is a client of the device). Needs no privilege.
    """
    from _socket import AF_NETLINK, SOCK_RAW, socket  # the module `socket` costs 6 ms to import

    sock = socket(AF_NETLINK, SOCK_RAW, _NETLINK_RDMA)
    try:
        devices = parse_devices(_dump(sock, _GET, b""))
        for device in devices.values():
            asked = _NUMBER.pack(_NUMBER.size, _DEV_INDEX, device.pop("index"))
            device["ports"] = parse_ports(_dump(sock, _PORT_GET, asked))
        return devices
    finally:
        sock.close()


def parse_devices(payloads: list[bytes]) -> dict[str, dict[str, Any]]:
    """Return by name what the attributes of RDMA_NLDEV_CMD_GET answers say, `index` to ask on with among it."""
    devices: dict[str, dict[str, Any]] = {}
    for payload in payloads[:_MAX_DEVICES]:
        found = dict(_attributes(payload))
        if _DEV_INDEX not in found or _DEV_NAME not in found:
            raise FactError(_SOURCE, "malformed", "a device without index or name")
        device = _named(found, _NUMBERS_OF_DEVICE, _GUIDS_OF_DEVICE, _TEXTS_OF_DEVICE)
        devices[_text(found[_DEV_NAME])] = {"index": _number(found[_DEV_INDEX]) & 0xFFFFFFFF, **device}
    return devices


def parse_ports(payloads: list[bytes]) -> dict[str, dict[str, Any]]:
    """Return by port number what the attributes of RDMA_NLDEV_CMD_PORT_GET answers say."""
    ports: dict[str, dict[str, Any]] = {}
    for payload in payloads:
        found = dict(_attributes(payload))
        if _PORT_INDEX not in found:
            raise FactError(_SOURCE, "malformed", "a port without a number")
        ports[str(_number(found[_PORT_INDEX]))] = _named(found, _NUMBERS_OF_PORT, _GUIDS_OF_PORT, _TEXTS_OF_PORT)
    return ports


def _named(
    found: dict[int, bytes], numbers: dict[int, str], guids: dict[int, str], texts: dict[int, str]
) -> dict[str, Any]:
    values: dict[str, Any] = {name: _number(found[kind]) for kind, name in numbers.items() if kind in found}
    values |= {name: _guid(found[kind]) for kind, name in guids.items() if kind in found}
    return values | {name: _text(found[kind]) for kind, name in texts.items() if kind in found}


def _dump(sock: "socket", command: int, body: bytes) -> list[bytes]:
    """Ask for all there is and return the attributes of each answer. Raises OSError if the kernel refuses."""
    sock.sendto(_HEADER.pack(_HEADER.size + len(body), command, _NLM_F_REQUEST_DUMP, 1, 0) + body, (_KERNEL, 0))
    answers: list[bytes] = []
    received = 0
    while received < _MAX_ANSWER_BYTES:
        datagram, (sender, _) = sock.recvfrom(_RECEIVE_BYTES)
        if sender != _KERNEL:
            continue
        received += len(datagram)
        for message in _renamed(messages(datagram)):
            if message.type in (_NLMSG_ERROR, _NLMSG_DONE):
                _raise_refused(message.payload)
                return answers
            answers.append(message.payload)
    raise FactError(_SOURCE, "malformed", f"more than {_MAX_ANSWER_BYTES} bytes")


def _raise_refused(payload: bytes) -> None:
    """Raise the OSError that an error message or the end of a dump carries; 0 is success."""
    import os

    (number,) = struct.unpack("=i", payload[:4].ljust(4, b"\0"))
    if number < 0:
        raise OSError(-number, os.strerror(-number))


def _attributes(payload: bytes) -> Iterator[tuple[int, bytes]]:
    yield from _renamed(attributes(payload))


def _renamed(items: Iterator[Any]) -> Iterator[Any]:
    """Pass on what another netlink module parses, and say of its errors that they are ours."""
    try:
        yield from items
    except FactError as error:
        raise FactError(_SOURCE, error.kind, error.detail) from error


def _number(value: bytes) -> int:
    """Return a number of 8, 32 or 64 bits."""
    if len(value) not in (1, 4, 8):
        raise FactError(_SOURCE, "malformed", f"a number of {len(value)} bytes")
    return int.from_bytes(value, sys.byteorder)


def _guid(value: bytes) -> str:
    """Return 64 bits as sysfs writes a GUID: `b83f:d203:00c2:5d30`."""
    digits = f"{_number(value):016x}"
    return ":".join(digits[i : i + 4] for i in range(0, 16, 4))


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode(errors="replace")
