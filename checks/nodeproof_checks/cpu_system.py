"""Judgement of what firmware and kernel made of the CPUs: microcode, mitigations, clock."""

from collections import Counter
from typing import Annotated

from nodeproof.check import check
from nodeproof.probes.cpu import Clocksource, Microcode, Vulnerabilities
from nodeproof.verdict import Verdict, fail, named, ok, plural


@check(
    "cpu.microcode",
    tags="boot",
    remedy="Install the microcode package of the distribution and rebuild the initramfs, or flash the firmware; then "
    "reboot. Revisions that differ between CPUs call for a cold start.",
    learn=lambda microcode: {"min_revision": f"{min(microcode.revisions.values()):#x}"},
)
def microcode(
    microcode: Microcode,
    *,
    min_revision: Annotated[str | None, "lowest acceptable revision, hexadecimal, e.g. 0x2b000590"] = None,
) -> Verdict:
    """Every CPU runs the same microcode, and none an older one than required.

    Revisions fix data corruption and change speed by percents. CPUs of one node that differ (a late load
    that stopped half-way, two steppings) fail in ways that nobody can reproduce.
    """
    usual, _ = Counter(microcode.revisions.values()).most_common(1)[0]
    odd = [n for n, revision in microcode.revisions.items() if revision != usual]
    evidence = {"revisions": sorted({f"{r:#x}" for r in microcode.revisions.values()}), "odd_cpus": odd}
    if odd:
        return fail(
            f"microcode {microcode.revisions[odd[0]]:#x} on CPU {named(odd)}, expected {usual:#x} as on the others",
            **evidence,
        )
    if min_revision is not None and usual < int(min_revision, 16):
        return fail(f"microcode {usual:#x}, expected at least {min_revision}", **evidence)
    return ok(f"microcode {usual:#x} on {plural(len(microcode.revisions), 'CPU')}", **evidence)


def _kinds(vulnerabilities: Vulnerabilities) -> dict[str, str]:
    """Return each state without its details: those name kernel modules and sibling threads of the moment."""
    kinds = ("KVM: Mitigation", "KVM: Vulnerable", "Mitigation", "Not affected", "Vulnerable", "Processor vulnerable")
    found = {n: next((k for k in kinds if state.startswith(k)), "") for n, state in vulnerabilities.states.items()}
    return {n: kind for n, kind in found.items() if kind}


@check(
    "cpu.vulnerabilities",
    tags="boot",
    remedy="Compare kernel version, microcode and mitigations= on the kernel command line with another node of the "
    "class; /sys/devices/system/cpu/vulnerabilities has the details.",
    learn=lambda vulnerabilities: {"required": _kinds(vulnerabilities)},
)
def vulnerabilities(
    vulnerabilities: Vulnerabilities,
    *,
    required: Annotated[
        dict[str, str],
        'how each state must begin, alternatives with |, e.g. {retbleed = "Not affected|Mitigation"}',
    ],
) -> Verdict:
    """CPU vulnerabilities are mitigated, or left open, as required.

    Mitigations cost some codes a tenth of their speed and others nothing. Whether a cluster pays for them is
    decided once: a node that differs is either slow or open.
    """
    wrong = []
    for name, beginning in required.items():
        state = vulnerabilities.states.get(name, "not known to this kernel")
        if not state.startswith(tuple(beginning.split("|"))):
            wrong.append(f'{name} is "{state}", expected "{beginning}"')
    if wrong:
        return fail(named(wrong), states=dict(vulnerabilities.states))
    return ok(f"CPU vulnerabilities in the required state: {len(required)}", states=dict(vulnerabilities.states))


@check(
    "cpu.clocksource",
    tags="healthcheck boot",
    remedy="Look for \"Marking clocksource 'tsc' as unstable\" in the kernel log and reboot; if it comes back, update "
    "the firmware, or vouch for the TSC with tsc=reliable on the kernel command line.",
    learn=lambda clock: {"allowed": [clock.current]},
)
def clocksource(
    clock: Clocksource,
    *,
    allowed: Annotated[tuple[str, ...], "clock sources that are fast enough"] = (
        "tsc",
        "kvm-clock",
        "hyperv_clocksource_tsc_page",
        "xen",
        "arch_sys_counter",
        "timebase",
        "riscv_clocksource",
    ),
) -> Verdict:
    """The kernel reads the time from a fast clock.

    When the kernel's watchdog distrusts the TSC it falls back to `hpet` or `acpi_pm`: reading the time becomes
    a system call to a slow device, shared by all CPUs. MPI, tracing and Python slow down several times.
    """
    if clock.current not in allowed:
        return fail(
            f"clock source is {clock.current}, expected {named(allowed)} (available: {named(clock.available)})",
            current=clock.current,
            available=list(clock.available),
        )
    return ok(f"clock source is {clock.current}", current=clock.current, available=list(clock.available))
