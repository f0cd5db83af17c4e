"""Which memory modules are in a node, by what their makers call them."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.smbios import ENTRY_POINT, MEMORY_DEVICE, TABLE, structures


@fact(TABLE, ENTRY_POINT)
class DimmParts(NamedTuple):
    """Manufacturer and part number by slot, as the firmware read them (DMTF DSP0134, section 7.18)."""

    parts: dict[str, str]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where the firmware names no module."""
        parts = dict[str, str]()
        for found in structures(host):
            if found.type == MEMORY_DEVICE and found.number(0x0C, 2):
                name = f"{found.text(0x17)} {found.text(0x1A)}".strip()
                slot = f"{found.text(0x11)} {found.text(0x10)}".strip() or f"handle {found.handle:#x}"
                parts |= {slot: name} if name else {}
        if not parts:
            raise FactError(TABLE, "absent", "no memory module with a part number")
        return cls(parts)
