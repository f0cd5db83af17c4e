"""NVMe checks: healthy drives, planted faults, and where nothing can be known."""

from typing import Any

import pytest

from nodeproof.check import registry
from nodeproof.host.nvme import decode_smart_log, nvme_smart_log
from nodeproof.probes.nvme import NvmeDrives
from nodeproof.verdict import Status
from support import Machine, verdict_of

CLASS = "/sys/class/nvme"
HEALTHY = {
    "critical_warning": 0,
    "temperature_kelvin": 313,
    "available_spare_percent": 100,
    "spare_threshold_percent": 10,
    "used_percent": 3,
    "media_errors": 0,
}


def drive(
    n: int, firmware: str = "GDC5602Q", state: str = "live", transport: str = "pcie", model: str = "SAMSUNG PM9A3"
) -> dict[str, str]:
    return {
        f"{CLASS}/nvme{n}/model": f"{model}   \n",
        f"{CLASS}/nvme{n}/serial": f"S{n}  \n",
        f"{CLASS}/nvme{n}/firmware_rev": f"{firmware}\n",
        f"{CLASS}/nvme{n}/state": f"{state}\n",
        f"{CLASS}/nvme{n}/transport": f"{transport}\n",
        f"{CLASS}/nvme{n}/address": f"0000:0{n}:00.0\n",
    }


def smart(*logs: dict[str, int]) -> dict[tuple[Any, ...], Any]:
    return {(nvme_smart_log, f"/dev/nvme{n}"): HEALTHY | log for n, log in enumerate(logs)}


def test_healthy_drives_are_ok(machine: Machine) -> None:
    host = machine(drive(0) | drive(1), calls=smart({}, {}))

    assert verdict_of("nvme.count", host, claimed=2).status == Status.OK
    assert verdict_of("nvme.firmware", host).status == Status.OK
    assert verdict_of("nvme.health", host).status == Status.OK


def test_a_dead_or_missing_drive_fails_and_is_named(machine: Machine) -> None:
    host = machine(drive(0) | drive(1, state="dead"), calls=smart({}))

    verdict = verdict_of("nvme.count", host, claimed=2)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "1 live NVMe drive, expected 2: nvme1 (serial S1) is dead"
    assert verdict_of("nvme.health", host).status == Status.OK


def test_one_drive_too_many_is_a_warning(machine: Machine) -> None:
    assert verdict_of("nvme.count", machine(drive(0) | drive(1)), claimed=1).status == Status.WARN


def test_drives_of_a_fabric_do_not_count(machine: Machine) -> None:
    host = machine(drive(0) | drive(1, transport="tcp"))

    assert verdict_of("nvme.count", host, claimed=1).status == Status.OK


def test_no_drive_is_a_skip_unless_claimed(machine: Machine) -> None:
    host = machine({})

    assert verdict_of("nvme.count", host, claimed=1).status == Status.FAIL
    assert verdict_of("nvme.firmware", host).status == Status.SKIP
    assert verdict_of("nvme.health", host).status == Status.SKIP


def test_an_unreadable_drive_is_neither_counted_nor_missing(machine: Machine) -> None:
    host = machine(drive(0) | drive(1), errors={f"{CLASS}/nvme1/state": ("denied", "EACCES")})

    assert verdict_of("nvme.count", host, claimed=2).status == Status.UNKNOWN
    assert verdict_of("nvme.count", host, claimed=3).status == Status.FAIL


def test_the_odd_firmware_of_a_model_fails(machine: Machine) -> None:
    host = machine(drive(0) | drive(1) | drive(2, firmware="GDC5402Q") | drive(3, model="MICRON 7450", firmware="E2"))

    verdict = verdict_of("nvme.firmware", host)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "nvme2 (SAMSUNG PM9A3) runs firmware GDC5402Q, the others of its model GDC5602Q"


def test_firmware_that_policy_does_not_allow_fails(machine: Machine) -> None:
    host = machine(drive(0))

    assert verdict_of("nvme.firmware", host, allowed={"SAMSUNG*": "GDC56* GDC57*"}).status == Status.OK
    assert verdict_of("nvme.firmware", host, allowed={"MICRON*": "E2"}).status == Status.OK
    assert verdict_of("nvme.firmware", host, allowed={"SAMSUNG*": "GDC57*"}).summary == (
        "nvme0 (SAMSUNG PM9A3) runs firmware GDC5602Q, expected GDC57*"
    )


def test_what_is_learnt_passes_here(machine: Machine) -> None:
    host = machine(drive(0, model="ODD [x] *") | drive(1))
    spec = registry()["nvme.firmware"]
    assert spec.learn

    learned = dict(spec.learn(NvmeDrives.read(host)))

    assert learned == {"allowed": {"ODD ?x] ?": "GDC5602Q", "SAMSUNG PM9A3": "GDC5602Q"}}
    assert verdict_of("nvme.firmware", host, allowed=learned["allowed"]).status == Status.OK


@pytest.mark.parametrize(
    ("log", "status", "sentence"),
    [
        ({"critical_warning": 8}, Status.FAIL, "nvme1: media is read-only"),
        ({"critical_warning": 9}, Status.FAIL, "nvme1: available spare is below its threshold, media is read-only"),
        ({"critical_warning": 128}, Status.FAIL, "nvme1: critical warning bit 7"),
        ({"available_spare_percent": 9}, Status.FAIL, "nvme1: available spare is 9%, threshold 10%"),
        ({"used_percent": 104}, Status.FAIL, "nvme1: 104% of endurance used, expected at most 100%"),
        ({"media_errors": 11}, Status.FAIL, "nvme1: 11 media errors, expected at most 10"),
        ({"media_errors": 1}, Status.WARN, "nvme1: 1 media errors so far"),
        ({"critical_warning": 2}, Status.WARN, "nvme1: temperature is outside its thresholds (40 °C)"),
        ({"temperature_kelvin": 350}, Status.WARN, "nvme1: temperature is 77 °C, expected at most 75 °C"),
    ],
)  # fmt: skip
def test_an_ill_drive_is_named_with_its_complaint(
    machine: Machine, log: dict[str, int], status: Status, sentence: str
) -> None:
    verdict = verdict_of("nvme.health", machine(drive(0) | drive(1), calls=smart({}, log)), max_celsius=75)

    assert (verdict.status, verdict.summary) == (status, sentence)


def test_health_needs_root_and_the_other_checks_do_not(machine: Machine) -> None:
    host = machine(drive(0), errors={"nvme_smart_log /dev/nvme0": ("denied", "EACCES")})

    assert verdict_of("nvme.health", host).status == Status.UNKNOWN
    assert verdict_of("nvme.count", host, claimed=1).status == Status.OK
    assert verdict_of("nvme.firmware", host).status == Status.OK


def test_a_bad_drive_is_reported_though_another_hangs(machine: Machine) -> None:
    calls = smart({"critical_warning": 4})
    host = machine(drive(0) | drive(1), calls=calls, errors={"nvme_smart_log /dev/nvme1": ("timed_out", "")})

    assert verdict_of("nvme.health", host).status == Status.FAIL
    assert verdict_of("nvme.health", host, max_used_percent=0).status == Status.FAIL


def test_a_live_drive_without_a_device_node_is_unknown(machine: Machine) -> None:
    """As in a container, or below systemd's PrivateDevices."""
    host = machine(drive(0) | drive(1), calls=smart({}), errors={"nvme_smart_log /dev/nvme1": ("absent", "ENOENT")})

    verdict = verdict_of("nvme.health", host)
    assert verdict.status == Status.UNKNOWN
    assert verdict.summary == "nvme_smart_log /dev/nvme1: failed (no device node)"


def test_a_log_without_its_fields_is_unknown(machine: Machine) -> None:
    host = machine(drive(0), calls={(nvme_smart_log, "/dev/nvme0"): {"critical_warning": 0}})

    assert verdict_of("nvme.health", host).status == Status.UNKNOWN


def test_smart_log_layout() -> None:
    log = bytearray(512)
    log[0:6] = (4, 0x39, 0x01, 99, 10, 7)
    log[144:160] = (3).to_bytes(16, "little")
    log[160:176] = (1 << 70).to_bytes(16, "little")

    decoded = decode_smart_log(bytes(log))

    assert decoded["temperature_kelvin"] == 313
    assert (decoded["available_spare_percent"], decoded["spare_threshold_percent"], decoded["used_percent"]) == (
        99,
        10,
        7,
    )
    assert (decoded["unsafe_shutdowns"], decoded["media_errors"]) == (3, 1 << 70)


def test_a_drive_whose_firmware_cannot_be_read_is_unknown(machine: Machine) -> None:
    host = machine(drive(0) | drive(1), errors={f"{CLASS}/nvme1/firmware_rev": ("timed_out", "")})

    assert verdict_of("nvme.firmware", host).status == Status.UNKNOWN
