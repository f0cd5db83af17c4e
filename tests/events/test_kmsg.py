"""Records of /dev/kmsg, from the kernel's own documentation and from this machine."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.events.kmsg import Record, parse


def test_the_examples_of_the_documentation() -> None:
    """Documentation/ABI/testing/dev-kmsg."""
    raw = (
        b"7,160,424069,-;pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)\n"
        b" SUBSYSTEM=acpi\n"
        b" DEVICE=+acpi:PNP0A03:00\n"
    )

    assert parse(raw) == Record(
        level=7,
        facility=0,
        sequence=160,
        at_us=424069,
        text="pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)",
        keys={"SUBSYSTEM": "acpi", "DEVICE": "+acpi:PNP0A03:00"},
    )
    assert parse(b"6,339,5140900,-;NET: Registered protocol family 10\n") == Record(
        6, 0, 339, 5140900, "NET: Registered protocol family 10"
    )
    assert parse(b"30,340,5690716,-;udevd[80]: starting version 181\n") == Record(
        6, 3, 340, 5690716, "udevd[80]: starting version 181"
    )


def test_callers_continuations_and_escapes() -> None:
    with_caller = parse(b"4,1,2,c,caller=T123;tail\n")
    assert with_caller is not None
    assert with_caller.is_continued

    escaped = parse(rb"12,1,2,-;a\x0aDEVICE=b \x5cx41 \xc3\xa4 \x1b[31m")
    assert escaped is not None
    assert escaped.facility == 1
    assert escaped.text == r"a?DEVICE=b \x41 ä ?[31m"
    assert escaped.keys == {}


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"no record", b"6,1,2;x", b"6,x,2,-;x", b"-6,1,2,-;x", b"6," + b"9" * 5000 + b",2,-;x"]
)
def test_what_is_no_record(raw: bytes) -> None:
    assert parse(raw) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_harmless_line_or_nothing(raw: bytes) -> None:
    for one in (parse(raw), parse(b"6,1,2,-;" + raw)):
        assert one is None or (
            one.text.isprintable() and all(k.isprintable() and v.isprintable() for k, v in one.keys.items())
        )


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_this_machines_own_log() -> None:
    descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    records: list[Record | None] = []
    try:
        while len(records) < 200:
            try:
                records.append(parse(os.read(descriptor, 16384)))
            except BlockingIOError:
                break
            except BrokenPipeError:
                continue
    finally:
        os.close(descriptor)

    known = [one for one in records if one is not None]
    assert len(known) == len(records) > 0
    assert [one.sequence for one in known] == sorted({one.sequence for one in known})
