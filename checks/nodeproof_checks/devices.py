"""Judgement of devices and links that left while the agent was looking."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.events.ledger import EventSeries
from nodeproof.events.rule import REPAIRED
from nodeproof.probes.ledger import LEDGER, Seen
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn

#: What the agent saw when it started to look, of every part that was there.
_PRESENT = "device.present"


def _at(series: EventSeries) -> float:
    """Return when the last event of a series was: its points may be of several events."""
    return float(series.fields.get("at", series.points[-1][0]))


def _of_this_boot(seen: Seen, rule: str) -> Iterator[EventSeries]:
    return (s for s in seen.events(rule) if s.points and _at(s) >= seen.booted_at)


def _last(seen: Seen, rules: tuple[str, ...]) -> dict[str, EventSeries]:
    """Return the last event of each part among those of some rules; of two at one time that of the first rule."""
    last: dict[str, EventSeries] = {}
    for rule in rules:
        for series in _of_this_boot(seen, rule):
            if series.part not in last or _at(series) > _at(last[series.part]):
                last[series.part] = series
    return last


def _seen_at_start(seen: Seen, field: str, source: str = "") -> dict[str, float]:
    """Return when parts were seen at a start of the agent. Raises FactError `absent` where nobody looks."""
    found = [s for s in _of_this_boot(seen, _PRESENT) if source in ("", s.variant)]
    if not found:
        raise FactError(LEDGER, "absent", "no agent follows devices")
    return {part: _at(s) for s in found for part in s.fields.get(field, "").split()}


def _away(seen: Seen, rule: str, back: tuple[str, ...], there: dict[str, float]) -> list[EventSeries]:
    """Return parts whose last event is of `rule` and not of before a repair, longest away first."""
    repaired_at = max((at for series in seen.events(REPAIRED) for at, _ in series.points), default=0.0)
    last = _last(seen, (rule, *back)).values()
    return sorted((s for s in last if s.rule == rule and _at(s) > max(there.get(s.part, 0.0), repaired_at)), key=_at)


def _words(seen: Seen, series: EventSeries) -> str:
    away_s = max(0.0, seen.now - _at(series))
    return f"{series.text} ({f'{away_s:.0f} s' if away_s < 3600 else f'{away_s / 3600:.1f} h'} ago)"


def _parts(found: list[EventSeries]) -> list[str]:
    """Return the parts, with the PCI device that each belongs to."""
    devices = {f"pci:{s.fields['pci']}" for s in found if s.fields.get("pci")}
    return sorted({s.part for s in found} | devices)


def _is_excepted(series: EventSeries, excepted: tuple[str, ...]) -> bool:
    return any(fnmatchcase(series.part, pattern) for pattern in excepted)


@check(
    "device.removed",
    tags="prolog healthcheck boot",
    remedy="If nobody took it away (`echo 1 > /sys/bus/pci/devices/ADDRESS/remove`, hot-plug), look for link and power "
    "errors of its slot in the kernel log and the BMC's, and power-cycle the node. It is found again by `echo 1 > "
    "/sys/bus/pci/rescan`.",
)
def removed(
    seen: Seen,
    *,
    unbound_is: Annotated[Literal["warn", "fail"], "what a device is that only lost its driver"] = "warn",
    excepted: Annotated[tuple[str, ...], "parts that may go, as patterns, e.g. `disk:*` or `pci:0000:3b:*`"] = (),
) -> Verdict:
    """No GPU, adapter, drive or disk has left since the agent looks, and stayed away.

    A device that falls off the bus takes the job on it with it, and the next ones start beside the hole. An
    administrator who removes a device looks the same to the kernel; one who takes its driver away, or a driver that
    fails in a reset, does not: that is a warning. It is over when the device is back. Source: kernel documentation,
    driver-api/driver-model (uevents).
    """
    there = _seen_at_start(seen, "parts")
    away = [s for s in _away(seen, "device.removed", ("device.added",), there) if not _is_excepted(s, excepted)]
    gone = [s for s in away if s.variant != "unbound" or unbound_is == "fail"]
    words = [_words(seen, s) for s in gone or away]
    if gone:
        return fail(f"missing: {named(words, 2)}", parts=_parts(gone))
    if away:
        return warn(f"without a driver: {named(words, 2)}", parts=_parts(away))
    return ok(f"no device is missing of {len(there)} that were seen", parts=[])


@check(
    "device.link_down",
    tags="prolog healthcheck boot",
    remedy="Check cable, transceiver and switch port (`ethtool NAME`). A port that is not used is switched off "
    "(`ip link set NAME down`) or named in `excepted`.",
    beta=True,
)
def link_down(
    seen: Seen,
    *,
    max_down_s: Annotated[float, "for how long a port may be without its link: training takes seconds"] = 10.0,
    excepted: Annotated[tuple[str, ...], "ports that may lose their link, as patterns, e.g. `nic:eno2`"] = (),
) -> Verdict:
    """No network port has lost its link and stayed without.

    A port that had a link and lost it with nobody switching it off has a cable pulled, a transceiver gone or a switch
    port shut: what went over it hangs or crawls over another path. Virtual interfaces, and ports that never had a
    link, are not judged. Source: rtnetlink(7), netdevice(7) (IFF_LOWER_UP).
    """
    there = _seen_at_start(seen, "whole", "rtnetlink")
    back = ("device.link_up", "device.link_off", "device.removed", "device.added")
    down = [s for s in _away(seen, "device.link_down", back, there) if not _is_excepted(s, excepted)]
    late = [s for s in down if seen.now - _at(s) > max_down_s]
    if late:
        return fail(named([_words(seen, s) for s in late]), parts=_parts(late))
    waiting = f"; {named([_words(seen, s) for s in down])}, which may take {max_down_s:g} s" if down else ""
    judged = f"no link was lost of {plural(len(there), 'network port')}{waiting}"
    if not down:
        return ok(judged, parts=[])
    return ok(judged, parts=[], again_in_s=max_down_s - max(seen.now - _at(s) for s in down))
