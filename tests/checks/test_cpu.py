"""CPU checks: each on a healthy node, on a planted fault, and where nothing can be known."""

from nodeproof.probes.cpu import CpuFrequency, FrequencyPolicy
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
