"""Firmware and product checks."""

from nodeproof.host import Host
from nodeproof.probes.smbios import ENTRY_POINT, IDS, TABLE
from nodeproof.verdict import Status
from smbios_table import END, QEMU_ENTRY_POINT, QEMU_TABLE, structure
from support import Machine, verdict_of


def qemu(machine: Machine) -> Host:
    return machine({TABLE: QEMU_TABLE, ENTRY_POINT: QEMU_ENTRY_POINT})


def test_bios_version(machine: Machine) -> None:
    host = qemu(machine)

    assert verdict_of("bios.version", host, allowed=("2.6.0", "2.7.1")).status == Status.OK
    verdict = verdict_of("bios.version", host, allowed=("2.7.1",))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "firmware is 2.6.0, expected 2.7.1"


def test_bios_date(machine: Machine) -> None:
    host = qemu(machine)

    assert verdict_of("bios.date", host, min_date="2026-01-15").status == Status.OK
    verdict = verdict_of("bios.date", host, min_date="2026-01-16")
    assert verdict.status == Status.FAIL
    assert verdict.summary == "firmware 2.6.0 is of 2026-01-15, expected 2026-01-16 or later"


def test_a_date_that_cannot_be_compared_is_unknown(machine: Machine) -> None:
    host = machine({TABLE: structure(0, 0, bytes([1, 2, 0, 0, 3]) + bytes(10), "V", "1", "spring") + END})

    assert verdict_of("bios.date", host, min_date="2026-01-15").status == Status.UNKNOWN
    assert "YYYY-MM-DD" in verdict_of("bios.date", qemu(machine), min_date="15.1.2026").summary


def test_product(machine: Machine) -> None:
    host = qemu(machine)

    assert verdict_of("platform.product", host, allowed=("HPC-9000",)).status == Status.OK
    verdict = verdict_of("platform.product", host, allowed=("HPC-8000",))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "product is HPC-9000, expected HPC-8000"


def test_ordinary_users_are_answered_from_the_kernels_strings(machine: Machine) -> None:
    host = machine({f"{IDS}/bios_version": "2.6.0\n"}, errors={TABLE: ("denied", "EACCES")})

    assert verdict_of("bios.version", host, allowed=("2.6.0",)).status == Status.OK


def test_a_table_cut_short_is_unknown_and_none_is_a_skip(machine: Machine) -> None:
    assert verdict_of("bios.version", machine({}), allowed=("1",)).status == Status.SKIP
    assert verdict_of("platform.product", machine({}), allowed=("1",)).status == Status.SKIP
    assert verdict_of("bios.version", machine({TABLE: QEMU_TABLE[:200]}), allowed=("1",)).status == Status.UNKNOWN
    assert verdict_of("platform.product", machine({TABLE: b"\0" * 9}), allowed=("1",)).status == Status.UNKNOWN


def test_without_policy_nothing_is_judged(machine: Machine) -> None:
    assert verdict_of("bios.version", qemu(machine)).summary == "policy sets no allowed"
