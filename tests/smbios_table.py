"""Build SMBIOS tables for tests (layout: DMTF DSP0134)."""

import base64
import struct

#: The table that QEMU 7.2 gives a q35 guest (`-smbios type=0,vendor=VMLAB,version=2.6.0,date=01/15/2026 …`).
QEMU_TABLE = base64.b64decode(
    """
    ABgAAAECAOgDAAgAAAAAAAAAABQAAP//Vk1MQUIAMi42LjAAMDEvMTUvMjAyNgAAARsAAQECAwQAAAAAAAAAAAAAAAAAAAAABgAAVk1MQUIASFBD
    LTkwMDAAcGMtcTM1LTcuMgBWTUxBQjAwMDEAAAMWAAMBAQIAAAMDAwIAAAAAAAAAAABRRU1VAHBjLXEzNS03LjIAAAQqAAQBAwECsQ8GAP37yw8D
    AAAA0AfQB0EB////////AAAAAgICAgABAENQVSAwAFFFTVUAcGMtcTM1LTcuMgAABCoBBAEDAQKxDwYA/fvLDwMAAADQB9AHQQH///////8AAAAC
    AgICAAEAQ1BVIDEAUUVNVQBwYy1xMzUtNy4yAAAQFwAQAQMGAAAgAP7/AQAAAAAAAAAAAAAAESgAEQAQ/v//////AAgJAAEABwIAwBICAAADAAAA
    AADAEgAAAAAAAERJTU0gMABWTUxBQgBWTS1ESU1NAAATHwATAAAAAP//HwAAEAEAAAAAAAAAAAAAAAAAAAAAAAAgCwAgAAAAAAAAAAAAfwQAfwAA
    """
)
QEMU_ENTRY_POINT = base64.b64decode("X1NNXzgfAghBAAAAAAAAAF9ETUlfeaQBsFkPAAoAKA==")

END = struct.pack("<BBHH", 127, 4, 0xFEFF, 0)


def structure(kind: int, handle: int, body: bytes, *strings: str) -> bytes:
    """Return one structure: header, formatted area, string set."""
    words = b"".join(s.encode() + b"\0" for s in strings) or b"\0"
    return struct.pack("<BBH", kind, 4 + len(body), handle) + body + words + b"\0"


def memory_array(handle: int = 0x1000, use: int = 3) -> bytes:
    return structure(16, handle, struct.pack("<BBBIHH", 3, use, 6, 0x80000000, 0xFFFE, 16))


def memory_device(
    locator: str,
    bank: str = "",
    *,
    size_mib: int = 32768,
    kind: int = 0x22,
    speed_mts: int = 4800,
    configured_mts: int = 4800,
    array: int = 0x1000,
    technology: int = 3,
) -> bytes:
    """Return a type 17 structure of SMBIOS 3.3, extended fields where a value asks for them."""
    size = min(size_mib, 0x7FFF)
    body = struct.pack("<HHHHH", array, 0xFFFE, 80, 64, size)
    body += struct.pack("<BBBBBH", 9, 0, 1, 2 if bank else 0, kind, 0x80)
    body += struct.pack("<HBBBBB", min(speed_mts, 0xFFFF), 0, 0, 0, 0, 2)
    body += struct.pack("<IHHHH", size_mib if size == 0x7FFF else 0, min(configured_mts, 0xFFFF), 1100, 1100, 1100)
    body += struct.pack("<BHBHHHHQQQQ", technology, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    body += struct.pack("<II", speed_mts if speed_mts >= 0xFFFF else 0, configured_mts if speed_mts >= 0xFFFF else 0)
    return structure(17, 0x1100, body, *filter(None, (locator, bank)))


def dimm_table(*devices: bytes) -> bytes:
    return memory_array() + b"".join(devices) + END
