"""CPU checks: each on a healthy node, on a planted fault, and where nothing can be known."""

from typing import Any

from nodeproof.check import registry
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


def topology_files(online: str = "0-3", present: str = "0-3", smt: str = "on") -> dict[str, str]:
    """Two sockets of one core with two threads each: CPUs 0 and 2, 1 and 3."""
    files = {f"{CPU}/present": f"{present}\n", f"{CPU}/online": f"{online}\n", f"{CPU}/smt/control": f"{smt}\n"}
    for cpu in range(4):
        files[f"{CPU}/cpu{cpu}/topology/package_cpus_list"] = f"{cpu % 2},{cpu % 2 + 2}\n"
        files[f"{CPU}/cpu{cpu}/topology/core_cpus_list"] = f"{cpu % 2},{cpu % 2 + 2}\n"
    return files


def idle_files(cpu: int, *disabled: int) -> dict[str, str]:
    states = [("POLL", 0), ("C1", 1), ("C6", 190)]
    return {
        f"{CPU}/cpu{cpu}/cpuidle/state{n}/{file}": value
        for n, (name, latency_us) in enumerate(states)
        for file, value in (("name", name), ("latency", f"{latency_us}\n"), ("disable", f"{int(n in disabled)}\n"))
    }


def test_topology(machine: Machine) -> None:
    host = machine(topology_files())

    assert verdict_of("cpu.topology", host).status == Status.OK
    assert verdict_of("cpu.topology", host, sockets=2, cores=2, threads=4).status == Status.OK
    verdict = verdict_of("cpu.topology", host, sockets=2, cores=4, threads=8)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "2 cores, expected 4; 4 threads, expected 8"


def test_an_offline_cpu_is_named(machine: Machine) -> None:
    verdict = verdict_of("cpu.topology", machine(topology_files(online="0-2")))

    assert verdict.status == Status.FAIL
    assert verdict.summary == "CPU 3 is offline, expected all 4 CPUs online"
    assert verdict.evidence["offline_cpus"] == [3]


def test_siblings_offline_because_smt_is_off_are_no_fault(machine: Machine) -> None:
    assert verdict_of("cpu.topology", machine(topology_files(online="0-1", smt="off"))).status == Status.OK
    assert verdict_of("cpu.topology", machine(topology_files(online="0-1", smt="forceoff"))).status == Status.OK
    lost = topology_files(online="0", present="0-3", smt="off") | {f"{CPU}/present": "0-4\n"}
    assert verdict_of("cpu.topology", machine(lost)).status == Status.OK  # five threads of one core (POWER)
    lost = topology_files(online="0-1", smt="off") | {f"{CPU}/present": "0-4\n"}
    assert verdict_of("cpu.topology", machine(lost)).status == Status.FAIL


def test_topology_of_old_kernels(machine: Machine) -> None:
    old = {"package_cpus_list": "core_siblings_list", "core_cpus_list": "thread_siblings_list"}
    files = {p.replace(n, o): text for p, text in topology_files().items() for n, o in old.items() if n in p}
    files |= {f"{CPU}/present": "0-3\n", f"{CPU}/online": "0-3\n"}

    assert verdict_of("cpu.topology", machine(files), sockets=2, cores=2, threads=4).status == Status.OK


def test_topology_absent_denied_garbage(machine: Machine) -> None:
    assert verdict_of("cpu.topology", machine({})).status == Status.SKIP
    garbage = machine(topology_files() | {f"{CPU}/cpu0/topology/core_cpus_list": "x"})
    assert verdict_of("cpu.topology", garbage).status == Status.UNKNOWN
    denied = machine(topology_files(), errors={f"{CPU}/present": ("denied", "EACCES")})
    assert verdict_of("cpu.topology", denied).status == Status.UNKNOWN


def test_smt(machine: Machine) -> None:
    host = machine({f"{CPU}/smt/control": "off\n", f"{CPU}/smt/active": "0\n"})

    assert verdict_of("cpu.smt", host, required="off").status == Status.OK
    verdict = verdict_of("cpu.smt", host, required="on")
    assert verdict.status == Status.FAIL
    assert verdict.summary == "SMT is off (off), expected on"


def test_smt_garbage_and_absent(machine: Machine) -> None:
    assert verdict_of("cpu.smt", machine({}), required="on").status == Status.SKIP
    garbage = machine({f"{CPU}/smt/control": "off\n", f"{CPU}/smt/active": "yes\n"})
    assert verdict_of("cpu.smt", garbage, required="on").status == Status.UNKNOWN


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
    assert verdict.summary == ("idle state C6 (190 us) on 1 CPUs is enabled, expected an exit latency of at most 20 us")
    assert verdict.evidence["cpus"] == [1]


def test_idle_states_absent_and_garbage(machine: Machine) -> None:
    assert verdict_of("cpu.idle_states", machine({}), max_exit_latency_us=20).status == Status.SKIP
    garbage = machine(idle_files(0) | {f"{CPU}/cpu0/cpuidle/state1/latency": "?"})
    assert verdict_of("cpu.idle_states", garbage, max_exit_latency_us=20).status == Status.UNKNOWN


def test_microcode(machine: Machine) -> None:
    host = machine({f"{CPU}/cpu{n}/microcode/version": "0x2b000590\n" for n in range(4)})

    assert verdict_of("cpu.microcode", host, min_revision="0x2b000590").status == Status.OK
    verdict = verdict_of("cpu.microcode", host, min_revision="0x2b000600")
    assert verdict.status == Status.FAIL
    assert verdict.summary == "microcode 0x2b000590, expected at least 0x2b000600"


def test_a_cpu_with_other_microcode_is_named(machine: Machine) -> None:
    revisions = {f"{CPU}/cpu{n}/microcode/version": "0x2b000590\n" for n in range(4)}
    verdict = verdict_of("cpu.microcode", machine(revisions | {f"{CPU}/cpu2/microcode/version": "0x2b000111\n"}))

    assert verdict.status == Status.FAIL
    assert verdict.summary == "microcode 0x2b000111 on CPU 2, expected 0x2b000590 as on the others"


def test_microcode_from_cpuinfo_where_sysfs_is_for_root_or_missing(machine: Machine) -> None:
    cpuinfo = {"/proc/cpuinfo": "processor\t: 0\nmicrocode\t: 0xa1\n\nprocessor\t: 1\nmicrocode\t: 0xa2\n"}
    file = f"{CPU}/cpu0/microcode/version"
    denied = machine(cpuinfo | {file: "0xa1"}, errors={file: ("denied", "EACCES")})

    assert verdict_of("cpu.microcode", denied).evidence["odd_cpus"] == [1]


def test_microcode_absent_and_garbage(machine: Machine) -> None:
    assert verdict_of("cpu.microcode", machine({"/proc/cpuinfo": "processor : 0\n"})).status == Status.SKIP
    garbage = machine({f"{CPU}/cpu0/microcode/version": "new"})
    assert verdict_of("cpu.microcode", garbage).status == Status.UNKNOWN


def test_vulnerabilities(machine: Machine) -> None:
    d = f"{CPU}/vulnerabilities"
    host = machine({f"{d}/mds": "Mitigation: Clear CPU buffers; SMT vulnerable\n", f"{d}/meltdown": "Vulnerable\n"})

    allowed = "Not affected|Mitigation"
    assert verdict_of("cpu.vulnerabilities", host, required={"mds": allowed}).status == Status.OK
    verdict = verdict_of("cpu.vulnerabilities", host, required={"meltdown": allowed, "tsa": allowed})
    assert verdict.status == Status.FAIL
    assert verdict.summary == (
        'meltdown is "Vulnerable", expected "Not affected|Mitigation", '
        'tsa is "not known to this kernel", expected "Not affected|Mitigation"'
    )


def test_vulnerabilities_absent_and_denied(machine: Machine) -> None:
    assert verdict_of("cpu.vulnerabilities", machine({}), required={"mds": "Mitigation"}).status == Status.SKIP
    file = f"{CPU}/vulnerabilities/mds"
    denied = machine({file: ""}, errors={file: ("denied", "EACCES")})
    assert verdict_of("cpu.vulnerabilities", denied, required={"mds": "Mitigation"}).status == Status.UNKNOWN


def test_clocksource(machine: Machine) -> None:
    d = "/sys/devices/system/clocksource/clocksource0"
    available = {f"{d}/available_clocksource": "hpet acpi_pm \n"}

    good = machine(available | {f"{d}/current_clocksource": "tsc\n"})
    assert verdict_of("cpu.clocksource", good).status == Status.OK
    slow = machine(available | {f"{d}/current_clocksource": "hpet\n"})
    verdict = verdict_of("cpu.clocksource", slow)
    assert verdict.status == Status.FAIL
    assert verdict.summary.startswith("clock source is hpet, expected tsc")
    assert verdict_of("cpu.clocksource", slow, allowed=("hpet",)).status == Status.OK


def test_clocksource_absent_and_denied(machine: Machine) -> None:
    d = "/sys/devices/system/clocksource/clocksource0"
    assert verdict_of("cpu.clocksource", machine({})).status == Status.SKIP
    denied = machine({}, errors={f"{d}/current_clocksource": ("denied", "EACCES")})
    assert verdict_of("cpu.clocksource", denied).status == Status.UNKNOWN


def test_what_was_learned_passes(machine: Machine) -> None:
    d = "/sys/devices/system/clocksource/clocksource0"
    host = machine(
        topology_files(smt="off", online="0-1")
        | {f"{CPU}/smt/active": "0\n", f"{CPU}/cpufreq/boost": "0\n", f"{CPU}/cpu0/microcode/version": "0x12\n"}
        | frequency_files(0, "powersave", 2_000_000)
        | idle_files(0)
        | {f"{CPU}/vulnerabilities/itlb_multihit": "KVM: Mitigation: VMX disabled\n"}
        | {f"{d}/current_clocksource": "hpet\n", f"{d}/available_clocksource": "hpet\n"}
    )
    for name, spec in registry().items():
        if spec.subject == "cpu":
            assert spec.learn is not None
            learned: dict[str, Any] = dict(spec.learn(*(f.read(host) for f in spec.facts)))  # type: ignore[attr-defined]
            assert verdict_of(name, host, **learned).status == Status.OK, name
