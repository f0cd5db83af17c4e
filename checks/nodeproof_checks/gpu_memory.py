"""Judgement of the memory of GPUs: ECC, remapped rows, retired pages.

Sources: NVIDIA NVML API reference; NVIDIA GPU Memory Error Management; NVIDIA Dynamic Page Retirement.
"""

from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.gpu_device import Gpu
from nodeproof.probes.ledger import Seen
from nodeproof.verdict import Verdict, fail, named, ok, warn
from nodeproof_checks.gpu_common import listed, on_off, parts
from nodeproof_checks.over_time import Limit, judged


def _ecc_mode(gpus: Gpus) -> dict[str, str]:
    modes = {on_off(gpu.is_ecc_on) for gpu in gpus.saying("is_ecc_on")}
    return {"required": modes.pop()} if len(modes) == 1 else {}


@check(
    "gpu.ecc_mode",
    tags="healthcheck boot gpu",
    remedy="Set the mode (`nvidia-smi -e 1` or `-e 0`), then reset the GPU when no job uses it, or reboot the node.",
    learn=_ecc_mode,
    beta=True,
)
def ecc_mode(
    gpus: Gpus, *, required: Annotated[Literal["on", "off"], "what ECC of the GPU's memory must be"] = "on"
) -> Verdict:
    """ECC of every GPU's memory is as required, and stays so after the next reset.

    Without it a flipped bit is a wrong result that nobody sees. Switching it takes effect at the next reset only, so
    that a mode which was changed shows up long after. Source: NVML API reference, nvmlDeviceGetEccMode.
    """
    known = gpus.saying("is_ecc_on", "is_ecc_on_after_reset")
    if wrong := {g.label: f"has ECC {on_off(g.is_ecc_on)}" for g in known if on_off(g.is_ecc_on) != required}:
        return fail(f"expected ECC {required}: {listed(wrong)}", parts=parts(wrong))
    gpus.raise_unjudged("is_ecc_on", "is_ecc_on_after_reset")
    if wrong := {g.label: "" for g in known if g.is_ecc_on_after_reset != g.is_ecc_on}:
        return warn(f"ECC is {required} until the next reset, which will switch it: {named(wrong)}", parts=parts(wrong))
    return ok(f"ECC is {required} on {len(known)} GPUs")


@check(
    "gpu.ecc_uncorrected",
    tags="healthcheck boot gpu",
    remedy="Reset the GPU when no job uses it (`nvidia-smi --gpu-reset -i ADDRESS`, or `amd-smi reset --gpureset "
    "--gpu ADDRESS`), or reboot the node. Replace it "
    "where the threshold of SRAM errors is exceeded, or where errors come back after resets.",
    beta=True,
)
def ecc_uncorrected(
    gpus: Gpus, *, max_uncorrected_errors: Annotated[int, "uncorrected errors of one GPU since its last reset"] = 0
) -> Verdict:
    """No GPU has met memory errors that it could not correct since its last reset.

    Each of them killed a job or spoiled its data. NVML also says whether errors in SRAM passed the threshold from which
    NVIDIA's field diagnostic fails: that GPU is to be returned. AMD's errors outside of its memory are judged as those
    in SRAM. Sources: NVML API reference, nvmlDeviceGetMemoryErrorCounter and nvmlEccSramErrorStatus_t;
    amd_smi/amdsmi.h, amdsmi_get_gpu_ecc_count and amdsmi_get_gpu_total_ecc_count.
    """
    fields = ("sram_uncorrected", "dram_uncorrected")
    known = gpus.saying(*fields)
    exceeded = {g.label: "replace it" for g in gpus.usable if g.is_sram_threshold_exceeded}
    if exceeded:
        return fail(f"the threshold of uncorrected SRAM errors is exceeded: {listed(exceeded)}", parts=parts(exceeded))
    counts = {g.label: (g.sram_uncorrected or 0, g.dram_uncorrected or 0) for g in known}
    wrong = {label: f"{s} in SRAM, {d} in DRAM" for label, (s, d) in counts.items() if s + d > max_uncorrected_errors}
    if wrong:
        allowed = f"expected at most {max_uncorrected_errors}"
        return fail(f"uncorrected memory errors since the last reset, {allowed}: {listed(wrong)}", parts=parts(wrong))
    gpus.raise_unjudged(*fields)
    gpus.raise_unread("is_sram_threshold_exceeded")
    return ok(f"no more uncorrected memory errors than tolerated on {len(known)} GPUs")


@check(
    "gpu.ecc_corrected_rate",
    tags="healthcheck boot gpu",
    remedy="Inspect: watch whether rows are being remapped (`gpu.remapped_rows`) and run NVIDIA's field diagnostic. "
    "Replace a GPU whose rate stays above {max_errors_per_hour} an hour.",
    beta=True,
)
def ecc_corrected_rate(
    seen: Seen,
    *,
    max_errors_per_hour: Annotated[float, "corrected errors of one GPU in an hour, by kind of memory"] = 100.0,
    window_h: Annotated[float, "hours that are looked back on"] = 24.0,
) -> Verdict:
    """No GPU corrects memory errors at a rate that announces uncorrected ones.

    Cells that are going bad are corrected many times before they are beyond correction. The limit is ours: NVIDIA
    names none (DCGM calls its own one a dummy value). Source: NVML API reference, nvmlDeviceGetMemoryErrorCounter.
    """
    limits = [
        Limit("gpu.sram_corrected", "corrected errors in SRAM", max_errors_per_hour),
        Limit("gpu.dram_corrected", "corrected errors in DRAM", max_errors_per_hour),
    ]
    return judged(seen, limits, window_h)


@check(
    "gpu.retired_pages",
    tags="healthcheck boot gpu",
    remedy="Pending: reset the GPU when no job uses it (`nvidia-smi --gpu-reset -i ADDRESS`) or reboot the node. "
    "Above {max_pages_count} pages: replace the GPU.",
    beta=True,
)
def retired_pages(
    gpus: Gpus,
    *,
    pending_is: Annotated[Literal["warn", "fail"], "what a page that waits for its retirement is"] = "warn",
    warn_pages_count: Annotated[int, "retired pages of one GPU above which to warn"] = 15,
    max_pages_count: Annotated[int, "retired pages of one GPU, which can hold 64; AMD's say themselves how many"] = 63,
) -> Verdict:
    """No GPU has retired many pages of its memory, or has one that waits to be.

    GPUs before Ampere take a page with errors out of use at the next reset; until then a job may still get it. Those
    since remap rows instead (`gpu.remapped_rows`). The limits are those of DCGM (dcgm_gpu_hardware_limits.h). AMD's
    retire pages at once, up to a threshold of their driver, beyond which the GPU is in bad status. Sources: NVIDIA
    Dynamic Page Retirement; kernel documentation, gpu/amdgpu/module-parameters.rst (bad_page_threshold).
    """
    fields = ("retired_pages_corrected", "retired_pages_uncorrected", "retired_pages_pending")
    known = gpus.saying(*fields)
    pages = {g.label: (g.retired_pages_corrected or 0) + (g.retired_pages_uncorrected or 0) for g in known}
    most = {g.label: max_pages_count if g.retired_pages_most is None else g.retired_pages_most for g in known}
    full = {label: f"has retired {n}" for label, n in pages.items() if n > most[label]}
    pending = {g.label: "waits for a reset to retire a page" for g in known if g.retired_pages_pending}
    worn = {label: f"has retired {n}" for label, n in pages.items() if warn_pages_count < n <= most[label]}
    severe, light = (full | pending, worn) if pending_is == "fail" else (full, worn | pending)
    if severe:
        return fail(f"pages of GPU memory: {listed(severe)}", parts=parts(severe))
    gpus.raise_unjudged(*fields)
    if light:
        return warn(f"pages of GPU memory: {listed(light)}", parts=parts(light))
    return ok(f"no page retirement pending on {len(known)} GPUs", pages=sum(pages.values()))


@check(
    "gpu.remapped_rows",
    tags="healthcheck boot gpu",
    remedy="Pending: reset the GPU when no job uses it (`nvidia-smi --gpu-reset -i ADDRESS`) or reboot the node. "
    "Failed, or above {max_uncorrectable_rows} rows: run NVIDIA's field diagnostic and replace the GPU.",
)
def remapped_rows(
    gpus: Gpus,
    *,
    pending_is: Annotated[Literal["warn", "fail"], "what a remapping that waits for a reset is"] = "warn",
    exhausted_bank_is: Annotated[Literal["warn", "fail"], "what a memory bank without spare rows is"] = "warn",
    warn_correctable_rows: Annotated[int, "rows remapped for corrected errors above which to warn"] = 10,
    max_uncorrectable_rows: Annotated[int, "most rows remapped for uncorrectable errors; a GPU can do 512"] = 511,
) -> Verdict:
    """No GPU has failed to replace a bad row of its memory, or is about to.

    GPUs since Ampere replace a row with uncorrectable errors by a spare one at the next reset; until then
    data-centre GPUs keep its page out of use and jobs may go on. A failed remapping is NVIDIA's criterion
    for returning the GPU, and a bank without spare rows fails at its next error. Of nodes with a GPU that had remapped
    more than ten rows for corrected errors, five in six got slower or failed. Sources: NVIDIA GPU Memory Error
    Management, row remapping and RMA policy; SuperBench, USENIX ATC 2024 (corrected errors).
    """
    severe: list[str] = []
    light: list[str] = []
    for gpu in gpus.usable:
        for finding, kind in _row_findings(gpu, warn_correctable_rows, max_uncorrectable_rows):
            levels = {"pending": pending_is, "exhausted": exhausted_bank_is, "worn": "warn"}
            is_severe = levels.get(kind, "fail") == "fail"
            (severe if is_severe else light).append(f"{gpu.label} {finding}")
    if severe:
        return fail(f"GPU memory rows: {named(severe + light)}", findings=severe + light)
    gpus.raise_unjudged("remapped_rows")
    gpus.raise_unread("spare_row_banks")
    if light:
        return warn(f"GPU memory rows: {named(light)}", findings=light)
    known = [g.remapped_rows for g in gpus.usable if g.remapped_rows]
    return ok(f"{len(known)} GPUs: no remapping failed or pending", rows=sum(r.uncorrectable for r in known))


def _row_findings(gpu: Gpu, warn_correctable_rows: int, max_uncorrectable_rows: int) -> list[tuple[str, str]]:
    findings = []
    rows, banks = gpu.remapped_rows, gpu.spare_row_banks or {}
    if rows and rows.has_failed:
        findings.append(("failed to remap a row (RMA)", "failed"))
    if rows and rows.uncorrectable > max_uncorrectable_rows:
        findings.append((f"remapped {rows.uncorrectable} rows, at most {max_uncorrectable_rows} expected", "many"))
    if rows and rows.correctable > warn_correctable_rows:
        findings.append((f"remapped {rows.correctable} rows for corrected errors", "worn"))
    if exhausted := banks.get("none", 0):
        findings.append((f"has {exhausted} memory banks without spare rows", "exhausted"))
    if rows and rows.is_pending:
        findings.append(("waits for a reset to remap a row", "pending"))
    return findings
