"""Whole passes over nodes with eight GPUs: real pynvml, real workers, a fake libnvidia-ml.so.1 with one fault."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_judging import Found, findings
from gpu_node import GENERATIONS, PCI, address, node_files, node_links, policy
from nodeproof.check import registry

Judge = Callable[..., Found]


def test_the_policy_of_these_tests_has_every_gpu_check() -> None:
    passive = {check_id for check_id, spec in registry().items() if spec.subject == "gpu" and "bench" not in spec.tags}

    assert set(policy("H100")) == passive


#: What a generation does not have: its check is skipped for want of it.
NOT_THERE = {
    "V100": {"gpu.remapped_rows", "gpu.fabric", "gpu.mig_mode"},
    "A100": {"gpu.retired_pages", "gpu.fabric"},
    "H100": {"gpu.retired_pages"},
    "B200": {"gpu.retired_pages"},
}
#: Needs an agent, which keeps count.
OVER_TIME = {"gpu.ecc_corrected_rate", "gpu.nvlink_error_rate", "gpu.throttle_share", "gpu.pcie_replay_rate"}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_healthy_node_of_each_generation_has_no_finding(judged: Judge, generation: str) -> None:
    found = judged(f"generation={generation}", policy(generation))

    assert findings(found) == {}
    assert {check_id for check_id, (status, _) in found.items() if status == "skip"} == (
        NOT_THERE[generation] | OVER_TIME
    )


def test_nothing_that_hopper_has_is_unsupported_by_mistake(judged: Judge) -> None:
    """A misspelt name of a function would read as `not supported`."""
    found = judged("old_fabric=1")

    assert findings(found) == {}
    assert found["gpu.fabric"][0] == "ok"


#: Words of the fake library, and the one check that finds the fault: its status, what it says, what its remedy is.
FAULTS = [
    ("lost=3", "gpu.lost", "fail", "0000:1e:00.0 fell off the bus", "Reboot"),
    ("refused=3 code=15", "gpu.lost", "fail", "0000:1e:00.0 fell off the bus", "Reboot"),
    ("refused=3 code=999", "gpu.lost", "fail", "0000:1e:00.0 answers UNKNOWN", "Reboot"),
    ("gpus=7", "gpu.lost", "fail", "0000:22:00.0 is on the PCI bus but unknown to the driver", "Reboot"),
    ("init=9", "gpu.driver", "fail", "DRIVER_NOT_LOADED (Driver Not Loaded), 8 NVIDIA GPUs on the PCI bus", "Reboot"),
    ("init=18", "gpu.driver", "fail", "LIB_RM_VERSION_MISMATCH (RM has detected an NVML/RM version mis", "Reboot"),
    ("init=999", "gpu.driver", "fail", "NVML cannot be initialised: UNKNOWN (Unknown Error)", "Reboot"),
    ("narrow=1", "gpu.pcie_width", "fail", "0000:1c:00.0 has x8, expected x16", "Reseat"),
    ("other_vbios=2", "gpu.vbios", "warn", "0000:1d:00.0 has 96.00.11.00.01", "Inspect"),
    (
        "other_inforom=2",
        "gpu.inforom",
        "fail",
        "expected to be G520.0200.00.05: 0000:1d:00.0 has G520.0100",
        "Corrupted",
    ),
    ("corrupt_inforom=2", "gpu.inforom", "fail", "the InfoROM is corrupted: 0000:1d:00.0", "replace the GPU"),
    ("no_ecc=0", "gpu.ecc_mode", "fail", "expected ECC on: 0000:1b:00.0 has ECC off", "reset the GPU"),
    (
        "ecc_pending=0",
        "gpu.ecc_mode",
        "warn",
        "until the next reset, which will switch it: 0000:1b:00.0",
        "reset the GPU",
    ),
    ("uncorrected=4", "gpu.ecc_uncorrected", "fail", "0000:1f:00.0 0 in SRAM, 2 in DRAM", "Reset the GPU"),
    ("sram_threshold=4", "gpu.ecc_uncorrected", "fail", "is exceeded: 0000:1f:00.0 replace it", "Replace"),
    ("pending=1", "gpu.remapped_rows", "warn", "0000:1c:00.0 waits for a reset to remap a row", "reset the GPU"),
    ("failed=2", "gpu.remapped_rows", "fail", "0000:1d:00.0 failed to remap a row (RMA)", "replace the GPU"),
    ("exhausted=4", "gpu.remapped_rows", "warn", "0000:1f:00.0 has 2 memory banks without spare rows", "replace"),
    ("worn=4", "gpu.remapped_rows", "warn", "0000:1f:00.0 remapped 11 rows for corrected errors", "replace"),
    ("generation=V100 retired=1", "gpu.retired_pages", "fail", "0000:1c:00.0 has retired 64", "replace the GPU"),
    ("generation=V100 retired_pending=1", "gpu.retired_pages", "warn", "waits for a reset to retire", "reset the GPU"),
    ("recovery_gpu=0 recovery=1", "gpu.recovery_action", "fail", "0000:1b:00.0 reset it", "reset the GPU"),
    ("recovery_gpu=0 recovery=2", "gpu.recovery_action", "fail", "0000:1b:00.0 reboot the node", "reboot"),
    ("recovery_gpu=0 recovery=3", "gpu.recovery_action", "fail", "0000:1b:00.0 stop all that uses peer", "reset"),
    ("recovery_gpu=0 recovery=4", "gpu.recovery_action", "fail", "0000:1b:00.0 runs with reduced capacity", "reset"),
    ("recovery_gpu=0 recovery=5", "gpu.recovery_action", "fail", "0000:1b:00.0 recover the IMEX domain", "reset"),
    ("recovery_gpu=0 recovery=6", "gpu.recovery_action", "fail", "0000:1b:00.0 reset its PCIe bus", "reset"),
    ("recovery_gpu=0 recovery=7", "gpu.recovery_action", "fail", "0000:1b:00.0 reboot the system", "reboot"),
    ("recovery_gpu=0 recovery=8", "gpu.recovery_action", "fail", "0000:1b:00.0 action 8", "reset"),
    ("link_down=6", "gpu.nvlink", "fail", "expected 18 NVLinks: 0000:21:00.0 has 17 links up", "Reset all GPUs"),
    ("generation=A100 link_down=6", "gpu.nvlink", "fail", "0000:21:00.0 has 11 links up", "Reset all GPUs"),
    ("link_slow=6", "gpu.nvlink", "fail", "0000:21:00.0 link 5 at 13281 MB/s", "Reset all GPUs"),
    ("degraded=5", "gpu.fabric", "fail", "0000:20:00.0 degraded bandwidth", "Reset all GPUs"),
    ("misrouted=5", "gpu.fabric", "fail", "0000:20:00.0 unhealthy route", "Reset all GPUs"),
    ("few_nvlinks=5", "gpu.fabric", "fail", "0000:20:00.0 too few NVLinks", "Reset all GPUs"),
    (
        "other_clique=5",
        "gpu.fabric",
        "fail",
        "another NVLink fabric than most of the node: 0000:20:00.0",
        "Reset all GPUs",
    ),
    ("not_joined=5", "gpu.fabric_manager", "fail", "(Fabric Manager runs): 0000:20:00.0 not started", "Reboot"),
    ("power_brake=7", "gpu.throttle", "fail", "0000:22:00.0 (power brake)", "Inspect"),
    ("thermal=7", "gpu.throttle", "warn", "0000:22:00.0 (thermal slowdown)", "Inspect"),
    ("hot=7", "gpu.temperature", "fail", "0000:22:00.0 core is 0 C below its limit", "Inspect"),
    ("generation=A100 hot=7", "gpu.temperature", "fail", "0000:22:00.0 core is -2 C below its limit", "Inspect"),
    ("hot_memory=7", "gpu.temperature", "fail", "0000:22:00.0 memory is 0 C below its limit", "Inspect"),
    ("low_power=7", "gpu.power_limit", "fail", "below 100% of the default: 0000:22:00.0 may draw 50%", "Inspect"),
    ("slow_clocks=7", "gpu.clocks", "fail", "0000:22:00.0 is set to 900 MHz, by default 1200", "Inspect"),
    ("no_persistence=7", "gpu.persistence", "fail", "persistence mode is not on: 0000:22:00.0", "Inspect"),
    ("mig=7", "gpu.mig_mode", "fail", "MIG mode is not off: 0000:22:00.0", "reset the GPU"),
    ("mig_pending=7", "gpu.mig_mode", "warn", "which will switch it: 0000:22:00.0", "reset the GPU"),
    ("process=7", "gpu.processes", "warn", "0000:22:00.0 is in use by python (4711)", "Restart the application"),
    (
        "apart=7",
        "gpu.peer_access",
        "fail",
        "21 pairs of GPUs reach each other, expected 28: not 0000:1b:00.0 and",
        "Inspect",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_is_found_by_one_check_alone(judged: Judge, fault: tuple[str, str, str, str, str]) -> None:
    scenario, check_id, status, words, remedy = fault
    generation = scenario.partition("generation=")[2].partition(" ")[0] or "H100"

    found = findings(judged(scenario, policy(generation)))

    assert list(found) == [check_id]
    assert (found[check_id][0], words in found[check_id][1]) == (status, True), found[check_id]
    assert remedy in registry()[check_id].remedy


def test_a_slow_link_is_found_where_the_first_link_is_down(judged: Judge) -> None:
    checks: dict[str, dict[str, object]] = {"gpu.nvlink": {"min_active_count": 17}}

    found = judged("link_down=6 down_link=0 link_slow=6", checks)

    assert found["gpu.nvlink"] == ("fail", "expected NVLinks at 26562 MB/s: 0000:21:00.0 link 5 at 13281 MB/s")


def test_a_gpu_that_is_not_on_the_bus_is_found_by_its_claim_alone(judged: Judge) -> None:
    checks = policy("H100", 7) | {"gpu.count": {"claimed": 8}}

    found = findings(judged("gpus=7", checks, files=node_files(7), links=node_links(7)))

    assert found["gpu.count"] == ("fail", "7 GPUs on the PCI bus, expected 8")


def test_a_fabric_manager_that_died_is_found(judged: Judge) -> None:
    files = node_files()
    del files["/proc/1200/comm"]

    found = findings(judged("", files=files))

    words = "Fabric Manager does not run, but the node has 1 NVSwitches"
    assert found == {"gpu.fabric_manager": ("fail", words)}


def test_a_gpu_that_moved_to_another_numa_node_is_found(judged: Judge) -> None:
    files = node_files() | {f"{PCI}/{address(0)}/numa_node": "1\n"}

    assert findings(judged("", files=files)) == {
        "gpu.topology": (
            "fail",
            "1 of 8 GPUs are placed otherwise: 0000:1b:00.0 is at node 1 0000:80:00.0, expected node 0 0000:80:00.0",
        )
    }


def test_a_gpu_that_is_meant_for_a_virtual_machine_is_not_missed(judged: Judge) -> None:
    links = node_links() | {f"{PCI}/{address(7)}/driver": "../../../bus/pci/drivers/vfio-pci"}

    assert findings(judged("gpus=7", policy("H100", 7), links=links)) == {}


def test_a_gpu_that_no_driver_has_is_missed(judged: Judge) -> None:
    links = node_links() | {f"{PCI}/{address(n)}/driver": "../../../bus/pci/drivers/nvidia" for n in range(7)}

    assert list(findings(judged("gpus=7", links=links))) == ["gpu.lost"]


def test_a_process_is_no_leftover_while_a_job_runs(judged: Judge) -> None:
    job = {"/proc/99/comm": "slurmstepd\n", "/proc/99/cmdline": "slurmstepd: [1234.batch]"}

    assert findings(judged("process=7", files=node_files() | job)) == {}


def test_without_the_library_only_the_claim_fails(judged: Judge, tmp_path: Path) -> None:
    found = judged("", library=tmp_path)

    assert list(findings(found)) == ["gpu.count"]
    assert found["gpu.count"][1].startswith(
        "nvml_devices: not there (libnvidia-ml.so.1: cannot open shared object file"
    )
    unclaimed = {check_id: checks for check_id, checks in policy("H100").items() if check_id != "gpu.count"}
    assert findings(judged("", unclaimed, library=tmp_path)) == {}


def test_nvml_that_hangs_costs_its_deadline_once_and_is_unknown_by_name(judged: Judge) -> None:
    began = time.monotonic()
    found = findings(judged("hang=-1", deadline_s=2.0))

    assert time.monotonic() - began < 10
    assert found["gpu.driver"] == found["gpu.nvlink"] == ("unknown", "nvml_devices: timed out")
    assert {status for status, _ in found.values()} == {"unknown"}


def test_a_hanging_gpu_is_named_and_hides_no_other_and_costs_its_deadline_once(judged: Judge) -> None:
    began = time.monotonic()
    found = findings(judged("hang=3 narrow=5", deadline_s=2.0))

    assert time.monotonic() - began < 4

    assert found["gpu.pcie_width"][0] == "fail"
    assert found["gpu.lost"] == ("unknown", "nvml_device 3: timed out")
    assert found["gpu.nvlink"] == found["gpu.inforom"] == ("unknown", "nvml_device 3: timed out")


def test_nvml_that_crashes_is_unknown(judged: Judge) -> None:
    assert judged("crash=-1")["gpu.lost"] == ("unknown", "nvml_devices: crashed (SIGSEGV)")
    assert judged("crash=2")["gpu.driver"] == ("unknown", "nvml_device 2: crashed (SIGSEGV)")


def test_nvml_that_wants_more_permission_is_unknown(judged: Judge) -> None:
    assert judged("init=4")["gpu.driver"] == ("unknown", "nvml_devices: permission denied")
    assert findings(judged("forbidden=1")) == {
        "gpu.remapped_rows": ("unknown", "nvml_device 1: permission denied"),
    }


#: A function of NVML that gives an error on one GPU, and the checks that cannot tell without it.
UNANSWERED = [
    ("nvmlDeviceGetCurrPcieLinkWidth", {"gpu.pcie_width"}),
    ("nvmlDeviceGetVbiosVersion", {"gpu.vbios"}),
    ("nvmlDeviceGetInforomImageVersion", {"gpu.inforom"}),
    ("nvmlDeviceValidateInforom", {"gpu.inforom"}),
    ("nvmlDeviceGetEccMode", {"gpu.ecc_mode"}),
    ("nvmlDeviceGetMemoryErrorCounter", {"gpu.ecc_uncorrected"}),
    ("nvmlDeviceGetSramEccErrorStatus", {"gpu.ecc_uncorrected"}),
    ("nvmlDeviceGetRemappedRows", {"gpu.remapped_rows"}),
    (
        "nvmlDeviceGetFieldValues",
        {
            "gpu.nvlink",
            "gpu.peer_access",
            "gpu.recovery_action",
            "gpu.retired_pages",
            "gpu.temperature",
        },
    ),
    ("nvmlDeviceGetGpuFabricInfoV", {"gpu.fabric", "gpu.fabric_manager"}),
    ("nvmlDeviceGetCurrentClocksEventReasons", {"gpu.throttle"}),
    ("nvmlDeviceGetTemperatureV", {"gpu.temperature"}),
    ("nvmlDeviceGetEnforcedPowerLimit", {"gpu.power_limit"}),
    ("nvmlDeviceGetMaxClockInfo", {"gpu.clocks"}),
    ("nvmlDeviceGetPersistenceMode", {"gpu.persistence"}),
    ("nvmlDeviceGetMigMode", {"gpu.mig_mode"}),
    ("nvmlDeviceGetComputeRunningProcesses_v3", {"gpu.processes"}),
]


@pytest.mark.parametrize(("function", "unsure"), UNANSWERED, ids=[u[0] for u in UNANSWERED])
def test_what_one_gpu_does_not_answer_is_unknown_and_nothing_else(
    judged: Judge, function: str, unsure: set[str]
) -> None:
    found = findings(judged(f"fails={function} failing=2"))

    assert {check_id: status for check_id, (status, _) in found.items()} == dict.fromkeys(unsure, "unknown")


def test_a_numa_node_that_is_no_number_is_unknown(judged: Judge) -> None:
    files = node_files() | {f"{PCI}/{address(0)}/numa_node": "nonsense\n"}

    assert findings(judged("", files=files))["gpu.topology"][0] == "unknown"


def test_a_name_that_is_not_text_hides_no_other_field(judged: Judge) -> None:
    assert findings(judged("garbled=0")) == {}


def test_links_that_cannot_be_counted_are_unknown(judged: Judge) -> None:
    assert findings(judged("no_count=2")) == {
        "gpu.nvlink": ("unknown", "nvml_links 2: failed (links: UNKNOWN)"),
        "gpu.peer_access": ("unknown", "nvml_links 2: failed (links: UNKNOWN)"),
    }
