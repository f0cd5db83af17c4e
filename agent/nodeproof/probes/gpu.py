"""GPUs: what the PCI bus shows, and what the driver says of them through NVML, or AMD SMI.

Deliberately not here: whose they are (`gpu_vendor`), what is known of one (`gpu_device`), which are a job's
(`gpu_of_job`), NVLinks (`gpu_links`), the InfoROM (`gpu_inforom`), where GPUs sit (`gpu_place`).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter
from nodeproof.probes.gpu_device import LOST, Gpu, NvmlError, read_gpu
from nodeproof.probes.gpu_vendor import AMD, NVIDIA, PCI_DEVICES, Vendor, ask_gpu, gpus_on_bus

#: More than any machine holds: a library that is out of its mind must not cost the whole pass.
MAX_DEVICES = 64

NOT_IN_NVML = "NOT_IN_NVML"
SILENT = "SILENT"


@fact(
    f"{PCI_DEVICES}/*/{{vendor,class,physfn,config,numa_node}}",
    f"{PCI_DEVICES}/*/driver (link)",
    "/proc/PID/comm of processes on a GPU",
    "NVML: nvmlInit, nvmlSystemGet*, nvmlDeviceGet* (libnvidia-ml.so.1)",
    "AMD SMI: amdsmi_init, amdsmi_get_gpu_* (libamd_smi.so)",
    f"{PCI_DEVICES}/*/{{vbios_version,hwmon/hwmon*/power1_*}} of AMD's GPUs",
    isolated=True,
    library="gpu",
)
class Gpus(NamedTuple):
    """GPUs on the PCI bus, and in the library of their maker: NVML, or AMD SMI in its words.

    `init_error` says why NVML does not work at all. `device_count` is None if NVML gave no answer.
    `known` are GPUs by NVML index, `refused` those for which NVML had an error instead of a handle,
    `unread` what could not be asked. `silent` are those on the bus that answer nothing there: all their configuration
    space reads as ones (`rev ff` in lspci). Not `is_whole`: GPUs that are not a job's were left out. Source: NVIDIA
    NVML API reference; amd_smi/amdsmi.h.
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
    is_whole: bool = True
    vendor: Vendor = NVIDIA

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` without a GPU on the bus, or without the library that knows it."""
        vendor, addresses = gpus_on_bus(host)
        silent = tuple(address for address in addresses if _is_silent(host, address))
        found = cls(addresses, silent=silent, vendor=vendor)
        try:
            system = host.call(vendor.devices)
        except FactError as error:
            if error.kind == "absent":
                raise
            return found._replace(unread=(error,))
        if system["init_error"]:
            return found._replace(init_error=NvmlError(**system["init_error"]), device_count=0)
        known, refused, unread = _devices(host, vendor, system["device_count"])
        if vendor is AMD:  # parts of one GPU have addresses of their own, which are none on the bus
            known = {i: gpu for i, gpu in known.items() if gpu.pci_address in addresses}
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
        if self.unread or self.init_error or not self.is_whole:
            return lost | refused
        if len(missing) == len(refused):  # NVML numbers GPUs as the bus does, but has no address without a handle
            return lost | dict(zip(missing, refused.values(), strict=True))
        return lost | refused | dict.fromkeys(missing, NOT_IN_NVML)

    @property
    def addresses(self) -> dict[int, str]:
        """Return PCI addresses by NVML index, also of GPUs without a handle where it can only be them."""
        known = {i: g.pci_address for i, g in self.known.items() if g.pci_address is not None}
        nameless = [i for i in range(self.device_count or 0) if i not in known]
        missing = [a for a in self.pci_addresses if a not in known.values()]
        return known | dict(zip(nameless, missing, strict=True)) if len(nameless) == len(missing) else known

    def without(self, indexes: frozenset[int]) -> Self:
        """Return the same without some GPUs. What is on the bus alone is left out with them: no job can have it."""
        others = {address for i, address in self.addresses.items() if i in indexes}
        sources = {f"{self.vendor.device.__name__} {i}" for i in indexes}
        return self._replace(
            known={i: g for i, g in self.known.items() if i not in indexes},
            refused={i: e for i, e in self.refused.items() if i not in indexes},
            unread=tuple(e for e in self.unread if e.source not in sources),
            silent=tuple(a for a in self.silent if a not in others),
            is_whole=False,
        )

    def saying(self, *fields: str) -> tuple[Gpu, ...]:
        """Return usable GPUs that say all of these fields."""
        return tuple(g for g in self.usable if all(getattr(g, field) is not None for field in fields))

    def raise_unread(self, *fields: str) -> None:
        """Raise FactError where `fields` could not be had of a usable GPU that should have them.

        GPUs that are lost, and a driver that does not work, are left to the checks of just that (`gpu.lost`,
        `gpu.driver`): what else there is to say about them would hide it.
        """
        if self.init_error:
            raise FactError(
                self.vendor.devices.__name__,
                "absent",
                f"{self.vendor.library} cannot be initialised: {self.init_error.name}",
            )
        for error in (*self.unread, *(error for gpu in self.usable for error in gpu.unread(*fields))):
            raise error

    def raise_unjudged(self, *fields: str) -> None:
        """Raise FactError like `raise_unread`, and where no GPU has these fields."""
        self.raise_unread(*fields)
        if not self.saying(*fields):
            raise FactError(self.vendor.device.__name__, "absent", f"no GPU says {', '.join(fields)}: not supported")

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


def _is_silent(host: Host, address: str) -> bool:
    try:
        return host.data(f"{PCI_DEVICES}/{address}/config")[:4] == b"\xff\xff\xff\xff"
    except FactError:
        return False  # an earlier recording: NVML is asked all the same


def _devices(
    host: Host, vendor: Vendor, count: int
) -> tuple[dict[int, Gpu], dict[int, NvmlError], tuple[FactError, ...]]:
    known, refused, unread = {}, {}, []
    for index in range(min(count, MAX_DEVICES)):
        try:
            answer = ask_gpu(host, vendor.device, index)
            if answer["error"]:
                refused[index] = NvmlError(**answer["error"])
            else:
                known[index] = read_gpu(host, vendor, index, answer)
        except FactError as error:
            unread.append(error)
    return known, refused, tuple(unread)
