"""Memory of transceivers, built from the tables of SFF-8472 rev. 12.4, SFF-8636 rev. 2.10 and CMIS 5.2.

Each image is a sound module at 40.5 °C that sends -2 dBm and receives -3 dBm on each lane at 6 mA.
"""

import copy
import struct
from collections.abc import Mapping, Sequence
from typing import Self

from nodeproof.host.module_eeprom import Half

Steps = tuple[float, float, float, float]

#: High alarm, low alarm, high warning, low warning in the raw steps of each value: 75, -5, 70 and 0 °C; 3.4, -12, 2.4
#: and -10 dBm; 10, 2, 9 and 3 mA.
LIMITS: dict[str, Steps] = {
    "temperature_celsius": (75 << 8, -5 << 8, 70 << 8, 0),
    "received_mw": (21878, 631, 17378, 1000),
    "sent_mw": (21878, 631, 17378, 1000),
    "bias_ma": (5000, 1000, 4500, 1500),
}
RECEIVED_STEPS, SENT_STEPS, BIAS_STEPS = 5012, 6310, 3000


class Image:
    """Halves of pages by the names that `module_eeprom` gives them; offsets as the specifications count them."""

    def __init__(self) -> None:
        self.halves: dict[str, bytearray] = {}

    def read(self, half: Half) -> bytes:
        return bytes(self.halves[half.name])

    def get(self, half: str, at: int) -> int:
        return self.halves[half][at - (128 if half.startswith("page_") else 0)]

    def put(self, half: str, at: int, *values: int) -> Self:
        """Return a copy with these bytes at a place, and no checksum mended."""
        made = copy.deepcopy(self)
        made.write(half, at, bytes(values))
        return made

    def write(self, half: str, at: int, content: bytes) -> None:
        page = self.halves.setdefault(half, bytearray(128))
        start = at - (128 if half.startswith("page_") else 0)
        page[start : start + len(content)] = content

    def word(self, half: str, at: int, *values: float) -> None:
        self.write(half, at, b"".join(struct.pack(">H", int(value) & 0xFFFF) for value in values))

    def text(self, half: str, at: int, words: str) -> None:
        self.write(half, at, words.ljust(16).encode())

    def sum_up(self, half: str, first: int, at: int) -> None:
        self.write(half, at, bytes([sum(self.get(half, i) for i in range(first, at)) & 0xFF]))


def _limits(image: Image, half: str, places: Mapping[str, int], changed: Mapping[str, Steps] | None) -> None:
    for quantity, at in places.items():
        image.word(half, at, *(LIMITS | dict(changed or {}))[quantity])


def sfp(*, diagnostics: int = 0x68, cable: int = 0, temperature: float = 40.5, received: int = RECEIVED_STEPS) -> Image:
    """SFF-8472, addresses A0h and A2h; byte 92: 0x40 has diagnostics, 0x20 calibrated, 0x10 not, 0x08 average power."""
    image = Image()
    image.write("lower", 0, b"\x03\x04\x07")
    image.write("lower", 8, bytes([cable]))
    image.text("lower", 20, "ACME OPTICS")
    image.text("lower", 40, "SFP28-SR")
    image.sum_up("lower", 0, 63)
    image.text("lower", 68, "SN12345678")
    image.write("lower", 92, bytes([diagnostics, 0xF0, 0x08]))
    image.sum_up("lower", 64, 95)
    image.write("lower", 96, b"vendor's own, with SN12345678")
    _limits(image, "a2", {"temperature_celsius": 0, "bias_ma": 16, "sent_mw": 24, "received_mw": 32}, None)
    image.sum_up("a2", 0, 95)
    image.word("a2", 96, temperature * 256, 33000, BIAS_STEPS, SENT_STEPS, received)
    return image


def qsfp(
    *,
    received: Sequence[int] = (RECEIVED_STEPS,) * 4,
    sent: int = SENT_STEPS,
    temperature: float = 40.5,
    status: int = 0,
    technology: int = 0,
    diagnostics: int = 0x0C,
    limits: Mapping[str, Steps] | None = None,
) -> Image:
    """SFF-8636, lower page, pages 00h and 03h."""
    image = Image()
    image.write("lower", 0, bytes([0x11, 0x08, status]))
    image.word("lower", 22, temperature * 256)
    image.word("lower", 34, *received)
    image.word("lower", 42, *[BIAS_STEPS] * 4)
    image.word("lower", 50, *[sent] * 4)
    image.write("page_00", 128, b"\x11")
    image.write("page_00", 147, bytes([technology]))
    image.text("page_00", 148, "ACME OPTICS")
    image.text("page_00", 168, "Q28-SR4")
    image.sum_up("page_00", 128, 191)
    image.text("page_00", 196, "SN12345678")
    image.write("page_00", 220, bytes([diagnostics]))
    image.sum_up("page_00", 192, 223)
    image.write("page_00", 224, b"vendor's own, SN12345678")
    places = {"temperature_celsius": 128, "received_mw": 176, "bias_ma": 184, "sent_mw": 192}
    _limits(image, "page_03", places, limits)
    return image


def cmis(
    *,
    received: Sequence[int] = (RECEIVED_STEPS,) * 8,
    temperature: float = 40.5,
    model: int = 0,
    technology: int = 0,
    absent_lanes: int = 0,
    states: bytes = b"\x44\x44\x44\x44",
    monitors: int = 0x07,
) -> Image:
    """CMIS, lower memory, pages 00h, 01h, 02h and 11h."""
    image = Image()
    image.write("lower", 0, bytes([0x19, 0x52, model, 0x06]))
    image.word("lower", 14, temperature * 256)
    image.write("page_00", 128, b"\x19")
    image.text("page_00", 129, "ACME OPTICS")
    image.text("page_00", 148, "OSFP-DR8")
    image.text("page_00", 166, "SN12345678")
    image.write("page_00", 210, bytes([absent_lanes, 0, technology]))
    image.sum_up("page_00", 128, 222)
    image.write("page_00", 223, b"vendor's own, with SN12345678")
    image.write("page_01", 159, bytes([0x03, monitors]))
    image.sum_up("page_01", 130, 255)
    places = {"temperature_celsius": 128, "sent_mw": 176, "bias_ma": 184, "received_mw": 192}
    _limits(image, "page_02", places, None)
    image.sum_up("page_02", 128, 255)
    image.write("page_11", 128, states)
    image.word("page_11", 154, *[SENT_STEPS] * 8)
    image.word("page_11", 170, *[BIAS_STEPS] * 8)
    image.word("page_11", 186, *received)
    return image
