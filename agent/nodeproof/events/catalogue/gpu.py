"""NVIDIA GPUs and NVSwitches. What the codes of XIDs and SXIDs mean is in `nodeproof.events.xid`.

Sources: NVIDIA XID catalogue (docs.nvidia.com/deploy/xid-errors); NVIDIA open-gpu-kernel-modules; NVIDIA Fabric Manager
user guide, appendix D (SXid).
"""

from nodeproof.events.rule import ALL_H, PCI, Line, Rule

_XID = rf"NVRM: Xid \((?:PCI:)?{PCI}(?: GPU-I:(?P<instance>\d+)| GPU-CI:\d+)*\): "


def _nvlink5(level: str) -> str:
    """Return the expression of an NVLink 5 error: unit, severity, link, and registers; since driver 575 in brackets."""
    return (
        r"(?P<code>14[4-9]|150), (?P<unit>[A-Z][A-Z0-9_]{1,40}) +(?P<level>" + level + r") +XC ?\d+ i ?\d+ "
        r"Link (?P<link>-?\d+) [\[(](?P<intrinfo>0x[0-9a-f]+)(?: (?P<status>0x[0-9a-f]+))?"
    )


_PROCESS = (
    r"(?:pid=(?:'?<unknown>'?|(?P<pid>\d+))(?:, |$))?(?:name=(?:<unknown>|(?P<process>[^,]{1,60}))(?:, |$))?"
    r"(?:Ch (?P<channel>[0-9a-f]{1,8})(?:, |$))?"
)


def _sxid(level: str) -> str:
    """Return the expression of the first of the lines about an SXID; the others repeat its code without the word."""
    return (
        rf"nvidia-nvswitch(?P<switch>\d+): SXid \(PCI:{PCI}\): (?P<code>\d{{5}}), (?P<level>{level}), "
        r"(?:Link (?P<link>\d+) )?(?P<what>.{0,160})"
    )


RULES = (
    Rule(
        id="event.xid",
        name="XID",
        title="No GPU reported an error that needs a reset, a reboot or a replacement.",
        why="The driver names what went wrong by a number, the XID. Some mean that a program is wrong, some that the "
        "GPU must be reset or is broken: which is which stands in a table (`actions` changes it), and drivers since "
        "2025 say themselves what is to be done (XID 154), which goes before the table.",
        remedy="Do what the finding says: reset the GPU when no job uses it (`nvidia-smi --gpu-reset -i ADDRESS`) or "
        "reboot the node; inspect power cable, slot and NVLink; replace a GPU that comes back with the same.",
        source="NVIDIA XID catalogue, docs.nvidia.com/deploy/xid-errors",
        lines=(
            Line(
                _XID + r"(?P<code>154), GPU recovery action changed from 0x[0-9a-f]+ \([^)]{1,40}\) to "
                r"(?P<recovery>0x[0-9a-f]+) \((?P<recovery_name>[^)]{1,40})\)",
                "{code}",
            ),
            Line(_XID + _nvlink5("Fatal"), "{code}"),
            Line(_XID + _nvlink5("Nonfatal|Non-fatal"), "{code} nonfatal"),
            Line(rf"{_XID}(?P<code>\d{{1,4}})(?:, {_PROCESS}(?P<what>.{{0,160}})|$)", "{code}"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
        variants_are="codes",
    ),
    Rule(
        id="event.sxid",
        name="SXID",
        title="No NVSwitch reported an error that needs a reset or an inspection.",
        why="All traffic between the GPUs of a node goes through the NVSwitches. A fatal error of one stops the fabric "
        "or a link of it: jobs hang or die, and new ones do not start.",
        remedy="Reset all GPUs and switches (stop the jobs and Fabric Manager, `nvidia-smi --gpu-reset`) or reboot the "
        "node. An error that names the same link again is that link's: inspect and replace.",
        source="NVIDIA Fabric Manager user guide, appendix D: NVSwitch SXid errors",
        lines=(
            Line(_sxid("Fatal"), "{code}"),
            Line(_sxid("Non-fatal"), "{code} nonfatal"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
        variants_are="codes",
    ),
    Rule(
        id="event.gpu_lost",
        name="GPU that fell off the bus",
        title="No GPU fell off the bus.",
        why="The driver reads nothing but ones from the GPU: it has no power, no link, or hung. Every job that is "
        "given it dies.",
        remedy="Reboot or power-cycle the node; look for PCIe and power errors of that slot. A GPU that is lost again "
        "is reseated, then replaced.",
        source="NVIDIA open-gpu-kernel-modules, src/nvidia/arch/nvalloc/unix/src/osinit.c and osapi.c; XID 79",
        lines=(
            Line(rf"NVRM: GPU {PCI}: GPU has fallen off the bus"),
            Line(rf"NVRM: The NVIDIA GPU {PCI}"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
    ),
    Rule(
        id="event.gpu_init",
        name="GPU that could not be initialised",
        title="The driver can initialise every GPU.",
        why="The GPU is on the bus but the driver cannot bring it up: wrong firmware, wrong kind of kernel module, or "
        "hardware that is broken. It does not show up in nvidia-smi.",
        remedy="Look at the lines around it in the kernel log. Power-cycle the node; if driver and firmware are "
        "those of its peers, replace the GPU.",
        source="NVIDIA open-gpu-kernel-modules, src/nvidia/arch/nvalloc/unix/src/osinit.c, RmInitAdapter",
        lines=(
            Line(rf"NVRM: (?:GPU {PCI}: )?RmInitAdapter failed! \((?P<status>[0-9a-fx:]{{1,40}})\)"),
            Line(rf"NVRM: (?:GPU {PCI}: )?rm_init_adapter failed, device minor number (?P<minor>\d+)", "minor"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
    ),
)

#: Tells which GPU an address is; no event, but those that follow carry it.
GPU_AT = rf"NVRM: GPU at PCI:{PCI}: (?P<gpu>GPU-[0-9a-fA-F-]{{36}})\b"
