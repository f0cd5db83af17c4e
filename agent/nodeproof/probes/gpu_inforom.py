"""The InfoROM of each NVIDIA GPU: flash memory that holds its configuration and the history of its memory."""

from collections.abc import Mapping
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.nvml_inforom import nvml_inforom
from nodeproof.probes import fact
from nodeproof.probes.gpu_asked import each_gpu
from nodeproof.probes.gpu_vendor import NVIDIA, gpus_on_bus


class Inforom(NamedTuple):
    """Versions and checksums of one GPU's InfoROM. None: this GPU or driver does not say."""

    gpu_name: str | None
    image_version: str | None
    ecc_version: str | None
    configuration_checksum: int | None
    is_valid: bool | None
    errors: Mapping[str, str]


@fact("NVML: nvmlDeviceGetInforom*, nvmlDeviceValidateInforom", isolated=True, library="gpu")
class Inforoms(NamedTuple):
    """By the PCI address of the GPU; `unread` is why others could not be asked. Source: NVIDIA NVML API reference."""

    of: Mapping[str, Inforom]
    unread: tuple[FactError, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` without an NVIDIA GPU, and where NVML does not work: other checks say so."""
        vendor, _ = gpus_on_bus(host)
        if vendor is not NVIDIA:
            raise FactError("nvml_inforom", "absent", "no NVIDIA GPU on the PCI bus")
        found, unread = each_gpu(host, vendor, nvml_inforom)
        return cls(
            {
                one.label: Inforom(
                    one.answer["name"],
                    one.answer["image_version"],
                    one.answer["ecc_version"],
                    one.answer["configuration_checksum"],
                    one.answer["is_valid"],
                    one.answer["errors"],
                )
                for one in found
            },
            unread,
        )
