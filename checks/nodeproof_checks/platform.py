"""Judgement of firmware and product."""

from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.smbios import TABLE, Firmware
from nodeproof.verdict import Verdict, fail, named, ok


@check(
    "bios.version",
    tags="boot",
    remedy="Flash firmware {allowed} and reboot, or add the version to `allowed` once it has been qualified.",
    learn=lambda firmware: {"allowed": [firmware.bios_version]},
)
def bios_version(
    firmware: Firmware,
    *,
    allowed: Annotated[tuple[str, ...], "firmware versions that were qualified for this class, exactly as reported"],
) -> Verdict:
    """The system firmware is of a qualified version.

    Firmware sets memory timing, power limits, NUMA layout and PCIe training. A node that missed an update,
    or came back from repair with another board, runs the same job at another speed.
    """
    found = firmware.bios_version
    if found not in allowed:
        return fail(f"firmware is {found or 'of no version'}, expected {named(allowed)}", version=found)
    return ok(f"firmware is {found} of {firmware.bios_date}", version=found)


@check(
    "bios.date",
    tags="boot",
    remedy="Flash firmware released on {min_date} or later and reboot.",
    learn=lambda firmware: {"min_date": firmware.bios_day} if firmware.bios_day else {},
)
def bios_date(
    firmware: Firmware,
    *,
    min_date: Annotated[str, "earliest acceptable release date of the firmware, as YYYY-MM-DD"],
) -> Verdict:
    """The system firmware is not older than required.

    A date covers a mixed fleet where no list of versions does: one security or stability baseline for
    boards of several vendors.
    """
    found = firmware.bios_day
    if found is None:
        raise FactError(f"{TABLE} type 0", "malformed", f"expected a date as mm/dd/yyyy, found {firmware.bios_date!r}")
    if found < _day(min_date):
        return fail(
            f"firmware {firmware.bios_version} is of {found}, expected {min_date} or later",
            date=found,
            version=firmware.bios_version,
        )
    return ok(f"firmware {firmware.bios_version} is of {found}", date=found, version=firmware.bios_version)


def _day(text: str) -> str:
    """Return `text` if it is a date as YYYY-MM-DD: compared as text, another form would pass or fail by accident."""
    if [len(p) for p in text.split("-")] != [4, 2, 2] or not text.replace("-", "").isdigit():
        raise ValueError(f"min_date is {text!r}, expected YYYY-MM-DD")
    return text


@check(
    "platform.product",
    tags="boot",
    remedy="Find out which machine this is: it was moved, re-provisioned or repaired with another board.",
    learn=lambda firmware: {"allowed": [firmware.product]},
)
def product(
    firmware: Firmware,
    *,
    allowed: Annotated[tuple[str, ...], "product names that belong to this class, exactly as reported"],
) -> Verdict:
    """The machine is of a product that belongs to this class.

    A wrong machine under the right host name passes most tests and still is not what the job asked for.
    """
    found = firmware.product
    evidence = {"vendor": firmware.vendor, "product": found, "board": firmware.board}
    if found not in allowed:
        return fail(f"product is {found or 'without a name'}, expected {named(allowed)}", **evidence)
    return ok(f"product is {firmware.vendor} {found}".replace("  ", " "), **evidence)
