"""One more question about each GPU, for facts beside `probes.gpu`."""

from typing import Any, NamedTuple

from nodeproof.errors import FactError
from nodeproof.host import Host, HostCall
from nodeproof.probes.gpu import MAX_DEVICES
from nodeproof.probes.gpu_device import LOST, pci_address
from nodeproof.probes.gpu_vendor import Vendor, ask_gpu


class Asked(NamedTuple):
    """What the library answered about one GPU; `label` is its PCI address, or its index where that is not told."""

    nvml_index: int
    label: str
    answer: dict[str, Any]


def each_gpu(host: Host, vendor: Vendor, question: HostCall) -> tuple[list[Asked], tuple[FactError, ...]]:
    """Return answers about all GPUs that have one, and why the others could not be asked.

    A GPU that is lost or has no handle is left out: `gpu.lost` says so. Raises FactError `absent` without the library,
    and where it cannot be initialised, which `gpu.driver` tells.
    """
    system = host.call(vendor.devices)
    if system["init_error"]:
        words = f"{vendor.library} cannot be initialised: {system['init_error']['name']}"
        raise FactError(vendor.devices.__name__, "absent", words)
    found, unread = [], []
    for index in range(min(system["device_count"], MAX_DEVICES)):
        try:
            answer = ask_gpu(host, question, index)
            if answer["error"] or LOST in answer["errors"].values():
                continue
            bus_id = answer["pci_bus_id"]
            source = f"{vendor.device.__name__} {index}"
            label = f"index {index}" if bus_id is None else pci_address(source, bus_id)
        except FactError as error:
            unread.append(error)
        else:
            found.append(Asked(index, label, answer))
    return found, tuple(unread)
