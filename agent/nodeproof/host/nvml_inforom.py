"""What the InfoROM of a GPU holds: asked by itself, because it is read from flash memory and that takes its time."""

from typing import Any

from nodeproof.host.nvml_session import Ask, call, name_of, of_gpu, text


def _is_valid(nvml: Any, gpu: Any) -> bool:
    """Return whether the checksums are right. Source: NVML API reference, nvmlDeviceValidateInforom."""
    try:
        nvml.nvmlDeviceValidateInforom(gpu)
    except nvml.NVMLError as error:
        if name_of(nvml, error.value) == "CORRUPTED_INFOROM":
            return False
        raise
    return True


_FIELDS: dict[str, Ask] = {
    "pci_bus_id": lambda nvml, gpu: text(nvml.nvmlDeviceGetPciInfo(gpu).busId),
    "name": call("nvmlDeviceGetName"),
    "image_version": call("nvmlDeviceGetInforomImageVersion"),
    "ecc_version": call("nvmlDeviceGetInforomVersion", "NVML_INFOROM_ECC"),
    "configuration_checksum": call("nvmlDeviceGetInforomConfigurationChecksum"),
    "is_valid": _is_valid,
}


def nvml_inforom(index: int) -> dict[str, Any]:
    """Return versions and checksums of one GPU's InfoROM, see `of_gpu`."""
    return of_gpu(f"nvml_inforom {index}", index, _FIELDS, {})
