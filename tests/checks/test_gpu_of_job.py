"""Passes for one job: what is wrong with GPUs of other jobs, or with the whole node."""

from collections.abc import Callable

import pytest

from gpu_judging import Found, findings
from gpu_node import address, pci_files
from nodeproof.events.ledger import EventSeries, Ledger, to_json
from nodeproof.host.clock import wall_clock_s
from nodeproof.host.nvml import nvml_device, nvml_devices
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.gpu_device import Gpu, NvmlError
from nodeproof.probes.gpu_of_job import OtherGpus, others, without
from nodeproof.probes.ledger import BOOT_ID, LEDGER, Seen
from support import Machine

Judge = Callable[..., Found]


#: Those of a prolog, and one that is not.
CHECKS: dict[str, dict[str, object]] = {
    check_id: {} for check_id in ("gpu.lost", "gpu.driver", "gpu.recovery_action", "gpu.pcie_width")
}


def uuid(index: int) -> str:
    return f"GPU-00000000-0000-0000-0000-{index:012d}"


@pytest.mark.parametrize("scenario", ["lost=3", "refused=3 code=15", "recovery_gpu=3 recovery=1", "narrow=3"])
@pytest.mark.parametrize("gpus", [("3",), ("2", "3"), (uuid(3),)])
def test_a_fault_of_the_jobs_own_gpu_is_a_finding(judged: Judge, scenario: str, gpus: tuple[str, ...]) -> None:
    assert len(findings(judged(scenario, CHECKS, job_gpus=gpus))) == 1


@pytest.mark.parametrize(
    ("scenario", "check_id"),
    [("lost=3", "gpu.lost"), ("refused=3 code=15", "gpu.lost"), ("recovery_gpu=3 recovery=1", "gpu.recovery_action")],
)
@pytest.mark.parametrize("gpus", [("0", "1"), (uuid(4),)])
def test_a_fault_of_another_jobs_gpu_is_a_skip_that_says_so(
    judged: Judge, scenario: str, check_id: str, gpus: tuple[str, ...]
) -> None:
    found = judged(scenario, CHECKS, job_gpus=gpus)

    assert findings(found) == {}
    assert found[check_id][0] == "skip"
    assert found[check_id][1].startswith("not on this job's GPUs: ")
    assert "0000:1e:00.0" in found[check_id][1]


def test_a_fault_of_another_job_does_not_hide_that_of_this_one(judged: Judge) -> None:
    """The check names the GPU whose threshold is exceeded, and no other."""
    found = findings(judged("sram_threshold=3 uncorrected=4", {"gpu.ecc_uncorrected": {}}, job_gpus=("4",)))

    assert list(found) == ["gpu.ecc_uncorrected"]
    assert "0000:1f:00.0 0 in SRAM, 2 in DRAM" in found["gpu.ecc_uncorrected"][1]
    assert "0000:1e:00.0" not in found["gpu.ecc_uncorrected"][1]


@pytest.mark.parametrize("scenario", ["init=18", "hang=-1"])
def test_a_fault_of_the_whole_node_is_every_jobs(judged: Judge, scenario: str) -> None:
    assert "gpu.driver" in findings(judged(scenario, CHECKS, job_gpus=("0",), deadline_s=1.0))


def test_a_gpu_of_another_job_that_hangs_is_not_this_jobs(judged: Judge) -> None:
    found = judged("hang=3", CHECKS, job_gpus=("0",), deadline_s=1.0)

    assert {status for status, _ in found.values()} <= {"ok", "skip"}
    assert found["gpu.lost"][1] == "not on this job's GPUs: nvml_device 3: timed out"


def test_a_mig_device_is_its_gpus(judged: Judge) -> None:
    checks: dict[str, dict[str, object]] = {"gpu.recovery_action": {}}

    own = judged("mig=7 recovery_gpu=7 recovery=1", checks, job_gpus=("MIG-7-1",))
    other = judged("mig=7 recovery_gpu=6 recovery=1", checks, job_gpus=("MIG-7-1",))
    old = judged("mig=7 recovery_gpu=7 recovery=1", checks, job_gpus=(f"MIG-{uuid(7)}/1/0",))

    assert (own["gpu.recovery_action"][0], other["gpu.recovery_action"][0]) == ("fail", "skip")
    assert old["gpu.recovery_action"][0] == "fail"


def test_a_number_is_nothing_clear_where_gpus_are_divided(judged: Judge) -> None:
    found = findings(judged("mig=7 recovery_gpu=3 recovery=1", {"gpu.recovery_action": {}}, job_gpus=("0",)))

    assert found["gpu.recovery_action"][0] == "fail"
    assert found["nodeproof.job_gpus"] == ("unknown", "which GPUs are 0 is not clear: all of them are judged")


def test_a_number_is_nothing_clear_where_a_gpu_is_missing(judged: Judge) -> None:
    """The driver may have numbered the others anew."""
    assert findings(judged("gpus=7", CHECKS, job_gpus=("0",)))["gpu.lost"][0] == "fail"
    assert judged("gpus=7", CHECKS, job_gpus=(uuid(0),))["gpu.lost"][0] == "skip"


# Numbers


def node(*minors: int | None, refused: int | None = None) -> Gpus:
    known = {
        i: Gpu(i, pci_address=address(i), uuid=uuid(i), minor_number=m) for i, m in enumerate(minors) if i != refused
    }
    lost = {} if refused is None else {refused: NvmlError("GPU_IS_LOST", "")}
    addresses = tuple(address(i) for i in range(len(minors)))
    return Gpus(addresses, device_count=len(minors), known=known, refused=lost)


def other(*indexes: int) -> OtherGpus:
    return OtherGpus(frozenset(indexes), frozenset(address(i) for i in indexes))


def test_a_number_is_a_place_on_the_bus() -> None:
    assert others(["1"], node(0, 1, 2)) == other(0, 2)
    assert others(["1", "2"], node(None, None, None)) == other(0)


def test_where_device_files_are_numbered_otherwise_both_gpus_may_be_meant() -> None:
    assert others(["0"], node(2, 1, 0)) == other(1)
    assert others(["1"], node(2, 1, 0)) == other(0, 2)


def test_a_gpu_without_a_handle_may_be_meant_where_numbers_differ() -> None:
    assert others(["0"], node(0, 1, 2, refused=2)) == other(1, 2)
    assert others(["0"], node(1, 0, 2, refused=2)) == other()  # 0 by place, 1 by number, and 2 says no number


def test_a_uuid_that_no_gpu_says_may_be_of_one_that_does_not_answer() -> None:
    assert others([uuid(2)], node(0, 1, 2, refused=2)) == other(0, 1)


def test_a_number_is_nothing_clear_where_the_library_counts_other_gpus_than_the_bus() -> None:
    """AMD's library counts the parts of a GPU that is divided."""
    two = node(0, 1)

    assert others(["0"], two._replace(device_count=4)) is None
    assert others(["0"], two._replace(pci_addresses=(*two.pci_addresses, address(2)))) is None
    assert others([uuid(0)], two._replace(device_count=4)) == OtherGpus(frozenset({1, 2, 3}), frozenset({address(1)}))


def test_what_no_gpu_is_called_is_not_clear() -> None:
    assert others(["7"], node(0, 1)) is None
    assert others([uuid(0), uuid(9)], node(0, 1)) is None
    assert others(["0"], Gpus((address(0),))) is None


def test_events_of_other_gpus_are_left_out_and_those_of_the_node_are_not(machine: Machine) -> None:
    parts = (f"pci:{address(0)}", f"pci:{address(1)}", "pci:0000:05:00.0", "cpu:0")
    series = tuple(EventSeries("event.xid", part, "79", ((99.0, 1),), "") for part in parts)
    files = {LEDGER: to_json(Ledger("b", 0.0, 100.0, series)), BOOT_ID: "b\n"}
    seen = Seen.read(machine(files, calls={(wall_clock_s,): 100.0}))

    left = without(seen, other(1))

    assert isinstance(left, Seen)
    assert [s.part for s in left.events("event.xid")] == [parts[0], *parts[2:]]


def test_an_answer_of_an_earlier_version_tells_gpus_apart_all_the_same(machine: Machine) -> None:
    system = {"init_error": None, "device_count": 2, "driver_version": "1", "cuda_driver_version": 1}
    answer: dict[str, object] = {"error": None, "errors": {}, "remapped_rows": None}
    answers = {(nvml_device, i): answer | {"pci_bus_id": f"00000000:{0x1B + i:02X}:00.0"} for i in range(2)}
    gpus = Gpus.read(machine(pci_files(2), calls={(nvml_devices,): system, **answers}))

    assert others(["1"], gpus) == other(0)
