"""Questions to NVIDIA's management library, as its API reference (docs.nvidia.com/deploy/nvml-api) describes it.

One question per GPU: a GPU that hangs the library is then named, and the others still answer.
NVML initialises a GPU when it is first asked for, so a bad one spoils neither nvmlInit nor the rest.
"""

import importlib
from typing import Any

from nodeproof.host.nvml_fields import FIELD_IDS, FIELDS
from nodeproof.host.nvml_session import asked, error_of, of_gpu, opened


def nvml_devices() -> dict[str, Any]:
    """Return versions and the number of GPUs, or with `init_error` why NVML does not work.

    Raises FactError `absent` where libnvidia-ml.so.1 cannot be loaded.
    """
    source = "nvml_devices"
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml = opened(source)
        errors: dict[str, str] = {}
        fields = {
            "driver_version": nvml.nvmlSystemGetDriverVersion,
            "nvml_version": nvml.nvmlSystemGetNVMLVersion,
            "cuda_driver_version": nvml.nvmlSystemGetCudaDriverVersion_v2,
        }
        answers = asked(nvml, fields, errors)
        return answers | {"errors": errors, "init_error": None, "device_count": nvml.nvmlDeviceGetCount()}
    except nvml.NVMLError as error:
        return {"init_error": error_of(nvml, source, error)}


def nvml_device(index: int) -> dict[str, Any]:
    """Return what NVML says of one GPU: `FIELDS` and `FIELD_IDS` of `nvml_fields`, see `of_gpu`."""
    return of_gpu(f"nvml_device {index}", index, FIELDS, FIELD_IDS)
