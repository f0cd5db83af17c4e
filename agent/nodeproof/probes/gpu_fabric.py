"""NVSwitches of a node, and the program that sets them up."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.gpu_vendor import NVIDIA, PCI_DEVICES, gpus_on_bus

_NVIDIA_ID = "0x10de"

#: PCI class of an NVSwitch: a bridge of no named kind.
_BRIDGE = "0x0680"

#: What the kernel keeps of the name `nv-fabricmanager`: 15 characters (proc_pid_comm(5)).
_MANAGER = "nv-fabricmanage"


@fact(f"{PCI_DEVICES}/*/{{vendor,class}}", "/proc/[0-9]*/comm")
class FabricManager(NamedTuple):
    """How many NVSwitches the PCI bus shows, and process numbers of Fabric Manager.

    NVSwitches since NVLink 5 are no PCI devices of the node. Source: NVIDIA Fabric Manager user guide.
    """

    switches: int
    pids: tuple[int, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` without an NVIDIA GPU on the bus."""
        vendor, _ = gpus_on_bus(host)
        if vendor is not NVIDIA:
            raise FactError(PCI_DEVICES, "absent", "no NVIDIA GPU on the PCI bus")
        vendors = [p for p in host.glob(f"{PCI_DEVICES}/*/vendor") if host.text(p) == _NVIDIA_ID]
        classes = [host.text(f"{p.removesuffix('/vendor')}/class") for p in vendors]
        pids = [int(p.split("/")[2]) for p in host.glob("/proc/[0-9]*/comm") if _name(host, p) == _MANAGER]
        return cls(sum(c.startswith(_BRIDGE) for c in classes), tuple(pids))


def _name(host: Host, path: str) -> str:
    """Return the name of a process, nothing if it has ended meanwhile."""
    try:
        return host.text(path)
    except FactError as error:
        if error.kind == "absent" or error.detail == "ESRCH":
            return ""
        raise
