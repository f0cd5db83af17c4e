"""NVIDIA GPUs: what the PCI bus shows, and what the driver says of them through NVML.

Deliberately not here: what is known of one GPU (`gpu_device`), NVLinks (`gpu_links`), the InfoROM (`gpu_inforom`),
where GPUs sit (`gpu_place`).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.nvml import nvml_device, nvml_devices
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter
from nodeproof.probes.gpu_device import LOST, PCI_DEVICES, Gpu, NvmlError, read_gpu

NVIDIA = "0x10de"
DISPLAY = "0x03"

#: More than any machine holds: a library that is out of its mind must not cost the whole pass.
MAX_DEVICES = 64

NOT_IN_NVML = "NOT_IN_NVML"
SILENT = "SILENT"


@fact(
    f"{PCI_DEVICES}/*/{{vendor,class,physfn,config,numa_node}}",
    f"{PCI_DEVICES}/*/driver (link)",
    "/proc/PID/comm of processes on a GPU",
    "NVML: nvmlInit, nvmlSystemGet*, nvmlDeviceGet* (libnvidia-ml.so.1)",
    isolated=True,
)
class Gpus(NamedTuple):
    """NVIDIA GPUs on the PCI bus, and in NVML.

    `init_error` says why NVML does not work at all. `device_count` is None if NVML gave no answer.
    `known` are GPUs by NVML index, `refused` those for which NVML had an error instead of a handle,
    `unread` what could not be asked. `silent` are those on the bus that answer nothing there: all their configuration
    space reads as ones (`rev ff` in lspci). Source: NVIDIA NVML API reference.
    """

    pci_addresses: tuple[str, ...]
    driver_version: str | None = None
    cuda_driver_version: int | None = None
    init_error: NvmlError | None = None
    device_count: int | None = None
    known: Mapping[int, Gpu] = {}
    refused: Mapping[int, NvmlError] = {}
    unread: tuple[FactError, ...] = ()
    silent: tuple[str, ...] = ()
    nvml_version: str | None = None

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` without an NVIDIA GPU on the bus, or without libnvidia-ml.so.1."""
        addresses = pci_addresses(host)
        silent = tuple(address for address in addresses if _is_silent(host, address))
        found = cls(addresses, silent=silent)
        try:
            system = host.call(nvml_devices)
        except FactError as error:
            if error.kind == "absent":
                raise
            return found._replace(unread=(error,))
        if system["init_error"]:
            return found._replace(init_error=NvmlError(**system["init_error"]), device_count=0)
        known, refused, unread = _devices(host, system["device_count"])
        return found._replace(
            driver_version=system["driver_version"],
            cuda_driver_version=system["cuda_driver_version"],
            nvml_version=system.get("nvml_version"),
            device_count=system["device_count"],
            known=known,
            refused=refused,
            unread=unread,
        )

    @property
    def usable(self) -> tuple[Gpu, ...]:
        return tuple(g for g in self.known.values() if not g.is_lost and g.pci_address not in self.silent)

    @property
    def broken(self) -> dict[str, str]:
        """Return NVML's error, SILENT or NOT_IN_NVML, of each GPU that does not work, by PCI address where known."""
        lost = {g.label: LOST for g in self.known.values() if g.is_lost} | dict.fromkeys(self.silent, SILENT)
        refused = {f"index {i}": e.name for i, e in self.refused.items()}
        handled = {g.pci_address for g in self.known.values()} | set(self.silent)
        missing = [a for a in self.pci_addresses if a not in handled]
        if self.unread or self.init_error:
            return lost | refused
        if len(missing) == len(refused):  # NVML numbers GPUs as the bus does, but has no address without a handle
            return lost | dict(zip(missing, refused.values(), strict=True))
        return lost | refused | dict.fromkeys(missing, NOT_IN_NVML)

    def saying(self, *fields: str) -> tuple[Gpu, ...]:
        """Return usable GPUs that say all of these fields."""
        return tuple(g for g in self.usable if all(getattr(g, field) is not None for field in fields))

    def raise_unread(self, *fields: str) -> None:
        """Raise FactError where `fields` could not be had of a usable GPU that should have them.

        GPUs that are lost, and a driver that does not work, are left to the checks of just that (`gpu.lost`,
        `gpu.driver`): what else there is to say about them would hide it.
        """
        if self.init_error:
            raise FactError("nvml_devices", "absent", f"NVML cannot be initialised: {self.init_error.name}")
        for error in (*self.unread, *(error for gpu in self.usable for error in gpu.unread(*fields))):
            raise error

    def raise_unjudged(self, *fields: str) -> None:
        """Raise FactError like `raise_unread`, and where no GPU has these fields."""
        self.raise_unread(*fields)
        if not self.saying(*fields):
            raise FactError("nvml_device", "absent", f"no GPU says {', '.join(fields)}: not supported")

    def counters(self) -> Iterator[Counter]:
        """Yield what counts up, by PCI address as the kernel log names a GPU; times in milliseconds."""
        for gpu in self.known.values():
            if gpu.pci_address is None:
                continue
            part, rows = f"pci:{gpu.pci_address}", gpu.remapped_rows
            if rows is not None:
                yield Counter("gpu.remapped_correctable", part, rows.correctable)
                yield Counter("gpu.remapped_uncorrectable", part, rows.uncorrectable)
            for name, field, scale in _COUNTED:
                value = getattr(gpu, field)
                if value is not None:
                    yield Counter(f"gpu.{name}", part, value // scale)


#: Counter, field, and how many of the field make one.
_COUNTED = (
    ("sram_corrected", "sram_corrected_ever", 1),
    ("dram_corrected", "dram_corrected_ever", 1),
    ("sram_uncorrected", "sram_uncorrected_ever", 1),
    ("dram_uncorrected", "dram_uncorrected_ever", 1),
    ("pcie_replays", "pcie_replays", 1),
    ("thermal_ms", "thermal_ns", 1_000_000),
    ("reliability_ms", "reliability_ns", 1_000_000),
)


def pci_addresses(host: Host) -> tuple[str, ...]:
    """Return NVIDIA display controllers that are NVIDIA's driver's, or nobody's.

    Left out are those that another driver has, for they are meant for something else: vfio-pci passes them to a virtual
    machine. So are virtual functions, which a hypervisor's NVML does not list. Raises FactError `absent` if there is
    none.
    """
    vendors = (p for p in host.glob(f"{PCI_DEVICES}/*/vendor") if host.text(p) == NVIDIA)
    devices = [p.removesuffix("/vendor") for p in vendors]
    found = [d for d in devices if host.text(f"{d}/class").startswith(DISPLAY) and not host.glob(f"{d}/physfn")]
    found = [d for d in found if _driver(host, d) in ("", "nvidia")]
    if not found:
        raise FactError(PCI_DEVICES, "absent", "no NVIDIA GPU on the PCI bus")
    return tuple(d.rpartition("/")[2] for d in found)


def _driver(host: Host, device: str) -> str:
    """Return the driver that has a device, nothing if none has, or if an earlier recording does not say."""
    try:
        return host.link(f"{device}/driver").rpartition("/")[2]
    except FactError as error:
        if error.kind in ("absent", "not_recorded"):
            return ""
        raise


def _is_silent(host: Host, address: str) -> bool:
    try:
        return host.data(f"{PCI_DEVICES}/{address}/config")[:4] == b"\xff\xff\xff\xff"
    except FactError:
        return False  # an earlier recording: NVML is asked all the same


def _devices(host: Host, count: int) -> tuple[dict[int, Gpu], dict[int, NvmlError], tuple[FactError, ...]]:
    known, refused, unread = {}, {}, []
    for index in range(min(count, MAX_DEVICES)):
        try:
            answer = host.call(nvml_device, index)
            if answer["error"]:
                refused[index] = NvmlError(**answer["error"])
            else:
                known[index] = read_gpu(host, index, answer)
        except FactError as error:
            unread.append(error)
    return known, refused, tuple(unread)
