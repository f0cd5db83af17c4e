"""Scrubbing: nothing that identifies survives, the same thing becomes the same thing, the rest stays."""

import json
import re

from nodeproof.host.record import Notes
from nodeproof.host.scrub import HOST_NAME, SMBIOS_TABLE, scrub

SERIAL, MAC, NAME = "SN48213X77", "0c:42:a1:5e:9f:10", "gpu-rack7-012"


def structure(kind: int, body: bytes, *strings: str) -> bytes:
    text = b"".join(s.encode() + b"\0" for s in strings) or b"\0"
    return bytes([kind, 4 + len(body), 0, 0]) + body + text + b"\0"


def recorded() -> Notes:
    notes = Notes()
    system = structure(1, bytes([1, 2, 0, 3]) + bytes(range(16)) + bytes([6, 0, 0]), "VENDOR", "HPC-9000", SERIAL)
    dimm = structure(17, bytes(19) + bytes([3, 4, 5, 1, 2]) + bytes(10), "A", "B", "Samsung", "D1MMSERIAL", "ASSET99")
    notes.files = {
        HOST_NAME: f"{NAME}.example.org\n".encode(),
        "/sys/class/net/eth0/address": f"{MAC}\n".encode(),
        "/sys/class/nvme/nvme0/serial": f"{SERIAL}  \n".encode(),
        "/sys/class/nvme/nvme0/model": b"SAMSUNG MZQL21T9\n",
        "/proc/cmdline": f"root=/dev/nfs ip=192.168.7.12 BOOTIF={MAC.upper().replace(':', '-')} host={NAME}\n".encode(),
        "/proc/self/mounts": b"filer3.example.org:/home /home nfs4 rw,addr=10.1.2.3 0 0\n",
        SMBIOS_TABLE: system + dimm,
    }
    notes.calls = {
        "nvml_devices": {"devices": [{"uuid": "GPU-8a1b2c3d-1111-2222-3333-444455556666", "name": "NVIDIA H200"}]},
        "nvml_device 0": {"mig_uuids": ["MIG-9b1b2c3d-1111-2222-3333-444455556666"]},
    }
    notes.errors = {f"read /x/{SERIAL}": ["denied", "EACCES"]}
    return notes


def everything(notes: Notes) -> str:
    files = "".join(c.decode(errors="replace") for c in notes.files.values())
    return files + json.dumps(notes.calls) + json.dumps(notes.errors) + "".join(notes.files) + "".join(notes.found)


def test_nothing_that_identifies_survives() -> None:
    notes = recorded()

    scrub(notes)

    text = everything(notes)
    upper = MAC.upper().replace(":", "-")
    for value in (
        SERIAL,
        MAC,
        upper,
        NAME,
        "192.168.7.12",
        "10.1.2.3",
        "filer3",
        "D1MMSERIAL",
        "ASSET99",
        "8a1b2c3d",
        "9b1b2c3d",
    ):
        assert value not in text
    assert bytes(range(16)) not in notes.files[SMBIOS_TABLE]


def test_what_is_judged_stays_and_tables_keep_their_length() -> None:
    before, notes = recorded(), recorded()

    scrub(notes)

    assert notes.files["/sys/class/nvme/nvme0/model"] == b"SAMSUNG MZQL21T9\n"
    assert "HPC-9000" in notes.files[SMBIOS_TABLE].decode(errors="replace")
    assert len(notes.files[SMBIOS_TABLE]) == len(before.files[SMBIOS_TABLE])
    assert "NVIDIA H200" in json.dumps(notes.calls)


def test_one_value_becomes_the_same_word_everywhere() -> None:
    notes = recorded()

    scrub(notes)

    serial = notes.files["/sys/class/nvme/nvme0/serial"].decode().strip()
    assert f"read /x/{serial}" in notes.errors
    assert serial.encode() in notes.files[SMBIOS_TABLE]
    mac = notes.files["/sys/class/net/eth0/address"].decode().strip()
    assert mac.replace(":", "-") in notes.files["/proc/cmdline"].decode()


def test_an_invented_mac_address_is_a_locally_administered_one_with_its_separator() -> None:
    notes = recorded()

    scrub(notes)

    mac = notes.files["/sys/class/net/eth0/address"].decode()
    assert re.fullmatch("02(:[0-9a-f]{2}){5}\n", mac)
    assert re.search("BOOTIF=02(-[0-9a-f]{2}){5} ", notes.files["/proc/cmdline"].decode())


def test_two_recordings_are_not_linked() -> None:
    first, second = recorded(), recorded()

    scrub(first)
    scrub(second)

    assert first.files[HOST_NAME] != second.files[HOST_NAME]


def test_a_host_name_too_short_to_look_for_is_replaced_where_it_is_known() -> None:
    notes = Notes()
    notes.files = {HOST_NAME: b"n1\n", "/proc/cmdline": b"panic=1 init=/n1nit\n"}

    scrub(notes)

    assert notes.files[HOST_NAME] != b"n1\n"
    assert notes.files["/proc/cmdline"] == b"panic=1 init=/n1nit\n"
