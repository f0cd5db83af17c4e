"""What NVIDIA's error codes mean and what is to be done about them: data, with its sources.

Sources: NVIDIA XID catalogue (docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html, 2025-10); NVIDIA Fabric
Manager user guide, appendix D. Where known tools disagree about a code, its row says so; `event.xid`'s parameter
`actions` changes a row.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

#: What to do: nothing; look at the program; watch the GPU; reset it; reboot the node; look at the hardware; send the
#: GPU back; or what the line itself says.
Action = Literal["none", "app", "watch", "reset", "reboot", "inspect", "rma", "obey"]

#: From harmless to bad. What is at least "reset" makes the node unfit.
ACTIONS: tuple[str, ...] = ("none", "app", "watch", "reset", "inspect", "reboot", "rma")

UNFIT = frozenset({"reset", "inspect", "reboot", "rma"})

#: What ends with a reset, so that it is over when the driver says that the GPU needs nothing any more.
RESETTABLE = frozenset({"watch", "reset", "reboot"})

#: In a finding.
WORDS: Mapping[str, str] = {
    "none": "nothing to do",
    "app": "look at the program",
    "watch": "watch it",
    "reset": "reset it",
    "reboot": "reboot the node",
    "inspect": "inspect it",
    "rma": "replace it",
}


class Code(NamedTuple):
    """One code. `repeats`: that often on one GPU within the window it is to be watched, whatever its action."""

    name: str
    action: Action
    repeats: int = 0
    disputed: str = ""


#: XID 154's values: nvmlDeviceGpuRecoveryAction_t of the NVML API reference.
RECOVERY: Mapping[int, Action] = {0: "none", 1: "reset", 2: "reboot", 3: "reset", 4: "reset"}

#: Codes in NVIDIA's catalogue without a meaning today: worth a look, never a drain; so are unknown ones.
UNKNOWN = Code("not in NVIDIA's catalogue", "watch")

_CATALOGUE: Mapping[int, Code] = {
    8: Code("GPU stopped processing", "app"),
    11: Code("invalid push buffer stream", "app"),
    13: Code("graphics engine exception", "app", repeats=10),
    25: Code("invalid push buffer stream", "app"),
    31: Code("GPU memory page fault", "app", repeats=10),
    32: Code("invalid push buffer stream", "app", disputed="gpud reboots"),
    37: Code("driver firmware error", "app"),
    38: Code("driver firmware error", "watch"),
    43: Code("GPU stopped processing", "app"),
    44: Code("graphics engine fault during context switch", "app"),
    45: Code("preemptive cleanup after another error", "none"),
    46: Code("GPU stopped processing", "reset", disputed="gpud reboots"),
    48: Code("double-bit ECC error", "reset"),
    54: Code("auxiliary power is not connected", "inspect"),
    60: Code("video processor exception", "app", disputed="gpud reboots"),
    61: Code("internal micro-controller breakpoint", "reset", disputed="NVIDIA: contact support; gpud reboots"),
    62: Code("internal micro-controller halt", "reset"),
    63: Code("GPU memory row was remapped", "watch", disputed="NVIDIA ignores it; gpud reboots"),
    64: Code("GPU memory row could not be remapped", "rma", disputed="NVIDIA resets first"),
    66: Code("illegal access by driver", "app"),
    67: Code("illegal access by driver", "app"),
    68: Code("video decoder exception", "app", disputed="gpud reboots"),
    69: Code("graphics engine class error", "app", disputed="gpud reboots"),
    74: Code("NVLink error", "reset", disputed="NVIDIA: by the register bits of the line"),
    78: Code("vGPU start error", "watch"),
    79: Code("GPU has fallen off the bus", "reboot"),
    80: Code("corrupted data sent to GPU", "app"),
    92: Code("high single-bit ECC error rate", "watch"),
    93: Code("InfoROM wear limit", "none"),
    94: Code("contained memory error", "watch", disputed="NVIDIA restarts the program; gpud reboots"),
    95: Code("uncontained memory error", "reset"),
    106: Code("SMBPBI test message", "none"),
    107: Code("SMBPBI test message", "none"),
    108: Code("NVLink remote translation error", "app"),
    109: Code("context switch timeout", "reset", disputed="gpud only warns"),
    110: Code("security fault", "reset"),
    119: Code("GSP does not answer", "reset", disputed="gpud reboots"),
    120: Code("GSP error", "reset", disputed="gpud reboots"),
    121: Code("corrected C2C error", "watch", disputed="gpud reboots"),
    136: Code("NVLink training failed", "reset", disputed="gpud only warns"),
    137: Code("NVLink privilege error", "app"),
    140: Code("unrecovered ECC error", "reset"),
    141: Code("CUDA fast path error", "app"),
    143: Code("GPU initialisation error", "reset", disputed="gpud inspects"),
    144: Code("NVLink SAW error", "inspect"),
    145: Code("NVLink RLW error", "inspect"),
    146: Code("NVLink TLW error", "inspect"),
    147: Code("NVLink TREX error", "inspect"),
    148: Code("NVLink NVLPW error", "inspect"),
    149: Code("NVLink NETIR error", "inspect"),
    150: Code("NVLink MSE error", "inspect"),
    151: Code("key rotation error", "reboot"),
    152: Code("DLA SMMU error", "app"),
    153: Code("DLA timeout", "app"),
    154: Code("recovery action changed", "obey"),
    155: Code("NVLink error defined by software", "reset"),
    156: Code("resource was retired", "reset"),
    157: Code("resource could not be retired", "rma", disputed="NVIDIA ignores it at first"),
    158: Code("fatal timeout of the GPU", "reset"),
    159: Code("CHI non-data error", "watch"),
    160: Code("channel was retired", "watch", disputed="NVIDIA ignores it; NVSentinel restarts the node"),
    161: Code("channel could not be retired", "watch"),
    162: Code("power smoothing on again", "none"),
    163: Code("power smoothing off", "watch"),
    164: Code("power smoothing near its end of life", "watch"),
    165: Code("power smoothing at its end of life", "watch"),
    166: Code("NVLink traffic before encryption", "watch"),
    167: Code("fatal PCIe timeout", "reboot"),
    168: Code("GPU memory capacity is reduced", "watch"),
    169: Code("internal micro-controller halt", "reset"),
    170: Code("interrupt in confidential mode", "watch"),
    171: Code("detail of XID 48: DRAM", "none"),
    172: Code("detail of XID 48: SRAM", "none"),
    173: Code("fatal C2C error", "reboot"),
}


def _numbers(words: str) -> Iterator[int]:
    """Yield the numbers of a list such as `3 5-7`."""
    for word in words.split():
        first, _, last = word.partition("-")
        yield from range(int(first), int(last or first) + 1)


#: Exceptions of single engines: copy, video, JPEG, optical flow. NVIDIA: restart the program.
_ENGINES = "39-41 70-72 75-77 82-86 88 89 96-105 126-135 139"

XIDS: Mapping[int, Code] = {**dict.fromkeys(_numbers(_ENGINES), Code("engine exception", "app")), **_CATALOGUE}

#: SXIDs whose action is not that of the word in their line (Fatal: reset; Non-fatal: watch). NVIDIA says of those
#: under "none" that nothing is to be done: corrected bits, limits of corrected bits, echoes of a fault elsewhere.
_SXIDS: Mapping[Action, str] = {
    "reset": "10003 10006-10008 12020 12028 12032 14001 14002 14014 14017 14018 19084 20034 22003 22011 23001-23017 "
    "24007-24010 26001-26007",
    "inspect": "18001-18020 19001-19003 19007 19036 19037 19080 19083 20004-20007 20036-20038 25008-25010 27001-27007",
    "watch": "10004 11004 20009 20010 20012 28001 28003 28005",
    "none": "10001 10002 10005 11006 11012 11021-11023 11040-11042 12003 12006 12021 12023 12036 12038 12040 12042 "
    "12044 12046 14003 14005 14007 14015 15004 15008 15011 15014 15016 15018 17001 17005 19049 19055 19057 19059 19062 "
    "19065 19068 19071 20001 20002 22013 24001-24003 28002 28004 29001 29003 30001 30003",
}

SXIDS: Mapping[int, Action] = {code: action for action, codes in _SXIDS.items() for code in _numbers(codes)}


def xid_action(code: int, fields: Mapping[str, str]) -> Action:
    """Return what is to be done about an XID whose line said `fields`."""
    row = XIDS.get(code, UNKNOWN)
    if row.action == "obey":
        try:
            return RECOVERY.get(int(fields.get("recovery", ""), 16), "inspect")
        except ValueError:
            return "watch"  # told without its value, as NVML does: the GPU's own finding says more
    if 144 <= code <= 150 and (level := fields.get("level")):
        return "reset" if level == "Fatal" else "watch"
    return row.action


def sxid_action(code: int, fields: Mapping[str, str]) -> Action:
    """Return what is to be done about an SXID: as the table says, else by the word of its line."""
    by_word: Action = "reset" if fields.get("level") == "Fatal" else "watch"
    action = SXIDS.get(code, by_word)
    return by_word if action == "none" and by_word == "reset" else action


def rank(action: str) -> int:
    """Return how grave an action is."""
    return ACTIONS.index(action) if action in ACTIONS else 0
