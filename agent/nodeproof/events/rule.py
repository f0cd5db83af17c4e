"""What a rule of the catalogue is: how an event is told by the kernel, and what a site should make of it.

Deliberately not here: how lines are recognised (`nodeproof.events.match`) and judged (`nodeproof_checks.events`).
"""

from typing import Literal, NamedTuple

Severity = Literal["warn", "fail"]

#: The agent's own event of an operator's word that this node is repaired: what was before counts no more.
REPAIRED = "agent.repaired"


class Line(NamedTuple):
    """One way in which the kernel tells an event: a regular expression that matches from a message's first character.

    Never from the middle: the text of a message may hold what a job chose (its name, a path, a cgroup), and that must
    not look like a fault. No expression matches within the 15 characters of a process name, with which some messages
    begin.
    """

    pattern: str
    variant: str = ""
    part: str | None = None


class Rule(NamedTuple):
    """One kind of event. `id` is also that of its check; `name` says it within a sentence.

    More than `limit` events of one part within `window_h` hours are a finding of `severity`; with `until` "boot" those
    of this boot alone count. `part` is a template over the named groups of a line. `variants_are` says what the
    variants of a rule are: "codes" of different events, or "lines" that the kernel writes about one and the same, of
    which the most frequent counts. `source` is who says so: a file of the kernel or a vendor's document.
    """

    id: str
    name: str
    title: str
    why: str
    remedy: str
    source: str
    lines: tuple[Line, ...]
    severity: Severity = "warn"
    limit: int = 0
    window_h: float = 24.0
    until: Literal["window", "boot"] = "window"
    part: str = ""
    variants_are: Literal["codes", "lines"] = "lines"


#: A window that is as long as anything is remembered: for what is over with the next boot, or when it is repaired.
ALL_H = 720.0

#: Pieces of expressions. A PCI address with or without domain and function; a message about a device of a driver.
PCI = r"(?P<pci>(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.[0-7])?)"
DEVICE = rf"[\w-]{{1,40}} {PCI}: "
