"""Memory of the transceiver or cable in a network port, asked through ethtool's netlink family, or its older ioctl.

Layouts and numbers: kernel headers linux/ethtool_netlink.h and linux/ethtool.h. Which pages there are: SFF-8472 (SFP),
SFF-8636 (QSFP) and CMIS (QSFP-DD, OSFP). Deliberately not here: what the bytes mean (`nodeproof.probes.transceiver`).
"""

import errno
import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from nodeproof.errors import FactError
from nodeproof.host.devlink import attributes, messages

if TYPE_CHECKING:
    from _socket import socket

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_GENERIC = struct.Struct("=BBH")  # genlmsghdr: command, version, reserved
_NETLINK_GENERIC, _KERNEL, _NLMSG_ERROR, _NLM_F_REQUEST = 16, 0, 2, 0x1
_NLA_F_NESTED = 0x8000

_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 16, 3
_CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 1, 2

_MODULE_EEPROM_GET = 31
_A_HEADER, _A_OFFSET, _A_LENGTH, _A_PAGE, _A_BANK, _A_I2C_ADDRESS, _A_DATA = 1, 2, 3, 4, 5, 6, 7
_HEADER_DEV_NAME = 2

_SIOCETHTOOL, _GMODULEINFO, _GMODULEEEPROM = 0x8946, 0x42, 0x43
_IFREQ = "16sP16x"  # struct ifreq with a pointer (linux/if.h)
_MODINFO_BYTES, _EEPROM = 44, struct.Struct("=IIII")  # struct ethtool_modinfo; ethtool_eeprom: cmd, magic, offset, len
_SFF_8472 = 2

_HALF_BYTES, _RECEIVE_BYTES = 128, 1 << 16
_LOWER, _SECOND = 0x50, 0x51  # addresses on the module's I2C bus

#: Identifiers of SFF-8024, byte 0 of every module.
_SFP, _QSFP = (0x03, 0x0B), (0x0C, 0x0D, 0x11)
_CMIS = (0x18, 0x19, 0x1A, 0x1B, 0x1E, 0x1F, 0x20, 0x21)


class Half(NamedTuple):
    """Half a page: the lower 128 bytes of an address, or the upper ones as a page number selects them."""

    name: str
    page: int
    offset: int
    address: int = _LOWER


_FIRST = Half("lower", 0, 0)
_UPPER = {number: Half(f"page_{number:02x}", number, _HALF_BYTES) for number in (0x00, 0x01, 0x02, 0x03, 0x11)}
_DIAGNOSTICS = Half("a2", 0, 0, _SECOND)

#: Where the serial number stands in its half, and the checksum over it; what follows that is the vendor's own.
_SERIAL_OF = {"sfp": ("lower", 68, 95), "qsfp": ("page_00", 68, 95), "cmis": ("page_00", 38, 94)}
_SERIAL_BYTES = 16


def module_eeprom(interface: str) -> dict[str, str]:
    """Return the halves of pages of a port's module that tell what it is and how it does, as hexadecimal text.

    The serial number is taken out of them, its checksum kept as right or wrong as it was, and returned as `serial`.
    What follows in that half is the vendor's own and left out. Needs CAP_NET_ADMIN. Raises OSError: EOPNOTSUPP for an
    interface that can have no module; drivers differ in what they say of an empty cage.
    """
    try:
        return halves_of(_over_netlink(interface))
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOENT):  # before Linux 5.13; no such family before 5.6
            raise
    return halves_of(_over_ioctl(interface))


def halves_of(read: Callable[[Half], bytes]) -> dict[str, str]:
    """Return what `module_eeprom` does, of a module that `read` reads; of an unknown kind its identifier alone."""
    first = read(_FIRST)
    kind, wanted = _wanted(first)
    if not kind:
        return {"lower": first[:1].hex(), "serial": ""}
    halves = {"lower": bytearray(first)}
    for half in wanted:
        try:
            halves[half.name] = bytearray(read(half))
        except OSError as error:  # of a page that the driver or the module lacks
            if half == _UPPER[0x00] or error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    serial = _taken_out(halves, kind)
    return {name: half.hex() for name, half in halves.items()} | {"serial": serial}


def _taken_out(halves: dict[str, bytearray], kind: str) -> str:
    """Return the serial number, and leave blanks and a checksum in its place that is as right as the one before."""
    name, start, checksum = _SERIAL_OF[kind]
    half = halves[name]
    found = bytes(half[start : start + _SERIAL_BYTES])
    half[start : start + _SERIAL_BYTES] = b" " * _SERIAL_BYTES
    half[checksum] = (half[checksum] + _SERIAL_BYTES * ord(" ") - sum(found)) & 0xFF
    del half[checksum + 1 :]
    return found.decode("ascii", errors="replace").strip(" \0")


def _wanted(first: bytes) -> tuple[str, list[Half]]:
    """Return of what kind a module is, and which halves it has besides the first: flat memory has no pages."""
    identifier = first[0]
    if identifier in _SFP:
        has_diagnostics = first[92] & 0x40 and not first[92] & 0x04  # not behind a change of address
        return "sfp", [_DIAGNOSTICS] if has_diagnostics else []
    if identifier in _QSFP:
        return "qsfp", [_UPPER[0x00]] if first[2] & 0x04 else [_UPPER[0x00], _UPPER[0x03]]
    if identifier in _CMIS:
        more = [] if first[2] & 0x80 else [_UPPER[number] for number in (0x01, 0x02, 0x11)]
        return "cmis", [_UPPER[0x00], *more]
    return "", []


def _whole(interface: str, data: bytes) -> bytes:
    if len(data) != _HALF_BYTES:
        raise FactError(f"module_eeprom {interface}", "malformed", f"{len(data)} bytes, expected {_HALF_BYTES}")
    return data


def _over_netlink(interface: str) -> Callable[[Half], bytes]:
    from _socket import AF_NETLINK, SOCK_RAW, socket  # the module `socket` costs 6 ms to import

    def read(half: Half) -> bytes:
        sock = socket(AF_NETLINK, SOCK_RAW, _NETLINK_GENERIC)
        try:
            return _whole(interface, _netlink_half(sock, interface, half))
        finally:
            sock.close()

    return read


def _netlink_half(sock: "socket", interface: str, half: Half) -> bytes:
    family = _asked(sock, _GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, _attribute(_CTRL_ATTR_FAMILY_NAME, b"ethtool\0"))
    number = family.get(_CTRL_ATTR_FAMILY_ID, b"")
    if len(number) != 2:
        raise FactError("module_eeprom", "malformed", "no number for the family ethtool")
    name = interface.encode(errors="surrogateescape")[:15] + b"\0"
    request = b"".join(
        (
            _attribute(_A_HEADER | _NLA_F_NESTED, _attribute(_HEADER_DEV_NAME, name)),
            _attribute(_A_OFFSET, struct.pack("=I", half.offset)),
            _attribute(_A_LENGTH, struct.pack("=I", _HALF_BYTES)),
            _attribute(_A_PAGE, bytes([half.page])),
            _attribute(_A_BANK, b"\0"),
            _attribute(_A_I2C_ADDRESS, bytes([half.address])),
        )
    )
    return _asked(sock, struct.unpack("=H", number)[0], _MODULE_EEPROM_GET, request).get(_A_DATA, b"")


def _asked(sock: "socket", family: int, command: int, body: bytes) -> dict[int, bytes]:
    """Return the attributes of the answer to one request. Raises OSError if the kernel refuses."""
    header = _HEADER.pack(_HEADER.size + _GENERIC.size + len(body), family, _NLM_F_REQUEST, 1, 0)
    sock.sendto(header + _GENERIC.pack(command, 1, 0) + body, (_KERNEL, 0))
    while True:
        datagram, (sender, _) = sock.recvfrom(_RECEIVE_BYTES)
        if sender == _KERNEL:
            return answered(datagram)


def answered(datagram: bytes) -> dict[int, bytes]:
    """Return the attributes of the first message of an answer. Raises the OSError that it may carry instead."""
    for message in messages(datagram):
        if message.type == _NLMSG_ERROR:
            (number,) = struct.unpack("=i", message.payload[:4].ljust(4, b"\0"))
            raise OSError(-number, os.strerror(-number))
        return dict(attributes(message.payload[_GENERIC.size :]))
    raise FactError("module_eeprom", "malformed", "an empty answer")


def _attribute(kind: int, value: bytes) -> bytes:
    raw = struct.pack("=HH", 4 + len(value), kind) + value
    return raw + bytes(-len(raw) % 4)


def _over_ioctl(interface: str) -> Callable[[Half], bytes]:
    info = _ioctl(interface, struct.pack("=I", _GMODULEINFO).ljust(_MODINFO_BYTES, b"\0"))
    _, standard, length = struct.unpack_from("=III", info)

    def read(half: Half) -> bytes:
        """As the kernel itself does for netlink (net/ethtool/eeprom.c, eeprom_fallback): all pages lie in one row."""
        offset = half.page * _HALF_BYTES + half.offset
        if standard == _SFF_8472 and half.address == _SECOND:
            offset += 2 * _HALF_BYTES
        if offset + _HALF_BYTES > length:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        request = _EEPROM.pack(_GMODULEEEPROM, 0, offset, _HALF_BYTES)
        return _whole(interface, _ioctl(interface, request + bytes(_HALF_BYTES))[_EEPROM.size :])

    return read


def _ioctl(interface: str, request: bytes) -> bytes:
    import array
    import fcntl
    from _socket import AF_INET, SOCK_DGRAM, socket

    data = array.array("B", request)
    ifreq = struct.pack(_IFREQ, interface.encode(errors="surrogateescape")[:15], data.buffer_info()[0])
    sock = socket(AF_INET, SOCK_DGRAM)
    try:
        fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, ifreq)
    finally:
        sock.close()
    return data.tobytes()
