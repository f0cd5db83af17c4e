"""Generic netlink answers: well formed, refused and hostile."""

import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.devlink import attributes, devlink_info, messages, parse_info
from nodeproof.host.ethtool import ethtool_drvinfo


def attribute(kind: int, value: bytes) -> bytes:
    raw = struct.pack("=HH", 4 + len(value), kind) + value
    return raw + bytes(-len(raw) % 4)


def version(kind: int, name: bytes, value: bytes) -> bytes:
    return attribute(kind | 0x8000, attribute(103, name + b"\0") + attribute(104, value + b"\0"))


#: bus, device, driver, serial number, then versions; the numbers are those of linux/devlink.h.
ANSWER = (
    attribute(1, b"pci\0")
    + attribute(2, b"0000:81:00.0\0")
    + attribute(98, b"mlx5_core\0")
    + attribute(99, b"MT2130X12345\0")
    + version(100, b"fw.psid", b"MT_0000000359")
    + version(101, b"fw.version", b"22.31.1014")
    + version(102, b"fw.version", b"22.32.0")
)


def test_versions_by_device_and_no_serial_number() -> None:
    assert parse_info([ANSWER]) == {
        "pci/0000:81:00.0": {
            "fixed": {"fw.psid": "MT_0000000359"},
            "running": {"fw.version": "22.31.1014"},
            "stored": {"fw.version": "22.32.0"},
        }
    }


def test_messages_of_a_datagram() -> None:
    data = struct.pack("=IHHII", 21, 30, 2, 1, 0) + b"hello\0\0\0" + struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)

    assert [(m.type, m.payload) for m in messages(data)] == [(30, b"hello"), (3, bytes(4))]


@pytest.mark.parametrize("length", [0, 3, 15, 25, 0xFFFFFFFF])
def test_a_message_of_impossible_length_is_malformed(length: int) -> None:
    with pytest.raises(FactError, match="malformed"):
        list(messages(struct.pack("=IHHII", length, 30, 2, 1, 0) + bytes(8)))


@pytest.mark.parametrize("length", [0, 3, 9, 0xFFFF])
def test_an_attribute_of_impossible_length_is_malformed(length: int) -> None:
    with pytest.raises(FactError, match="malformed"):
        list(attributes(struct.pack("=HH", length, 1) + bytes(4)))


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_malformed(data: bytes) -> None:
    for parse in (lambda: list(messages(data)), lambda: parse_info([data])):
        try:
            parse()
        except FactError as error:
            assert error.kind == "malformed"  # noqa: PT017  # either is right: a result, or this


def test_this_machine_answers_or_has_no_devlink() -> None:
    try:
        assert isinstance(Host().call(devlink_info), dict)
    except FactError as error:
        assert error.kind in ("absent", "denied", "failed")  # noqa: PT017  # no devlink, or a sandbox


def test_the_loopback_interface_has_no_driver_to_ask() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EOPNOTSUPP)):
        ethtool_drvinfo("lo")
