"""NVLinks of each NVIDIA GPU, or xGMI links of AMD's, and which GPUs of a node reach each other's memory."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter
from nodeproof.probes.gpu_asked import Asked, each_gpu
from nodeproof.probes.gpu_vendor import Vendor, gpus_on_bus

#: What is kept over time of what a link counts, as sums: with each kind by itself a node would have a thousand series.
_SUMS = {
    "nvlink_recoveries": ("replays", "recoveries", "failed_recoveries"),
    "nvlink_errors": ("crc_errors", "receive_errors", "integrity_errors", "buffer_overruns", "effective_errors"),
}
_COUNTED = tuple(name for names in _SUMS.values() for name in names)


class NvLink(NamedTuple):
    """One NVLink of one GPU. `remote` is the PCI address of the other end, `counts` what it counted, where known."""

    number: int
    is_active: bool | None
    speed_mb_per_s: int | None
    remote: str | None
    counts: Mapping[str, int]
    errors: Mapping[str, str]


@fact(
    "NVML: nvmlDeviceGetFieldValues (NVML_FI_DEV_NVLINK_*), nvmlDeviceGetNvLink*, nvmlDeviceGetP2PStatus",
    "AMD SMI: amdsmi_get_gpu_xgmi_link_status, amdsmi_is_P2P_accessible",
    isolated=True,
    library="gpu",
)
class GpuLinks(NamedTuple):
    """Links by the PCI address of the GPU, None for one without; what each pair of GPUs can do, in NVML's words.

    `unread` is why GPUs could not be asked, `kind` what the links are called. Source: NVIDIA NVML API reference.
    """

    of: Mapping[str, tuple[NvLink, ...] | None]
    names: Mapping[str, str]
    peers: Mapping[tuple[str, str], str]
    unread: tuple[FactError, ...]
    kind: str = "NVLink"

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` without a GPU, and where its library does not work: other checks say so."""
        vendor, _ = gpus_on_bus(host)
        found, unread = each_gpu(host, vendor, vendor.links)
        links = {one.label: _links(one) for one in found}
        names = {one.label: str(one.answer["name"]) for one in found}
        failed = [
            FactError(f"{vendor.links.__name__} {one.nvml_index}", "failed", f"links: {one.answer['errors']['links']}")
            for one in found
            if "links" in one.answer["errors"]
        ]
        peers, not_asked = _peers(host, vendor, found) if not unread else ({}, ())
        return cls(links, names, peers, (*unread, *failed, *not_asked), vendor.link)

    def counters(self) -> Iterator[Counter]:
        """Yield what each link counts; a link is part of its GPU."""
        for label, links in self.of.items():
            for link in links or ():
                for name, kinds in _SUMS.items():
                    if found := [link.counts[kind] for kind in kinds if kind in link.counts]:
                        yield Counter(f"gpu.{name}", f"pci:{label}/nvlink{link.number}", sum(found))


def _links(one: Asked) -> tuple[NvLink, ...] | None:
    links = one.answer["links"]
    return None if links is None else tuple(_link(number, link) for number, link in enumerate(links))


def _link(number: int, link: dict[str, Any]) -> NvLink:
    counts = {name: link[name] for name in _COUNTED if link[name] is not None}
    return NvLink(number, link["is_active"], link["speed_mb_per_s"], link["remote"], counts, link["errors"])


def _peers(host: Host, vendor: Vendor, found: list[Asked]) -> tuple[dict[tuple[str, str], str], tuple[FactError, ...]]:
    labels = {str(one.nvml_index): one.label for one in found}
    if len(labels) < 2:
        return {}, ()
    try:
        answer = host.call(vendor.peers, *(one.nvml_index for one in found))
    except FactError as error:
        return {}, (error,)
    if answer["error"]:
        return {}, (FactError(vendor.peers.__name__, "failed", answer["error"]["name"]),)
    pairs = {tuple(labels[index] for index in pair.split()): words for pair, words in answer["pairs"].items()}
    return {(a, b): words for (a, b), words in pairs.items()}, ()
