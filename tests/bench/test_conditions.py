"""What disturbs a benchmark, and what the machine says of itself."""

import os
from typing import Any

import pytest

from fake_bench import busy, conditions, result
from nodeproof_bench.conditions import Sensors, added, doubt, lasting, throttled_cpus, wrong_values
from support import Machine

CPU = "/sys/devices/system/cpu"
HWMON = "/sys/class/hwmon"

SENSORS = {
    f"{HWMON}/hwmon0/name": "nvme",
    f"{HWMON}/hwmon0/temp1_input": "90000",
    f"{HWMON}/hwmon1/name": "coretemp",
    f"{HWMON}/hwmon1/temp1_input": "61000",
    f"{HWMON}/hwmon1/temp2_input": "58000",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "3700000",
    f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "1200000",
    f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "7",
    f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "0",
    f"{CPU}/cpu1/thermal_throttle/package_throttle_count": "7",
    "/proc/loadavg": "0.31 0.20 0.10 1/200 4242",
}


def test_an_undisturbed_run_is_not_doubted() -> None:
    assert doubt(result(), cpus=2) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (busy(0.5), "other processes used 0.5 CPUs"),
        ({"conditions": conditions(seconds=0.3, foreign_cpu_s=0.29)}, "other processes used 1.0 CPUs"),
        ({"conditions": conditions(steal_s=0.2)}, "the hypervisor took 0.20 s of processor time"),
        (
            {"threads": 4, "conditions": conditions(seconds=10, steal_s=1.3)},
            "the hypervisor took 1.30 s of processor time",
        ),
        ({"conditions": {**conditions(), "throttled_cpus": [3]}}, "too hot, the hardware slowed down CPU 3"),
        ({"conditions": {**conditions(), "foreign_cpu_s": None}}, "the kernel does not say who used the CPUs"),
        ({"is_contended": True}, "other processes used its CPUs"),
        ({**busy(2.0), "is_contended": True}, "other processes used 2.0 CPUs"),
        (
            {"conditions": conditions(foreign_cpu_s=1, steal_s=1)},
            "other processes used 1.0 CPUs; the hypervisor took 1.00 s of processor time",
        ),
    ],
)
def test_a_disturbance_is_named(changes: dict[str, Any], why: str) -> None:
    assert doubt(result(**changes), cpus=2) == why


@pytest.mark.parametrize(
    ("changes", "cpus"),
    [
        (busy(0.2), 2),  # the services of an idle node
        (busy(0.4), 256),  # what ticks of 10 ms misplace on many CPUs
        ({"conditions": conditions(seconds=0.05, foreign_cpu_s=0.06)}, 2),  # six ticks say nothing
        ({"conditions": conditions(steal_s=0.05), "threads": 2}, 2),
        ({"conditions": conditions(seconds=10, steal_s=1.1), "threads": 4}, 4),
        ({"conditions": {}}, 2),
        ({"conditions": None}, 2),
        ({"conditions": conditions(foreign_cpu_s="much")}, 2),  # type: ignore[arg-type]  # malformed: no reason to doubt
    ],
)
def test_what_every_machine_does_is_no_disturbance(changes: dict[str, Any], cpus: int) -> None:
    assert doubt(result(**changes), cpus) == ""


def test_one_busy_cpu_is_seen_on_a_large_machine() -> None:
    assert doubt(result(**busy(1.0)), cpus=256) == "other processes used 1.0 CPUs"


def test_the_kernels_own_work_for_a_disk_is_not_foreign() -> None:
    assert doubt(result("disk.bandwidth", **busy(0.5)), cpus=2) == ""
    assert doubt(result("disk.bandwidth", **busy(1.0)), cpus=2) != ""


def test_wrong_values_are_never_doubted() -> None:
    assert doubt(result("cpu.verify", 1, **busy(2)), cpus=2) == ""
    assert doubt(result("memory.verify", 0, **busy(2)), cpus=2) == ""
    assert doubt(result("memory.triad", wrong_elements=3, **busy(2)), cpus=2) == ""
    assert [wrong_values(line) for line in (result("cpu.verify", 4), result(wrong_elements=3), result())] == [4, 3, 0]


def test_the_machine_says_how_it_is(machine: Machine) -> None:
    before = Sensors(machine(SENSORS)).look()
    throttled = {**SENSORS, f"{CPU}/cpu1/thermal_throttle/package_throttle_count": "9"}
    after = Sensors(machine({**throttled, f"{HWMON}/hwmon1/temp1_input": "97500"})).look()

    assert added(before, after) == {
        "load_average": 0.31,
        "celsius": [61.0, 97.5],
        "sampled_clocks_hz": [1_200_000_000, 3_700_000_000],
        "throttled_cpus": [1],
    }
    assert throttled_cpus(before, before) == []
    assert throttled_cpus(before._replace(throttled={}), after) == []  # a counter that was not there says nothing new


def test_a_thermal_zone_serves_where_there_is_no_sensor(machine: Machine) -> None:
    zone = "/sys/class/thermal/thermal_zone"
    files = {
        f"{zone}0/type": "acpitz",
        f"{zone}0/temp": "20000",
        f"{zone}1/type": "x86_pkg_temp",
        f"{zone}1/temp": "55000",
    }

    assert Sensors(machine(files)).look().celsius == 55.0


def test_time_in_interrupts_is_busy_and_time_in_wait_is_not(machine: Machine) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    found = Sensors(machine({"/proc/stat": f"cpu  {ticks} {ticks} {ticks} 9999 888 {ticks} {ticks} 7 0 0\n"})).look()

    assert found.busy_s == 5


def test_few_clocks_of_many_are_sampled(machine: Machine) -> None:
    files = {f"{CPU}/cpu{n}/cpufreq/scaling_cur_freq": "2000000" for n in range(41)}

    assert 2 <= len(Sensors(machine(files)).look().clocks_khz) <= 4


def test_what_a_machine_does_not_say_is_left_out(machine: Machine) -> None:
    nothing = Sensors(machine({}, errors={f"{HWMON}/hwmon*/name": ("denied", "EACCES")})).look()

    assert added(nothing, nothing) == {}
    assert lasting(machine({})) == {"governors": []}


def test_what_does_not_change_is_said_once(machine: Machine) -> None:
    governors = {f"{CPU}/cpufreq/policy{n}/scaling_governor": g for n, g in enumerate(["powersave", "performance"])}
    files = {**governors, f"{CPU}/smt/control": "on", "/proc/sys/kernel/osrelease": "6.1.0"}

    assert lasting(machine(files)) == {"governors": ["performance", "powersave"], "kernel": "6.1.0", "smt": "on"}
