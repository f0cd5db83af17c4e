"""Make events of messages, some of which say it in several lines.

Firmware's error records come as a block of lines with one number, `{1}[Hardware Error]: ...`: how bad it is stands in
the second, what it is about further down. The driver of NVIDIA's GPUs says once which GPU an address is, before it
tells what is wrong with it. All else is one line.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from nodeproof.events.catalogue import BY_ID
from nodeproof.events.catalogue.gpu import GPU_AT
from nodeproof.events.kmsg import KERNEL, USER, Record
from nodeproof.events.match import Match, Matcher, pci_address
from nodeproof.events.rule import Rule

#: Most GPUs whose addresses are remembered: no node has more, and the memory stays small.
_MOST_GPUS = 64

_BLOCK = re.compile(r"\{(?P<number>\d{1,10})\}\[Hardware Error\]: +(?P<rest>.*)")
_GPU_AT = re.compile(GPU_AT)

#: `cper_severity_str` of drivers/firmware/efi/cper.c; the fourth, "info", is no error.
_SEVERITIES = {
    "corrected": "event.cper_corrected",
    "recoverable": "event.cper_recoverable",
    "fatal": "event.cper_fatal",
}

#: Lines of a block that say something: cper_estatus_print, cper_print_mem, cper_print_pcie.
_KEYS = (
    re.compile(r"Hardware error from APEI Generic Hardware Error Source: (?P<source>\d+)"),
    re.compile(r"event severity: (?P<severity>\w+)"),
    re.compile(r"fru_text: (?P<fru>.{1,60})"),
    re.compile(r"section_type: (?P<section>.{1,60})"),
    re.compile(r"physical_address: (?P<address>0x[0-9a-f]+)"),
    re.compile(r"error_type: \d+, (?P<what>.{1,60})"),
    re.compile(r"DIMM location: not present. DMI handle: (?P<dmi_handle>0x[0-9a-f]{4})"),
    re.compile(r"DIMM location: (?P<dimm>(?!not present).{1,100})"),
    re.compile(r"device_id: (?P<pci>[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])"),
)


class _Block(NamedTuple):
    number: str
    first: Record
    fields: dict[str, str]


class Recogniser:
    """Takes records in their order. `waits_since` is the first record of a block that may go on, None without one."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._matcher = Matcher(rules)
        self._block: _Block | None = None
        self._gpus: dict[str, str] = {}

    @property
    def waits_since(self) -> int | None:
        return self._block.first.sequence if self._block else None

    def take(self, record: Record) -> list[Match]:
        """Return the events that are complete with this record."""
        if record.facility not in (KERNEL, USER):
            return []
        if record.text.startswith("{") and (found := _BLOCK.match(record.text)):
            return self._take_line(found["number"], found["rest"], record)
        if record.text.startswith("NVRM: GPU at") and (found := _GPU_AT.match(record.text)):
            if len(self._gpus) < _MOST_GPUS:
                self._gpus[pci_address(found["pci"])] = found["gpu"]
            return []
        match = self._matcher.match(record)
        if match is None:
            return []
        gpu = self._gpus.get(match.fields.get("pci", ""))
        return [match._replace(fields={**match.fields, "gpu": gpu}) if gpu else match]

    def flush(self) -> list[Match]:
        """Return what a block comes to of which no more lines are expected."""
        block, self._block = self._block, None
        rule = BY_ID.get(_SEVERITIES.get(block.fields.get("severity", ""), "")) if block else None
        if block is None or rule is None:
            return []
        dimm, pci = block.fields.get("dimm"), block.fields.get("pci")
        part = f"dimm:{dimm}" if dimm else f"pci:{pci}" if pci else ""
        words = [
            block.fields[key] for key in ("severity", "section", "what", "dimm", "pci", "fru") if key in block.fields
        ]
        text = f"firmware error record: {', '.join(words)}"
        return [Match(rule, "", part, block.fields, block.first._replace(text=text))]

    def _take_line(self, number: str, rest: str, record: Record) -> list[Match]:
        done = self.flush() if self._block and self._block.number != number else []
        if self._block is None:
            self._block = _Block(number, record, {})
        for expression in _KEYS:
            if found := expression.match(rest):
                for key, value in found.groupdict().items():
                    self._block.fields.setdefault(key, " ".join(value.split()))
                break
        return done
