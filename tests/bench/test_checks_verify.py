"""Judgement of corruption by cores and by memory."""

import struct
from typing import Any

import pytest

from nodeproof.verdict import Status
from nodeproof_bench.modules import MappedModule, MappedModules
from nodeproof_bench.result import BenchResult
from planted_bench import failure, history, result, verdict
from smbios_table import END, memory_array, memory_device, structure
from support import Machine

NO_MODULES = MappedModules(())


def cores(*points: dict[str, Any], **more: Any) -> BenchResult:
    more = {"seed": 99, "runs_per_cpu": 210, "rotations": 4, **more}
    return result("cpu.verify", sum(p["value"] for p in points), "1", threads=8, points=points, **more)


def corruption(cpu: int = 5, **changes: Any) -> dict[str, Any]:
    return {
        "value": 1,
        "cpu": cpu,
        "kernel": "gemm",
        "isa": "avx512",
        "seed": 1234,
        "phase": "hot",
        "offset": 64,
        "expected": "0x3ff0000000000000",
        "found": "0x3ff0000000020001",
        "wrong_words": 1,
        "is_reproduced": True,
        "replays_wrong": 3,
        "replays": 4,
        "is_attributed": True,
        **changes,
    }


def test_cores_that_agree_are_ok() -> None:
    assert verdict("cpu.verify", history(cores())).summary == "8 CPUs computed the same in 210 runs each"


def test_a_reproduced_corruption_names_core_kernel_seed_and_bits() -> None:
    found = verdict("cpu.verify", history(cores(corruption(), corruption(6), reason="other processes used 1.0 CPUs")))

    assert found.status == Status.FAIL
    assert found.summary == (
        "CPU 5 computed gemm (avx512, seed 1234) wrongly: expected 0x3ff0000000000000, found 0x3ff0000000020001 "
        "(bit 0, 17) and 1 more"
    )
    assert found.evidence["corruptions"] == 2


def test_a_corruption_that_did_not_come_again_asks_for_a_test() -> None:
    found = verdict("cpu.verify", history(cores(corruption(is_reproduced=False, replays_wrong=0))))

    assert found.status == Status.WARN
    assert found.summary.endswith("once: test again by `nodeproof-bench cpu.verify --seed 1234`")


def test_a_corruption_that_could_not_be_replayed_is_believed() -> None:
    assert verdict("cpu.verify", history(cores(corruption(is_reproduced=None)))).status == Status.FAIL


def test_one_that_came_again_among_others_fails() -> None:
    both = cores(corruption(is_reproduced=False), corruption(6))

    assert verdict("cpu.verify", history(both)).summary.startswith("CPU 6 computed gemm")


def test_a_pair_and_a_doubtful_attribution_are_told() -> None:
    found = verdict("cpu.verify", history(cores(corruption(partner_cpu=7, is_attributed=False, expected=None))))

    assert found.summary == (
        "CPU 5 with CPU 7, or one that it was compared with, computed gemm (avx512, seed 1234) wrongly"
    )


def test_a_count_without_a_place_fails_all_the_same() -> None:
    assert verdict("cpu.verify", history(cores()._replace(value=3))).status == Status.FAIL


def test_a_test_that_gave_no_result_is_unknown() -> None:
    assert verdict("cpu.verify", history(failures=[failure("cpu.verify", kind="timed_out")])).status == Status.UNKNOWN


# memory.verify


def memory(*points: dict[str, Any], **more: Any) -> BenchResult:
    more = {"seed": 77, "bytes_tested": 2 << 30, "bytes_checked": 20 << 30, "is_complete": True, **more}
    return result("memory.verify", len(points), "1", threads=8, points=points, **more)


def wrong_word(**changes: Any) -> dict[str, Any]:
    return {
        "value": 1,
        "cpu": 0,
        "pattern": "checkerboard",
        "offset": 4096,
        "expected": "0x5555555555555555",
        "found": "0x5555555555555515",
        "physical_address": "0x0000000240001000",
        "is_stored": True,
        "is_reproduced": True,
        "replays_wrong": 10,
        "replays": 10,
        **changes,
    }


def test_memory_that_keeps_its_values_is_ok() -> None:
    found = verdict("memory.verify", history(memory()), NO_MODULES)

    assert found.summary == "2.15 GB of memory kept what was written to it"


def test_a_bad_word_names_its_address_and_bits() -> None:
    found = verdict("memory.verify", history(memory(wrong_word())), NO_MODULES)

    assert found.status == Status.FAIL
    assert found.summary == (
        "memory at 0x240001000 did not keep the pattern checkerboard: expected 0x5555555555555555, "
        "found 0x5555555555555515 (bit 6)"
    )


def test_a_bad_word_names_its_module_where_the_firmware_says_so() -> None:
    modules = MappedModules((MappedModule(0, (8 << 30) - 1, "A1"), MappedModule(8 << 30, (16 << 30) - 1, "B1")))
    interleaved = MappedModules((MappedModule(0, (16 << 30) - 1, "A1"), MappedModule(0, (16 << 30) - 1, "B1")))
    bad = history(memory(wrong_word()))

    assert "memory at 0x240001000 in B1 did not keep" in verdict("memory.verify", bad, modules).summary
    assert "memory at 0x240001000 in A1 or B1 did not" in verdict("memory.verify", bad, interleaved).summary


def test_an_address_that_only_root_may_know_is_not_invented() -> None:
    found = verdict("memory.verify", history(memory(wrong_word(physical_address=None))), NO_MODULES)

    assert found.status == Status.FAIL
    assert found.summary.startswith("memory (its address is not known: that needs root) did not keep")


def test_a_bad_word_that_did_not_come_again_asks_for_a_test() -> None:
    found = verdict("memory.verify", history(memory(wrong_word(is_reproduced=False))), NO_MODULES)

    assert found.status == Status.WARN
    assert found.summary.endswith("once: test again by `nodeproof-bench memory.verify --seed 77`")


def test_memory_of_which_nothing_was_read_back_is_unknown() -> None:
    found = verdict("memory.verify", history(memory(bytes_tested=0, bytes_checked=0)), NO_MODULES)

    assert found.status == Status.UNKNOWN
    assert "nothing was read back" in found.summary


# nodeproof_bench.modules

TABLE = "/sys/firmware/dmi/tables/DMI"


def mapped(device: int, first_kib: int, last_kib: int, extended: tuple[int, int] = (0, 0)) -> bytes:
    body = struct.pack("<IIHHBBBQQ", first_kib, last_kib, device, 0x1300, 0xFF, 1, 1, *extended)
    return structure(20, 0x1400, body)


def module(handle: int, locator: str) -> bytes:
    made = memory_device(locator)
    return made[:2] + struct.pack("<H", handle) + made[4:]


def test_ranges_of_modules_are_read_from_the_firmware(machine: Machine) -> None:
    devices = module(0x1100, "A1") + module(0x1101, "B1")
    gib = 1 << 20
    ranges = mapped(0x1100, 0, 8 * gib - 1) + mapped(0x1101, 0xFFFFFFFF, 0xFFFFFFFF, (8 << 30, (16 << 30) - 1))
    found = MappedModules.read(machine({TABLE: memory_array() + devices + ranges + END}))

    assert found.ranges == (MappedModule(0, (8 << 30) - 1, "A1"), MappedModule(8 << 30, (16 << 30) - 1, "B1"))
    assert found.holding((8 << 30) - 1) == ("A1",)
    assert found.holding(8 << 30) == ("B1",)
    assert found.holding(1 << 40) == ()


def test_a_range_of_no_module_that_is_known_is_left_out(machine: Machine) -> None:
    table = memory_array() + module(0x1100, "A1") + mapped(0x9999, 0, 1023) + END

    assert MappedModules.read(machine({TABLE: table})) == NO_MODULES


@pytest.mark.parametrize("kind", ["absent", "denied", "malformed"])
def test_without_the_firmwares_word_no_module_is_named(machine: Machine, kind: str) -> None:
    assert MappedModules.read(machine({}, errors={TABLE: (kind, "")})) == NO_MODULES
