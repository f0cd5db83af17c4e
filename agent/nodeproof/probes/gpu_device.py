"""One GPU: what its library says of it, and the kernel."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from nodeproof.errors import FactError, Kind
from nodeproof.host import Host
from nodeproof.probes.gpu_vendor import AMD, PCI_DEVICES, Vendor

LOST = "GPU_IS_LOST"

#: Answers without this field come from an earlier version of nodeproof.
_NOT_RECORDED = "NOT_RECORDED"

_KINDS: dict[str, Kind] = {
    "NO_PERMISSION": "denied",
    "TIMEOUT": "timed_out",
    "MALFORMED": "malformed",
    _NOT_RECORDED: "not_recorded",
}


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


class Fabric(NamedTuple):
    """Where a GPU stands in its NVLink fabric: nvmlGpuFabricInfoV_t of the NVML API reference."""

    state: int
    status: int
    health_mask: int
    health_summary: int
    cluster_uuid: str
    clique: int


class Gpu(NamedTuple):
    """One GPU as NVML sees it, or AMD SMI. None: this GPU or driver does not have that; `errors` holds what failed.

    `pcie_width_max` and `pcie_generation_max` are what GPU and slot can do together. `spare_row_banks`
    counts memory banks by how many spare rows they have left: max, high, partial, low, none. Memory errors are counted
    since the last reset, those called `ever` over the GPU's life. `_ns` is for how long clocks were held down for a
    reason, since the driver was loaded. `minor_number` is that of its device file, `mig_uuids` are of its MIG devices.
    `retired_pages_most` is how many pages AMD's driver allows, `question` what the library was asked by. `numa_node`
    and `commands` (of processes on the GPU) are the kernel's, of an AMD GPU `vbios_version` and `power_mw` too.
    """

    nvml_index: int
    pci_address: str | None = None
    name: str | None = None
    uuid: str | None = None
    minor_number: int | None = None
    mig_uuids: tuple[str, ...] | None = None
    serial: str | None = None
    vbios_version: str | None = None
    gsp_firmware_version: str | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    pcie_generation: int | None = None
    pcie_generation_max: int | None = None
    pcie_replays: int | None = None
    is_persistence_on: bool | None = None
    is_accounting_on: bool | None = None
    compute_mode: int | None = None
    is_ecc_on: bool | None = None
    is_ecc_on_after_reset: bool | None = None
    is_mig_on: bool | None = None
    is_mig_on_after_reset: bool | None = None
    sram_uncorrected: int | None = None
    dram_uncorrected: int | None = None
    sram_corrected: int | None = None
    dram_corrected: int | None = None
    sram_uncorrected_ever: int | None = None
    dram_uncorrected_ever: int | None = None
    sram_corrected_ever: int | None = None
    dram_corrected_ever: int | None = None
    is_sram_threshold_exceeded: bool | None = None
    remapped_rows: RemappedRows | None = None
    spare_row_banks: Mapping[str, int] | None = None
    fabric: Fabric | None = None
    clock_event_reasons: int | None = None
    sm_mhz: int | None = None
    sm_mhz_max: int | None = None
    memory_mhz: int | None = None
    memory_mhz_max: int | None = None
    application_mhz: int | None = None
    application_mhz_default: int | None = None
    power_mw: int | None = None
    power_limit_mw: int | None = None
    power_limit_default_mw: int | None = None
    core_celsius: int | None = None
    core_margin_celsius: int | None = None
    core_max_celsius: int | None = None
    core_slowdown_celsius: int | None = None
    core_shutdown_celsius: int | None = None
    memory_celsius: int | None = None
    memory_max_celsius: int | None = None
    compute_processes: tuple[int, ...] | None = None
    graphics_processes: tuple[int, ...] | None = None
    recovery_action: int | None = None
    retired_pages_corrected: int | None = None
    retired_pages_uncorrected: int | None = None
    retired_pages_pending: int | None = None
    thermal_ns: int | None = None
    reliability_ns: int | None = None
    power_cap_ns: int | None = None
    retired_pages_most: int | None = None
    question: str = "nvml_device"
    numa_node: int | None = None
    commands: Mapping[int, str] = {}
    errors: Mapping[str, str] = {}

    @property
    def label(self) -> str:
        """The PCI address, which is what a technician needs; the index where NVML does not say."""
        return self.pci_address or f"index {self.nvml_index}"

    @property
    def is_lost(self) -> bool:
        return LOST in self.errors.values()

    def unread(self, *fields: str) -> list[FactError]:
        """Return why those of `fields` could not be had which this GPU should have."""
        found = {field: self.errors[field] for field in fields if field in self.errors}
        return [
            FactError(f"{self.question} {self.nvml_index}", _KINDS.get(name, "failed"), f"{field}: {name}")
            for field, name in found.items()
        ]


def read_gpu(host: Host, vendor: Vendor, index: int, answer: dict[str, Any]) -> Gpu:
    """Return a GPU from the answer of `nvml_device` or `amdsmi_device`, with what the kernel knows of it."""
    fields: dict[str, Any] = {name: answer.get(name) for name in _ASKED}
    bus_id, rows, fabric = answer["pci_bus_id"], answer["remapped_rows"], answer.get("fabric")
    question = vendor.device.__name__
    address = None if bus_id is None else pci_address(f"{question} {index}", bus_id)
    fields |= {
        "pci_address": address,
        "question": question,
        "retired_pages_most": answer.get("retired_pages_most"),
        "numa_node": None if address is None else _numa_node(host, address),
        "remapped_rows": None if rows is None else RemappedRows(**rows),
        "fabric": None if fabric is None else Fabric(**fabric),
        "commands": _commands(host, {*(fields["compute_processes"] or ()), *(fields["graphics_processes"] or ())}),
        "errors": answer["errors"] | {name: _NOT_RECORDED for name in _ASKED if name not in answer},
    }
    if vendor is AMD and address is not None:
        vbios = _vbios_version(host, address)
        fields |= vbios | {"power_mw": _power_mw(host, address), "errors": fields["errors"] | vbios.get("errors", {})}
    return Gpu(index, **fields)


#: What NVML is asked of a GPU.
_NOT_ASKED = ("nvml_index", "pci_address", "numa_node", "commands", "errors", "retired_pages_most", "question")
_ASKED = tuple(name for name in Gpu._fields if name not in _NOT_ASKED)


def _numa_node(host: Host, address: str) -> int | None:
    try:
        return int(host.text(f"{PCI_DEVICES}/{address}/numa_node"))
    except (FactError, ValueError):
        return None


def _vbios_version(host: Host, address: str) -> dict[str, Any]:
    """Return what the kernel says, or why it does not. Source: kernel documentation, gpu/amdgpu/driver-misc.rst."""
    try:
        return {"vbios_version": host.text(f"{PCI_DEVICES}/{address}/vbios_version") or None}
    except FactError as error:
        words = {kind: word for word, kind in _KINDS.items()}
        return {} if error.kind == "absent" else {"errors": {"vbios_version": words.get(error.kind, "FAILED")}}


def _power_mw(host: Host, address: str) -> int | None:
    """Return what a GPU draws. Source: kernel documentation, gpu/amdgpu/thermal.rst: in microwatts, one of the two."""
    try:
        for name in ("power1_average", "power1_input"):
            for path in host.glob(f"{PCI_DEVICES}/{address}/hwmon/hwmon*/{name}"):
                return int(host.text(path)) // 1000
    except (FactError, ValueError):
        return None
    return None


def _commands(host: Host, pids: set[int]) -> dict[int, str]:
    """Return what processes call themselves; one that has ended meanwhile, or runs elsewhere, is left out."""
    commands = {}
    for pid in sorted(pids):
        try:
            commands[pid] = host.text(f"/proc/{pid}/comm")
        except FactError as error:
            if error.kind not in ("absent", "failed"):
                commands[pid] = "?"
    return commands


def pci_address(source: str, bus_id: str) -> str:
    """Return NVML's `00000000:4B:00.0` as sysfs writes it: `0000:4b:00.0`."""
    domain, colon, rest = bus_id.lower().partition(":")
    try:
        return f"{int(domain, 16):04x}{colon}{rest}"
    except ValueError as error:
        raise FactError(source, "malformed", f"PCI address {bus_id[:40]!r}") from error
