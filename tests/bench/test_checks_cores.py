"""Judgement of single cores against their siblings."""

from typing import Any

import pytest

from nodeproof.verdict import Status
from nodeproof_bench.cores import Cores
from nodeproof_bench.result import BenchResult
from planted_bench import history, point, result, verdict
from support import Machine

ALIKE = Cores({}, {}, {}, ())


# cpu.per_core


def core(
    cpu: int, *, clock_hz: float = 3.5e9, per_clock: float = 31.9, package: int = 0, **more: Any
) -> dict[str, Any]:
    more = {"cpu": cpu, "package": package, "clock_hz": clock_hz, "flops_per_clock": per_clock, **more}
    return point(clock_hz * per_clock, **more)


def per_core(*points: dict[str, Any], cores: Cores = ALIKE, reason: str = "", **parameters: object) -> Any:
    slowest = min(p["value"] for p in points)
    scan = result("cpu.per_core", slowest, "FLOP/s", points=points, threads=len(points), reason=reason)
    return verdict("cpu.per_core", history(scan), cores, **parameters)


def healthy(count: int = 32, **more: Any) -> list[dict[str, Any]]:
    return [core(n, clock_hz=3.5e9 + 1e6 * (n * 7 % 11), **more) for n in range(count)]


def test_cores_that_are_alike_are_ok() -> None:
    found = per_core(*healthy())

    assert found.status == Status.OK
    assert found.summary == "32 cores as fast as their siblings, from 112 GFLOP/s to 112 GFLOP/s"


def test_one_pair_of_cores_has_one_time() -> None:
    pair = point(30.4e-9, cpu=0, to_cpu=1, shares_cache=True)
    found = verdict("cpu.core_to_core", history(result("cpu.core_to_core", 30.4e-9, "s", points=[pair])), ALIKE)

    assert found.summary == "a cache line takes 30.4 ns between cores, in 1 pair"


def test_a_core_of_low_clock_is_named() -> None:
    found = per_core(*healthy(31), core(31, clock_hz=3.1e9))

    assert found.status == Status.FAIL
    assert found.summary == ("CPU 31 has 88% of the speed of its siblings: the clock is 3.10 GHz, theirs 3.50 GHz")


def test_a_core_that_does_less_in_a_clock_is_named() -> None:
    found = per_core(*healthy(31), core(31, per_clock=16))

    assert found.status == Status.FAIL
    assert found.summary.endswith("16.0 operations in a clock, theirs 31.9")


def test_a_slow_core_of_a_busy_machine_is_unknown() -> None:
    found = per_core(*healthy(31), core(31, clock_hz=3.1e9), reason="other processes used 1.0 CPUs")

    assert found.status == Status.UNKNOWN


@pytest.mark.parametrize("noise", [{"is_contended": True}, {"stability": 0.3}, {"on_cpu_share": 0.25}])
def test_a_core_that_others_had_is_unknown(noise: dict[str, Any]) -> None:
    found = per_core(*healthy(31), core(31, clock_hz=1e9, **noise))

    assert found.status == Status.UNKNOWN
    assert "others used CPU 31 all the time" in found.summary


def test_kinds_of_cores_are_not_compared_with_each_other() -> None:
    big = range(16)
    hybrid = Cores({}, {n: 5_000_000 if n in big else 3_800_000 for n in range(24)}, {}, ())
    points = [core(n, clock_hz=5e9) if n in big else core(n, clock_hz=3.8e9, per_clock=15.9) for n in range(24)]

    assert per_core(*points, cores=hybrid).status == Status.OK
    assert per_core(*points).status == Status.FAIL
    points[20] = core(20, clock_hz=3.4e9, per_clock=15.9)
    assert per_core(*points, cores=hybrid).summary.startswith("CPU 20 has 89% of the speed")


def test_favoured_cores_are_of_the_same_kind() -> None:
    favoured = Cores({}, {n: 4_200_000 if n < 2 else 4_000_000 for n in range(8)}, {}, ())

    assert favoured.kinds(range(8)) == [[*range(8)]]
    points = [core(n, clock_hz=4.2e9 if n < 2 else 4e9) for n in range(8)]
    assert per_core(*points, cores=favoured).status == Status.OK


def test_a_package_that_is_slow_as_a_whole_is_named() -> None:
    found = per_core(*healthy(16), *(core(16 + n, clock_hz=2.8e9, package=1) for n in range(16)))

    assert found.status == Status.FAIL
    assert found.summary == ("package 1 has 80% of the speed of package 0: the clock is 2.80 GHz, theirs 3.51 GHz")


def test_half_of_a_package_cannot_excuse_itself_by_its_scatter() -> None:
    found = per_core(*healthy(9), *(core(9 + n, clock_hz=2.8e9) for n in range(7)))

    assert found.status == Status.FAIL
    assert found.evidence["slow"] == [f"CPU {n}" for n in range(9, 16)]


def test_two_cores_are_too_few() -> None:
    assert per_core(core(0), core(1, clock_hz=2e9)).summary == "2 cores: too few to tell which is the odd one"


# cpu.core_to_core


def lines(times: dict[tuple[int, int], float], *, caches: int = 8, **more: Any) -> BenchResult:
    points = [
        {"cpu": a, "to_cpu": b, "shares_cache": a // caches == b // caches, **point(t)} for (a, b), t in times.items()
    ]
    return result("cpu.core_to_core", max(times.values()), "s", points=points, **more)


def all_pairs(near: float = 25e-9, far: float = 90e-9) -> dict[tuple[int, int], float]:
    return {(a, b): near if a // 8 == b // 8 else far for a in range(16) for b in range(a + 1, 16)}


def test_near_and_far_pairs_are_compared_with_their_like() -> None:
    found = verdict("cpu.core_to_core", history(lines(all_pairs())), ALIKE)

    assert found.status == Status.OK
    assert found.summary == "a cache line takes 25.0 ns to 90.0 ns between cores, in 120 pairs"


def test_a_core_that_is_far_from_all_its_neighbours_is_named() -> None:
    times = {pair: 60e-9 if 5 in pair and max(pair) < 8 else t for pair, t in all_pairs().items()}
    found = verdict("cpu.core_to_core", history(lines(times)), ALIKE)

    assert found.status == Status.FAIL
    assert found.summary == "a cache line takes 60.0 ns between CPU 5 and others, 25.0 ns is usual"
    assert verdict("cpu.core_to_core", history(lines(times, reason="busy")), ALIKE).status == Status.UNKNOWN


def test_a_single_pair_that_stands_out_is_named() -> None:
    times = {**all_pairs(), (2, 6): 70e-9}

    assert verdict("cpu.core_to_core", history(lines(times)), ALIKE).summary == (
        "a cache line takes 70.0 ns between CPU 2 and CPU 6, 25.0 ns is usual"
    )


def test_packages_are_told_apart() -> None:
    times = {(a, b): 250e-9 if b > 7 >= a else 90e-9 for a in range(10) for b in range(a + 1, 10) if a // 2 != b // 2}
    sockets = Cores({}, {}, {}, (tuple(range(8)), (8, 9)))

    assert verdict("cpu.core_to_core", history(lines(times, caches=2)), sockets).status == Status.OK
    assert verdict("cpu.core_to_core", history(lines(times, caches=2)), ALIKE).status == Status.FAIL


# nodeproof_bench.cores

CPU = "/sys/devices/system/cpu"


def test_what_the_kernel_says_of_cores_is_read(machine: Machine) -> None:
    files = {f"{CPU}/cpu{n}/topology/package_cpus_list": "0-1\n" if n < 2 else "2-3\n" for n in range(4)}
    files |= {f"{CPU}/cpu{n}/cpufreq/cpuinfo_max_freq": "3700000\n" for n in range(4)}
    files |= {f"{CPU}/cpu{n}/acpi_cppc/nominal_freq": "2450\n" for n in range(4)}
    files |= {f"{CPU}/cpu3/cpufreq/base_frequency": "2400000\n", f"{CPU}/cpu3/cpu_capacity": "512\n"}
    found = Cores.read(machine(files))

    assert found.packages == ((0, 1), (2, 3))
    assert found.base_khz == {0: 2450000, 1: 2450000, 2: 2450000, 3: 2400000}
    assert (found.max_khz[3], found.capacity) == (3700000, {3: 512})
    assert found.share_package(0, 1)
    assert not found.share_package(1, 2)


def test_a_machine_that_says_nothing_has_cores_of_one_kind(machine: Machine) -> None:
    assert Cores.read(machine({})) == ALIKE
    assert ALIKE.kinds([2, 0, 1]) == [[0, 1, 2]]


def test_cores_of_other_capacity_are_of_another_kind() -> None:
    assert Cores({0: 446, 1: 446, 2: 1024}, {}, {}, ()).kinds([0, 1, 2]) == [[0, 1], [2]]
