"""CPU speed: governor, frequency limits, boost and idle states."""

from typing import Any

from nodeproof.check import registry
from nodeproof.host import Host
from nodeproof.probes.cpu import DMA_LATENCY, CpuFrequency, FrequencyPolicy
from nodeproof.verdict import Status
from nodeproof_checks.cpu import governor
from support import Machine, verdict_of

CPU = "/sys/devices/system/cpu"


def frequency_files(cpu: int, governor: str = "performance", max_khz: int = 3_700_000) -> dict[str, str]:
    d = f"{CPU}/cpu{cpu}/cpufreq"
    return {
        f"{d}/scaling_governor": f"{governor}\n",
        f"{d}/scaling_driver": "acpi-cpufreq\n",
        f"{d}/scaling_max_freq": f"{max_khz}\n",
        f"{d}/cpuinfo_max_freq": "3700000\n",
    }


def policy(governor: str) -> FrequencyPolicy:
    return FrequencyPolicy(governor, "acpi-cpufreq", 3_700_000, 3_700_000)


def test_one_powersave_cpu_fails_and_is_named() -> None:
    verdict = governor(CpuFrequency({0: policy("performance"), 7: policy("powersave")}, None))

    assert verdict.status == Status.FAIL
    assert verdict.evidence == {"cpus": [7]}
    assert verdict.summary == "1 of 2 CPUs use governor powersave, expected performance: CPU 7"


def test_governor_is_read_from_sysfs(machine: Machine) -> None:
    host = machine(frequency_files(0) | frequency_files(10))

    assert verdict_of("cpu.governor", host).status == Status.OK
    assert verdict_of("cpu.governor", host, required="schedutil").evidence == {"cpus": [0, 10]}


def test_no_cpufreq_driver_is_a_skip_unless_policy_expects_one(machine: Machine) -> None:
    host = machine({})

    assert verdict_of("cpu.governor", host).status == Status.SKIP
    assert verdict_of("cpu.governor", host, if_absent="fail").status == Status.FAIL


def test_denied_governor_is_unknown(machine: Machine) -> None:
    host = machine(frequency_files(0), errors={f"{CPU}/cpu0/cpufreq/scaling_governor": ("denied", "EACCES")})

    assert verdict_of("cpu.governor", host).status == Status.UNKNOWN


def test_garbage_in_a_frequency_file_is_unknown(machine: Machine) -> None:
    host = machine(frequency_files(0) | {f"{CPU}/cpu0/cpufreq/scaling_max_freq": "<unknown>"})

    assert "expected a number" in verdict_of("cpu.governor", host).summary


def idle_files(cpu: int, *disabled: int) -> dict[str, str]:
    states = [("POLL", 0), ("C1", 1), ("C6", 190)]
    return {
        f"{CPU}/cpu{cpu}/cpuidle/state{n}/{file}": value
        for n, (name, latency_us) in enumerate(states)
        for file, value in (("name", name), ("latency", f"{latency_us}\n"), ("disable", f"{int(n in disabled)}\n"))
    }


def test_frequency_limits(machine: Machine) -> None:
    host = machine(frequency_files(0) | {f"{CPU}/cpufreq/boost": "1\n"})
    assert verdict_of("cpu.frequency_limits", host, boost="on").status == Status.OK

    host = machine(frequency_files(0) | frequency_files(1, max_khz=2_000_000))
    verdict = verdict_of("cpu.frequency_limits", host)
    assert verdict.status == Status.FAIL
    assert verdict.summary == ("1 of 2 CPUs are capped, the lowest at 2000000 kHz, expected 99 % of 3700000 kHz: CPU 1")
    assert verdict_of("cpu.frequency_limits", host, min_limit_percent=50).status == Status.OK


def test_boost_off_is_a_warning_until_policy_wants_it(machine: Machine) -> None:
    host = machine(frequency_files(0) | {f"{CPU}/intel_pstate/no_turbo": "1\n"})

    assert verdict_of("cpu.frequency_limits", host).status == Status.WARN
    assert verdict_of("cpu.frequency_limits", host, boost="off").status == Status.OK
    verdict = verdict_of("cpu.frequency_limits", host, boost="on")
    assert verdict.status == Status.FAIL
    assert verdict.summary == "boost is off, expected on"


def test_boost_that_cannot_be_asked_for_is_no_cap(machine: Machine) -> None:
    """acpi-cpufreq on AMD: cpuinfo_max_freq includes boost since Linux 5.12."""
    table = {
        f"{CPU}/cpu0/cpufreq/scaling_available_frequencies": "2450000 2000000 1500000 \n",
        f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "3529052\n",
        f"{CPU}/cpufreq/boost": "1\n",
    }
    healthy = machine(frequency_files(0, max_khz=2_450_000) | table)
    assert verdict_of("cpu.frequency_limits", healthy).status == Status.OK
    assert learned_limits(healthy) == {"min_limit_percent": 99, "boost": "on"}

    capped = machine(frequency_files(0, max_khz=2_000_000) | table)
    assert "expected 99 % of 2450000 kHz: CPU 0" in verdict_of("cpu.frequency_limits", capped).summary
    listed = table | {f"{CPU}/cpu0/cpufreq/scaling_boost_frequencies": "3200000\n"}
    boostable = machine(frequency_files(0, max_khz=2_450_000) | listed)
    assert verdict_of("cpu.frequency_limits", boostable).status == Status.FAIL


def learned_limits(host: Host) -> dict[str, object]:
    learn = registry()["cpu.frequency_limits"].learn
    assert learn is not None
    return dict(learn(CpuFrequency.read(host)))


def test_a_cap_of_intel_pstate_fails(machine: Machine) -> None:
    capped = frequency_files(0) | {f"{CPU}/intel_pstate/max_perf_pct": "50\n", f"{CPU}/intel_pstate/no_turbo": "0\n"}

    verdict = verdict_of("cpu.frequency_limits", machine(capped))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "intel_pstate caps 1 CPU at 50 % (max_perf_pct), expected at least 99 %"
    assert learned_limits(machine(capped)) == {"min_limit_percent": 50, "boost": "on"}
    whole = machine(capped | {f"{CPU}/intel_pstate/max_perf_pct": "100\n"})
    assert verdict_of("cpu.frequency_limits", whole, boost="on").status == Status.OK


def test_intel_pstate_that_is_off_is_not_asked(machine: Machine) -> None:
    files = frequency_files(0) | {f"{CPU}/intel_pstate/status": "off\n"}
    host = machine(files, errors={f"{CPU}/intel_pstate/no_turbo": ("failed", "EAGAIN")})

    assert verdict_of("cpu.frequency_limits", host).status == Status.OK


def test_boost_off_on_one_cpu_is_named(machine: Machine) -> None:
    files = frequency_files(0) | frequency_files(1) | {f"{CPU}/cpufreq/boost": "1\n"}
    on = files | {f"{CPU}/cpu{n}/cpufreq/boost": "1\n" for n in range(2)}
    off = on | {f"{CPU}/cpu1/cpufreq/boost": "0\n"}

    assert verdict_of("cpu.frequency_limits", machine(on), boost="on").status == Status.OK
    verdict = verdict_of("cpu.frequency_limits", machine(off), boost="on")
    assert (verdict.status, verdict.summary) == (Status.FAIL, "boost is off on CPU 1, expected on")
    assert verdict.evidence == {"cpus": [1], "boost": "mixed"}
    assert verdict_of("cpu.frequency_limits", machine(off), boost="off").summary == (
        "boost is on on CPU 0, expected off"
    )
    assert verdict_of("cpu.frequency_limits", machine(off)).status == Status.WARN
    assert learned_limits(machine(off)) == {"min_limit_percent": 99}


def test_boost_that_the_driver_does_not_report_is_unknown_where_it_matters(machine: Machine) -> None:
    host = machine(frequency_files(0))

    assert verdict_of("cpu.frequency_limits", host).status == Status.OK
    assert verdict_of("cpu.frequency_limits", host, boost="on").status == Status.UNKNOWN


def test_cppc_without_boost_is_no_warning(machine: Machine) -> None:
    files = frequency_files(0) | {f"{CPU}/cpufreq/boost": "0\n", f"{CPU}/cpu0/cpufreq/scaling_driver": "cppc_cpufreq"}

    assert verdict_of("cpu.frequency_limits", machine(files)).status == Status.OK
    assert verdict_of("cpu.frequency_limits", machine(files), boost="on").status == Status.FAIL


def test_what_jobs_may_change_is_not_part_of_the_health_check() -> None:
    """`srun --cpu-freq` sets governor and limit while a job runs."""
    for name in ("cpu.governor", "cpu.frequency_limits"):
        assert registry()[name].tags == {"prolog", "boot"}


def test_frequency_limits_absent_and_garbage(machine: Machine) -> None:
    assert verdict_of("cpu.frequency_limits", machine({})).status == Status.SKIP
    garbage = machine(frequency_files(0) | {f"{CPU}/cpufreq/boost": "maybe"})
    assert verdict_of("cpu.frequency_limits", garbage).status == Status.UNKNOWN


def test_frequency_of_an_offline_cpu_is_not_asked_for(machine: Machine) -> None:
    busy = {f"{CPU}/cpu1/cpufreq/scaling_governor": ("failed", "EBUSY")}
    host = machine(frequency_files(0) | frequency_files(1) | {f"{CPU}/online": "0\n"}, errors=busy)

    assert verdict_of("cpu.governor", host).status == Status.OK


def test_idle_states(machine: Machine) -> None:
    host = machine(idle_files(0, 2) | idle_files(1))

    assert verdict_of("cpu.idle_states", host, max_exit_latency_us=200).status == Status.OK
    verdict = verdict_of("cpu.idle_states", host, max_exit_latency_us=20)
    assert verdict.status == Status.FAIL
    assert verdict.summary == ("idle state C6 (190 us) on 1 CPU is enabled, expected an exit latency of at most 20 us")
    assert verdict.evidence["cpus"] == [1]


def test_a_latency_limit_keeps_cpus_out_of_deep_states(machine: Machine) -> None:
    limit = f"{CPU}/cpu1/power/pm_qos_resume_latency_us"

    for text, status in (("0\n", Status.FAIL), ("500\n", Status.FAIL), ("20\n", Status.OK), ("n/a\n", Status.OK)):
        host = machine(idle_files(0, 2) | idle_files(1) | {limit: text})
        assert verdict_of("cpu.idle_states", host, max_exit_latency_us=20).status == status, text
    for limit_us, status in ((2_000_000_000, Status.FAIL), (10, Status.OK)):
        host = machine(idle_files(0) | {DMA_LATENCY: limit_us.to_bytes(4, "little")})
        assert verdict_of("cpu.idle_states", host, max_exit_latency_us=20).status == status, limit_us


def test_a_latency_limit_that_cannot_be_read_matters_only_to_a_deep_state(machine: Machine) -> None:
    denied = machine(idle_files(0), errors={DMA_LATENCY: ("denied", "EACCES")})
    short = machine(idle_files(0) | {DMA_LATENCY: b"\x01"})

    for host in (denied, short):
        assert verdict_of("cpu.idle_states", host, max_exit_latency_us=20).status == Status.UNKNOWN
        assert verdict_of("cpu.idle_states", host, max_exit_latency_us=200).status == Status.OK


def test_idle_states_absent_and_garbage(machine: Machine) -> None:
    assert verdict_of("cpu.idle_states", machine({}), max_exit_latency_us=20).status == Status.SKIP
    garbage = machine(idle_files(0) | {f"{CPU}/cpu0/cpuidle/state1/latency": "?"})
    assert verdict_of("cpu.idle_states", garbage, max_exit_latency_us=20).status == Status.UNKNOWN


def test_speed_as_learned_passes(machine: Machine) -> None:
    host = machine(frequency_files(0, "powersave", 2_000_000) | {f"{CPU}/cpufreq/boost": "0\n"} | idle_files(0))
    for name in ("cpu.governor", "cpu.frequency_limits", "cpu.idle_states"):
        spec = registry()[name]
        assert spec.learn is not None
        learned: dict[str, Any] = dict(spec.learn(*(f.read(host) for f in spec.facts)))  # type: ignore[attr-defined]
        assert verdict_of(name, host, **learned).status == Status.OK, name
