"""RDMA facts that cost little, from sysfs: host channel adapters, and whether their ports work.

Tables of ports, and what else is known of adapters, are read apart from these (`ib_ports`, `ib_adapters`): a prolog
that asks only whether a port is up must not pay for 255 GIDs.
"""

import re
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.parse import integer, optional_text

HCAS = "/sys/class/infiniband"

#: `400 Gb/sec (4X NDR)`; at single data rate the kernel names no speed (drivers/infiniband/core/sysfs.c, rate_show).
_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) Gb/sec(?: \(([0-9]{1,2})X ?([0-9A-Z]{0,8})\))?")


class IbPort(NamedTuple):
    """One port. `state` is 4 (ACTIVE) and `physical_state` 5 (LinkUp) when it works; `*_words` are the kernel's.

    Rate, lanes and speed (`NDR`) are those of now. What a port could do the kernel says nowhere, neither in sysfs nor
    over RDMA netlink: expectations come from policy or from ports of the same board. `lanes` is None, and `speed`
    empty, where the driver names none.
    """

    state: int
    state_words: str
    physical_state: int
    physical_state_words: str
    rate_gb_per_s: float
    link_layer: str
    lanes: int | None = None
    speed: str = ""


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
    text = host.text(f"{path}/rate")
    rate = _RATE.match(text)
    if rate is None:
        raise FactError(f"{path}/rate", "malformed", f"expected a rate in Gb/sec, found {text[:40]!r}")
    return IbPort(
        state=integer(f"{path}/state", state),
        state_words=state_words,
        physical_state=integer(f"{path}/phys_state", physical_state),
        physical_state_words=physical_state_words,
        rate_gb_per_s=float(rate[1]),
        link_layer=host.text(f"{path}/link_layer"),
        lanes=integer(f"{path}/rate", rate[2]) if rate[2] else None,
        speed=rate[3] or "",
    )
