"""What lets an RDMA adapter reach GPU memory without a copy through the host's."""

from typing import NamedTuple, Self

from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.parse import optional_text

NVIDIA_VERSION = "/proc/driver/nvidia/version"


@fact(NVIDIA_VERSION)
class NvidiaModule(NamedTuple):
    """The loaded NVIDIA driver: whether it is the open one, which alone can export memory as dma_buf; None: none.

    Source: NVIDIA driver README, Open Linux Kernel Modules (`NVIDIA UNIX Open Kernel Module for x86_64`).
    """

    is_open: bool | None

    @classmethod
    def read(cls, host: Host) -> Self:
        text = optional_text(host, NVIDIA_VERSION)
        return cls(None if text is None else "Open Kernel Module" in text.partition("\n")[0])
