"""Judgement of NVIDIA GPUs: all there, on their full link, memory and driver in order.

Sources: NVIDIA NVML API reference; NVIDIA GPU Memory Error Management (row remapping, RMA policy).
"""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.gpu import LOST, NOT_IN_NVML, Gpu, Gpus
from nodeproof.verdict import Verdict, fail, named, ok, warn

_WORDS = {LOST: "fell off the bus", NOT_IN_NVML: "is on the PCI bus but unknown to the driver"}


def _broken(gpus: Gpus) -> str:
    return named([f"{label} {_WORDS.get(error, f'answers {error}')}" for label, error in gpus.broken.items()])


@check(
    "gpu.count",
    tags="prolog healthcheck boot",
    remedy="Look for `NVRM` and Xid 79 in the kernel log, and for power and PCIe errors of that slot in the BMC's log. "
    "A lost GPU needs a reboot or a power cycle; one that is lost again is reseated, then replaced.",
    learn=lambda gpus: {"claimed": len(gpus.usable)} if gpus.usable else {},
)
def count(gpus: Gpus, *, claimed: Annotated[int, "GPUs that this node must have"]) -> Verdict:
    """Every GPU that the node should have answers.

    Slurm goes on handing out a GPU that fell off the bus, and every job that gets it dies at its first
    CUDA call. What the PCI bus shows is compared with what the driver can reach, so that the missing
    GPU is named by its address. Source: NVML API reference, NVML_ERROR_GPU_IS_LOST.
    """
    usable = len(gpus.usable)
    evidence = {"gpus": usable, "pci_gpus": len(gpus.pci_addresses), "broken": gpus.broken}
    if gpus.init_error:
        return fail(f"no usable GPU, expected {claimed}: NVML says {': '.join(gpus.init_error)}", **evidence)
    if gpus.most_usable < claimed:
        why = _broken(gpus) or f"the PCI bus shows {len(gpus.pci_addresses)}"
        return fail(f"{gpus.most_usable} usable GPUs, expected {claimed}: {why}", **evidence)
    if gpus.unread:
        raise gpus.unread[0]
    if usable > claimed:
        return warn(f"{usable} usable GPUs, expected {claimed}: policy claims too few", **evidence)
    if gpus.broken:
        return warn(f"{usable} usable GPUs as expected, but {_broken(gpus)}", **evidence)
    return ok(f"{usable} GPUs answer", **evidence)


@check(
    "gpu.driver",
    remedy="After a driver update reboot the node, so that kernel module and library are of one version again. "
    "If the module does not load, the kernel log says why (`NVRM`). A GPU that fell off the bus needs a power cycle.",
    learn=lambda gpus: {"allowed": (gpus.driver_version,)} if gpus.driver_version else {},
)
def driver(
    gpus: Gpus,
    *,
    allowed: Annotated[tuple[str, ...], "driver versions that are allowed, e.g. 570.*; empty: any"] = (),
) -> Verdict:
    """The NVIDIA driver works, in an allowed version, and reaches every GPU on the PCI bus.

    After an update the library and the loaded kernel module differ in version until the next reboot:
    running jobs go on, and every new CUDA job dies at once. One node with another driver than its
    peers breaks multi-node jobs in ways that look like a fault of the network. Source: NVML API reference,
    nvmlInit and nvmlReturn_t.
    """
    version = gpus.driver_version
    if gpus.init_error:
        name, text = gpus.init_error
        on_bus = f"{len(gpus.pci_addresses)} NVIDIA GPUs on the PCI bus"
        return fail(f"NVML cannot be initialised: {name} ({text}), {on_bus}", error=name, gpus=list(gpus.pci_addresses))
    if version and allowed and not any(fnmatchcase(version, pattern) for pattern in allowed):
        return fail(f"driver {version}, expected {named(allowed)}", version=version)
    if set(gpus.broken.values()) - {NOT_IN_NVML}:
        return fail(f"driver {version} cannot reach every GPU: {_broken(gpus)}", version=version, broken=gpus.broken)
    if gpus.unread:
        raise gpus.unread[0]
    if gpus.broken:
        return warn(f"driver {version} cannot reach every GPU: {_broken(gpus)}", version=version, broken=gpus.broken)
    if allowed and not version:
        raise FactError("nvml_devices", "failed", "no driver version")
    return ok(f"driver {version} reaches {len(gpus.known)} GPUs", version=version)


def _full_width(gpus: Gpus) -> dict[str, int]:
    """Return the width that the narrowest GPU and its slot can do: learnt instead of what it has now."""
    widths = [g.pcie_width_max for g in gpus.usable if g.pcie_width_max]
    return {"min_width": min(widths)} if widths else {}


@check(
    "gpu.pcie_width",
    remedy="Reseat the GPU or its riser and cable, then retrain the link with a power cycle. "
    "If the width stays low, swap two GPUs: a fault that does not move with the GPU is the slot's.",
    learn=_full_width,
)
def pcie_width(
    gpus: Gpus,
    *,
    min_width: Annotated[int, "PCIe width that every GPU must have at least, in lanes; 0: no minimum"] = 0,
) -> Verdict:
    """Every GPU's PCIe link has the full width that GPU and slot can do.

    A link that trained at x8 or x4 has a half or a quarter of the bandwidth to memory and NICs, and the
    slowest GPU holds up every collective of a job. Width is judged at any time; the link's generation is
    not, since idle GPUs lower it to save power. Source: NVML API reference, nvmlDeviceGetMaxPcieLinkWidth.
    """
    fields = ("pcie_width", "pcie_width_max")
    widths = {g.label: (g.pcie_width, g.pcie_width_max) for g in gpus.known.values()}
    known = {label: (now, full) for label, (now, full) in widths.items() if now is not None and full is not None}
    narrow = {label: width for label, width in known.items() if width[0] < max(width[1], min_width)}
    if narrow:
        seen = [f"{label} has x{now}, expected x{max(full, min_width)}" for label, (now, full) in narrow.items()]
        evidence = {label: now for label, (now, _) in narrow.items()}
        return fail(f"{len(narrow)} of {len(known)} GPUs have a narrow PCIe link: {named(seen)}", width_lanes=evidence)
    if errors := gpus.unjudged(*fields):
        raise errors[0]
    if not known:
        raise FactError("nvml_device", "absent", "no GPU says its PCIe width")
    return ok(f"{len(known)} GPUs have their full PCIe width, {named({f'x{now}' for now, _ in known.values()})}")


@check(
    "gpu.remapped_rows",
    remedy="Pending: reset the GPU when no job uses it (`nvidia-smi --gpu-reset -i ADDRESS`) or reboot the node. "
    "Failed, or above {max_uncorrectable_rows} rows: run NVIDIA's field diagnostic and return the GPU.",
)
def remapped_rows(
    gpus: Gpus,
    *,
    pending_is: Annotated[Literal["warn", "fail"], "what a remapping that waits for a reset is"] = "warn",
    exhausted_bank_is: Annotated[Literal["warn", "fail"], "what a memory bank without spare rows is"] = "warn",
    max_uncorrectable_rows: Annotated[int, "most rows remapped for uncorrectable errors; a GPU can do 512"] = 511,
) -> Verdict:
    """No GPU has failed to replace a bad row of its memory, or is about to.

    GPUs since Ampere replace a row with uncorrectable errors by a spare one at the next reset; until then
    data-centre GPUs keep its page out of use and jobs may go on. A failed remapping is NVIDIA's criterion
    for returning the GPU, and a bank without spare rows fails at its next error. Source: NVIDIA GPU Memory
    Error Management, row remapping and RMA policy.
    """
    severe: list[str] = []
    light: list[str] = []
    for gpu in gpus.known.values():
        for finding, kind in _row_findings(gpu, max_uncorrectable_rows):
            is_severe = {"pending": pending_is, "exhausted": exhausted_bank_is}.get(kind, "fail") == "fail"
            (severe if is_severe else light).append(f"{gpu.label} {finding}")
    if severe:
        return fail(f"GPU memory rows: {named(severe + light)}", findings=severe + light)
    if errors := gpus.unjudged("remapped_rows", "spare_row_banks"):
        raise errors[0]
    if light:
        return warn(f"GPU memory rows: {named(light)}", findings=light)
    known = [g.remapped_rows for g in gpus.known.values() if g.remapped_rows]
    if not known:
        raise FactError("nvml_device", "absent", "no GPU reports remapped rows: older than Ampere, or MIG in use")
    return ok(f"{len(known)} GPUs: no remapping failed or pending", rows=sum(r.uncorrectable for r in known))


def _row_findings(gpu: Gpu, max_uncorrectable_rows: int) -> list[tuple[str, str]]:
    findings = []
    rows, banks = gpu.remapped_rows, gpu.spare_row_banks or {}
    if rows and rows.has_failed:
        findings.append(("failed to remap a row (RMA)", "failed"))
    if rows and rows.uncorrectable > max_uncorrectable_rows:
        findings.append((f"remapped {rows.uncorrectable} rows, at most {max_uncorrectable_rows} expected", "many"))
    if exhausted := banks.get("none", 0):
        findings.append((f"has {exhausted} memory banks without spare rows", "exhausted"))
    if rows and rows.is_pending:
        findings.append(("waits for a reset to remap a row", "pending"))
    return findings
