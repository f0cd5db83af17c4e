"""RDMA facts from sysfs: host channel adapters and their ports."""

from collections.abc import Iterator
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter
from nodeproof.probes.parse import integer, optional_text

HCAS = "/sys/class/infiniband"


class IbPort(NamedTuple):
    """One port. `state` is 4 (ACTIVE) and `physical_state` 5 (LinkUp) when it works; `*_words` are the kernel's."""

    state: int
    state_words: str
    physical_state: int
    physical_state_words: str
    rate_gb_per_s: float
    link_layer: str


class Hca(NamedTuple):
    """One adapter. `board` (the PSID of NVIDIA adapters) names its make; what a driver does not say is empty."""

    board: str
    firmware: str
    is_virtual_function: bool


@fact(
    "/sys/class/infiniband/*/{fw_ver,board_id,device/physfn}",
    "/sys/class/infiniband/*/ports/*/{state,phys_state,rate,link_layer}",
    isolated=True,
)
class Infiniband(NamedTuple):
    """Adapters by name and ports by `adapter/port`, e.g. `mlx5_0/1`; RoCE adapters are among them.

    Source: kernel documentation, ABI/stable/sysfs-class-infiniband.
    """

    hcas: dict[str, Hca]
    ports: dict[str, IbPort]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no RDMA device."""
        names = [path.split("/")[4] for path in host.glob(f"{HCAS}/*")]
        if not names:
            raise FactError(HCAS, "absent", "no RDMA device")
        virtual = {path.split("/")[4] for path in host.glob(f"{HCAS}/*/device/physfn")}
        hcas: dict[str, Hca] = {}
        ports: dict[str, IbPort] = {}
        unread: dict[str, FactError] = {}
        for name in names:
            try:
                hcas[name] = _hca(host, name, is_virtual_function=name in virtual)
            except FactError as error:
                unread[name] = error
        for path in host.glob(f"{HCAS}/*/ports/*"):
            port = f"{path.split('/')[4]}/{path.split('/')[6]}"
            try:
                ports[port] = _port(host, path)
            except FactError as error:
                unread[port] = error
        return cls(hcas, ports, unread)


def _hca(host: Host, name: str, *, is_virtual_function: bool) -> Hca:
    return Hca(
        board=optional_text(host, f"{HCAS}/{name}/board_id") or "",
        firmware=optional_text(host, f"{HCAS}/{name}/fw_ver") or "",
        is_virtual_function=is_virtual_function,
    )


def _port(host: Host, path: str) -> IbPort:
    """Read `4: ACTIVE`, `5: LinkUp`, `400 Gb/sec (4X NDR)` and the link layer of a port."""
    state, _, state_words = host.text(f"{path}/state").partition(": ")
    physical_state, _, physical_state_words = host.text(f"{path}/phys_state").partition(": ")
    rate, _, unit = host.text(f"{path}/rate").partition(" ")
    if not unit.startswith("Gb/sec") or not rate.replace(".", "", 1).isdecimal():
        raise FactError(f"{path}/rate", "malformed", f"expected a rate in Gb/sec, found {rate[:40]!r}")
    return IbPort(
        state=integer(f"{path}/state", state),
        state_words=state_words,
        physical_state=integer(f"{path}/phys_state", physical_state),
        physical_state_words=physical_state_words,
        rate_gb_per_s=float(rate),
        link_layer=host.text(f"{path}/link_layer"),
    )


#: Error counters of a port and how wide they are: at their largest value they stay there (InfiniBand Architecture
#: Specification, volume 1, PortCounters; drivers/infiniband/core/sysfs.c has the widths).
_ERROR_BITS = {
    "symbol_error": 16,
    "link_error_recovery": 8,
    "link_downed": 8,
    "port_rcv_errors": 16,
    "port_rcv_remote_physical_errors": 16,
    "port_xmit_discards": 16,
    "local_link_integrity_errors": 4,
    "excessive_buffer_overrun_errors": 4,
}


@fact("/sys/class/infiniband/*/device/physfn", "/sys/class/infiniband/*/ports/*/counters/*", isolated=True)
class IbErrors(NamedTuple):
    """Error counters by `adapter/port` and name, without those that an adapter does not have; no virtual functions.

    They count since the adapter was reset, or since somebody cleared them (`perfquery -R`).
    """

    known: dict[str, dict[str, int]]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where no RDMA port counts its errors."""
        virtual = {path.split("/")[4] for path in host.glob(f"{HCAS}/*/device/physfn")}
        known: dict[str, dict[str, int]] = {}
        unread: dict[str, FactError] = {}
        for path in host.glob(f"{HCAS}/*/ports/*/counters"):
            adapter, port = path.split("/")[4], path.split("/")[6]
            try:
                counts = {name: _count(host, f"{path}/{name}") for name in _ERROR_BITS}
            except FactError as error:
                unread[f"{adapter}/{port}"] = error
                continue
            found = {name: count for name, count in counts.items() if count is not None}
            if found and adapter not in virtual:
                known[f"{adapter}/{port}"] = found
        if not known and not unread:
            raise FactError(f"{HCAS}/*/ports/*/counters", "absent", "no RDMA port counts errors")
        return cls(known, unread)

    def counters(self) -> Iterator[Counter]:
        for port, counts in self.known.items():
            for name, count in counts.items():
                yield Counter(f"ib.{name}", f"ib:{port}", count, bits=_ERROR_BITS[name], saturates=True)


def _count(host: Host, path: str) -> int | None:
    """Return the counter; None where there is none: `N/A (no PMA)` says a driver before Linux 5.10."""
    text = optional_text(host, path)
    return None if text is None or text.startswith("N/A") else integer(path, text)
