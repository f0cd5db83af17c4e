"""Memory of a transceiver or cable: who made it, how warm it is, how much light it sends and receives. Pure.

Offsets are those of SFF-8472 rev. 12.4 (SFP), SFF-8636 rev. 2.10 (QSFP) and CMIS 5.2 (QSFP-DD, OSFP). Deliberately not
here: lanes beyond the eighth, and the values of SFP modules that leave their calibration to whoever reads them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nodeproof.errors import FactError

#: What modules measure, and in what unit one step of the raw number is.
TEMPERATURE, RECEIVED, SENT, BIAS = "temperature_celsius", "received_mw", "sent_mw", "bias_ma"
_STEP = {TEMPERATURE: 1 / 256, RECEIVED: 1 / 10000, SENT: 1 / 10000, BIAS: 1 / 500}

#: State of a lane of CMIS that carries nothing, as lanes of a module do that is wider than its port.
_DEACTIVATED = 1

_CROSSINGS = ("high alarm", "low alarm", "high warning", "low warning")


class Limits(NamedTuple):
    """The module's own limits of one of its values, in the unit of the value."""

    high_alarm: float
    low_alarm: float
    high_warning: float
    low_warning: float


class Lane(NamedTuple):
    """One lane's light in mW and laser current in mA; None is not measured."""

    received_mw: float | None
    sent_mw: float | None
    bias_ma: float | None


class Module(NamedTuple):
    """One module. `lanes` by number from 1, none where there is no light; `limits` by value, where it has usable ones.

    `flags` are crossings that the module noticed since they were last read, also those of starting up.
    """

    kind: str
    vendor: str
    part: str
    serial: str
    is_copper: bool
    temperature_celsius: float | None
    lanes: dict[int, Lane]
    limits: dict[str, Limits]
    flags: tuple[str, ...] = ()


def parse(interface: str, answer: Any) -> Module:
    """Return what the halves of pages of a module say. Raises FactError `malformed`, also where a checksum is wrong."""
    memory = _Memory(f"module_eeprom {interface}", answer)
    identifier = memory.byte("lower", 0)
    if identifier not in _KINDS:
        raise memory.malformed(f"a module of the unknown kind {identifier:#04x}")
    return _KINDS[identifier](memory)


class _Memory:
    """Halves of pages by name. Offsets are those of the specifications: an upper half begins at 128."""

    def __init__(self, source: str, answer: Any) -> None:
        self.source = source
        if not isinstance(answer, Mapping) or not all(isinstance(half, str) for half in answer.values()):
            raise self.malformed("expected pages by name")
        self.serial = _printable(answer.get("serial", ""))
        try:
            self.halves = {name: bytes.fromhex(half) for name, half in answer.items() if name != "serial"}
        except ValueError as error:
            raise self.malformed("a page is not hexadecimal") from error

    def malformed(self, words: str) -> FactError:
        return FactError(self.source, "malformed", words)

    def has(self, half: str) -> bool:
        return half in self.halves

    def bytes(self, half: str, first: int, count: int) -> bytes:
        start = first - (128 if half.startswith("page_") else 0)
        found = self.halves.get(half, b"")[start : start + count]
        if len(found) != count:
            raise self.malformed(f"byte {first} of {half} is missing")
        return found

    def byte(self, half: str, at: int) -> int:
        return self.bytes(half, at, 1)[0]

    def value(self, quantity: str, half: str, at: int) -> float:
        """Return two bytes as a value in its unit; temperatures have a sign."""
        raw = int.from_bytes(self.bytes(half, at, 2), "big", signed=quantity == TEMPERATURE)
        return raw * _STEP[quantity]

    def text(self, half: str, first: int) -> str:
        return _printable(self.bytes(half, first, 16).decode("ascii", errors="replace"))

    def check(self, half: str, first: int, at: int) -> None:
        """Raise FactError unless byte `at` is the sum of those from `first` up to it."""
        if sum(self.bytes(half, first, at - first)) & 0xFF != self.byte(half, at):
            raise self.malformed(f"the checksum in byte {at} of {half} is wrong")

    def limits(self, half: str, places: Mapping[str, int]) -> dict[str, Limits]:
        """Return the limits that a module has; all zeros, or the high below the low, are none."""
        found = {}
        for quantity, at in places.items():
            limits = Limits(*(self.value(quantity, half, at + 2 * i) for i in range(4)))
            if limits.low_alarm < limits.high_alarm:
                is_nested = limits.low_alarm <= limits.low_warning < limits.high_warning <= limits.high_alarm
                found[quantity] = limits if is_nested else Limits(*limits[:2], *limits[:2])
        return found


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text.strip(" \0"))[:32]


def _flags(quantity: str, lane: int, bits: int) -> list[str]:
    """Return in words which of four bits are set: high alarm, low alarm, high warning, low warning from the left."""
    words = quantity.rpartition("_")[0] + (f" of lane {lane}" if lane else "")
    return [f"{words}: {_CROSSINGS[i]}" for i in range(4) if bits & 8 >> i]


def _sfp(memory: _Memory) -> Module:
    """SFF-8472: byte 92 says whether address A2h has diagnostics (bit 6), calibrated (bit 5) or left to the reader."""
    memory.check("lower", 0, 63)
    memory.check("lower", 64, 95)
    is_measured = memory.byte("lower", 92) & 0x60 == 0x60 and memory.has("a2")
    module = Module(
        kind="SFP",
        vendor=memory.text("lower", 20),
        part=memory.text("lower", 40),
        serial=memory.serial,
        is_copper=bool(memory.byte("lower", 8) & 0x04),  # a passive cable
        temperature_celsius=None,
        lanes={},
        limits={},
    )
    if not is_measured:
        return module
    memory.check("a2", 0, 95)
    alarms, warnings = memory.bytes("a2", 112, 2), memory.bytes("a2", 116, 2)
    flags = []
    for quantity, byte, shift in ((TEMPERATURE, 0, 6), (BIAS, 0, 2), (SENT, 0, 0), (RECEIVED, 1, 6)):
        flags += _flags(quantity, 0, (alarms[byte] >> shift & 3) << 2 | warnings[byte] >> shift & 3)
    lane = Lane(*(memory.value(quantity, "a2", at) for quantity, at in ((RECEIVED, 104), (SENT, 102), (BIAS, 100))))
    return module._replace(
        temperature_celsius=memory.value(TEMPERATURE, "a2", 96),
        lanes={} if module.is_copper else {1: lane},
        limits=memory.limits("a2", {TEMPERATURE: 0, BIAS: 16, SENT: 24, RECEIVED: 32}),
        flags=tuple(flags),
    )


def _qsfp(memory: _Memory) -> Module:
    """SFF-8636: limits are in page 03h, which copper cables lack; byte 220 says whether sent light is measured."""
    memory.check("page_00", 128, 191)
    memory.check("page_00", 192, 223)
    is_copper = memory.byte("page_00", 147) >> 4 >= 0x0A
    has_sent = bool(memory.byte("page_00", 220) & 0x04)
    lanes: dict[int, Lane] = {}
    flags = _flags(TEMPERATURE, 0, memory.byte("lower", 6) >> 4)
    for i in range(0 if is_copper else 4):
        received, bias, sent = (
            memory.value(quantity, "lower", at + 2 * i) for quantity, at in ((RECEIVED, 34), (BIAS, 42), (SENT, 50))
        )
        lanes[i + 1] = Lane(received, sent if has_sent else None, bias)
        for quantity, at in ((RECEIVED, 9), (BIAS, 11), (SENT, 13)):
            flags += _flags(quantity, i + 1, memory.byte("lower", at + i // 2) >> (0 if i % 2 else 4) & 15)
    return Module(
        kind="QSFP",
        vendor=memory.text("page_00", 148),
        part=memory.text("page_00", 168),
        serial=memory.serial,
        is_copper=is_copper,
        temperature_celsius=memory.value(TEMPERATURE, "lower", 22),
        lanes=lanes,
        limits=memory.limits("page_03", {TEMPERATURE: 128, RECEIVED: 176, BIAS: 184, SENT: 192})
        if memory.has("page_03")
        else {},
        flags=tuple(flags),
    )


def _cmis(memory: _Memory) -> Module:
    """CMIS: page 01h says what is measured, 02h has the limits, 11h the lanes; byte 210 which lanes there are not."""
    memory.check("page_00", 128, 222)
    for half, first in (("page_01", 130), ("page_02", 128)):
        if memory.has(half):
            memory.check(half, first, 255)
    is_copper = 0x0A <= memory.byte("page_00", 212) <= 0x0F
    has_light = not is_copper and memory.has("page_01") and memory.has("page_11")
    lanes = _cmis_lanes(memory) if has_light else {}
    temperature = memory.byte("lower", 9)
    flags = _flags(TEMPERATURE, 0, sum(1 << 3 - i for i in range(4) if temperature & 1 << i))
    for number in lanes:
        for quantity, at in ((SENT, 139), (BIAS, 143), (RECEIVED, 149)):
            crossed = memory.bytes("page_11", at, 4)
            flags += _flags(quantity, number, sum(1 << 3 - i for i in range(4) if crossed[i] & 1 << number - 1))
    places = {TEMPERATURE: 128, SENT: 176, BIAS: 184, RECEIVED: 192}
    limits = memory.limits("page_02", places) if memory.has("page_02") else {}
    if BIAS in limits and memory.has("page_01"):
        limits[BIAS] = Limits(*(value * _bias_factor(memory) for value in limits[BIAS]))
    return Module(
        kind="CMIS",
        vendor=memory.text("page_00", 129),
        part=memory.text("page_00", 148),
        serial=memory.serial,
        is_copper=is_copper,
        temperature_celsius=memory.value(TEMPERATURE, "lower", 14),
        lanes=lanes,
        limits=limits,
        flags=tuple(flags),
    )


def _cmis_lanes(memory: _Memory) -> dict[int, Lane]:
    absent, measured = memory.byte("page_00", 210), memory.byte("page_01", 160)
    lanes = {}
    for i in range(8):
        state = memory.byte("page_11", 128 + i // 2) >> (4 if i % 2 else 0) & 15
        received, sent, bias = (
            memory.value(quantity, "page_11", at + 2 * i) if measured & bit else None
            for quantity, at, bit in ((RECEIVED, 186, 0x04), (SENT, 154, 0x02), (BIAS, 170, 0x01))
        )
        if not absent & 1 << i and state != _DEACTIVATED:
            lanes[i + 1] = Lane(received, sent, None if bias is None else bias * _bias_factor(memory))
    return lanes


def _bias_factor(memory: _Memory) -> int:
    return (1, 2, 4, 1)[memory.byte("page_01", 160) >> 3 & 3]


#: Identifiers of SFF-8024, and what reads the modules that have them.
_KINDS: dict[int, Callable[[_Memory], Module]] = {
    **dict.fromkeys((0x03, 0x0B), _sfp),
    **dict.fromkeys((0x0C, 0x0D, 0x11), _qsfp),
    **dict.fromkeys((0x18, 0x19, 0x1A, 0x1B, 0x1E, 0x1F, 0x20, 0x21), _cmis),
}
