"""Questions to NVIDIA's management library, as its API reference (docs.nvidia.com/deploy/nvml-api) describes it.

One question per GPU: a GPU that hangs the library is then named, and the others still answer.
NVML initialises a GPU when it is first asked for, so a bad one spoils neither nvmlInit nor the rest.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from nodeproof.errors import FactError, Kind

#: NVML errors that say something about us or the moment, not about the GPU.
_KINDS: dict[str, Kind] = {
    "NO_PERMISSION": "denied",
    "TIMEOUT": "timed_out",
    "MEMORY": "failed",
    "INSUFFICIENT_RESOURCES": "failed",
}

#: NVML errors by which a field says that this GPU or this driver does not have it.
_NOT_THERE = ("NOT_SUPPORTED", "FUNCTION_NOT_FOUND", "VGPU_ECC_NOT_SUPPORTED")


def nvml_devices() -> dict[str, Any]:
    """Return versions and the number of GPUs, or with `init_error` why NVML does not work.

    Raises FactError `absent` where libnvidia-ml.so.1 cannot be loaded.
    """
    source = "nvml_devices"
    nvml: Any = importlib.import_module("pynvml")
    try:
        with _initialised(nvml, source):
            fields = {
                "driver_version": nvml.nvmlSystemGetDriverVersion,
                "nvml_version": nvml.nvmlSystemGetNVMLVersion,
                "cuda_driver_version": nvml.nvmlSystemGetCudaDriverVersion_v2,
            }
            return _answers(nvml, fields) | {"init_error": None, "device_count": nvml.nvmlDeviceGetCount()}
    except nvml.NVMLError as error:
        return {"init_error": _error(nvml, source, error)}


def nvml_device(index: int) -> dict[str, Any]:
    """Return what NVML says of one GPU, or with `error` why there is no handle for it.

    What this GPU or driver does not have is None; any other error of a field is kept by name in `errors`.
    """
    source = f"nvml_device {index}"
    nvml: Any = importlib.import_module("pynvml")
    try:
        with _initialised(nvml, source):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            return _answers(nvml, _device_fields(nvml, handle)) | {"error": None}
    except nvml.NVMLError as error:
        return {"error": _error(nvml, source, error)}


@contextlib.contextmanager
def _initialised(nvml: Any, source: str) -> Iterator[None]:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound as error:
        # pynvml gives every dlopen error this name; the loader's own words say which it was
        raise FactError(source, "absent", str(error.__context__ or error)) from error
    try:
        yield
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _device_fields(nvml: Any, gpu: Any) -> dict[str, Callable[[], Any]]:
    return {
        "pci_bus_id": lambda: _text(nvml.nvmlDeviceGetPciInfo(gpu).busId),
        "name": lambda: nvml.nvmlDeviceGetName(gpu),
        "uuid": lambda: nvml.nvmlDeviceGetUUID(gpu),
        "serial": lambda: nvml.nvmlDeviceGetSerial(gpu),
        "vbios_version": lambda: nvml.nvmlDeviceGetVbiosVersion(gpu),
        "pcie_width": lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(gpu),
        "pcie_width_max": lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(gpu),
        "pcie_generation": lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu),
        "pcie_generation_max": lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(gpu),
        "is_ecc_on": lambda: bool(nvml.nvmlDeviceGetEccMode(gpu)[0]),
        "is_mig_on": lambda: bool(nvml.nvmlDeviceGetMigMode(gpu)[0]),
        "remapped_rows": lambda: _remapped_rows(nvml, gpu),
        "spare_row_banks": lambda: _spare_row_banks(nvml, gpu),
    }


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


def _answers(nvml: Any, fields: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Ask for each field by itself, so that one that fails takes no other with it."""
    answers: dict[str, Any] = dict.fromkeys(fields)
    errors = {}
    for name, ask in fields.items():
        try:
            answers[name] = ask()
        except nvml.NVMLError as error:
            if _name(nvml, error) not in _NOT_THERE:
                errors[name] = _name(nvml, error)
        except UnicodeDecodeError:
            errors[name] = "MALFORMED"
    return answers | {"errors": errors}


def _error(nvml: Any, source: str, error: Any) -> dict[str, str]:
    """Return name and text of an error that is an answer; raise FactError for one that is not."""
    name = _name(nvml, error)
    if name in _KINDS:
        raise FactError(source, _KINDS[name], name) from error
    return {"name": name, "text": str(error)}


def _name(nvml: Any, error: Any) -> str:
    """Return an NVML error as its header names it, without the prefix: `GPU_IS_LOST`."""
    prefix = "NVML_ERROR_"
    names = (n[len(prefix) :] for n, v in vars(nvml).items() if n.startswith(prefix) and v == error.value)
    return next(names, f"error {error.value}")


def _text(raw: str | bytes) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
