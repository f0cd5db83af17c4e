"""Memory error counters of the EDAC drivers."""

from collections import Counter as Tally
from collections.abc import Iterator
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter
from nodeproof.probes.parse import optional_int, optional_text, read_int

CONTROLLERS = "/sys/devices/system/edac/mc"


class ErrorCount(NamedTuple):
    """Errors of one DIMM, or those that a memory controller could lay at no DIMM, since the driver was loaded.

    `label` is the DIMM's with its place, `dimm` the label alone as the kernel log has it, empty where there is none.
    """

    label: str
    corrected: int
    uncorrected: int
    dimm: str = ""


@fact(
    "/sys/devices/system/edac/mc/mc*/{ce_count,ue_count}",
    "/sys/devices/system/edac/mc/mc*/{dimm,rank}*/{dimm_label,dimm_ce_count,dimm_ue_count}",
    "/sys/devices/system/edac/mc/mc*/csrow*/{ue_count,ch*_ce_count,ch*_dimm_label}",
)
class MemoryErrors(NamedTuple):
    """Error counters by DIMM. `unread`: controllers that could not be read.

    Source: kernel documentation, admin-guide/RAS/main.rst ("sysfs interface").
    """

    counts: tuple[ErrorCount, ...]
    unread: tuple[FactError, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where no EDAC driver knows the memory controller (virtual machines)."""
        controllers = host.glob(f"{CONTROLLERS}/mc[0-9]*")
        if not controllers:
            raise FactError(CONTROLLERS, "absent", "no EDAC driver for this memory controller")
        counts: list[ErrorCount] = []
        unread = []
        for controller in controllers:
            try:
                counts += _controller(host, controller)
            except FactError as error:
                unread.append(error)
        return cls(tuple(counts), tuple(unread))

    def counters(self) -> Iterator[Counter]:
        """Yield them by the DIMM's own label, or by its place too where that label is not its alone."""
        labels = Tally(c.dimm for c in self.counts)
        for count in self.counts:
            part = f"dimm:{count.dimm if count.dimm and labels[count.dimm] == 1 else count.label}"
            yield Counter("memory.corrected", part, count.corrected, bits=32)
            yield Counter("memory.uncorrected", part, count.uncorrected, bits=32)


def _controller(host: Host, controller: str) -> list[ErrorCount]:
    """Return the counts of every DIMM, then what the controller counted beyond them."""
    counts = _dimms(host, controller) or _csrows(host, controller)
    corrected = read_int(host, f"{controller}/ce_count") - sum(c.corrected for c in counts)
    uncorrected = read_int(host, f"{controller}/ue_count") - sum(c.uncorrected for c in counts)
    name = controller.rpartition("/")[2]
    return [*counts, ErrorCount(f"{name} (no DIMM named)", max(0, corrected), max(0, uncorrected))]


def _dimms(host: Host, controller: str) -> list[ErrorCount]:
    """Read the layout since Linux 3.6; `rank` where the driver counts by chip select."""
    return [
        ErrorCount(
            label=_label(label := optional_text(host, f"{d}/dimm_label"), d),
            corrected=read_int(host, f"{d}/dimm_ce_count"),
            uncorrected=read_int(host, f"{d}/dimm_ue_count"),
            dimm=label or "",
        )
        for kind in ("dimm", "rank")
        for d in host.glob(f"{controller}/{kind}[0-9]*")
    ]


def _csrows(host: Host, controller: str) -> list[ErrorCount]:
    """Read the old layout: corrected errors by channel, uncorrected ones only by chip-select row."""
    counts = []
    for row in host.glob(f"{controller}/csrow[0-9]*"):
        for file in host.glob(f"{row}/ch[0-9]*_ce_count"):
            channel = file[: -len("_ce_count")]
            label = optional_text(host, f"{channel}_dimm_label")
            counts.append(ErrorCount(_label(label, channel), read_int(host, file), 0, label or ""))
        if (uncorrected := optional_int(host, f"{row}/ue_count")) is not None:
            counts.append(ErrorCount(" ".join(row.split("/")[-2:]), 0, uncorrected))
    return counts


def _label(label: str | None, place: str) -> str:
    """Return the DIMM's label and its place: an empty label is common, and labels may repeat."""
    where = " ".join(place.split("/")[6:])
    return f"{label} ({where})" if label else where
