"""Whose GPUs a node has: what of the PCI bus is a GPU, and which library says more of it."""

import weakref
from typing import Any, NamedTuple

from nodeproof.errors import FactError
from nodeproof.host import Host, HostCall
from nodeproof.host.amdsmi import amdsmi_device, amdsmi_devices, amdsmi_links, amdsmi_peers
from nodeproof.host.base import call_name
from nodeproof.host.nvml import nvml_device, nvml_devices
from nodeproof.host.nvml_inforom import nvml_inforom
from nodeproof.host.nvml_links import nvml_links, nvml_peers

PCI_DEVICES = "/sys/bus/pci/devices"

#: PCI class codes (Documentation of the PCI SIG, as in linux/pci_ids.h): display controllers, those without a screen
#: among them, and processing accelerators.
_DISPLAY, _OTHER_DISPLAY, _ACCELERATOR = "0x03", "0x0380", "0x1200"


class Vendor(NamedTuple):
    """A maker of GPUs: its name, what its library and its links are called, and the questions to the library."""

    name: str
    library: str
    link: str
    devices: HostCall
    device: HostCall
    links: HostCall
    peers: HostCall


NVIDIA = Vendor("NVIDIA", "NVML", "NVLink", nvml_devices, nvml_device, nvml_links, nvml_peers)
AMD = Vendor("AMD", "AMD SMI", "xGMI link", amdsmi_devices, amdsmi_device, amdsmi_links, amdsmi_peers)

#: Questions about one GPU, by each of them: all go to one library.
_OF_ONE_GPU: dict[HostCall, tuple[HostCall, ...]] = {
    question: together
    for together in ((nvml_device, nvml_links, nvml_inforom), (amdsmi_device, amdsmi_links))
    for question in together
}

#: By the id of the vendor in PCI configuration space: in which order they are looked for, and the driver.
_VENDORS = {"0x10de": (NVIDIA, "nvidia"), "0x1002": (AMD, "amdgpu")}


def gpus_on_bus(host: Host) -> tuple[Vendor, tuple[str, ...]]:
    """Return whose GPUs the PCI bus shows, and where; where there are NVIDIA's and AMD's, NVIDIA's.

    Left out are those that another driver has, for they are meant for something else: vfio-pci passes them to a virtual
    machine. So are virtual functions, which a hypervisor's library does not list, and AMD's for a screen that its
    driver does not have: they are on the boards of old servers. Raises FactError `absent` if there is none. The bus is
    looked at once for all facts of a worker: there are hundreds of devices on it.
    """
    if host not in _SEEN:
        _SEEN[host] = _looked_at(host)
    if not _SEEN[host]:
        raise FactError(PCI_DEVICES, "absent", "no NVIDIA or AMD GPU on the PCI bus")
    return _SEEN[host][0]


#: What was seen on the bus of a host, if anything.
_SEEN = weakref.WeakKeyDictionary[Host, list[tuple[Vendor, tuple[str, ...]]]]()


def _looked_at(host: Host) -> list[tuple[Vendor, tuple[str, ...]]]:
    ids = {path.removesuffix("/vendor"): host.text(path) for path in host.glob(f"{PCI_DEVICES}/*/vendor")}
    for id_, (vendor, driver) in _VENDORS.items():
        found = [d for d in (d for d, its_id in ids.items() if its_id == id_) if _is_gpu(host, d, vendor, driver)]
        if found:
            return [(vendor, tuple(d.rpartition("/")[2] for d in found))]
    return []


def ask_gpu(host: Host, question: HostCall, index: int) -> Any:
    """Return what the library answers about one GPU.

    One that let another question hang is not asked again in this pass: it costs its deadline once. A recording of it
    has no answer but that one.
    """
    questions = _OF_ONE_GPU[question]
    for other in questions:
        if (name := call_name(other, index)) in host.hung:
            raise FactError(name, "timed_out")
    try:
        return host.call(question, index)
    except FactError as error:
        if error.kind != "not_recorded":
            raise
        for other in questions:
            _raise_hung(host, other, index)
        raise


def _raise_hung(host: Host, question: HostCall, index: int) -> None:
    """Raise FactError again if a recording says that this question hung."""
    try:
        host.call(question, index)
    except FactError as error:
        if error.kind == "timed_out":
            raise


def _is_gpu(host: Host, device: str, vendor: Vendor, driver: str) -> bool:
    class_ = host.text(f"{device}/class")
    is_compute = class_.startswith((_OTHER_DISPLAY, _ACCELERATOR))
    if not class_.startswith((_DISPLAY, _ACCELERATOR)) or host.glob(f"{device}/physfn"):
        return False
    its_driver = _driver(host, device)
    return its_driver == driver or (not its_driver and (vendor is NVIDIA or is_compute))


def _driver(host: Host, device: str) -> str:
    """Return the driver that has a device, nothing if none has, or if an earlier recording does not say."""
    try:
        return host.link(f"{device}/driver").rpartition("/")[2]
    except FactError as error:
        if error.kind in ("absent", "not_recorded"):
            return ""
        raise
