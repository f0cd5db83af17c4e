"""What a subnet manager and the network stack gave to RDMA ports: LIDs, P_Keys, GIDs, interfaces.

Each costs one question to the adapter, or a table of them: apart from `infiniband`, which a prolog asks.
"""

import re
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.ib_adapters import adapter_names, port_paths
from nodeproof.probes.infiniband import HCAS
from nodeproof.probes.parse import integer, optional_int, optional_text, read_int

#: P_Keys are written in blocks of so many, from the first on (InfiniBand Architecture Specification, P_KeyTable).
_PKEY_BLOCK = 32

#: Largest P_Key table that is read; adapters have 128, switches more.
_MAX_PKEYS = 256

#: GIDs that are read of a port: its table has up to 255, an interface with an address or two fills some four.
_MAX_GIDS = 16

_GID = re.compile(r"[0-9a-f]{4}(?::[0-9a-f]{4}){7}")

#: Sixteen zero bytes: an entry of the GID table that is not used. The prefix alone is none either.
_NO_GID = re.compile(r"(?:0000:){8}|fe80:(?:0000:){7}")

#: More interfaces of one adapter than anybody makes.
_MAX_INTERFACES = 512


class SubnetPort(NamedTuple):
    """What the subnet manager told a port: its own address and the manager's, 0 before it did."""

    lid: int
    sm_lid: int
    lid_mask_count: int
    capability_mask: int


@fact("/sys/class/infiniband/*/ports/*/{lid,sm_lid,lid_mask_count,cap_mask}", isolated=True)
class IbSubnets(NamedTuple):
    """By `adapter/port`. RoCE ports are among them and say zeros.

    Source: kernel documentation, ABI/stable/sysfs-class-infiniband.
    """

    known: dict[str, SubnetPort]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no RDMA device."""
        known: dict[str, SubnetPort] = {}
        unread: dict[str, FactError] = {}
        for port, path in port_paths(host):
            try:
                known[port] = SubnetPort(
                    lid=read_int(host, f"{path}/lid", 16),
                    sm_lid=read_int(host, f"{path}/sm_lid", 16),
                    lid_mask_count=read_int(host, f"{path}/lid_mask_count"),
                    capability_mask=read_int(host, f"{path}/cap_mask", 16),
                )
            except FactError as error:
                unread[port] = error
        return cls(known, unread)


@fact("/sys/class/infiniband/*/ports/*/pkeys/*", isolated=True)
class IbPkeys(NamedTuple):
    """Partition keys of each port by `adapter/port`, without zeros, in the order of the table.

    An empty block of 32 ends the table: subnet managers fill it from the front. Bit 15 is set for a full member.
    Source: InfiniBand Architecture Specification, volume 1, 10.9 (partitioning).
    """

    known: dict[str, tuple[int, ...]]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no RDMA device."""
        known: dict[str, tuple[int, ...]] = {}
        unread: dict[str, FactError] = {}
        for port, path in port_paths(host):
            try:
                known[port] = _pkeys(host, path)
            except FactError as error:
                unread[port] = error
        return cls(known, unread)


def _pkeys(host: Host, path: str) -> tuple[int, ...]:
    keys: list[int] = []
    for index in range(_MAX_PKEYS):
        key = optional_int(host, f"{path}/pkeys/{index}", 16)
        if key is None:
            break
        if not 0 <= key <= 0xFFFF:
            raise FactError(f"{path}/pkeys/{index}", "malformed", f"expected a key of 16 bits, found {key:#x}")
        keys.append(key)
        if len(keys) % _PKEY_BLOCK == 0 and not any(keys[-_PKEY_BLOCK:]):
            break
    return tuple(key for key in keys if key)


class Gid(NamedTuple):
    """One GID, the `number`th of its table. `type` is `IB/RoCE v1` or `RoCE v2`.

    `netdev` is the interface it came from, None on InfiniBand.
    """

    number: int
    gid: str
    type: str
    netdev: str | None


@fact("/sys/class/infiniband/*/ports/*/gids/*", "/sys/class/infiniband/*/ports/*/gid_attrs/{types,ndevs}/*")
class IbGids(NamedTuple):
    """GIDs of each port by `adapter/port`: those among the first 16 that are set.

    The lower half of GID 0 is the port's GUID. Source: kernel documentation, ABI/stable/sysfs-class-infiniband;
    the table is the kernel's own, no adapter is asked (drivers/infiniband/core/cache.c).
    """

    known: dict[str, tuple[Gid, ...]]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no RDMA device."""
        known: dict[str, tuple[Gid, ...]] = {}
        unread: dict[str, FactError] = {}
        for port, path in port_paths(host):
            try:
                gids = (_gid(host, path, index) for index in range(_MAX_GIDS))
                known[port] = tuple(gid for gid in gids if gid is not None)
            except FactError as error:
                unread[port] = error
        return cls(known, unread)


def _gid(host: Host, path: str, index: int) -> Gid | None:
    """Return the GID, None for an entry that is not used or that the table does not have."""
    gid = _set(host, f"{path}/gids/{index}")
    if gid is None or _NO_GID.fullmatch(f"{gid}:"):
        return None
    if not _GID.fullmatch(gid):
        raise FactError(f"{path}/gids/{index}", "malformed", f"expected a GID, found {gid[:40]!r}")
    return Gid(
        index,
        gid,
        type=_set(host, f"{path}/gid_attrs/types/{index}") or "",
        netdev=_set(host, f"{path}/gid_attrs/ndevs/{index}"),
    )


def _set(host: Host, path: str) -> str | None:
    """Return the file's text, None where the kernel has EINVAL for it: an entry without that attribute."""
    try:
        return host.text(path)
    except FactError as error:
        if error.kind == "absent" or error.detail in ("EINVAL", "ENODATA"):
            return None
        raise


class OwnInterface(NamedTuple):
    """An interface of an adapter. `port` counts from 1; `is_enslaved` for a part of a bond, bridge or team."""

    port: int
    mtu_bytes: int
    is_enslaved: bool


@fact(
    "/sys/class/infiniband/*/{device/net/*/{dev_port,mtu},parent}",
    "/sys/class/net/*/{master,mtu}",
)
class IbInterfaces(NamedTuple):
    """Network interfaces of each adapter by name: IPoIB on InfiniBand, Ethernet on RoCE.

    Taken from the directory of the device they share; Soft-RoCE has none and names its interface in `parent`.
    Source: kernel documentation, ABI/testing/sysfs-class-net, and drivers/infiniband/sw/rxe/rxe_verbs.c.
    """

    known: dict[str, dict[str, OwnInterface]]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no RDMA device."""
        known: dict[str, dict[str, OwnInterface]] = {name: {} for name in adapter_names(host)}
        unread: dict[str, FactError] = {}
        enslaved = {path.split("/")[4] for path in host.glob("/sys/class/net/*/master")}
        for path in host.glob(f"{HCAS}/*/device/net/*")[: _MAX_INTERFACES * len(known)]:
            name, netdev = path.split("/")[4], path.split("/")[7]
            try:
                known[name][netdev] = OwnInterface(
                    port=(optional_int(host, f"{path}/dev_port") or 0) + 1,
                    mtu_bytes=read_int(host, f"{path}/mtu"),
                    is_enslaved=netdev in enslaved,
                )
            except FactError as error:
                if error.kind != "absent":  # taken away meanwhile
                    unread[name] = error
        for name, interfaces in known.items():
            try:
                _add_parent(host, name, interfaces, enslaved)
            except FactError as error:
                unread[name] = error
        return cls(known, unread)

    def of(self, port: str) -> dict[str, OwnInterface]:
        """Return the interfaces of `adapter/port`."""
        name, _, number = port.partition("/")
        return {n: i for n, i in self.known.get(name, {}).items() if str(i.port) == number}


def _add_parent(host: Host, name: str, found: dict[str, OwnInterface], enslaved: set[str]) -> None:
    parent = optional_text(host, f"{HCAS}/{name}/parent")
    if not parent or "/" in parent:
        return
    mtu = optional_text(host, f"/sys/class/net/{parent}/mtu")
    if mtu is not None:
        found[parent] = OwnInterface(1, integer(f"/sys/class/net/{parent}/mtu", mtu), is_enslaved=parent in enslaved)
