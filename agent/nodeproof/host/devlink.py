"""Device firmware asked through devlink, over generic netlink.

Layouts and numbers: kernel headers linux/netlink.h, linux/genetlink.h and linux/devlink.h; what the
versions mean: kernel documentation, networking/devlink/devlink-info.rst.
"""

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from nodeproof.errors import FactError

if TYPE_CHECKING:
    from _socket import socket

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_GENERIC = struct.Struct("=BBH")  # genlmsghdr: command, version, reserved
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_NLA_TYPE_MASK = 0x3FFF

_NETLINK_GENERIC, _KERNEL = 16, 0
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300

_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 16, 3
_CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 1, 2

_DEVLINK_CMD_INFO_GET = 51
_ATTR_BUS_NAME, _ATTR_DEV_NAME = 1, 2
_ATTR_VERSIONS = {100: "fixed", 101: "running", 102: "stored"}
_ATTR_VERSION_NAME, _ATTR_VERSION_VALUE = 103, 104

#: Most bytes of a whole answer: a switch with hundreds of line cards stays far below.
_MAX_ANSWER_BYTES = 4 << 20
_RECEIVE_BYTES = 1 << 18

Versions = dict[str, dict[str, str]]


class _Message(NamedTuple):
    type: int
    payload: bytes
    flags: int


def devlink_info() -> dict[str, Versions]:
    """Return the fixed, running and stored versions of every device with devlink, by `bus/device`.

    A stored version that differs from the running one takes effect at the next reset. Serial numbers
    are left out. Raises FileNotFoundError on a kernel without devlink. Needs no privilege.
    """
    from _socket import AF_NETLINK, SOCK_RAW, socket  # the module `socket` costs 6 ms to import

    sock = socket(AF_NETLINK, SOCK_RAW, _NETLINK_GENERIC)
    try:
        name = _ATTRIBUTE.pack(_ATTRIBUTE.size + 8, _CTRL_ATTR_FAMILY_NAME) + b"devlink\0"
        family = b"".join(_ask(sock, _GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, 0, name)[:1])
        number = dict(attributes(family)).get(_CTRL_ATTR_FAMILY_ID, b"")
        if len(number) != 2:
            raise FactError("devlink_info", "malformed", "no number for the family devlink")
        (devlink,) = struct.unpack("=H", number)
        return parse_info(_ask(sock, devlink, _DEVLINK_CMD_INFO_GET, _NLM_F_DUMP, b""))
    finally:
        sock.close()


def parse_info(payloads: list[bytes]) -> dict[str, Versions]:
    """Return what the attributes of INFO_GET answers say, by `bus/device`."""
    devices: dict[str, Versions] = {}
    for payload in payloads:
        found: Versions = {group: {} for group in _ATTR_VERSIONS.values()}
        place: dict[int, str] = {}
        for kind, value in attributes(payload):
            if kind in _ATTR_VERSIONS:
                version = {k: _text(v) for k, v in attributes(value)}
                found[_ATTR_VERSIONS[kind]][version.get(_ATTR_VERSION_NAME, "")] = version.get(_ATTR_VERSION_VALUE, "")
            elif kind in (_ATTR_BUS_NAME, _ATTR_DEV_NAME):
                place[kind] = _text(value)
        devices[f"{place.get(_ATTR_BUS_NAME, '')}/{place.get(_ATTR_DEV_NAME, '')}"] = found
    return devices


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and value of each netlink attribute. Raises FactError `malformed` on a wrong length."""
    at = 0
    while at < len(data):
        if len(data) - at < _ATTRIBUTE.size:
            raise FactError("devlink_info", "malformed", "an attribute is cut short")
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise FactError("devlink_info", "malformed", f"an attribute of {length} bytes")
        yield kind & _NLA_TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def messages(data: bytes) -> Iterator[_Message]:
    """Yield the netlink messages of a datagram. Raises FactError `malformed` on a wrong length."""
    at = 0
    while at < len(data):
        if len(data) - at < _HEADER.size:
            raise FactError("devlink_info", "malformed", "a message is cut short")
        length, kind, flags, _, _ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            raise FactError("devlink_info", "malformed", f"a message of {length} bytes")
        yield _Message(kind, data[at + _HEADER.size : at + length], flags)
        at += _aligned(length)


def _ask(sock: "socket", family: int, command: int, flags: int, body: bytes) -> list[bytes]:
    """Send one request and return the attributes of each answer. Raises OSError if the kernel refuses."""
    length = _HEADER.size + _GENERIC.size + len(body)
    header = _HEADER.pack(length, family, _NLM_F_REQUEST | flags, 1, 0)
    sock.sendto(header + _GENERIC.pack(command, 1, 0) + body, (_KERNEL, 0))
    answers: list[bytes] = []
    received = 0
    while received < _MAX_ANSWER_BYTES:
        datagram, (sender, _) = sock.recvfrom(_RECEIVE_BYTES)
        if sender != _KERNEL:
            continue
        received += len(datagram)
        for message in messages(datagram):
            if message.type in (_NLMSG_ERROR, _NLMSG_DONE):
                _raise_refused(message.payload)
                return answers
            answers.append(message.payload[_GENERIC.size :])
        if not flags & _NLM_F_DUMP:
            return answers
    raise FactError("devlink_info", "malformed", f"more than {_MAX_ANSWER_BYTES} bytes")


def _raise_refused(payload: bytes) -> None:
    """Raise the OSError that an error message or the end of a dump carries; 0 is success."""
    import os

    (number,) = struct.unpack("=i", payload[:4].ljust(4, b"\0"))
    if number < 0:
        raise OSError(-number, os.strerror(-number))


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode(errors="replace")
