"""Judgement of memory modules, as the firmware describes them."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.smbios import TABLE, Dimm, Dimms
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn


def _learn(dimms: Dimms) -> dict[str, object]:
    """Return what describes these modules; what they do not agree on is not expected of them."""
    learned: dict[str, object] = {
        "claimed": len(dimms.installed),
        "locators": [d.locator for d in dimms.installed],
    }
    if _slowing_ones(dimms) or _odd_ones(dimms):
        learned["is_mix_allowed"] = True
    values = {
        "size_bytes": {d.size_bytes for d in dimms.installed},
        "speed_mts": {d.speed_mts for d in dimms.installed},
        "configured_speed_mts": {d.configured_mts for d in dimms.installed},
    }
    return learned | {name: v for name, found in values.items() if len(found) == 1 and (v := next(iter(found)))}


@check(
    "memory.dimms",
    tags="boot",
    remedy="Reseat or replace the named module; after a repair, compare part numbers with another node of the class. "
    "A slot that reads as empty but is not holds a module that failed training: see the firmware event log.",
    learn=_learn,
)
def dimms(  # noqa: PLR0913  # each is a parameter of policy
    dimms: Dimms,
    *,
    claimed: Annotated[int | None, "memory modules installed"] = None,
    locators: Annotated[tuple[str, ...], "slots that must hold a module, as the check names them"] = (),
    size_bytes: Annotated[int | None, "size of each module in bytes"] = None,
    speed_mts: Annotated[int | None, "least rated speed of each module in MT/s"] = None,
    configured_speed_mts: Annotated[int | None, "speed that each module must run at in MT/s"] = None,
    is_mix_allowed: Annotated[bool, "modules of one kind may differ in size and speed"] = False,
) -> Verdict:
    """All memory modules are there, alike, and run at the expected speed.

    One missing or smaller module breaks channel interleaving, and one slow module slows them all: STREAM
    drops by a tenth or more, and no counter shows it.
    """
    installed = dimms.installed
    evidence = {"modules": len(installed), "empty_slots": list(dimms.empty)[:64]}
    problems = _missing(installed, claimed, locators)
    problems += _unlike(installed, "size", lambda d: d.size_bytes, size_bytes, _mebibytes)
    problems += _rated_too_low(installed, speed_mts)
    misconfigured = _unlike(installed, "configured speed", lambda d: d.configured_mts, configured_speed_mts, _transfers)
    slowing = _slowing_ones(dimms) if misconfigured or configured_speed_mts is None else []
    problems += [*slowing, *misconfigured] if misconfigured else []
    if not is_mix_allowed and not problems:
        problems = [*slowing, *_odd_ones(dimms)]
    if problems:
        return fail("; ".join(problems), **evidence)
    _raise_unsaid(installed, size_bytes=size_bytes, speed_mts=speed_mts, configured_mts=configured_speed_mts)
    warnings = [*slowing, *_below_rated(installed)] if configured_speed_mts is None else []
    if warnings := [*_silent_ones(dimms), *warnings]:
        return warn("; ".join(warnings), **evidence)
    return ok(f"{plural(len(installed), 'memory module')}: {named(_described(installed))}", **evidence)


def _missing(installed: tuple[Dimm, ...], claimed: int | None, locators: tuple[str, ...]) -> list[str]:
    found = plural(len(installed), "memory module")
    wrong = [f"{found}, expected {claimed}"] if claimed not in (None, len(installed)) else []
    if missing := [slot for slot in locators if slot not in {d.locator for d in installed}]:
        wrong.append(f"no module in {named(missing)}")
    return wrong


def _below_rated(installed: tuple[Dimm, ...]) -> list[str]:
    slow = [d for d in installed if d.configured_mts and d.speed_mts and d.configured_mts < d.speed_mts]
    if not slow:
        return []
    speeds = f"{slow[0].configured_mts} MT/s, rated for {slow[0].speed_mts}"
    return [f"{len(slow)} of {len(installed)} memory modules run at {speeds}: {named([d.locator for d in slow])}"]


def _unlike(
    installed: tuple[Dimm, ...],
    what: str,
    value: Callable[[Dimm], int | None],
    expected: int | None,
    written: Callable[[int | None], str],
) -> list[str]:
    """Return what is wrong with modules that have another value than expected, grouped by what they have."""
    wrong = _slots((d for d in installed if expected is not None and value(d) not in (None, expected)), value)
    return [f"{what} {written(v)} in {named(slots)}, expected {written(expected)}" for v, slots in wrong.items()]


def _rated_too_low(installed: tuple[Dimm, ...], least: int | None) -> list[str]:
    """Return what is wrong with modules rated below what is expected; one rated higher runs as fast as the others."""
    low = [d for d in installed if least is not None and d.speed_mts is not None and d.speed_mts < least]
    wrong = _slots(low, lambda d: d.speed_mts)
    return [
        f"rated speed {_transfers(v)} in {named(s)}, expected at least {_transfers(least)}" for v, s in wrong.items()
    ]


def _slots(dimms: Iterable[Dimm], value: Callable[[Dimm], int | None]) -> dict[int | None, list[str]]:
    """Return the slots of modules, grouped by what these have."""
    slots: dict[int | None, list[str]] = {}
    for dimm in dimms:
        slots.setdefault(value(dimm), []).append(dimm.locator)
    return slots


def _kinds(dimms: Dimms) -> dict[str, tuple[Dimm, ...]]:
    kinds = dict.fromkeys(d.kind for d in dimms.installed if d.is_module)
    return {kind: tuple(d for d in dimms.installed if d.kind == kind) for kind in kinds}


def _slowing_ones(dimms: Dimms) -> list[str]:
    """Return the modules that are rated lower than others of their kind and hold these back."""
    found = []
    for alike in _kinds(dimms).values():
        usual = _usual(d.speed_mts for d in alike) or 0
        back = _usual(d.configured_mts for d in alike if d.speed_mts == usual and (d.configured_mts or usual) < usual)
        for speed, slots in _slots((d for d in alike if (d.speed_mts or usual) < usual), lambda d: d.speed_mts).items():
            if back is not None:
                verb = "is" if len(slots) == 1 else "are"
                held = f"the others {_transfers(usual)} but run at {back}"
                found.append(f"{named(slots)} {verb} rated {_transfers(speed)}, {held}")
    return found


def _silent_ones(dimms: Dimms) -> list[str]:
    """Return the modules of which the firmware does not say how fast they run, while it does of most of their kind."""
    found = []
    for alike in _kinds(dimms).values():
        silent = [d.locator for d in alike if d.configured_mts is None]
        if 0 < len(silent) < len(alike) - len(silent):
            usual = _transfers(_usual(d.configured_mts for d in alike))
            found.append(f"the firmware states no configured speed of {named(silent)}, the others run at {usual}")
    return found


def _odd_ones(dimms: Dimms) -> list[str]:
    """Return how modules of one kind differ: the value of the many is taken to be right."""
    odd = []
    for kind, alike in _kinds(dimms).items():
        odd += _unlike(alike, f"{kind} size", lambda d: d.size_bytes, _usual(d.size_bytes for d in alike), _mebibytes)
        usual_speed = _usual(d.configured_mts for d in alike)
        odd += _unlike(alike, f"{kind} configured speed", lambda d: d.configured_mts, usual_speed, _transfers)
    return odd


def _usual(values: Iterable[int | None]) -> int | None:
    known = Counter(v for v in values if v is not None)
    return known.most_common(1)[0][0] if known else None


def _raise_unsaid(installed: tuple[Dimm, ...], **expected: int | None) -> None:
    """Raise FactError if policy expects a value that the firmware does not say of some module."""
    for name, value in expected.items():
        if value is not None and (silent := [d.locator for d in installed if getattr(d, name) is None]):
            raise FactError(f"{TABLE} type 17", "failed", f"the firmware does not say {name} of {named(silent)}")


def _mebibytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size >> 20} MiB"


def _transfers(speed: int | None) -> str:
    return "unknown" if speed is None else f"{speed} MT/s"


def _described(installed: tuple[Dimm, ...]) -> list[str]:
    described = Counter(f"{d.kind} {_mebibytes(d.size_bytes)} at {_transfers(d.configured_mts)}" for d in installed)
    return [f"{count} x {text}" for text, count in described.items()]
