"""GPU checks: judged by hand-made facts, and in whole passes where pynvml loads a fake libnvidia-ml.so.1."""

import json
import os
import subprocess  # the loader reads LD_LIBRARY_PATH only when a process starts
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeproof.check import registry
from nodeproof.host.nvml import nvml_device, nvml_devices
from nodeproof.probes.gpu import Gpu, Gpus, NvmlError, RemappedRows
from nodeproof.verdict import Status
from nodeproof_checks.gpu import count, driver, pcie_width, remapped_rows
from support import Machine, plant, verdict_of

FAKE_NVML = Path(__file__).parent.parent / "fake_nvml"
PCI = "/sys/bus/pci/devices"

Judge = Callable[..., tuple[str, str]]


def address(index: int) -> str:
    return f"0000:{0x1B + index:02x}:00.0"


def pci_files(gpus: int) -> dict[str, str]:
    """GPUs, and what of NVIDIA's is none: an NVSwitch and an audio function."""
    classes = {address(i): "0x030200" for i in range(gpus)} | {"0000:05:00.0": "0x068000", "0000:1b:00.1": "0x040300"}
    files: dict[str, str] = {}
    for device, class_ in classes.items():
        files |= {f"{PCI}/{device}/vendor": "0x10de\n", f"{PCI}/{device}/class": f"{class_}\n"}
    return files | {f"{PCI}/0000:00:00.0/vendor": "0x8086\n", f"{PCI}/0000:00:00.0/class": "0x060000\n"}


def gpu(index: int, **changes: object) -> Gpu:
    words = address(index), "NVIDIA H100 80GB HBM3", f"GPU-{index}", "1650923000000", "96.00.99.00.01"
    rows = RemappedRows(0, 0, is_pending=False, has_failed=False)
    healthy = Gpu(index, *words, 16, 16, 1, 5, True, False, rows, {"max": 640, "none": 0}, {})
    return healthy._replace(**changes)  # type: ignore[arg-type]


def node(*gpus: Gpu, on_bus: int = 2, **changes: object) -> Gpus:
    addresses = tuple(address(i) for i in range(on_bus))
    whole = Gpus(addresses, "570.86.15", 12080, None, len(gpus), {g.nvml_index: g for g in gpus})
    return whole._replace(**changes)  # type: ignore[arg-type]


HEALTHY = node(gpu(0), gpu(1))


# Judged by hand-made facts


def test_a_healthy_node_passes_every_check() -> None:
    assert count(HEALTHY, claimed=2).status == Status.OK
    assert driver(HEALTHY).status == Status.OK
    assert pcie_width(HEALTHY).summary == "2 GPUs have their full PCIe width, x16"
    assert remapped_rows(HEALTHY).status == Status.OK


def test_a_gpu_without_a_handle_is_named_by_its_pci_address() -> None:
    lost = node(gpu(0), refused={1: NvmlError("GPU_IS_LOST", "GPU is lost")})

    assert count(lost, claimed=2).summary == "1 usable GPUs, expected 2: 0000:1c:00.0 fell off the bus"
    assert driver(lost).status == Status.FAIL


def test_a_gpu_that_the_driver_does_not_know_is_named_by_its_pci_address() -> None:
    verdict = count(node(gpu(0)), claimed=2)

    assert verdict.summary == "1 usable GPUs, expected 2: 0000:1c:00.0 is on the PCI bus but unknown to the driver"
    assert driver(node(gpu(0))).status == Status.WARN


def test_a_gpu_that_is_not_even_on_the_bus_is_counted() -> None:
    assert count(node(gpu(0), on_bus=1), claimed=2).summary == "1 usable GPUs, expected 2: the PCI bus shows 1"


def test_more_gpus_than_claimed_are_a_warning() -> None:
    assert count(HEALTHY, claimed=1).status == Status.WARN


def test_driver_version_is_matched_by_pattern() -> None:
    assert driver(HEALTHY, allowed=("570.*",)).status == Status.OK
    assert driver(HEALTHY, allowed=("550.*", "565.57.01")).summary == "driver 570.86.15, expected 550.*, 565.57.01"


def test_width_below_the_minimum_fails_even_if_the_slot_can_do_no_more() -> None:
    x8 = node(gpu(0, pcie_width=8, pcie_width_max=8), gpu(1))

    assert pcie_width(x8).status == Status.OK
    assert pcie_width(x8, min_width=16).evidence == {"width_lanes": {"0000:1b:00.0": 8}}


def test_too_many_uncorrectable_rows_fail() -> None:
    worn = node(gpu(0, remapped_rows=RemappedRows(3, 9, is_pending=False, has_failed=False)), gpu(1))

    assert remapped_rows(worn).status == Status.OK
    assert remapped_rows(worn, max_uncorrectable_rows=8).status == Status.FAIL


def test_what_is_learnt_describes_the_node_and_not_its_faults() -> None:
    learnt = {
        check_id: spec.learn(node(gpu(0, pcie_width=8), gpu(1)))
        for check_id, spec in registry().items()
        if check_id.startswith("gpu.") and spec.learn
    }

    assert learnt == {
        "gpu.count": {"claimed": 2},
        "gpu.driver": {"allowed": ("570.86.15",)},
        "gpu.pcie_width": {"min_width": 16},
    }


# Read from a planted machine


def test_no_nvidia_gpu_is_a_skip_and_a_failure_if_claimed(machine: Machine) -> None:
    host = machine(pci_files(0))

    assert verdict_of("gpu.driver", host).status == Status.SKIP
    assert verdict_of("gpu.count", host).summary == "policy claims no gpu"
    assert verdict_of("gpu.count", host, claimed=8).status == Status.FAIL


def test_virtual_functions_are_not_counted(machine: Machine) -> None:
    virtual = {f"{PCI}/{address(0)}/physfn/vendor": "0x10de\n"}
    host = machine(pci_files(1) | virtual)

    assert verdict_of("gpu.driver", host).status == Status.SKIP


def test_a_tree_without_an_answer_of_nvml_is_unknown(machine: Machine) -> None:
    host = machine(pci_files(2))

    assert verdict_of("gpu.driver", host).summary == "nvml_devices: not recorded"
    assert verdict_of("gpu.count", host, claimed=2).status == Status.UNKNOWN
    assert verdict_of("gpu.count", host, claimed=3).status == Status.FAIL  # the bus shows two: enough to know


def test_denied_nvml_is_unknown(machine: Machine) -> None:
    host = machine(pci_files(2), errors={"nvml_devices": ("denied", "NO_PERMISSION")})

    assert verdict_of("gpu.driver", host).summary == "nvml_devices: permission denied"


def test_garbage_for_an_answer_is_unknown(machine: Machine) -> None:
    host = machine(
        pci_files(1),
        calls={
            (nvml_devices,): {"init_error": None, "device_count": 1, "driver_version": "1", "cuda_driver_version": 1},
            (nvml_device, 0): {"error": None, "pci_bus_id": "nowhere", "remapped_rows": None, "errors": {}},
        },
    )

    assert "'nowhere'" in verdict_of("gpu.driver", host).summary


# Whole passes: real pynvml, real worker, fake library


@pytest.fixture
def judged(tmp_path: Path, fake_library: Path) -> Judge:
    """Judge one check with the fake library in a given state: returns status and summary, live and replayed alike."""

    def judge(check_id: str, scenario: str, *, library: Path | None = None, **parameters: object) -> tuple[str, str]:
        plant(tmp_path, pci_files(8))
        environment = os.environ | {"LD_LIBRARY_PATH": str(library or fake_library), "FAKE_NVML": scenario}
        judge_py, wanted = str(FAKE_NVML / "judge.py"), json.dumps({check_id: parameters})
        command = [sys.executable, judge_py, str(tmp_path), "0.7", wanted]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        live, replayed = (verdicts[check_id] for verdicts in json.loads(done.stdout))
        # a crash takes along what its worker had noted: the replay is then as unknown, in other words
        assert replayed == live or ("crashed" in live[1] and replayed[0] == "unknown")
        return live[0], live[1]

    return judge


@pytest.mark.parametrize(
    ("check_id", "parameters"),
    [
        ("gpu.count", {"claimed": 8}),
        ("gpu.driver", {"allowed": ["570.*"]}),
        ("gpu.pcie_width", {"min_width": 16}),
        ("gpu.remapped_rows", {}),
    ],
)
def test_eight_healthy_gpus_pass(judged: Judge, check_id: str, parameters: dict[str, object]) -> None:
    status, summary = judged(check_id, "gpus=8", **parameters)

    assert (status, "8 GPUs" in summary) == ("ok", True)


@pytest.mark.parametrize(
    ("scenario", "summary"),
    [
        ("lost=3", "7 usable GPUs, expected 8: 0000:1e:00.0 fell off the bus"),
        ("refused=3 code=15", "7 usable GPUs, expected 8: 0000:1e:00.0 fell off the bus"),
        ("refused=3 code=999", "7 usable GPUs, expected 8: 0000:1e:00.0 answers UNKNOWN"),
        ("gpus=7", "7 usable GPUs, expected 8: 0000:22:00.0 is on the PCI bus but unknown to the driver"),
        ("init=9", "no usable GPU, expected 8: NVML says DRIVER_NOT_LOADED: Driver Not Loaded"),
    ],
)
def test_missing_gpus_fail_the_count(judged: Judge, scenario: str, summary: str) -> None:
    assert judged("gpu.count", scenario, claimed=8) == ("fail", summary)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "DRIVER_NOT_LOADED (Driver Not Loaded)"),
        (18, "LIB_RM_VERSION_MISMATCH (RM has detected an NVML/RM version mismatch.)"),
        (999, "UNKNOWN (Unknown Error)"),
    ],
)
def test_nvml_that_does_not_initialise_fails_the_driver(judged: Judge, code: int, words: str) -> None:
    summary = f"NVML cannot be initialised: {words}, 8 NVIDIA GPUs on the PCI bus"

    assert judged("gpu.driver", f"init={code}") == ("fail", summary)


def test_nvml_that_hangs_is_unknown_within_the_deadline(judged: Judge) -> None:
    began = time.monotonic()

    assert judged("gpu.count", "hang=-1", claimed=8) == ("unknown", "nvml_devices: timed out")
    assert time.monotonic() - began < 10


def test_a_hanging_gpu_is_named_and_hides_no_other(judged: Judge) -> None:
    assert judged("gpu.count", "hang=3", claimed=8) == ("unknown", "nvml_device 3: timed out")
    assert judged("gpu.pcie_width", "hang=3 narrow=5")[0] == "fail"
    assert judged("gpu.pcie_width", "hang=3") == ("unknown", "nvml_device 3: timed out")


def test_nvml_that_crashes_is_unknown(judged: Judge) -> None:
    assert judged("gpu.count", "crash=-1", claimed=8) == ("unknown", "nvml_devices: crashed (SIGSEGV)")
    assert judged("gpu.driver", "crash=2") == ("unknown", "nvml_device 2: crashed (SIGSEGV)")


def test_without_the_library_it_is_a_skip_unless_claimed(judged: Judge, tmp_path: Path) -> None:
    assert judged("gpu.driver", "", library=tmp_path)[0] == "skip"

    status, summary = judged("gpu.count", "", library=tmp_path, claimed=8)
    assert status == "fail"
    assert summary.startswith("nvml_devices: not there (libnvidia-ml.so.1: cannot open shared object file")


def test_nvml_that_wants_more_permission_is_unknown(judged: Judge) -> None:
    assert judged("gpu.driver", "init=4") == ("unknown", "nvml_devices: permission denied")
    assert judged("gpu.remapped_rows", "forbidden=1") == ("unknown", "nvml_device 1: permission denied")


@pytest.mark.parametrize(
    ("scenario", "status", "words"),
    [
        ("pending=1", "warn", "0000:1c:00.0 waits for a reset to remap a row"),
        ("failed=2", "fail", "0000:1d:00.0 failed to remap a row (RMA)"),
        ("exhausted=4", "warn", "0000:1f:00.0 has 2 memory banks without spare rows"),
        ("mig=0", "ok", "7 GPUs: no remapping failed or pending"),
        ("lost=3", "unknown", "nvml_device 3: failed (remapped_rows: GPU_IS_LOST)"),
    ],
)
def test_remapped_rows(judged: Judge, scenario: str, status: str, words: str) -> None:
    found, summary = judged("gpu.remapped_rows", scenario)

    assert (found, words in summary) == (status, True)


def test_a_pending_remapping_can_be_a_failure(judged: Judge) -> None:
    assert judged("gpu.remapped_rows", "pending=1", pending_is="fail")[0] == "fail"


def test_a_narrow_link_fails_with_its_address(judged: Judge) -> None:
    summary = "1 of 8 GPUs have a narrow PCIe link: 0000:1c:00.0 has x8, expected x16"

    assert judged("gpu.pcie_width", "narrow=1") == ("fail", summary)


def test_a_name_that_is_not_text_hides_no_other_field(judged: Judge) -> None:
    assert judged("gpu.pcie_width", "garbled=0")[0] == "ok"
