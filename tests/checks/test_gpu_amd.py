"""Whole passes over nodes with eight MI300X: real ctypes, real workers, a fake libamd_smi.so.26 with one fault."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_judging import Found, findings
from gpu_node import PCI, address

Judge = Callable[..., Found]

#: What AMD SMI says nothing of, or says otherwise in each version, and what needs an agent that keeps count.
SKIPPED = {
    *("gpu.inforom", "gpu.remapped_rows", "gpu.recovery_action", "gpu.fabric", "gpu.fabric_manager", "gpu.throttle"),
    *("gpu.clocks", "gpu.persistence", "gpu.mig_mode", "gpu.processes"),
    *("gpu.ecc_corrected_rate", "gpu.nvlink_error_rate", "gpu.throttle_share", "gpu.pcie_replay_rate"),
}


def test_a_healthy_node_has_no_finding_and_is_judged_as_far_as_amd_tells(judged_amd: Judge) -> None:
    found = judged_amd("")

    assert findings(found) == {}
    assert {check_id for check_id, (status, _) in found.items() if status == "skip"} == SKIPPED
    assert found["gpu.driver"][1] == "driver 6.12.12 with 8 GPUs"
    assert found["gpu.vbios"][1] == "VBIOS 113-M3000100-103 on 8 GPUs"
    assert found["gpu.nvlink"][1] == "7 xGMI links are up on each of 8 GPUs"
    assert found["gpu.temperature"][1] == "8 GPUs are at least 55 C below their limits"


#: Words of the fake library, and the one check that finds the fault: its status and what it says.
FAULTS = [
    ("uncorrected=3", "gpu.ecc_uncorrected", "fail", "0000:1e:00.0 0 in SRAM, 2 in DRAM"),
    ("cache=3", "gpu.ecc_uncorrected", "fail", "0000:1e:00.0 1 in SRAM, 0 in DRAM"),
    ("no_ecc=3", "gpu.ecc_mode", "fail", "expected ECC on: 0000:1e:00.0 has ECC off"),
    ("narrow=1", "gpu.pcie_width", "fail", "0000:1c:00.0 has x8, expected x16"),
    ("hot=2", "gpu.temperature", "warn", "0000:1d:00.0 core is 1 C below its limit"),
    ("hot_memory=2", "gpu.temperature", "fail", "0000:1d:00.0 memory is 0 C below its limit"),
    ("low_power=2", "gpu.power_limit", "fail", "0000:1d:00.0 may draw 50%"),
    ("retired=4", "gpu.retired_pages", "warn", "0000:1f:00.0 has retired 20"),
    ("retired_many=4", "gpu.retired_pages", "fail", "0000:1f:00.0 has retired 300"),
    ("retired_pending=4", "gpu.retired_pages", "warn", "0000:1f:00.0 waits for a reset to retire a page"),
    ("link_down=5", "gpu.nvlink", "fail", "expected 7 xGMI links: 0000:20:00.0 has 6 links up"),
    ("apart=7", "gpu.peer_access", "fail", "21 pairs of GPUs reach each other, expected 28"),
    ("gpus=7", "gpu.lost", "fail", "0000:22:00.0 is on the PCI bus but unknown to the driver"),
    ("refused=6 code=31", "gpu.lost", "fail", "0000:21:00.0 answers NOT_FOUND"),
    ("init=34", "gpu.driver", "fail", "AMD SMI cannot be initialised: DRIVER_NOT_LOADED (amdsmi_status_t 34), 8 AMD"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_is_found_by_one_check_alone(judged_amd: Judge, fault: tuple[str, str, str, str]) -> None:
    scenario, check_id, status, words = fault

    found = findings(judged_amd(scenario))

    assert list(found) == [check_id]
    assert (found[check_id][0], words in found[check_id][1]) == (status, True), found[check_id]


def test_a_gpu_that_is_not_on_the_bus_is_found_by_its_claim(judged_amd: Judge) -> None:
    assert findings(judged_amd("gpus=7", on_bus=7))["gpu.count"] == ("fail", "7 GPUs on the PCI bus, expected 8")


def test_another_vbios_than_allowed_is_found(judged_amd: Judge) -> None:
    found = findings(judged_amd("", files={f"{PCI}/{address(2)}/vbios_version": "113-M3000100-099\n"}))

    words = "VBIOS is expected to be 113-M3000100-103: 0000:1d:00.0 has 113-M3000100-099"
    assert found == {"gpu.vbios": ("fail", words)}


def test_parts_of_a_divided_gpu_are_no_gpus(judged_amd: Judge) -> None:
    found = judged_amd("divided=1")

    assert (findings(found), found["gpu.lost"][1]) == ({}, "8 GPUs answer")


def test_without_the_library_only_the_claim_fails(judged_amd: Judge, tmp_path: Path) -> None:
    found = findings(judged_amd("", library=tmp_path))

    assert list(found) == ["gpu.count"]
    assert found["gpu.count"][1].startswith("amdsmi_devices: not there (libamd_smi.so.26: cannot open shared object")
    assert findings(judged_amd("", library=tmp_path, claimed=None)) == {}


def test_a_hanging_library_costs_its_deadline_once_and_is_unknown_by_name(judged_amd: Judge) -> None:
    began = time.monotonic()
    found = findings(judged_amd("hang=-1", deadline_s=1.0))

    assert time.monotonic() - began < 5
    assert found["gpu.driver"] == found["gpu.nvlink"] == ("unknown", "amdsmi_devices: timed out")


def test_a_hanging_gpu_is_named_and_hides_no_other(judged_amd: Judge) -> None:
    found = findings(judged_amd("hang=3 narrow=5", deadline_s=1.0))

    assert found["gpu.pcie_width"][0] == "fail"
    assert found["gpu.lost"] == ("unknown", "amdsmi_device 3: timed out")


def test_a_library_that_crashes_is_unknown(judged_amd: Judge) -> None:
    assert judged_amd("crash=2")["gpu.driver"] == ("unknown", "amdsmi_device 2: crashed (SIGSEGV)")


def test_an_older_library_has_fewer_answers_and_no_finding(judged_amd: Judge) -> None:
    found = judged_amd("old=1")

    assert findings(found) == {}
    assert found["gpu.nvlink"][0] == "skip"


#: A function that gives an error on one GPU, and the checks that cannot tell without it.
UNANSWERED = [
    ("amdsmi_get_pcie_info", {"gpu.pcie_width"}),
    ("amdsmi_get_gpu_total_ecc_count", {"gpu.ecc_uncorrected"}),
    ("amdsmi_get_temp_metric", {"gpu.temperature"}),
    ("amdsmi_get_gpu_bad_page_info", {"gpu.retired_pages"}),
    ("amdsmi_get_power_cap_info", {"gpu.power_limit"}),
    ("amdsmi_get_gpu_xgmi_link_status", {"gpu.nvlink", "gpu.peer_access"}),
]


@pytest.mark.parametrize(("function", "unsure"), UNANSWERED, ids=[u[0] for u in UNANSWERED])
def test_what_one_gpu_does_not_answer_is_unknown_and_nothing_else(
    judged_amd: Judge, function: str, unsure: set[str]
) -> None:
    found = findings(judged_amd(f"fails={function} failing=2"))

    assert {check_id: status for check_id, (status, _) in found.items()} == dict.fromkeys(unsure, "unknown")
