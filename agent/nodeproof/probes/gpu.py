"""NVIDIA GPUs: what the PCI bus shows, and what the driver says of them through NVML."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

from nodeproof.errors import FactError, Kind
from nodeproof.host import Host
from nodeproof.host.nvml import nvml_device, nvml_devices
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter

PCI_DEVICES = "/sys/bus/pci/devices"
NVIDIA = "0x10de"
DISPLAY = "0x03"

#: More than any machine holds: a library that is out of its mind must not cost the whole pass.
MAX_DEVICES = 64

LOST = "GPU_IS_LOST"
NOT_IN_NVML = "NOT_IN_NVML"

_KINDS: dict[str, Kind] = {"NO_PERMISSION": "denied", "TIMEOUT": "timed_out", "MALFORMED": "malformed"}


class NvmlError(NamedTuple):
    """An error as NVML names it (`GPU_IS_LOST`) and words it."""

    name: str
    text: str


class RemappedRows(NamedTuple):
    """Rows of GPU memory replaced by spare ones; a pending one waits for the next reset of the GPU."""

    correctable: int
    uncorrectable: int
    is_pending: bool
    has_failed: bool


class Gpu(NamedTuple):
    """One GPU as NVML sees it. None: this GPU or driver does not have that; `errors` holds what failed.

    `pcie_width_max` and `pcie_generation_max` are what GPU and slot can do together. `spare_row_banks`
    counts memory banks by how many spare rows they have left: max, high, partial, low, none.
    """

    nvml_index: int
    pci_address: str | None
    name: str | None
    uuid: str | None
    serial: str | None
    vbios_version: str | None
    pcie_width: int | None
    pcie_width_max: int | None
    pcie_generation: int | None
    pcie_generation_max: int | None
    is_ecc_on: bool | None
    is_mig_on: bool | None
    remapped_rows: RemappedRows | None
    spare_row_banks: dict[str, int] | None
    errors: dict[str, str]

    @property
    def label(self) -> str:
        """The PCI address, which is what a technician needs; the index where NVML does not say."""
        return self.pci_address or f"index {self.nvml_index}"

    @property
    def is_lost(self) -> bool:
        return LOST in self.errors.values()

    def unread(self, *fields: str) -> list[FactError]:
        """Return why those of `fields` could not be had which this GPU should have."""
        return [
            FactError(f"nvml_device {self.nvml_index}", _KINDS.get(name, "failed"), f"{field}: {name}")
            for field, name in self.errors.items()
            if field in fields
        ]


@fact(
    f"{PCI_DEVICES}/*/{{vendor,class,physfn}}",
    "NVML: nvmlInit, nvmlSystemGet*, nvmlDeviceGet* (libnvidia-ml.so.1)",
    isolated=True,
)
class Gpus(NamedTuple):
    """NVIDIA GPUs on the PCI bus, and in NVML.

    `init_error` says why NVML does not work at all. `device_count` is None if NVML gave no answer.
    `known` are GPUs by NVML index, `refused` those for which NVML had an error instead of a handle,
    `unread` what could not be asked. Source: NVIDIA NVML API reference.
    """

    pci_addresses: tuple[str, ...]
    driver_version: str | None = None
    cuda_driver_version: int | None = None
    init_error: NvmlError | None = None
    device_count: int | None = None
    known: Mapping[int, Gpu] = {}
    refused: Mapping[int, NvmlError] = {}
    unread: tuple[FactError, ...] = ()

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` without an NVIDIA GPU on the bus, or without libnvidia-ml.so.1."""
        addresses = _pci_addresses(host)
        if not addresses:
            raise FactError(PCI_DEVICES, "absent", "no NVIDIA GPU on the PCI bus")
        try:
            system = host.call(nvml_devices)
        except FactError as error:
            if error.kind == "absent":
                raise
            return cls(addresses, unread=(error,))
        if system["init_error"]:
            return cls(addresses, init_error=NvmlError(**system["init_error"]), device_count=0)
        known, refused, unread = _devices(host, system["device_count"])
        return cls(
            addresses,
            driver_version=system["driver_version"],
            cuda_driver_version=system["cuda_driver_version"],
            device_count=system["device_count"],
            known=known,
            refused=refused,
            unread=unread,
        )

    @property
    def usable(self) -> tuple[Gpu, ...]:
        return tuple(g for g in self.known.values() if not g.is_lost)

    @property
    def most_usable(self) -> int:
        """How many may be usable at most, with all that could not be asked counted in."""
        return len(self.pci_addresses) if self.device_count is None else len(self.usable) + len(self.unread)

    @property
    def broken(self) -> dict[str, str]:
        """Return NVML's error, or NOT_IN_NVML, of each GPU that does not work, by PCI address where that is known."""
        lost = {g.label: LOST for g in self.known.values() if g.is_lost}
        refused = {f"index {i}": e.name for i, e in self.refused.items()}
        if self.unread or self.init_error:
            return lost | refused
        handled = {g.pci_address for g in self.known.values()}
        silent = [a for a in self.pci_addresses if a not in handled]
        if len(silent) == len(refused):  # NVML numbers GPUs as the bus does, but has no address without a handle
            return lost | dict(zip(silent, refused.values(), strict=True))
        return lost | refused | dict.fromkeys(silent, NOT_IN_NVML)

    def unjudged(self, *fields: str) -> list[FactError]:
        """Return why `fields` are not known of every GPU that should have them."""
        errors = list(self.unread)
        if self.init_error:
            errors.append(FactError("nvml_devices", "failed", ": ".join(self.init_error)))
        errors += [FactError(f"nvml_device {i}", "failed", ": ".join(e)) for i, e in self.refused.items()]
        return errors + [error for gpu in self.known.values() for error in gpu.unread(*fields)]

    def counters(self) -> Iterator[Counter]:
        """Yield rows that were remapped, by PCI address as the kernel log names a GPU."""
        for gpu in self.known.values():
            if gpu.remapped_rows is not None and gpu.pci_address is not None:
                part, rows = f"pci:{gpu.pci_address}", gpu.remapped_rows
                yield Counter("gpu.remapped_correctable", part, rows.correctable)
                yield Counter("gpu.remapped_uncorrectable", part, rows.uncorrectable)


def _pci_addresses(host: Host) -> tuple[str, ...]:
    """Return NVIDIA display controllers, without virtual functions: a hypervisor's NVML does not list those."""
    vendors = (p for p in host.glob(f"{PCI_DEVICES}/*/vendor") if host.text(p) == NVIDIA)
    devices = [p.removesuffix("/vendor") for p in vendors]
    found = [d for d in devices if host.text(f"{d}/class").startswith(DISPLAY) and not host.glob(f"{d}/physfn")]
    return tuple(d.rpartition("/")[2] for d in found)


def _devices(host: Host, count: int) -> tuple[dict[int, Gpu], dict[int, NvmlError], tuple[FactError, ...]]:
    known, refused, unread = {}, {}, []
    for index in range(min(count, MAX_DEVICES)):
        try:
            answer = host.call(nvml_device, index)
            if answer["error"]:
                refused[index] = NvmlError(**answer["error"])
            else:
                known[index] = _gpu(index, answer)
        except FactError as error:
            unread.append(error)
    return known, refused, tuple(unread)


def _gpu(index: int, answer: dict[str, Any]) -> Gpu:
    fields: dict[str, Any] = {name: answer.get(name) for name in Gpu._fields}
    rows, bus_id = answer["remapped_rows"], answer["pci_bus_id"]
    fields |= {
        "nvml_index": index,
        "pci_address": None if bus_id is None else _pci_address(f"nvml_device {index}", bus_id),
        "remapped_rows": None if rows is None else RemappedRows(**rows),
    }
    return Gpu(**fields)


def _pci_address(source: str, bus_id: str) -> str:
    """Return NVML's `00000000:4B:00.0` as sysfs writes it: `0000:4b:00.0`."""
    domain, colon, rest = bus_id.lower().partition(":")
    try:
        return f"{int(domain, 16):04x}{colon}{rest}"
    except ValueError as error:
        raise FactError(source, "malformed", f"PCI address {bus_id[:40]!r}") from error
