"""CPU checks (speed apart): each on a healthy node, on a planted fault, and where nothing can be known."""

from typing import Any

from nodeproof.check import registry
from nodeproof.verdict import Status
from support import Machine, verdict_of

CPU = "/sys/devices/system/cpu"


def topology_files(online: str = "0-3", present: str = "0-3", smt: str = "on") -> dict[str, str]:
    """Two sockets of one core with two threads each: CPUs 0 and 2, 1 and 3."""
    files = {f"{CPU}/present": f"{present}\n", f"{CPU}/online": f"{online}\n", f"{CPU}/smt/control": f"{smt}\n"}
    for cpu in range(4):
        files[f"{CPU}/cpu{cpu}/topology/package_cpus_list"] = f"{cpu % 2},{cpu % 2 + 2}\n"
        files[f"{CPU}/cpu{cpu}/topology/core_cpus_list"] = f"{cpu % 2},{cpu % 2 + 2}\n"
    return files


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


def test_with_smt_off_the_offline_cpu_is_named_and_its_siblings_are_not(machine: Machine) -> None:
    halves = topology_files(online="0-2", smt="off") | {f"{CPU}/present": "0-7\n"}
    verdict = verdict_of("cpu.topology", machine(halves))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "CPU 3 is offline, expected the first thread of every core online (SMT is off)"

    rows = topology_files(online="0,2", smt="1") | {f"{CPU}/present": "0-5\n"}
    assert verdict_of("cpu.topology", machine(rows)).status == Status.OK
    rows = topology_files(online="0,2-3", smt="off") | {f"{CPU}/present": "0-7\n"}
    verdict = verdict_of("cpu.topology", machine(rows))
    assert verdict.summary.startswith("CPU 1 is offline")


def test_where_numbers_do_not_tell_siblings_the_excess_is_said(machine: Machine) -> None:
    files = topology_files(online="0-1", smt="off") | {f"{CPU}/present": "0-4\n"}

    verdict = verdict_of("cpu.topology", machine(files))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "3 CPUs offline, 1 more than SMT off accounts for: CPU 2, 3, 4"


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
        | {f"{CPU}/smt/active": "0\n", f"{CPU}/cpu0/microcode/version": "0x12\n"}
        | {f"{CPU}/vulnerabilities/itlb_multihit": "KVM: Mitigation: VMX disabled\n"}
        | {f"{d}/current_clocksource": "hpet\n", f"{d}/available_clocksource": "hpet\n"}
    )
    elsewhere = {"cpu.governor", "cpu.frequency_limits", "cpu.idle_states", "cpu.throttle_rate"}
    for name, spec in registry().items():
        if spec.subject == "cpu" and "bench" not in spec.tags and name not in elsewhere:
            assert spec.learn is not None
            learned: dict[str, Any] = dict(spec.learn(*(f.read(host) for f in spec.facts)))  # type: ignore[attr-defined]
            assert verdict_of(name, host, **learned).status == Status.OK, name
