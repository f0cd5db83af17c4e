"""Which memory module holds which physical addresses, as far as the firmware says.

A fact that is never absent: without the firmware's word, and to whoever may not read it, no module can be named.
"""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.smbios import ENTRY_POINT, MEMORY_DEVICE, TABLE, Structure, structures

_MAPPED_ADDRESS = 20

#: Section 7.21: "see the extended field".
_SEE_EXTENDED = 0xFFFFFFFF


class MappedModule(NamedTuple):
    """Physical addresses from `first` to `last`, and the module that holds them, or a part of each of their lines."""

    first: int
    last: int
    locator: str


@fact(TABLE, ENTRY_POINT)
class MappedModules(NamedTuple):
    """Ranges of addresses by module (SMBIOS type 20, DMTF DSP0134 section 7.21). Many servers leave them out."""

    ranges: tuple[MappedModule, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        try:
            found = structures(host)
        except FactError:
            return cls(())
        locators = {s.handle: " ".join(filter(None, (s.text(0x10), s.text(0x11)))) for s in found if _is_module(s)}
        mapped = [_range(s, locators[s.number(0x0C, 2)]) for s in found if _is_mapping(s, locators)]
        return cls(tuple(m for m in mapped if m.last > m.first))

    def holding(self, address: int) -> tuple[str, ...]:
        """Return the modules that may hold an address: several where they are interleaved."""
        return tuple(dict.fromkeys(m.locator for m in self.ranges if m.first <= address <= m.last))


def _is_module(structure: Structure) -> bool:
    return structure.type == MEMORY_DEVICE


def _is_mapping(structure: Structure, locators: dict[int, str]) -> bool:
    return structure.type == _MAPPED_ADDRESS and structure.number(0x0C, 2) in locators


def _range(structure: Structure, locator: str) -> MappedModule:
    """Return a range in bytes: the plain fields are in KiB and name the last one, the extended ones are in bytes."""
    first, last = structure.number(0x04, 4), structure.number(0x08, 4)
    if first == _SEE_EXTENDED:
        return MappedModule(structure.number(0x13, 8), structure.number(0x1B, 8), locator)
    return MappedModule(first << 10, (last + 1 << 10) - 1, locator)
