"""GPUs that are there, answer and have a driver: judged by hand-made facts, and read from planted machines."""

from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from gpu_node import address, pci_files
from nodeproof.check import registry
from nodeproof.cli import explain
from nodeproof.errors import FactError
from nodeproof.host.nvml import nvml_device, nvml_devices
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.gpu_device import Gpu, NvmlError, RemappedRows
from nodeproof.verdict import Status
from nodeproof_checks.gpu import count, driver, lost, pcie_width
from nodeproof_checks.gpu_memory import remapped_rows
from support import Machine, verdict_of


def gpu(index: int, **changes: object) -> Gpu:
    healthy = Gpu(
        index,
        pci_address=address(index),
        name="NVIDIA H100 80GB HBM3",
        pcie_width=16,
        pcie_width_max=16,
        remapped_rows=RemappedRows(0, 0, is_pending=False, has_failed=False),
        spare_row_banks={"max": 640, "none": 0},
    )
    return healthy._replace(**changes)  # type: ignore[arg-type]


def node(*gpus: Gpu, on_bus: int = 2, **changes: object) -> Gpus:
    addresses = tuple(address(i) for i in range(on_bus))
    known = {g.nvml_index: g for g in gpus}
    whole = Gpus(addresses, "570.86.15", 12080, device_count=len(gpus), known=known)
    return whole._replace(**changes)  # type: ignore[arg-type]


HEALTHY = node(gpu(0), gpu(1))


def test_a_healthy_node_passes_every_check() -> None:
    assert count(HEALTHY, claimed=2).status == Status.OK
    assert lost(HEALTHY).status == Status.OK
    assert driver(HEALTHY).status == Status.OK
    assert pcie_width(HEALTHY).summary == "2 GPUs have their full PCIe width, x16"
    assert remapped_rows(HEALTHY).status == Status.OK


def test_a_gpu_without_a_handle_is_named_by_its_pci_address() -> None:
    refused = node(gpu(0), refused={1: NvmlError("GPU_IS_LOST", "GPU is lost")})

    verdict = lost(refused)
    assert verdict.summary == "1 of 2 GPUs do not answer: 0000:1c:00.0 fell off the bus"
    assert verdict.evidence["parts"] == ["pci:0000:1c:00.0"]


def test_a_gpu_that_the_driver_does_not_know_is_named_by_its_pci_address() -> None:
    verdict = lost(node(gpu(0)))

    assert (verdict.status, verdict.summary[:70]) == (
        Status.FAIL,
        "1 of 2 GPUs do not answer: 0000:1c:00.0 is on the PCI bus but unknown ",
    )
    assert lost(node(gpu(0)), missing_is="warn").status == Status.WARN


def test_a_lost_gpu_is_a_failure_whatever_a_missing_one_is() -> None:
    errors = {"name": "GPU_IS_LOST"}

    assert lost(node(gpu(0), gpu(1, errors=errors)), missing_is="warn").status == Status.FAIL
    assert lost(node(gpu(0), gpu(1, errors=errors), on_bus=3), missing_is="warn").status == Status.FAIL


def test_a_gpu_that_is_not_even_on_the_bus_is_counted() -> None:
    assert count(node(gpu(0), on_bus=1), claimed=2).summary == "1 GPUs on the PCI bus, expected 2"


def test_more_gpus_than_claimed_are_a_warning() -> None:
    assert count(HEALTHY, claimed=1).status == Status.WARN


def test_driver_version_is_matched_by_pattern() -> None:
    assert driver(HEALTHY, allowed=("570.*",)).status == Status.OK
    assert driver(HEALTHY, allowed=("550.*", "565.57.01")).summary == "driver 570.86.15, expected 550.*, 565.57.01"


def test_width_below_the_minimum_fails_even_if_the_slot_can_do_no_more() -> None:
    x8 = node(gpu(0, pcie_width=8, pcie_width_max=8), gpu(1))

    assert pcie_width(x8).status == Status.OK
    assert pcie_width(x8, min_width=16).evidence == {"width_lanes": {"0000:1b:00.0": 8}}


@pytest.mark.parametrize(
    ("rows", "parameters", "status"),
    [
        (RemappedRows(3, 9, is_pending=False, has_failed=False), {}, Status.OK),
        (RemappedRows(3, 9, is_pending=False, has_failed=False), {"max_uncorrectable_rows": 8}, Status.FAIL),
        (RemappedRows(0, 1, is_pending=True, has_failed=False), {}, Status.WARN),
        (RemappedRows(0, 1, is_pending=True, has_failed=False), {"pending_is": "fail"}, Status.FAIL),
        (RemappedRows(11, 0, is_pending=False, has_failed=False), {}, Status.WARN),
        (RemappedRows(11, 0, is_pending=False, has_failed=False), {"warn_correctable_rows": 11}, Status.OK),
    ],
)
def test_remapped_rows_have_limits(rows: RemappedRows, parameters: Mapping[str, int], status: Status) -> None:
    assert remapped_rows(node(gpu(0, remapped_rows=rows), gpu(1)), **parameters).status == status  # type: ignore[arg-type]


def test_a_field_that_no_gpu_has_is_absent_and_one_that_failed_is_not() -> None:
    without = node(gpu(0, remapped_rows=None), gpu(1, remapped_rows=None))
    failed = node(gpu(0, remapped_rows=None, errors={"remapped_rows": "UNKNOWN"}), gpu(1))

    with pytest.raises(FactError, match="not supported") as error:
        remapped_rows(without)
    assert error.value.kind == "absent"
    with pytest.raises(FactError, match="UNKNOWN") as error:
        remapped_rows(failed)
    assert error.value.kind == "failed"


def test_what_is_learnt_describes_the_node_and_not_its_faults() -> None:
    bad = node(gpu(0, pcie_width=8, vbios_version="96"), gpu(1, errors={"name": "GPU_IS_LOST"}))
    learnt = {
        check_id: dict(spec.learn(bad))
        for check_id, spec in registry().items()
        if check_id.startswith("gpu.") and spec.learn and spec.facts == (Gpus,)
    }

    assert {check_id: values for check_id, values in learnt.items() if values} == {
        "gpu.count": {"claimed": 2},
        "gpu.driver": {"allowed": ("570.86.15",)},
        "gpu.pcie_width": {"min_width": 16},
        "gpu.vbios": {"allowed": ("96",)},
    }


def test_the_tag_has_every_check_of_gpus_and_of_what_their_driver_tells() -> None:
    tagged = {check_id for check_id, spec in registry().items() if "gpu" in spec.tags}
    of_gpus = {check_id for check_id, s in registry().items() if s.subject == "gpu" and "bench" not in s.tags}

    assert of_gpus <= tagged
    assert tagged - of_gpus >= {"event.xid", "event.sxid", "event.gpu_lost", "event.gpu_init"}


@pytest.mark.parametrize(("asked", "told"), [("gpu.xid", "event.xid"), ("gpu.sxid", "event.sxid")])
def test_what_the_driver_tells_is_explained_under_the_name_that_one_looks_for(asked: str, told: str) -> None:
    answer = CliRunner().invoke(explain.command, [asked])

    assert (answer.exit_code, answer.output.splitlines()[0]) == (0, told)


# Read from a planted machine


def test_no_nvidia_gpu_is_a_skip_and_a_failure_if_claimed(machine: Machine) -> None:
    host = machine(pci_files(0))

    assert verdict_of("gpu.driver", host).status == Status.SKIP
    assert verdict_of("gpu.count", host).summary == "policy claims no gpu"
    assert verdict_of("gpu.count", host, claimed=8).status == Status.FAIL


def test_every_gpu_check_is_a_skip_without_a_gpu(machine: Machine) -> None:
    host = machine(pci_files(0) | {"/proc/1/comm": "systemd\n"})
    checks = [check_id for check_id in registry() if check_id.startswith("gpu.")]

    assert {check_id: verdict_of(check_id, host).status for check_id in checks} == dict.fromkeys(checks, Status.SKIP)


def test_virtual_functions_are_not_counted(machine: Machine) -> None:
    virtual = {f"/sys/bus/pci/devices/{address(0)}/physfn/vendor": "0x10de\n"}
    host = machine(pci_files(1) | virtual)

    assert verdict_of("gpu.driver", host).status == Status.SKIP


def test_a_tree_without_an_answer_of_nvml_is_unknown(machine: Machine) -> None:
    host = machine(pci_files(2))

    assert verdict_of("gpu.driver", host).summary == "nvml_devices: not recorded"
    assert verdict_of("gpu.lost", host).status == Status.UNKNOWN
    assert verdict_of("gpu.count", host, claimed=3).status == Status.FAIL  # the bus shows two: enough to know


def test_denied_nvml_is_unknown(machine: Machine) -> None:
    host = machine(pci_files(2), errors={"nvml_devices": ("denied", "NO_PERMISSION")})

    assert verdict_of("gpu.driver", host).summary == "nvml_devices: permission denied"


SYSTEM = {"init_error": None, "device_count": 1, "driver_version": "1", "cuda_driver_version": 1}


def test_garbage_for_an_answer_is_unknown(machine: Machine) -> None:
    answer: dict[str, Any] = {"error": None, "pci_bus_id": "nowhere", "remapped_rows": None, "errors": {}}
    host = machine(pci_files(1), calls={(nvml_devices,): SYSTEM, (nvml_device, 0): answer})

    assert "'nowhere'" in verdict_of("gpu.driver", host).summary


def test_what_an_earlier_version_did_not_ask_is_unknown_and_not_absent(machine: Machine) -> None:
    answer: dict[str, Any] = {"error": None, "pci_bus_id": "00000000:1B:00.0", "remapped_rows": None, "errors": {}}
    host = machine(pci_files(1), calls={(nvml_devices,): SYSTEM, (nvml_device, 0): answer})

    verdict = verdict_of("gpu.persistence", host)
    assert (verdict.status, "is_persistence_on" in verdict.summary) == (Status.UNKNOWN, True)
    assert verdict_of("gpu.lost", host).status == Status.OK


def test_a_gpu_whose_configuration_space_is_all_ones_is_lost(machine: Machine) -> None:
    answer: dict[str, Any] = {"error": None, "pci_bus_id": "00000000:1B:00.0", "remapped_rows": None, "errors": {}}
    config = {f"/sys/bus/pci/devices/{address(0)}/config": b"\xff" * 64}
    host = machine(pci_files(1) | config, calls={(nvml_devices,): SYSTEM, (nvml_device, 0): answer})

    verdict = verdict_of("gpu.lost", host)
    assert (verdict.status, "rev ff" in verdict.summary) == (Status.FAIL, True)
