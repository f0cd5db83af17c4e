"""Which GPUs of a node are one job's, and what was read without the others.

Deliberately not here: how Slurm says it (`nodeproof.hooks.occasion`).
"""

from collections.abc import Sequence
from typing import NamedTuple

from nodeproof.probes.gpu import Gpus
from nodeproof.probes.gpu_device import Gpu
from nodeproof.probes.ledger import Seen


class OtherGpus(NamedTuple):
    """GPUs that are not the job's, by the driver's index; the PCI addresses of those that have a known one."""

    indexes: frozenset[int]
    addresses: frozenset[str]


def others(names: Sequence[str], gpus: Gpus) -> OtherGpus | None:
    """Return the GPUs that are not among `names` (numbers or UUIDs), or None where that is not clear.

    Slurm's number of a GPU is its place in gres.conf, which AutoDetect fills in the order of the PCI bus, as NVML
    numbers them, and others by device file, `/dev/nvidiaN`. Where the two differ both GPUs are taken for the job's.
    With MIG a number stands for a part of a GPU, and where the library does not know every GPU numbers may have moved:
    then nothing is clear but a UUID. Sources: Slurm, gres.conf(5), AutoDetect and Links; src/plugins/gres/common/
    gres_common.c, gres_common_prep_set_env; NVML API reference, nvmlDeviceGetMinorNumber.
    """
    indexes = set(range(gpus.device_count or 0))
    own = set[int]()
    for name in names:
        found = _numbered(int(name), gpus, indexes) if name.isdecimal() else _with_uuid(name, gpus, indexes)
        if not found:
            return None
        own |= found
    if not own:
        return None
    addresses = gpus.addresses
    rest = frozenset(indexes - own)
    return OtherGpus(rest, frozenset(addresses[i] for i in rest if i in addresses))


def _numbered(number: int, gpus: Gpus, indexes: set[int]) -> set[int]:
    """Return the GPUs that a number of Slurm's may stand for."""
    if any(g.is_mig_on for g in gpus.known.values()) or len(indexes) != len(gpus.pci_addresses):
        return set()
    minors = {i: g.minor_number for i, g in gpus.known.items() if g.minor_number is not None}
    if all(i == minor for i, minor in minors.items()):
        return {number} & indexes
    may_be = {i for i in indexes if minors.get(i, number) == number}  # of one that does not answer nothing is known
    return may_be | ({number} & indexes)


def _with_uuid(uuid: str, gpus: Gpus, indexes: set[int]) -> set[int]:
    """Return the GPU that has a UUID; if none says so, those that say none."""
    found = {i for i, gpu in gpus.known.items() if _has_uuid(gpu, uuid)}
    return found or {i for i in indexes if i not in gpus.known or gpus.known[i].uuid is None}


def _has_uuid(gpu: Gpu, uuid: str) -> bool:
    """Tell whether a UUID is the GPU's, or that of one of its MIG devices; older ones have the GPU's inside."""
    own = gpu.uuid or ""
    return uuid == own or uuid in (gpu.mig_uuids or ()) or (bool(own) and uuid.startswith(f"MIG-{own}/"))


def without(value: object, other: OtherGpus) -> object:
    """Return a fact without what it says of other GPUs; one that says nothing of single GPUs as it is."""
    if isinstance(value, Gpus):
        return value.without(other.indexes)
    if isinstance(value, Seen):
        parts = {f"pci:{address}" for address in other.addresses}
        ledger = value.ledger
        events = tuple(s for s in ledger.events if s.part.partition("/")[0] not in parts)
        counters = tuple(s for s in ledger.counters if s.part.partition("/")[0] not in parts)
        return Seen.of(value.now, ledger._replace(events=events, counters=counters))
    return value
