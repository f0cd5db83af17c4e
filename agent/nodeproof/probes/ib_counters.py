"""What RDMA ports count, from sysfs: InfiniBand's port counters and those of the adapter's transport."""

import re
from collections.abc import Iterator
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter
from nodeproof.probes.infiniband import HCAS
from nodeproof.probes.parse import integer, optional_text

#: Counters of a port that are kept over time, and how wide they are: at their largest value they stay there (InfiniBand
#: Architecture Specification, volume 1, PortCounters; drivers/infiniband/core/sysfs.c has the widths). Traffic has 64
#: bits where the port has PortCountersExtended; it is read and not kept.
_PORT_BITS = {
    "symbol_error": 16,
    "link_error_recovery": 8,
    "link_downed": 8,
    "port_rcv_errors": 16,
    "port_rcv_remote_physical_errors": 16,
    "port_xmit_discards": 16,
    "port_xmit_constraint_errors": 8,
    "port_rcv_constraint_errors": 8,
    "local_link_integrity_errors": 4,
    "excessive_buffer_overrun_errors": 4,
    "VL15_dropped": 16,
    "port_xmit_wait": 32,
}

#: Counters of the transport that are kept over time: of mlx5 (drivers/infiniband/hw/mlx5/counters.c), then of Soft-RoCE
#: (drivers/infiniband/sw/rxe/rxe_hw_counters.c). The kernel has 64 bits for each, mlx5 fills 32 of most: which of them
#: wrap is the firmware's business, so no width is told, and one that is smaller than before has started again.
_TRANSPORT = frozenset(
    {
        "duplicate_request",
        "implied_nak_seq_err",
        "local_ack_timeout_err",
        "out_of_buffer",
        "out_of_sequence",
        "packet_seq_err",
        "req_rnr_retries_exceeded",
        "req_transport_retries_exceeded",
        "rnr_nak_retry_err",
        "roce_adp_retrans_to",
        "roce_slow_restart",
        "rx_icrc_encapsulated",
        "link_downed",
        "out_of_seq_request",
        "rcvd_rnr_err",
        "rcvd_seq_err",
        "retry_exceeded_err",
        "retry_rnr_exceeded_err",
    }
)

#: How long the kernel may answer from its cache, in milliseconds: no counter.
_LIFESPAN = "lifespan"

_NAME = re.compile("[A-Za-z0-9_]{1,64}")

#: mlx5 has some 40 counters of a port and its transport.
_MOST_COUNTERS = 256

_BITS = 64


class PortCounts(NamedTuple):
    """The counters of one port by the kernel's names. `port_{rcv,xmit}_data` count units of four bytes."""

    port: dict[str, int]
    transport: dict[str, int]


@fact(
    "/sys/class/infiniband/*/device/physfn",
    "/sys/class/infiniband/*/ports/*/counters/*",
    "/sys/class/infiniband/*/ports/*/hw_counters/*",
    isolated=True,
)
class IbCounters(NamedTuple):
    """All counters by `adapter/port`, without those that an adapter does not have; no virtual functions.

    They count since the adapter was reset, or since somebody cleared them (`perfquery -R`). `unread` has the first
    error of each port. Source: kernel documentation, ABI/stable/sysfs-class-infiniband.
    """

    known: dict[str, PortCounts]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where no RDMA port counts anything."""
        virtual = {path.split("/")[4] for path in host.glob(f"{HCAS}/*/device/physfn")}
        known: dict[str, PortCounts] = {}
        unread: dict[str, FactError] = {}
        for group, kind in enumerate(("counters", "hw_counters")):
            for path in host.glob(f"{HCAS}/*/ports/*/{kind}/*"):
                _, _, _, _, adapter, _, number, _, name = path.split("/")
                port = f"{adapter}/{number}"
                if adapter in virtual or name == _LIFESPAN or not _NAME.fullmatch(name):
                    continue
                try:
                    count = _count(host, path)
                except FactError as error:
                    unread.setdefault(port, error)
                    continue
                counts = known.setdefault(port, PortCounts({}, {}))
                if count is not None and len(counts[group]) < _MOST_COUNTERS:
                    counts[group][name] = count
        known = {port: counts for port, counts in known.items() if counts.port or counts.transport}
        if not known and not unread:
            raise FactError(f"{HCAS}/*/ports/*/counters", "absent", "no RDMA port counts errors")
        return cls(known, unread)

    def counters(self) -> Iterator[Counter]:
        """Yield what is judged, and what tells whose job had it: no traffic, and nothing of an unknown name."""
        for port, counts in self.known.items():
            for name, bits in _PORT_BITS.items():
                if name in counts.port:
                    yield Counter(f"ib.{name}", f"ib:{port}", counts.port[name], bits=bits, saturates=True)
            for name in sorted(_TRANSPORT & counts.transport.keys()):
                if name not in counts.port:
                    yield Counter(f"ib.{name}", f"ib:{port}", counts.transport[name])


def _count(host: Host, path: str) -> int | None:
    """Return the counter; None where there is none: `N/A (no PMA)` says a driver before Linux 5.10."""
    text = optional_text(host, path)
    if text is None or text.startswith("N/A"):
        return None
    count = integer(path, text)
    if not 0 <= count < 1 << _BITS:
        raise FactError(path, "malformed", f"expected a count of {_BITS} bits, found {text[:40]!r}")
    return count
