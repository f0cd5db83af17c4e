"""RDMA netlink answers: well formed, refused and hostile."""

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.rdma_netlink import parse_devices, parse_ports, rdma_links


def attribute(kind: int, value: bytes) -> bytes:
    raw = struct.pack("=HH", 4 + len(value), kind) + value
    return raw + bytes(-len(raw) % 4)


def number(kind: int, value: int, width: int = 4) -> bytes:
    return attribute(kind, value.to_bytes(width, sys.byteorder))


#: Attributes of an adapter in the order of fill_dev_info (drivers/infiniband/core/nldev.c).
DEVICE = (
    number(1, 3)
    + attribute(2, b"mlx5_3\0")
    + number(3, 1)
    + number(4, 0x10000000121AFC36, 8)
    + attribute(5, b"28.39.1002\0")
    + number(6, 0xB83FD20300C25D33, 8)
    + number(7, 0xB83FD20300C25D30, 8)
    + number(14, 1, 1)
    + attribute(84, b"\1")  # whatever a newer kernel adds
    + attribute(67, b"ib\0")
)

#: And of an InfiniBand and a RoCE port, as of fill_port_info.
IB_PORT = (
    number(1, 3)
    + attribute(2, b"mlx5_3\0")
    + number(3, 1)
    + number(4, 0xA751E848, 8)
    + number(8, 0xFE80000000000000, 8)
    + number(9, 0x43)
    + number(10, 1)
    + number(11, 0, 1)
    + number(12, 4, 1)
    + number(13, 5, 1)
)
ROCE_PORT = number(3, 2) + number(12, 4, 1) + number(13, 5, 1) + number(50, 7) + attribute(51, b"eth4\0")


def test_a_device_says_firmware_guids_type_and_protocol() -> None:
    assert parse_devices([DEVICE]) == {
        "mlx5_3": {
            "index": 3,
            "node_type": 1,
            "node_guid": "b83f:d203:00c2:5d33",
            "sys_image_guid": "b83f:d203:00c2:5d30",
            "firmware": "28.39.1002",
            "protocol": "ib",
        }
    }


def test_a_port_says_what_it_has() -> None:
    assert parse_ports([IB_PORT, ROCE_PORT]) == {
        "1": {
            "capability_mask": 0xA751E848,
            "lid": 67,
            "sm_lid": 1,
            "lid_mask_count": 0,
            "state": 4,
            "physical_state": 5,
            "subnet_prefix": "fe80:0000:0000:0000",
        },
        "2": {"state": 4, "physical_state": 5, "netdev": "eth4"},
    }


@pytest.mark.parametrize("payload", [b"", number(1, 3), attribute(2, b"mlx5_3\0"), DEVICE[:-3]])
def test_a_device_without_index_or_name_is_malformed(payload: bytes) -> None:
    with pytest.raises(FactError, match="rdma_links: malformed"):
        parse_devices([payload])


@pytest.mark.parametrize("payload", [b"", number(12, 4, 1), number(3, 1) + attribute(12, b"\1\2")])
def test_a_port_without_a_number_or_with_a_garbled_one_is_malformed(payload: bytes) -> None:
    with pytest.raises(FactError, match="rdma_links: malformed"):
        parse_ports([payload])


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_malformed(data: bytes) -> None:
    for parse in (parse_devices, parse_ports):
        try:
            parse([data])
        except FactError as error:
            assert error.kind == "malformed"  # noqa: PT017  # either is right: a result, or this


def test_this_machine_names_the_devices_that_sysfs_has() -> None:
    try:
        devices = Host().call(rdma_links)
    except FactError as error:
        assert error.kind in ("absent", "denied", "failed")  # noqa: PT017  # no RDMA in this kernel, or a sandbox
        return
    sysfs = Path("/sys/class/infiniband")
    assert set(devices) == ({path.name for path in sysfs.iterdir()} if sysfs.exists() else set())
