"""The SMBIOS parser on a real table, on hand-made ones, and on broken ones."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes.smbios import ENTRY_POINT, IDS, TABLE, Dimm, Dimms, Firmware, structures
from smbios_table import END, QEMU_ENTRY_POINT, QEMU_TABLE, dimm_table, memory_array, memory_device, structure
from support import Machine


class Bytes:
    """A machine that has an SMBIOS table and nothing else."""

    can_hang = False

    def __init__(self, table: bytes, entry_point: bytes = b"") -> None:
        self.files = {TABLE: table, ENTRY_POINT: entry_point}

    def read(self, path: str) -> bytes:
        if not self.files.get(path):
            raise FileNotFoundError(2, path)
        return self.files[path]

    def glob(self, pattern: str) -> list[str]:
        del pattern
        return []

    def link(self, path: str) -> str:
        raise FileNotFoundError(2, path)

    def call(self, function: object, *args: object) -> object:
        raise AssertionError(function, args)

    def close(self) -> None:
        pass


def host(table: bytes, entry_point: bytes = b"") -> Host:
    return Host(Bytes(table, entry_point))


def dimms(*devices: bytes) -> Dimms:
    return Dimms.read(host(dimm_table(*devices)))


def test_a_real_table_is_read() -> None:
    machine = host(QEMU_TABLE, QEMU_ENTRY_POINT)

    assert Firmware.read(machine) == ("VMLAB", "2.6.0", "01/15/2026", "VMLAB", "HPC-9000", "")
    assert Firmware.read(machine).bios_day == "2026-01-15"
    assert Dimms.read(machine).installed == (Dimm("DIMM 0", "RAM", False, 2 << 30, 4800, 4800),)


@pytest.mark.parametrize("cut", [1, 3, 100, 300, 410, 419])
def test_a_table_that_is_cut_short_is_malformed(cut: int) -> None:
    for entry_point in (b"", QEMU_ENTRY_POINT):
        machine = host(QEMU_TABLE[:cut], entry_point)
        if cut == 419 and not entry_point:
            structures(machine)  # only the last byte after the end-of-table structure is gone
            continue
        with pytest.raises(FactError) as raised:
            structures(machine)
        assert raised.value.kind == "malformed"


@pytest.mark.parametrize(
    "broken",
    [
        b"\0\0\0\0" * 64,  # a length of 0 must not be walked forever
        b"\x11\xff\0\0short",
        structure(0, 0, b"\0" * 20, "no end") * 3,
        b"\x11\x28\0\0" + b"\x01" * 400,
    ],
)
def test_a_broken_structure_is_malformed(broken: bytes) -> None:
    with pytest.raises(FactError) as raised:
        structures(host(broken))
    assert raised.value.kind == "malformed"


def test_an_unknown_entry_point_is_malformed() -> None:
    with pytest.raises(FactError, match="anchor"):
        structures(host(QEMU_TABLE, b"_DMI_" + bytes(40)))


def test_a_64_bit_entry_point_only_bounds_the_length() -> None:
    assert len(structures(host(QEMU_TABLE, b"_SM3_" + bytes(19)))) == len(structures(host(QEMU_TABLE)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600) | st.tuples(st.integers(0, 415), st.binary(min_size=1, max_size=4)))
def test_no_table_does_more_than_raise_a_fact_error(change: bytes | tuple[int, bytes]) -> None:
    table = change
    if isinstance(change, tuple):
        at, new = change
        table = QEMU_TABLE[:at] + new + QEMU_TABLE[at + len(new) :]
    assert isinstance(table, bytes)
    for fact in (Firmware, Dimms):
        try:
            fact.read(host(table))
        except FactError:
            continue


def test_sizes_in_kilobytes_and_in_the_extended_field() -> None:
    assert dimms(memory_device("large", size_mib=128 << 10)).installed[0].size_bytes == 128 << 30
    body = bytearray(memory_device("kilobytes", size_mib=512))
    body[0x0D] |= 0x80
    assert dimms(bytes(body)).installed[0].size_bytes == 512 << 10


def test_unknown_size_and_speed_are_none() -> None:
    body = bytearray(memory_device("A", speed_mts=0, configured_mts=0))
    body[0x0C:0x0E] = b"\xff\xff"

    assert dimms(bytes(body)).installed == (Dimm("A", "DDR5", True, None, None, None),)


def test_extended_speed() -> None:
    found = dimms(memory_device("A", speed_mts=70_000, configured_mts=66_000)).installed[0]

    assert (found.speed_mts, found.configured_mts) == (70_000, 66_000)


def test_an_old_short_structure_lacks_the_new_fields() -> None:
    old = structure(17, 1, memory_device("A", size_mib=16384)[4:0x1B], "A")
    too_large = structure(17, 2, memory_device("B")[4:0x1B], "B")

    assert dimms(old).installed == (Dimm("A", "DDR5", True, 16 << 30, 4800, None),)
    assert dimms(too_large).installed[0].size_bytes is None


def test_empty_slots_flash_and_non_volatile_memory_are_told_apart() -> None:
    table = dimm_table(
        memory_array(0x2000, use=5),
        memory_device("SYSTEM ROM", array=0x2000, size_mib=32, kind=9),
        memory_device("A1", "P0 A"),
        memory_device("A2", "P0 A", size_mib=0),
        memory_device("B1", "P0 B", technology=7),
    )
    found = Dimms.read(host(table))

    assert [(d.locator, d.kind) for d in found.installed] == [("A1 (P0 A)", "DDR5"), ("B1 (P0 B)", "non-volatile")]
    assert found.empty == ("A2 (P0 A)",)


def test_a_string_index_beyond_the_strings_is_empty() -> None:
    table = structure(0, 0, bytes([9, 9, 0, 0, 9]) + bytes(10), "one") + END

    assert Firmware.read(host(table)).bios_version == ""


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("03/09/2024", "2024-03-09"),
        ("12/31/99", "1999-12-31"),
        ("2024-03-09", None),
        ("3/9/2024", None),
        ("", None),
        ("aa/bb/cccc", None),
        ("1/2/3/4", None),
    ],
)
def test_release_dates(written: str, day: str | None) -> None:
    assert Firmware("", "", written, "", "", "").bios_day == day


def test_users_who_may_not_read_the_table_get_the_kernels_strings(machine: Machine, tmp_path: Path) -> None:
    ids = {f"{IDS}/bios_version": "2.6.0\n", f"{IDS}/bios_date": "01/15/2026\n", f"{IDS}/product_name": "HPC\n"}
    denied = machine(ids, errors={TABLE: ("denied", "EACCES")})

    assert Firmware.read(denied) == ("", "2.6.0", "01/15/2026", "", "HPC", "")
    with pytest.raises(FactError) as raised:
        Dimms.read(denied)
    assert raised.value.kind == "denied"
