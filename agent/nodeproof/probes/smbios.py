"""SMBIOS facts: firmware, product and memory modules, parsed from the firmware's own table.

The layout is DMTF DSP0134 (System Management BIOS Reference Specification) 3.7; section numbers are of
that document. The table is written by firmware: every length in it is checked before it is believed.
"""

from collections.abc import Iterator
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact

TABLE = "/sys/firmware/dmi/tables/DMI"
ENTRY_POINT = "/sys/firmware/dmi/tables/smbios_entry_point"
IDS = "/sys/class/dmi/id"

BIOS, SYSTEM, BOARD, MEMORY_ARRAY, MEMORY_DEVICE, END = 0, 1, 2, 16, 17, 127

_SYSTEM_MEMORY = 3

#: Section 7.18.2, those that a server can have.
_MEMORY_TYPES = {
    0x03: "DRAM", 0x07: "RAM", 0x09: "flash", 0x0F: "SDRAM", 0x12: "DDR", 0x13: "DDR2", 0x14: "DDR2 FB-DIMM",
    0x18: "DDR3", 0x1A: "DDR4", 0x1B: "LPDDR", 0x1C: "LPDDR2", 0x1D: "LPDDR3", 0x1E: "LPDDR4", 0x1F: "non-volatile",
    0x20: "HBM", 0x21: "HBM2", 0x22: "DDR5", 0x23: "LPDDR5", 0x24: "HBM3",
}  # fmt: skip

#: Section 7.18.6, memory technology: NVDIMM-N, NVDIMM-F, NVDIMM-P, Optane.
_NON_VOLATILE = (4, 5, 6, 7)

#: Section 7.18.5 and the fields beside it: "see the extended field".
_SEE_EXTENDED_SIZE = 0x7FFF
_UNKNOWN_SIZE = 0xFFFF
_SEE_EXTENDED_SPEED = 0xFFFF


class Structure(NamedTuple):
    """One structure: its formatted area (header included) and its strings. A short one lacks newer fields."""

    type: int
    handle: int
    area: bytes
    strings: tuple[str, ...]

    def number(self, offset: int, size: int) -> int:
        """Return a little-endian number, 0 if the structure is too old to have that field."""
        return int.from_bytes(self.area[offset : offset + size], "little") if offset + size <= len(self.area) else 0

    def text(self, offset: int) -> str:
        """Return the string that a field refers to, empty if it refers to none."""
        index = self.number(offset, 1)
        return self.strings[index - 1] if 1 <= index <= len(self.strings) else ""


def structures(host: Host) -> list[Structure]:
    """Return all structures of the table. Raises FactError, `malformed` for a table that is cut short."""
    table = host.data(TABLE)
    try:
        length, count = _extent(host.data(ENTRY_POINT))
    except FactError as error:
        if error.kind not in ("absent", "not_recorded"):
            raise
        length, count = 0, 0
    if len(table) < length:
        raise FactError(TABLE, "malformed", f"{len(table)} bytes, the entry point says {length}")
    return list(_walk(table, count))


def _extent(entry: bytes) -> tuple[int, int]:
    """Return table length and number of structures, 0 for what the entry point does not say (sections 5.2.1, 5.2.2)."""
    if entry.startswith(b"_SM3_") and len(entry) >= 0x18:
        return 0, 0  # it has an upper bound of the length only
    if entry.startswith(b"_SM_") and len(entry) >= 0x1E:
        return int.from_bytes(entry[0x16:0x18], "little"), int.from_bytes(entry[0x1C:0x1E], "little")
    raise FactError(ENTRY_POINT, "malformed", "no SMBIOS anchor")


def _walk(table: bytes, count: int) -> Iterator[Structure]:
    """Yield structures up to the end-of-table one, or `count` of them (0: not known). Section 6.1.

    Each step moves on by at least six bytes, so that no table is walked forever.
    """
    offset = read = 0
    while not count or read < count:
        if offset + 4 > len(table):
            raise FactError(TABLE, "malformed", f"no end-of-table structure in {len(table)} bytes")
        kind, size = table[offset], table[offset + 1]
        if kind == END:
            return
        strings = offset + size
        end = table.find(b"\0\0", strings)
        if size < 4 or end < 0:
            raise FactError(TABLE, "malformed", f"a broken structure of type {kind} at byte {offset}")
        handle = int.from_bytes(table[offset + 2 : offset + 4], "little")
        yield Structure(kind, handle, table[offset:strings], _strings(table[strings:end]))
        offset, read = end + 2, read + 1


def _strings(raw: bytes) -> tuple[str, ...]:
    return tuple(s.decode(errors="replace").strip() for s in raw.split(b"\0")) if raw else ()


@fact(TABLE, ENTRY_POINT, "/sys/class/dmi/id/{bios_vendor,bios_version,bios_date,sys_vendor,product_name,board_name}")
class Firmware(NamedTuple):
    """Firmware, product and board, as the vendor wrote them; empty: the vendor wrote nothing.

    Only root may read the table; others get the same strings from the kernel, which parsed it at boot.
    """

    bios_vendor: str
    bios_version: str
    bios_date: str
    vendor: str
    product: str
    board: str

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` on machines without SMBIOS."""
        try:
            found = structures(host)
        except FactError as error:
            if error.kind not in ("denied", "absent"):
                raise
            return cls._from_ids(host)
        first = {s.type: s for s in reversed(found)}
        nothing = Structure(END, 0, b"", ())
        bios, system, board = (first.get(t, nothing) for t in (BIOS, SYSTEM, BOARD))
        return cls(
            bios_vendor=bios.text(0x04),
            bios_version=bios.text(0x05),
            bios_date=bios.text(0x08),
            vendor=system.text(0x04),
            product=system.text(0x05),
            board=board.text(0x05),
        )

    @classmethod
    def _from_ids(cls, host: Host) -> Self:
        files = set(host.glob(f"{IDS}/*"))
        if not files:
            raise FactError(TABLE, "absent", "no SMBIOS on this machine")
        names = ("bios_vendor", "bios_version", "bios_date", "sys_vendor", "product_name", "board_name")
        return cls(*(host.text(f"{IDS}/{n}") if f"{IDS}/{n}" in files else "" for n in names))

    @property
    def bios_day(self) -> str | None:
        """The release date as YYYY-MM-DD, or None if it is not written as mm/dd/yyyy or mm/dd/yy (19yy)."""
        parts = self.bios_date.split("/")
        if [len(p) for p in parts] not in ([2, 2, 4], [2, 2, 2]) or not all(p.isascii() and p.isdigit() for p in parts):
            return None
        month, day, year = parts
        return f"{'19' if len(year) == 2 else ''}{year}-{month}-{day}"


class Dimm(NamedTuple):
    """One installed memory module. None: the firmware does not say. `is_module`: of a known DDR or HBM kind.

    Virtual machines show memory of no such kind, cut into pieces that mean nothing.
    """

    locator: str
    kind: str
    is_module: bool
    size_bytes: int | None
    speed_mts: int | None
    configured_mts: int | None


@fact(TABLE, ENTRY_POINT)
class Dimms(NamedTuple):
    """Installed modules of system memory, and the locators of empty slots (section 7.18)."""

    installed: tuple[Dimm, ...]
    empty: tuple[str, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where the firmware describes no memory device."""
        found = structures(host)
        # section 7.17: other uses are video, flash and cache memory
        others = {s.handle for s in found if s.type == MEMORY_ARRAY and s.number(0x05, 1) != _SYSTEM_MEMORY}
        devices = [s for s in found if s.type == MEMORY_DEVICE and s.number(0x04, 2) not in others]
        if not devices:
            raise FactError(TABLE, "absent", "no memory device in the SMBIOS table")
        return cls(
            installed=tuple(_dimm(s) for s in devices if s.number(0x0C, 2)),
            empty=tuple(_locator(s) for s in devices if not s.number(0x0C, 2)),
        )


def _dimm(s: Structure) -> Dimm:
    memory_type = s.number(0x12, 1)
    is_volatile = memory_type != 0x1F and s.number(0x28, 1) not in _NON_VOLATILE
    kind = _MEMORY_TYPES.get(memory_type, f"type {memory_type:#x}")
    return Dimm(
        locator=_locator(s),
        kind=kind if is_volatile else "non-volatile",
        is_module=memory_type >= 0x12,
        size_bytes=_size_bytes(s),
        speed_mts=_speed_mts(s, 0x15, 0x54),
        configured_mts=_speed_mts(s, 0x20, 0x58),
    )


def _locator(s: Structure) -> str:
    """Return device and bank locator: neither alone is unique on every board."""
    device, bank = s.text(0x10), s.text(0x11)
    bank = "" if bank in ("", device, "Not Specified") else f" ({bank})"
    return f"{device or f'handle {s.handle:#06x}'}{bank}"


def _size_bytes(s: Structure) -> int | None:
    size = s.number(0x0C, 2)
    if size == _UNKNOWN_SIZE:
        return None
    if size == _SEE_EXTENDED_SIZE:
        return (s.number(0x1C, 4) & 0x7FFFFFFF) << 20 or None
    return (size & 0x7FFF) << (10 if size & 0x8000 else 20)


def _speed_mts(s: Structure, offset: int, extended: int) -> int | None:
    speed = s.number(offset, 2)
    return (s.number(extended, 4) & 0x7FFFFFFF if speed == _SEE_EXTENDED_SPEED else speed) or None
