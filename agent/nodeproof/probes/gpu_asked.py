"""One more question about each NVIDIA GPU, for facts beside `probes.gpu`."""

from typing import Any, NamedTuple

from nodeproof.errors import FactError
from nodeproof.host import Host, HostCall
from nodeproof.host.nvml import nvml_devices
from nodeproof.probes.gpu import MAX_DEVICES, pci_addresses
from nodeproof.probes.gpu_device import LOST, pci_address


class Asked(NamedTuple):
    """What NVML answered about one GPU; `label` is its PCI address, or its index where NVML does not say."""

    nvml_index: int
    label: str
    answer: dict[str, Any]


def each_gpu(host: Host, question: HostCall) -> tuple[list[Asked], tuple[FactError, ...]]:
    """Return answers about all GPUs that have one, and why the others could not be asked.

    A GPU that is lost or has no handle is left out: `gpu.lost` says so. Raises FactError `absent` without an NVIDIA
    GPU, without the library, and where NVML cannot be initialised, which `gpu.driver` tells.
    """
    pci_addresses(host)
    system = host.call(nvml_devices)
    if system["init_error"]:
        raise FactError("nvml_devices", "absent", f"NVML cannot be initialised: {system['init_error']['name']}")
    found, unread = [], []
    for index in range(min(system["device_count"], MAX_DEVICES)):
        try:
            answer = host.call(question, index)
            if answer["error"] or LOST in answer["errors"].values():
                continue
            bus_id = answer["pci_bus_id"]
            label = f"index {index}" if bus_id is None else pci_address(f"nvml_device {index}", bus_id)
        except FactError as error:
            unread.append(error)
        else:
            found.append(Asked(index, label, answer))
    return found, tuple(unread)
