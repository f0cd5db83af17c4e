"""What is asked of each GPU: a table of names and functions. Source: NVML API reference, chapter Device Queries."""

import ctypes
from typing import Any

from nodeproof.host.nvml_session import Ask, bounded, call, first_of, is_on, name_of, text

#: Most processes of one GPU that are looked at.
_MOST_PROCESSES = 64

#: Most MIG devices of one GPU; the largest have seven.
_MOST_MIG_DEVICES = 32


def _remapped_rows(nvml: Any, gpu: Any) -> dict[str, Any]:
    correctable, uncorrectable, is_pending, has_failed = nvml.nvmlDeviceGetRemappedRows(gpu)
    return {
        "correctable": correctable,
        "uncorrectable": uncorrectable,
        "is_pending": bool(is_pending),
        "has_failed": bool(has_failed),
    }


def _spare_row_banks(nvml: Any, gpu: Any) -> dict[str, int]:
    histogram = nvml.nvmlDeviceGetRowRemapperHistogram(gpu)
    return {name: int(getattr(histogram, name)) for name in ("max", "high", "partial", "low", "none")}


def _ecc(kind: str, lifetime: str, place: str) -> Ask:
    return call(
        "nvmlDeviceGetMemoryErrorCounter",
        f"NVML_MEMORY_ERROR_TYPE_{kind}",
        f"NVML_{lifetime}_ECC",
        f"NVML_MEMORY_LOCATION_{place}",
    )


def _is_sram_threshold_exceeded(nvml: Any, gpu: Any) -> bool:
    status = nvml.c_nvmlEccSramErrorStatus_v1_t()
    nvml.nvmlDeviceGetSramEccErrorStatus(gpu, ctypes.byref(status))
    return bool(status.bThresholdExceeded)


def _fabric(nvml: Any, gpu: Any) -> dict[str, Any] | None:
    """Return state and health of a GPU in its NVLink fabric; None: it is in none."""
    ask = first_of(_fabric_as("c_nvmlGpuFabricInfo_v3_t"), _fabric_as("c_nvmlGpuFabricInfo_v2_t"))
    info = ask(nvml, gpu)
    if info.state == nvml.NVML_GPU_FABRIC_STATE_NOT_SUPPORTED:
        return None
    return {
        "state": info.state,
        "status": info.status,
        "health_mask": info.healthMask,
        "health_summary": getattr(info, "healthSummary", 0),
        "cluster_uuid": bytes(info.clusterUuid).hex(),
        "clique": info.cliqueId,
    }


def _fabric_as(struct: str) -> Ask:
    def ask(nvml: Any, gpu: Any) -> Any:
        info = getattr(nvml, struct)()
        nvml.nvmlDeviceGetGpuFabricInfoV(gpu, ctypes.byref(info))
        return info

    return ask


def _processes(function: str) -> Ask:
    ask = call(function)
    return lambda nvml, gpu: sorted(int(process.pid) for process in bounded(ask(nvml, gpu), _MOST_PROCESSES))


def _mig_uuids(nvml: Any, gpu: Any) -> list[str] | None:
    """Return the UUIDs of a GPU's MIG devices; None: it is not divided. Their places may be empty."""
    if not nvml.nvmlDeviceGetMigMode(gpu)[0]:
        return None
    found = list[str]()
    for place in range(min(int(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)), _MOST_MIG_DEVICES)):
        try:
            found.append(text(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, place))))
        except nvml.NVMLError as error:
            if name_of(nvml, error.value) not in ("NOT_FOUND", "INVALID_ARGUMENT"):
                raise
    return found


#: Of each GPU, by the name of the field.
FIELDS: dict[str, Ask] = {
    "pci_bus_id": lambda nvml, gpu: text(nvml.nvmlDeviceGetPciInfo(gpu).busId),
    "name": call("nvmlDeviceGetName"),
    "uuid": call("nvmlDeviceGetUUID"),
    "minor_number": call("nvmlDeviceGetMinorNumber"),
    "serial": call("nvmlDeviceGetSerial"),
    "vbios_version": call("nvmlDeviceGetVbiosVersion"),
    "gsp_firmware_version": lambda nvml, gpu: text(nvml.nvmlDeviceGetGspFirmwareVersion(gpu)),
    "pcie_width": call("nvmlDeviceGetCurrPcieLinkWidth"),
    "pcie_width_max": call("nvmlDeviceGetMaxPcieLinkWidth"),
    "pcie_generation": call("nvmlDeviceGetCurrPcieLinkGeneration"),
    "pcie_generation_max": call("nvmlDeviceGetMaxPcieLinkGeneration"),
    "pcie_replays": call("nvmlDeviceGetPcieReplayCounter"),
    "is_persistence_on": is_on("nvmlDeviceGetPersistenceMode"),
    "is_accounting_on": is_on("nvmlDeviceGetAccountingMode"),
    "compute_mode": call("nvmlDeviceGetComputeMode"),
    "is_ecc_on": is_on("nvmlDeviceGetEccMode", 0),
    "is_ecc_on_after_reset": is_on("nvmlDeviceGetEccMode", 1),
    "is_mig_on": is_on("nvmlDeviceGetMigMode", 0),
    "is_mig_on_after_reset": is_on("nvmlDeviceGetMigMode", 1),
    "mig_uuids": _mig_uuids,
    "sram_uncorrected": _ecc("UNCORRECTED", "VOLATILE", "SRAM"),
    "dram_uncorrected": _ecc("UNCORRECTED", "VOLATILE", "DRAM"),
    "sram_corrected": _ecc("CORRECTED", "VOLATILE", "SRAM"),
    "dram_corrected": _ecc("CORRECTED", "VOLATILE", "DRAM"),
    "sram_uncorrected_ever": _ecc("UNCORRECTED", "AGGREGATE", "SRAM"),
    "dram_uncorrected_ever": _ecc("UNCORRECTED", "AGGREGATE", "DRAM"),
    "sram_corrected_ever": _ecc("CORRECTED", "AGGREGATE", "SRAM"),
    "dram_corrected_ever": _ecc("CORRECTED", "AGGREGATE", "DRAM"),
    "is_sram_threshold_exceeded": _is_sram_threshold_exceeded,
    "remapped_rows": _remapped_rows,
    "spare_row_banks": _spare_row_banks,
    "fabric": _fabric,
    "clock_event_reasons": first_of(
        call("nvmlDeviceGetCurrentClocksEventReasons"), call("nvmlDeviceGetCurrentClocksThrottleReasons")
    ),
    "sm_mhz": call("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM"),
    "sm_mhz_max": call("nvmlDeviceGetMaxClockInfo", "NVML_CLOCK_SM"),
    "memory_mhz": call("nvmlDeviceGetClockInfo", "NVML_CLOCK_MEM"),
    "memory_mhz_max": call("nvmlDeviceGetMaxClockInfo", "NVML_CLOCK_MEM"),
    "application_mhz": call("nvmlDeviceGetApplicationsClock", "NVML_CLOCK_GRAPHICS"),
    "application_mhz_default": call("nvmlDeviceGetDefaultApplicationsClock", "NVML_CLOCK_GRAPHICS"),
    "power_mw": call("nvmlDeviceGetPowerUsage"),
    "power_limit_mw": call("nvmlDeviceGetEnforcedPowerLimit"),
    "power_limit_default_mw": call("nvmlDeviceGetPowerManagementDefaultLimit"),
    "core_celsius": first_of(
        call("nvmlDeviceGetTemperatureV", "NVML_TEMPERATURE_GPU"),
        call("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU"),
    ),
    "core_margin_celsius": call("nvmlDeviceGetMarginTemperature"),
    "core_max_celsius": call("nvmlDeviceGetTemperatureThreshold", "NVML_TEMPERATURE_THRESHOLD_GPU_MAX"),
    "core_slowdown_celsius": call("nvmlDeviceGetTemperatureThreshold", "NVML_TEMPERATURE_THRESHOLD_SLOWDOWN"),
    "core_shutdown_celsius": call("nvmlDeviceGetTemperatureThreshold", "NVML_TEMPERATURE_THRESHOLD_SHUTDOWN"),
    "memory_max_celsius": call("nvmlDeviceGetTemperatureThreshold", "NVML_TEMPERATURE_THRESHOLD_MEM_MAX"),
    "compute_processes": _processes("nvmlDeviceGetComputeRunningProcesses"),
    "graphics_processes": _processes("nvmlDeviceGetGraphicsRunningProcesses"),
}

#: The same for fields that NVML numbers: they cost one call together. Times count since the driver was loaded.
#: Numbers above 250 must not be used: NVIDIA gave them other meanings from one driver to the next.
FIELD_IDS = {
    "recovery_action": "NVML_FI_DEV_GET_GPU_RECOVERY_ACTION",
    "memory_celsius": "NVML_FI_DEV_MEMORY_TEMP",
    "retired_pages_corrected": "NVML_FI_DEV_RETIRED_SBE",
    "retired_pages_uncorrected": "NVML_FI_DEV_RETIRED_DBE",
    "retired_pages_pending": "NVML_FI_DEV_RETIRED_PENDING",
    "thermal_ns": "NVML_FI_DEV_PERF_POLICY_THERMAL",
    "reliability_ns": "NVML_FI_DEV_PERF_POLICY_RELIABILITY",
    "power_cap_ns": "NVML_FI_DEV_PERF_POLICY_POWER",
}
