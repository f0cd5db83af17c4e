"""What GPUs and their NVLinks count over time: each limit, and which counters facts yield."""

from collections.abc import Mapping
from typing import Any

import pytest

from gpu_node import address, pci_files
from nodeproof.events.ledger import CounterSeries, Ledger, to_json
from nodeproof.host.clock import wall_clock_s
from nodeproof.host.nvml import nvml_device, nvml_devices
from nodeproof.host.nvml_links import nvml_links
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.gpu_links import GpuLinks
from nodeproof.probes.ledger import BOOT_ID, LEDGER
from nodeproof.verdict import Status
from support import Machine, verdict_of

NOW, HOUR = 1_800_000_000.0, 3600.0
GPU = f"pci:{address(0)}"

#: Every limit: the counter, its part, and how many the check bears in its window at most.
LIMITS = [
    ("gpu.ecc_corrected_rate", "gpu.dram_corrected", GPU, 2400),
    ("gpu.ecc_corrected_rate", "gpu.sram_corrected", GPU, 2400),
    ("gpu.pcie_replay_rate", "gpu.pcie_replays", GPU, 480),
    ("gpu.throttle_share", "gpu.thermal_ms", GPU, 180_000),
    ("gpu.throttle_share", "gpu.reliability_ms", GPU, 180_000),
    ("gpu.nvlink_error_rate", "gpu.nvlink_recoveries", f"{GPU}/nvlink3", 0),
    ("gpu.nvlink_error_rate", "gpu.nvlink_errors", f"{GPU}/nvlink3", 360_000),
]


@pytest.mark.parametrize(("check_id", "counter", "part", "most"), LIMITS, ids=[limit[1] for limit in LIMITS])
def test_more_than_the_limit_fails_and_names_the_part(
    machine: Machine, check_id: str, counter: str, part: str, most: int
) -> None:
    def verdict(count: int) -> Any:
        points = ((NOW - 60, count),) if count else ()
        series = CounterSeries(counter, part, NOW - 48 * HOUR, NOW, count, points)
        ledger = Ledger("b", NOW - 72 * HOUR, NOW - 10, (), (series,))
        return verdict_of(check_id, machine({LEDGER: to_json(ledger), BOOT_ID: "b\n"}, calls={(wall_clock_s,): NOW}))

    assert verdict(most).status == Status.OK
    assert verdict(most + 1).status == Status.FAIL
    assert verdict(most + 1).summary.startswith(f"{part.partition(':')[2]} has {most + 1} ")


SYSTEM = {"init_error": None, "device_count": 1, "driver_version": "1", "cuda_driver_version": 1}
ANSWER: dict[str, object] = {"error": None, "name": "H100", "pci_bus_id": "00000000:1B:00.0", "errors": {}}


def counted(machine: Machine, fact: Any, question: Any, answer: Mapping[str, object]) -> dict[tuple[str, str], int]:
    host = machine(pci_files(1), calls={(nvml_devices,): SYSTEM, (question, 0): ANSWER | dict(answer)})
    return {(c.name, c.part): c.value for c in fact.read(host).counters()}


def test_a_gpu_counts_errors_of_its_whole_life_and_time_in_milliseconds(machine: Machine) -> None:
    answer = {"remapped_rows": None, "dram_corrected_ever": 9, "dram_corrected": 1, "thermal_ns": 5_000_000_000}

    assert counted(machine, Gpus, nvml_device, answer) == {
        ("gpu.dram_corrected", GPU): 9,
        ("gpu.thermal_ms", GPU): 5000,
    }


def test_a_link_counts_sums_of_what_its_generation_has(machine: Machine) -> None:
    kinds: tuple[str, ...] = ("replays", "recoveries", "crc_errors", "receive_errors", "integrity_errors")
    kinds += ("buffer_overruns", "failed_recoveries", "effective_errors")
    link = dict.fromkeys(kinds) | {"is_active": True, "speed_mb_per_s": 26562, "remote": None, "errors": {}}
    links = [link | {"replays": 2, "recoveries": 1, "crc_errors": 40}, link]

    assert counted(machine, GpuLinks, nvml_links, {"links": links}) == {
        ("gpu.nvlink_recoveries", f"{GPU}/nvlink0"): 3,
        ("gpu.nvlink_errors", f"{GPU}/nvlink0"): 40,
    }
