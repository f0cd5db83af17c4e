"""Judgement of GPUs: all there, answering, on their full link, with a driver that works.

Deliberately not here: their memory (`gpu_memory`), settings, links and what they are doing (`gpu_*`).
Sources: NVIDIA NVML API reference; amd_smi/amdsmi.h of ROCm.
"""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.gpu import NOT_IN_NVML, SILENT, Gpus
from nodeproof.probes.gpu_device import LOST
from nodeproof.verdict import Verdict, fail, named, ok, warn
from nodeproof_checks.gpu_common import parts

_WORDS = {
    LOST: "fell off the bus",
    SILENT: "is on the PCI bus but answers nothing there (rev ff)",
    NOT_IN_NVML: "is on the PCI bus but unknown to the driver",
}


@check(
    "gpu.count",
    tags="prolog healthcheck boot gpu",
    remedy="Inspect: look for power and PCIe errors of the missing slot in the BMC's log and the kernel log, power the "
    "node off and on, and reseat the GPU. One that stays away is replaced.",
    learn=lambda gpus: {"claimed": len(gpus.pci_addresses)},
)
def count(gpus: Gpus, *, claimed: Annotated[int, "GPUs that this node must have"]) -> Verdict:
    """Every GPU that the node should have is on the PCI bus.

    A node that comes up with seven of eight GPUs looks healthy to itself, and a job that asks for eight waits for ever
    or dies. Whether a GPU that is there also works is judged by `gpu.lost`. Source: kernel documentation,
    ABI/testing/sysfs-bus-pci.
    """
    there = len(gpus.pci_addresses)
    evidence = {"gpus": there, "pci_addresses": list(gpus.pci_addresses)}
    if there < claimed:
        return fail(f"{there} GPUs on the PCI bus, expected {claimed}", **evidence)
    if there > claimed:
        return warn(f"{there} GPUs on the PCI bus, expected {claimed}: policy claims too few", **evidence)
    return ok(f"{there} GPUs on the PCI bus", **evidence)


@check(
    "gpu.lost",
    tags="prolog healthcheck boot gpu",
    remedy="Reboot the node, by a power cycle if the GPU stays away; look for `NVRM` and Xid 79, or `amdgpu`, in the "
    "kernel log and for power and PCIe errors of that slot in the BMC's log. One that is lost again is reseated, then "
    "replaced.",
)
def lost(
    gpus: Gpus,
    *,
    missing_is: Annotated[Literal["warn", "fail"], "what a GPU is that the driver does not know"] = "fail",
) -> Verdict:
    """Every GPU on the PCI bus answers.

    Slurm goes on handing out a GPU that fell off the bus, and every job that gets it dies at its first CUDA call. What
    the PCI bus shows is compared with what the driver can reach, so that the GPU is named by its address. One that
    the driver does not know may be meant for a virtual machine (`missing_is`). Where the driver does not work at all,
    `gpu.driver` says so. Source: NVML API reference, NVML_ERROR_GPU_IS_LOST.
    """
    broken = gpus.broken
    seen = [f"{label} {_WORDS.get(error, f'answers {error}')}" for label, error in broken.items()]
    if broken:
        is_severe = missing_is == "fail" or set(broken.values()) != {NOT_IN_NVML}
        return (fail if is_severe else warn)(
            f"{len(broken)} of {len(gpus.pci_addresses)} GPUs do not answer: {named(seen)}",
            parts=parts(address for address in broken if ":" in address),
            broken=broken,
        )
    gpus.raise_unjudged()
    return ok(f"{len(gpus.usable)} GPUs answer")


@check(
    "gpu.driver",
    tags="prolog healthcheck boot gpu",
    remedy="Reboot the node after a driver update, so that kernel module and library are of one version again. "
    "If the module does not load, the kernel log says why (`NVRM`, or `amdgpu`).",
    learn=lambda gpus: {"allowed": (gpus.driver_version,)} if gpus.driver_version else {},
)
def driver(
    gpus: Gpus,
    *,
    allowed: Annotated[tuple[str, ...], "driver versions that are allowed, e.g. 570.*; empty: any"] = (),
) -> Verdict:
    """The driver of the GPUs works, in an allowed version.

    After an update the library and the loaded kernel module differ in version until the next reboot:
    running jobs go on, and every new CUDA job dies at once. One node with another driver than its
    peers breaks multi-node jobs in ways that look like a fault of the network. Sources: NVML API reference,
    nvmlInit and nvmlReturn_t; amd_smi/amdsmi.h, amdsmi_init.
    """
    version = gpus.driver_version
    if gpus.init_error:
        name, text = gpus.init_error
        on_bus = f"{len(gpus.pci_addresses)} {gpus.vendor.name} GPUs on the PCI bus"
        words = f"{gpus.vendor.library} cannot be initialised: {name} ({text}), {on_bus}"
        return fail(words, error=name, gpus=list(gpus.pci_addresses))
    if version and allowed and not any(fnmatchcase(version, pattern) for pattern in allowed):
        return fail(f"driver {version}, expected {named(allowed)}", version=version)
    if gpus.unread:
        raise gpus.unread[0]
    if allowed and not version:
        raise FactError(gpus.vendor.devices.__name__, "failed", "no driver version")
    return ok(f"driver {version or 'of the kernel'} with {gpus.device_count} GPUs", version=version)


def _full_width(gpus: Gpus) -> dict[str, int]:
    """Return the width that the narrowest GPU and its slot can do: learnt instead of what it has now."""
    widths = [g.pcie_width_max for g in gpus.usable if g.pcie_width_max]
    return {"min_width": min(widths)} if widths else {}


@check(
    "gpu.pcie_width",
    tags="healthcheck boot gpu",
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
    widths = {g.label: (g.pcie_width, g.pcie_width_max) for g in gpus.usable}
    known = {label: (now, full) for label, (now, full) in widths.items() if now is not None and full is not None}
    narrow = {label: width for label, width in known.items() if width[0] < max(width[1], min_width)}
    if narrow:
        seen = [f"{label} has x{now}, expected x{max(full, min_width)}" for label, (now, full) in narrow.items()]
        evidence = {label: now for label, (now, _) in narrow.items()}
        return fail(f"{len(narrow)} of {len(known)} GPUs have a narrow PCIe link: {named(seen)}", width_lanes=evidence)
    gpus.raise_unjudged(*fields)
    return ok(f"{len(known)} GPUs have their full PCIe width, {named({f'x{now}' for now, _ in known.values()})}")
