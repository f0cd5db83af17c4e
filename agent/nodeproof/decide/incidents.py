"""Findings with one cause become one incident, and the cause is named first. Pure.

A GPU that falls off the bus shows as an XID, a fatal PCIe error, a removed device and a missing GPU: that is one thing
to repair, and one sentence for whoever reads the reason of the drain.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from nodeproof.engine import Result
from nodeproof.verdict import Status

Relations = Mapping[str, Sequence[str]]
"""By part: first the device that it is a function of, then what that is behind (`nodeproof.probes.relations`)."""


class Incident(NamedTuple):
    """Findings of one cause. `cause` explains the `members`, which are the others; `part` is where, "" if nowhere."""

    cause: Result
    members: tuple[Result, ...]
    part: str

    @property
    def all(self) -> tuple[Result, ...]:
        return (self.cause, *self.members)


#: Where checks that name no `parts` keep the names of what is wrong: the key of their evidence (a list, or a mapping by
#: name), and what kind of part these are.
_KEPT_IN: Mapping[str, tuple[str, str]] = {
    "gpu.count": ("broken", "pci"),
    "gpu.driver": ("broken", "pci"),
    "gpu.pcie_width": ("width_lanes", "pci"),
    "ib.port": ("ports", "ib"),
    "nic.errors": ("counter_count", "nic"),
    "nic.flaps": ("carrier_change_count", "nic"),
    "nic.link": ("interfaces", "nic"),
    "nvme.count": ("drives", "nvme"),
    "nvme.health": ("drives", "nvme"),
    "pci.aer": ("error_count", "pci"),
    "pci.link": ("devices", "pci"),
}

#: How near to the cause a finding is (less is nearer), by patterns of check ids; the first that matches counts. What is
#: gone can report nothing more, so that it is gone explains the rest; a fatal error takes the link down, not the other
#: way round; a link explains the port on it, and counters and rates only show what happened.
_NEARNESS = (
    ("nodeproof.operator", 0),
    ("device.removed", 10),
    ("event.pcie_slot_down", 12),
    ("event.gpu_lost", 15),
    ("event.xid", 20),
    ("event.sxid", 22),
    ("event.panic", 25),
    ("event.oops", 26),
    ("event.cper_fatal", 30),
    ("event.mce_uncorrected", 32),
    ("event.cper_recoverable", 34),
    ("event.edac_uncorrected", 36),
    ("event.aer_fatal", 40),
    ("event.pcie_contained", 42),
    ("event.aer_unrecovered", 44),
    ("event.pci_inaccessible", 46),
    ("event.aer_nonfatal", 50),
    ("event.nic_*link*", 80),  # before the rest of a NIC, which takes the link down
    ("event.nic_*", 55),
    ("event.nvme_*", 55),
    ("pci.aer", 60),
    ("pci.link", 60),
    ("ib.transceiver", 75),  # what is wrong with the light explains the link
    ("device.link_down", 80),
    ("ib.flaps", 85),
    ("nic.link", 90),
    ("ib.port", 95),
    ("gpu.*", 100),
    ("nvme.*", 100),
    ("event.*_corrected", 110),
    ("memory.edac", 110),
    ("*_rate", 120),
    ("ib.counters", 120),
    ("ib.congestion", 125),
    ("nic.flaps", 120),
    ("nic.errors", 120),
)
_NOT_LISTED = 70


def incidents(results: Sequence[Result], relations: Relations | None = None) -> tuple[Incident, ...]:
    """Return the incidents that the findings (fail, warn) among these results come to: the worst and nearest first."""
    findings = [r for r in results if r.verdict.status in (Status.FAIL, Status.WARN)]
    findings.sort(key=lambda r: (-r.verdict.status, nearness(r.spec.id)))  # stable: else as they came
    places = [_places(finding, relations or {}) for finding in findings]
    groups = list[list[int]]()
    for i in range(len(findings)):
        touched = [group for group in groups if any(_is_one(places[i], places[k]) for k in group)]
        groups = [group for group in groups if group not in touched] + [sorted([i, *(k for g in touched for k in g)])]
    return tuple(_incident([findings[i] for i in group]) for group in sorted(groups))


def by_cause(results: Sequence[Result], relations: Relations | None = None) -> list[Result]:
    """Return the findings among these results, each cause before what it explains."""
    return [result for incident in incidents(results, relations) for result in incident.all]


def parts_of(result: Result) -> tuple[str, ...]:
    """Return the parts that a finding is about, named as in `nodeproof.events.event`."""
    evidence = result.verdict.evidence
    if "parts" in evidence:
        named = evidence["parts"]
        return tuple(map(str, named)) if isinstance(named, list | tuple | set | frozenset) else ()
    key, kind = _KEPT_IN.get(result.spec.id, ("", ""))
    named = evidence.get(key)
    return tuple(f"{kind}:{name}" for name in named) if isinstance(named, Mapping | list | tuple) else ()


class _Places(NamedTuple):
    """The parts of a finding with the devices that they are functions of, and what these are behind."""

    at: frozenset[str]
    behind: frozenset[str]


def _places(finding: Result, relations: Relations) -> _Places:
    at, behind = set[str](), set[str]()
    for part in map(_canonical, filter(None, parts_of(finding))):
        adapter = part.partition("/")[0] if part.startswith("ib:") else part
        device, *above = relations.get(adapter) or (adapter,)
        at |= {part, adapter, device}
        behind |= set(above)
    return _Places(frozenset(at), frozenset(behind - at))


def _canonical(part: str) -> str:
    """Return a PCI address in lower case and with its function: the NVIDIA driver leaves that out."""
    kind, _, name = part.partition(":")
    if kind != "pci":
        return part
    return f"pci:{name.lower()}" + ("" if "." in name else ".0")


def _is_one(a: _Places, b: _Places) -> bool:
    return bool(a.at & b.at or a.at & b.behind or b.at & a.behind)


def _incident(findings: Sequence[Result]) -> Incident:
    cause, *members = findings
    return Incident(cause, tuple(members), next(iter(parts_of(cause)), ""))


def nearness(check_id: str) -> int:
    """Return how near to the cause a finding of this check is: less is nearer."""
    return next((number for pattern, number in _NEARNESS if fnmatchcase(check_id, pattern)), _NOT_LISTED)
