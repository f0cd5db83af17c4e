"""Judgement of time that CPUs lose, and of their clocks."""

from typing import Any

import pytest

from nodeproof.verdict import Status
from planted_bench import history, point, result, verdict

# cpu.jitter


def spin(cpu: int, lost: float, *, on_cpu: float = 0.999, longest_s: float = 3e-4) -> dict[str, Any]:
    return point(lost, cpu=cpu, detours_per_s=1000 * lost + 250, longest_s=longest_s, on_cpu_share=on_cpu)


def jitter(*points: dict[str, Any], reason: str = "", **parameters: object) -> Any:
    line = result("cpu.jitter", points[0]["value"], "1", points=points, reason=reason)
    return verdict("cpu.jitter", history(line), **parameters)


def quiet(count: int = 8) -> list[dict[str, Any]]:
    return [spin(n, 0.002 + 0.0001 * (n % 3)) for n in range(count)]


def test_quiet_cpus_are_ok() -> None:
    assert jitter(*quiet()).summary == "CPUs lose 0.21% of their time, the worst of 8 0.22%"


def test_a_cpu_that_loses_too_much_is_named_with_rate_and_longest_detour() -> None:
    found = jitter(*quiet(), spin(8, 0.05, longest_s=2.5e-3))

    assert found.status == Status.FAIL
    assert found.summary == (
        "CPU 8 loses 5.00% of its time in 300 detours a second, the longest 2.50 ms, expected at most 2.0%"
    )


def test_the_longest_detour_alone_is_no_failure() -> None:
    assert jitter(*quiet(), spin(8, 0.002, longest_s=5e-2)).status == Status.OK


def test_a_cpu_that_stands_out_within_the_limit_is_a_warning() -> None:
    found = jitter(*quiet(), spin(8, 0.012))

    assert found.status == Status.WARN
    assert "CPU 8 loses 1.20% of its time" in found.summary
    assert jitter(*quiet(), spin(8, 0.012), reason="busy").status == Status.OK


@pytest.mark.parametrize(("on_cpu", "reason"), [(0.7, ""), (0.999, "other processes used 1.0 CPUs")])
def test_time_that_other_processes_took_is_unknown(on_cpu: float, reason: str) -> None:
    assert jitter(*quiet(), spin(8, 0.3, on_cpu=on_cpu), reason=reason).status == Status.UNKNOWN


@pytest.mark.parametrize(("steal_s", "status"), [(0.05, Status.UNKNOWN), (0.01, Status.FAIL), (0.0, Status.FAIL)])
def test_what_the_hypervisor_may_have_taken_says_nothing_of_the_node(steal_s: float, status: Status) -> None:
    """CPU 8 loses 50 ms of a second, and may lose 20."""
    line = result("cpu.jitter", 0.002, "1", points=[*quiet(), spin(8, 0.05)], seconds=1.0)
    line = line._replace(fields={**line.fields, "conditions": {"steal_s": steal_s}})
    found = verdict("cpu.jitter", history(line))

    assert found.status == status
    assert ("the hypervisor took" in found.summary) == (status == Status.UNKNOWN)


def test_what_the_hypervisor_took_is_of_all_cpus_together() -> None:
    """64 CPUs lose 50 ms of a second each, and may lose 20: what it took explains none of that."""
    line = result("cpu.jitter", 0.05, "1", points=[spin(n, 0.05) for n in range(64)], seconds=1.0)
    line = line._replace(fields={**line.fields, "conditions": {"steal_s": 0.05}})

    assert verdict("cpu.jitter", history(line)).status == Status.FAIL


def test_how_much_may_be_lost_is_policy() -> None:
    assert jitter(*quiet(), max_lost_share=0.001).status == Status.FAIL


# clock.consistency


def clocks(
    *, beyond_s: float = 0.0, warps: int = 0, drift: float | None = 1e-6, reason: str = "", **parameters: object
) -> Any:
    points = [{"cpu": n, "value": 0.0, "offset_s": 2e-9, "uncertainty_s": 4e-8, "warps": 0} for n in (1, 2)]
    points.append({"cpu": 3, "value": beyond_s, "offset_s": beyond_s, "uncertainty_s": 4e-8, "warps": warps})
    line = result(
        "clock.consistency", beyond_s, "s", points=points, reason=reason, stability=0.4, reference_cpu=0, drift=drift
    )
    return verdict("clock.consistency", history(line), **parameters)


def test_clocks_that_agree_are_ok() -> None:
    assert clocks().summary == "4 CPUs have the same time within 1.00 µs"
    assert clocks(drift=None).status == Status.OK


def test_a_time_warp_fails_however_busy_the_machine() -> None:
    found = clocks(warps=7, reason="other processes used 1.0 CPUs")

    assert found.status == Status.FAIL
    assert found.summary == "time goes backwards between CPU 0 and CPU 3: 7 time warps, expected none"


def test_an_offset_beyond_uncertainty_fails() -> None:
    found = clocks(beyond_s=3e-6)

    assert found.status == Status.FAIL
    assert found.summary == "clocks differ from that of CPU 0: CPU 3 by 3.00 µs, expected at most 1.00 µs"
    assert clocks(beyond_s=3e-6, max_offset_s=5e-6).status == Status.OK


def test_a_counter_of_another_rate_is_a_warning() -> None:
    assert clocks(drift=-3e-4).summary == "the counter runs 3.00e-04 slower than the kernel believes"
