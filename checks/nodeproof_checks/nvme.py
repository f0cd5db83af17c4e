"""Judgement of NVMe drives."""

from fnmatch import fnmatchcase
from typing import Annotated

from nodeproof.check import check
from nodeproof.probes.nvme import NvmeDrives, NvmeHealth, SmartLog
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn

#: Bits of Critical Warning, NVM Express Base Specification, log page 02h, byte 0.
_WARNINGS = (
    "available spare is below its threshold",
    "temperature is outside its thresholds",
    "reliability is degraded by media or internal errors",
    "media is read-only",
    "volatile memory backup has failed",
    "persistent memory region is read-only or unreliable",
)
_TEMPERATURE = 1 << 1


@check(
    "nvme.count",
    remedy="Look for link or reset errors of the missing drive in the kernel log; reseat or replace it.",
    learn=lambda drives: {"claimed": len(drives.live)},
)
def count(
    drives: NvmeDrives,
    *,
    claimed: Annotated[int, "number of local NVMe drives that must be live"],
) -> Verdict:
    """The claimed number of NVMe drives is live.

    A drive that fell off the bus takes local scratch or the checkpoint cache with it: jobs write to the
    root file system instead, or at half the speed of their neighbours. A controller that the kernel
    gave up on stays listed, but as `dead` or `resetting`, and does no I/O.
    """
    live = len(drives.live)
    idle = {n: d.state for n, d in drives.known.items() if d.state != "live"}
    if live + len(drives.unread) < claimed:
        which = [f"{n} (serial {drives.known[n].serial}) is {state}" for n, state in idle.items()]
        return fail(
            f"{plural(live, 'live NVMe drive')}, expected {claimed}" + (f": {named(which)}" if which else ""),
            live=live,
            drives=list(idle),
        )
    for error in drives.unread.values():
        raise error
    if live > claimed:
        return warn(f"{plural(live, 'live NVMe drive')}, expected {claimed}", live=live)
    return ok(plural(live, "live NVMe drive"))


def _firmware(drives: NvmeDrives) -> dict[str, object]:
    versions = _by_model(drives)
    literal = {"".join("?" if c in "*[" else c for c in model): model for model in versions}
    return {"allowed": {pattern: " ".join(sorted(versions[model])) for pattern, model in literal.items()}}


def _by_model(drives: NvmeDrives) -> dict[str, dict[str, list[str]]]:
    """Return drive names by model and firmware."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, drive in drives.known.items():
        found.setdefault(drive.model, {}).setdefault(drive.firmware, []).append(name)
    return found


@check(
    "nvme.firmware",
    tags="healthcheck boot",
    remedy="Update the drive with the vendor's tool or `nvme fw-download` and `nvme fw-commit`, then reset it.",
    learn=_firmware,
)
def firmware(
    drives: NvmeDrives,
    *,
    allowed: Annotated[
        dict[str, str] | None, "allowed firmware by drive model, several separated by blanks; `*` allowed in both"
    ] = None,
) -> Verdict:
    """NVMe drives of one model run one firmware, and one that policy allows.

    A drive that was swapped in brings the firmware it left the factory with: known bugs (stalls, data
    loss after a number of hours) come back on one node, and stripes over mixed drives run at the pace
    of the slowest.
    """
    for model, versions in _by_model(drives).items():
        patterns = [p for m, text in (allowed or {}).items() if fnmatchcase(model, m) for p in text.split()]
        for version, names in versions.items():
            if patterns and not any(fnmatchcase(version, p) for p in patterns):
                text = f"{named(names)} ({model}) runs firmware {version}, expected {named(patterns)}"
                return fail(text, drives=names, firmware=version)
    for model, versions in _by_model(drives).items():
        if len(versions) > 1:
            odd = min(versions, key=lambda v: len(versions[v]))
            rest = [v for v in versions if v != odd]
            text = f"{named(versions[odd])} ({model}) runs firmware {odd}, the others of its model {named(rest)}"
            return fail(text, drives=versions[odd], firmware=odd)
    for error in drives.unread.values():
        raise error
    return ok(f"firmware as expected on {plural(len(drives.known), 'NVMe drive')}")


@check(
    "nvme.health",
    tags="healthcheck boot",
    remedy="Read `nvme smart-log` of the drive, move data off it and replace it. If it is hot, check the fans first.",
)
def health(
    health: NvmeHealth,
    *,
    max_used_percent: Annotated[int, "most of its rated endurance that a drive may have used, in percent"] = 100,
    max_media_errors: Annotated[int, "most data-integrity errors in a drive's life; fewer are a warning"] = 10,
    max_celsius: Annotated[int | None, "composite temperature above which to warn, in degrees Celsius"] = None,
) -> Verdict:
    """NVMe drives report themselves healthy.

    The SMART log says before the first I/O error that a drive has no spare blocks left, has used up its
    endurance or has gone read-only. Training runs that stream data sets and checkpoint every few minutes
    wear scratch drives out within a year or two.
    """
    failing: dict[str, list[str]] = {}
    warning: dict[str, list[str]] = {}
    for name, log in health.known.items():
        if bad := _failing(log, max_used_percent, max_media_errors):
            failing[name] = bad
        if bad := _warning(log, max_media_errors, max_celsius):
            warning[name] = bad
    if failing:
        return fail(_each(failing), drives=failing)
    for error in health.unread.values():
        raise error
    if warning:
        return warn(_each(warning), drives=warning)
    worn = max(log.used_percent for log in health.known.values())
    return ok(f"no problem on {plural(len(health.known), 'NVMe drive')}, at most {worn}% of endurance used")


def _failing(log: SmartLog, max_used_percent: int, max_media_errors: int) -> list[str]:
    grave = log.critical_warning & ~_TEMPERATURE
    found = [_WARNINGS[i] if i < len(_WARNINGS) else f"critical warning bit {i}" for i in range(8) if grave >> i & 1]
    if log.available_spare_percent < log.spare_threshold_percent and not grave & 1:
        found.append(f"available spare is {log.available_spare_percent}%, threshold {log.spare_threshold_percent}%")
    if log.used_percent > max_used_percent:
        found.append(f"{log.used_percent}% of endurance used, expected at most {max_used_percent}%")
    if log.media_errors > max_media_errors:
        found.append(f"{log.media_errors} media errors, expected at most {max_media_errors}")
    return found


def _warning(log: SmartLog, max_media_errors: int, max_celsius: int | None) -> list[str]:
    found = []
    if log.critical_warning & _TEMPERATURE:
        found.append(f"{_WARNINGS[1]} ({log.temperature_celsius} °C)")
    elif max_celsius is not None and log.temperature_celsius > max_celsius:
        found.append(f"temperature is {log.temperature_celsius} °C, expected at most {max_celsius} °C")
    if 0 < log.media_errors <= max_media_errors:
        found.append(f"{log.media_errors} media errors so far")
    return found


def _each(found: dict[str, list[str]]) -> str:
    return "; ".join(f"{name}: {', '.join(reasons)}" for name, reasons in found.items())
