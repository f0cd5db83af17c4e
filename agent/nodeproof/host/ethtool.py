"""Network drivers asked through the ethtool ioctl."""

SIOCETHTOOL = 0x8946
ETHTOOL_GDRVINFO = 0x3

#: `struct ifreq` with a pointer (linux/if.h), and `struct ethtool_drvinfo` (linux/ethtool.h) without its counts.
_IFREQ = "16sP16x"
_DRVINFO = "=I32s32s32s32s"
_DRVINFO_BYTES = 196


def ethtool_drvinfo(interface: str) -> dict[str, str]:
    """Return what the driver of a network interface says of itself: driver, versions, bus address.

    `ioctl(SIOCETHTOOL)` with `ETHTOOL_GDRVINFO`, which needs no privilege. `driver_version` is the
    kernel's for drivers in the tree; a driver without firmware leaves `firmware_version` empty.
    """
    import array
    import fcntl
    import struct
    from _socket import AF_INET, SOCK_DGRAM, socket  # the module `socket` costs 6 ms to import

    info = array.array("B", struct.pack("=I", ETHTOOL_GDRVINFO).ljust(_DRVINFO_BYTES, b"\0"))
    request = struct.pack(_IFREQ, interface.encode(errors="surrogateescape")[:15], info.buffer_info()[0])
    sock = socket(AF_INET, SOCK_DGRAM)
    try:
        fcntl.ioctl(sock.fileno(), SIOCETHTOOL, request)
    finally:
        sock.close()
    _, driver, driver_version, firmware_version, bus = struct.unpack_from(_DRVINFO, info)
    return {
        "driver": _text(driver),
        "driver_version": _text(driver_version),
        "firmware_version": _text(firmware_version),
        "bus": _text(bus),
    }


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace").strip()
