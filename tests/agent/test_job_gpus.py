"""Which GPUs are a job's, by what Slurm puts into the environment of prolog and epilog, and what a hook makes of it."""

import time
from pathlib import Path

import pytest

from gpu_node import pci_files
from nodeproof.check import CheckSpec
from nodeproof.engine import Pass, Result
from nodeproof.hooks import judge
from nodeproof.hooks.judge import of_node
from nodeproof.hooks.occasion import Occasion, occasion_of
from nodeproof.host.nvml import nvml_device, nvml_devices
from nodeproof.policy.settings import CheckSettings
from nodeproof.state import Store
from nodeproof.verdict import fail, skip
from support import Machine

MIG = "MIG-b2b1b7a6-0f1f-5c5e-9c34-5a3f1c1b7f6a"


@pytest.mark.parametrize(
    ("environment", "gpus"),
    [
        ({}, ()),
        ({"SLURM_JOB_GPUS": "0,1"}, ("0", "1")),
        ({"SLURM_JOB_GPUS": "0-2,7"}, ("0", "1", "2", "7")),
        ({"SLURM_JOB_GPUS": "4,5", "CUDA_VISIBLE_DEVICES": "0,1"}, ("4", "5")),  # those of a cgroup count from 0
        ({"CUDA_VISIBLE_DEVICES": "3"}, ("3",)),
        ({"SLURM_JOB_GPUS": "9", "CUDA_VISIBLE_DEVICES": MIG}, (MIG,)),
        ({"CUDA_VISIBLE_DEVICES": "MIG-GPU-0c757cd7/1/0"}, ("MIG-GPU-0c757cd7/1/0",)),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, ()),
        ({"SLURM_JOB_GPUS": ""}, ()),
    ],
)
def test_lists_of_gpus_are_read(environment: dict[str, str], gpus: tuple[str, ...]) -> None:
    for kind in ("prolog", "epilog"):
        occasion, warnings = occasion_of(kind, environment)

        assert (occasion.gpus, warnings) == (gpus, [])


@pytest.mark.parametrize(
    "value", ["0,", "0 1", "3-1", "gpu0", "٣", "0\nfail", "-2", "1" * 4, "0," * 5000 + "0", "0-999,0-999", "GPU-"]
)
def test_a_list_that_slurm_does_not_write_means_all_gpus_and_is_told(value: str) -> None:
    occasion, warnings = occasion_of("prolog", {"SLURM_JOB_GPUS": value})

    assert occasion.gpus == ()
    assert [("SLURM_JOB_GPUS" in w, "all GPUs are judged" in w, "\n" in w) for w in warnings] == [(True, True, False)]


def test_a_health_check_has_no_job() -> None:
    assert occasion_of("healthcheck", {"SLURM_JOB_GPUS": "0"})[0].gpus == ()


def test_what_was_found_on_gpus_of_other_jobs_counts_neither_as_failed_nor_as_passed() -> None:
    spec = CheckSpec("gpu.lost", fail, (), {}, frozenset(), "", None, beta=False)
    found = Result(spec, CheckSettings(), fail("lost"), 0.0)
    others = found._replace(verdict=skip("not on this job's GPUs: lost"), is_of_others=True)

    assert of_node(Pass((found, others), {})).results == (found,)


@pytest.fixture
def told(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Plant a node whose GPU 1 was lost, for hooks to judge; returns where policy is, and where to keep state."""
    system = {"init_error": None, "device_count": 2, "driver_version": "1", "cuda_driver_version": 1}
    healthy: dict[str, object] = {"error": None, "pci_bus_id": "00000000:1B:00.0", "remapped_rows": None, "errors": {}}
    lost = {"error": {"name": "GPU_IS_LOST", "text": "GPU is lost"}}
    calls = {(nvml_devices,): system, (nvml_device, 0): healthy, (nvml_device, 1): lost}
    host = machine(pci_files(2) | {"/proc/sys/kernel/hostname": "n1\n"}, calls=calls)
    monkeypatch.setattr(judge, "open_host", lambda root: host)
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "10.toml").write_text('mode = "observe"\n')
    return str(policy), str(tmp_path / "state")


@pytest.mark.parametrize("kind", ["prolog", "epilog"])
@pytest.mark.parametrize(("gpus", "is_found"), [(("0",), False), (("1",), True), (("0", "1"), True), ((), True)])
def test_a_hook_fails_a_job_for_its_own_gpus_alone(
    told: tuple[str, str], kind: str, gpus: tuple[str, ...], is_found: bool
) -> None:
    policy, state = told

    made = judge.judge(Occasion(kind, 4711, "n1", time.monotonic(), gpus), policy, state)

    drains = [line for line in made.lines if line.startswith("would drain n1: ")]
    assert ["gpu.lost: 1 of 2 GPUs do not answer" in line for line in drains] == [True] * is_found
    store = Store(state)
    with store.locked():
        assert ("gpu.lost" in store.load().streaks) == is_found
