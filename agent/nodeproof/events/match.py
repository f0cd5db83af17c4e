"""Hold a message of the kernel against the rules.

All expressions are tried as one first, so that a message that is no event costs one look. Where one is, the first rule
in the catalogue's order has it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nodeproof.events.kmsg import KERNEL, USER, Record
from nodeproof.events.rule import Line, Rule
from nodeproof.verdict import harmless

#: Longest value of a field that is kept.
_FIELD_CHARS = 160

_NAMED = re.compile(r"\(\?P<\w+>")
_FIELD = re.compile(r"\{(\w+)\}")


class Match(NamedTuple):
    """An event in a message. `times` is how often it tells that."""

    rule: Rule
    variant: str
    part: str
    fields: Mapping[str, str]
    record: Record
    times: int = 1


class Matcher:
    """Rules, made ready. Expressions match from a message's first character only, see `nodeproof.events.rule.Line`."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._lines = [(re.compile(line.pattern), line, rule) for rule in rules for line in rule.lines]
        # without names: an expression may have each name but once
        self._any = re.compile("|".join(_NAMED.sub("(?:", line.pattern) for _, line, _ in self._lines))

    def match(self, record: Record) -> Match | None:
        """Return the event that a record tells, if it does."""
        if record.facility not in (KERNEL, USER) or record.is_continued or not self._any.match(record.text):
            return None
        for expression, line, rule in self._lines:
            if found := expression.match(record.text):
                return _match(found.groupdict(), line, rule, record)
        return None


def _match(groups: Mapping[str, str | None], line: Line, rule: Rule, record: Record) -> Match:
    fields = {name: harmless(value.strip(), _FIELD_CHARS) for name, value in groups.items() if value}
    if "pci" in fields:
        fields["pci"] = pci_address(fields["pci"])
    count = fields.pop("count", "1")
    template = rule.part if line.part is None else line.part
    return Match(
        rule,
        _filled(line.variant, fields),
        _filled(template, fields),
        fields,
        record,
        min(int(count), 1_000_000) if count.isdigit() else 1,
    )


def _filled(template: str, fields: Mapping[str, str]) -> str:
    """Return the template with fields; empty where one is not there: half a name would be another part's."""
    names = _FIELD.findall(template)
    return template.format_map(fields) if all(fields.get(name) for name in names) else ""


def pci_address(text: str) -> str:
    """Return a PCI address as sysfs spells it: `3B:00` is `0000:3b:00.0`."""
    address = text.lower()
    if "." not in address:
        address += ".0"
    if address.count(":") == 1:
        address = f"0000:{address}"
    domain, _, rest = address.partition(":")
    return f"{int(domain, 16):04x}:{rest}"
