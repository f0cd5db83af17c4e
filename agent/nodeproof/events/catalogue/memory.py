"""Machine checks, firmware-first error records, EDAC, and memory that the kernel gave up.

Sources: arch/x86/kernel/cpu/mce/core.c, drivers/edac/mce_amd.c, drivers/edac/edac_mc.c, drivers/firmware/efi/cper.c,
drivers/acpi/apei/bert.c, mm/memory-failure.c; Intel SDM volume 3B, 15.3.2.2 (IA32_MCi_STATUS: bit 61 UC).
"""

from nodeproof.events.rule import ALL_H, Line, Rule

_HW = r"(?:mce: )?\[Hardware Error\]: "


def _bank(first: str) -> str:
    """Return the expression of a machine check whose status begins with one of these digits: of them UC is a bit."""
    status = rf"(?P<status>[{first}][0-9a-f]{{15}})\b"
    return (
        _HW + r"CPU (?P<cpu>\d+): Machine Check(?: Exception)?: +(?P<mcgstatus>[0-9a-f]+) Bank (?P<bank>\d+): " + status
    )


def _amd(kind: str) -> str:
    cpu = r"CPU:(?P<cpu>\d+) \([0-9a-f:]+\) MC(?P<bank>\d+)_STATUS"
    return _HW + cpu + rf"\[[^|\]]{{1,8}}\|{kind}\|[^\]]*\]: (?P<status>0x[0-9a-f]+)"


#: mcelog's default: ten corrected errors of one DIMM or page in 24 hours (mcelog.conf(5), ce-error-threshold).
_CORRECTED = 10

RULES = (
    Rule(
        id="event.mce_uncorrected",
        name="uncorrected machine check",
        title="No processor reported a machine check that it could not correct.",
        why="Data was lost in a cache, a memory controller or a bus. Where the kernel could confine it a job died; "
        "where not, results may be wrong without anybody's noticing.",
        remedy="Drain and reboot. Bank and status say what failed (`mcelog --ascii`); the same processor or DIMM a "
        "second time is replaced.",
        source="arch/x86/kernel/cpu/mce/core.c, __print_mce; drivers/edac/mce_amd.c",
        lines=(
            Line(_bank("abef")),
            Line(_amd("UE")),
            Line(r"mce: Uncorrected hardware memory error in user-access at (?P<address>[0-9a-f]+)", "memory", ""),
            Line(r"mce: (?:\[Hardware Error\]: )?Memory error not recovered", "memory", ""),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="cpu:{cpu}",
    ),
    Rule(
        id="event.mce_deferred",
        name="deferred machine check",
        title="No processor found poisoned data that nobody has used yet.",
        why="A deferred error cannot be corrected, it has only not been consumed: whoever reads that memory next is "
        "killed by it.",
        remedy="Drain the node when its job is done and reboot it; the same DIMM a second time is replaced.",
        source="drivers/edac/mce_amd.c, decode_dram_ecc and amd_decode_mce",
        lines=(Line(_amd("-")),),
        until="boot",
        window_h=ALL_H,
        part="cpu:{cpu}",
    ),
    Rule(
        id="event.mce_corrected",
        name="corrected machine check",
        title="No processor corrects machine checks over and over.",
        why="Corrected errors cost nothing by themselves. Many of one bank announce the first that cannot be "
        "corrected. A line that only says that events were logged counts for the whole node.",
        remedy="See which DIMM or cache it is (`ras-mc-ctl --errors`, EDAC, the BMC's log) and replace it at the next "
        "maintenance.",
        source="arch/x86/kernel/cpu/mce/core.c; threshold as in mcelog.conf(5): 10 in 24 h",
        lines=(
            Line(_bank("89cd")),
            Line(_amd("CE")),
            Line(r"mce: \[Hardware Error\]: Machine check events logged", "logged", ""),
        ),
        limit=_CORRECTED,
        part="cpu:{cpu}",
    ),
    Rule(
        id="event.cper_fatal",
        name="fatal hardware error told by firmware",
        title="Firmware reported no fatal hardware error.",
        why="The platform itself says that the machine cannot go on; the kernel panics on most of these. One that is "
        "seen and survived leaves a machine that must not be trusted.",
        remedy="Reboot, and read the BMC's event log of that minute: it names the part. Replace it if it happens "
        "again.",
        source="drivers/firmware/efi/cper.c, cper_estatus_print; UEFI specification, appendix N",
        lines=(),
        severity="fail",
        window_h=ALL_H,
        until="boot",
    ),
    Rule(
        id="event.cper_recoverable",
        name="uncorrected hardware error told by firmware",
        title="Firmware reported no uncorrected hardware error.",
        why="An error that could not be corrected but confined: a page of memory or a transaction is lost, and with it "
        "what a job had there.",
        remedy="Drain and reboot. The record names a DIMM or PCIe device where firmware knows it; replace it if it "
        "happens again.",
        source="drivers/firmware/efi/cper.c, cper_severity_str; UEFI specification, appendix N",
        lines=(),
        severity="fail",
        window_h=ALL_H,
        until="boot",
    ),
    Rule(
        id="event.cper_corrected",
        name="corrected hardware error told by firmware",
        title="Firmware does not report corrected hardware errors over and over.",
        why="With firmware-first error handling the kernel sees corrected errors of memory and PCIe only by these "
        "records, and often only each n-th one.",
        remedy="See in the BMC's event log which DIMM or device it is, and replace or reseat it at the next "
        "maintenance.",
        source="drivers/firmware/efi/cper.c, cper_estatus_print; threshold as in mcelog.conf(5): 10 in 24 h",
        lines=(),
        limit=_CORRECTED,
    ),
    Rule(
        id="event.boot_error",
        name="hardware error record of the previous boot",
        title="The previous boot left no hardware error record.",
        why="Firmware keeps the record of an error that took the machine down and shows it at the next boot: "
        "the node did not just reboot, it failed.",
        remedy="Read the record in the kernel log below the BERT line and the BMC's event log; it names what failed.",
        source="drivers/acpi/apei/bert.c, bert_print_all",
        lines=(
            Line(r"BERT: Error records from previous boot"),
            Line(r"BERT: (?:\[Hardware Error\]: )?Skipped (?P<skipped>\d+) error records?"),
        ),
        window_h=168.0,
    ),
    Rule(
        id="event.edac_uncorrected",
        name="uncorrected memory error",
        title="No DIMM had an error that could not be corrected.",
        why="What was in that memory is lost. A DIMM with one uncorrected error is likely to have another.",
        remedy="Drain and reboot, so that the memory is tested and the row repaired where the platform can; replace "
        "the DIMM at the second error.",
        source="drivers/edac/edac_mc.c, edac_ue_error",
        lines=(Line(r"EDAC \w{1,20}: (?P<count>\d+) UE (?:[^(]{0,200}? )?on (?P<dimm>[^()]{1,200}?) \("),),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="dimm:{dimm}",
    ),
    Rule(
        id="event.edac_corrected",
        name="corrected memory error",
        title="No DIMM has corrected errors over and over.",
        why="A few corrected errors are cosmic rays. Many of one DIMM are a cell, a row or a contact that is about to "
        "fail for good.",
        remedy="Replace or reseat the DIMM at the next maintenance; look whether the platform can repair the row "
        "(post-package repair) at a reboot.",
        source="drivers/edac/edac_mc.c, edac_ce_error; threshold as in mcelog.conf(5): 10 in 24 h",
        lines=(Line(r"EDAC \w{1,20}: (?P<count>\d+) CE (?:[^(]{0,200}? )?on (?P<dimm>[^()]{1,200}?) \("),),
        limit=_CORRECTED,
        part="dimm:{dimm}",
    ),
    Rule(
        id="event.memory_failure",
        name="page of memory lost to an uncorrected error",
        title="The kernel gave up no page of memory.",
        why="The kernel takes a page with an uncorrected error out of use and kills who used it. The DIMM it is on "
        "stays in the machine.",
        remedy="Drain and reboot; EDAC or the BMC's log of that minute names the DIMM.",
        source="mm/memory-failure.c, action_result and kill_proc",
        lines=(
            Line(
                r"(?:Memory failure: |MCE )(?P<page>0x[0-9a-f]+): (?:Killing|Sending SIGBUS to) "
                r"(?P<process>.{1,15}?):(?P<pid>\d+) due to hardware memory corruption",
                "killed",
            ),
            Line(
                r"(?:Memory failure: |MCE )(?P<page>0x[0-9a-f]+): recovery action for (?P<what>[^:]{1,60}): "
                r"(?P<outcome>\w+)",
                "action",
            ),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
    ),
)
