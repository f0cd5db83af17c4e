"""Files in /dev through which programs reach RDMA adapters."""

from collections.abc import Iterator
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.device_file import device_file
from nodeproof.probes import fact
from nodeproof.probes.ib_adapters import adapter_names
from nodeproof.probes.infiniband import HCAS

_DEV = "/dev/infiniband"

#: Kinds of files, the class in sysfs that has their devices, and which files there say what part they are for.
_CLASSES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("uverbs", "/sys/class/infiniband_verbs", ("ibdev",)),
    ("umad", "/sys/class/infiniband_mad", ("ibdev", "port")),
    ("issm", "/sys/class/infiniband_mad", ("ibdev", "port")),
    ("rdma_cm", "/sys/class/misc", ()),
)


class IbFile(NamedTuple):
    """A device file. `part` is the adapter, `adapter/port` of a umad or issm file, nothing of rdma_cm.

    `mode` is as chmod takes it, None where the kernel has the device and /dev no device file for it.
    """

    kind: str
    part: str
    path: str
    mode: str | None


@fact(
    "/sys/class/infiniband_verbs/uverbs*/ibdev",
    "/sys/class/infiniband_mad/{umad,issm}*/{ibdev,port}",
    "/sys/class/misc/rdma_cm",
    "/sys/class/infiniband/*/ports/*",
    "lstat(2) of /dev/infiniband/*",
)
class IbFiles(NamedTuple):
    """Device files of every adapter, and all `ports` (`adapter/port`) that should have some.

    `uverbs` (module ib_uverbs) is how programs use verbs, `umad` and `issm` (ib_umad) how tools and subnet managers
    talk to the fabric, `rdma_cm` (rdma_ucm) how connections are made by address. Source: kernel documentation,
    infiniband/user_verbs.rst and infiniband/user_mad.rst.
    """

    adapters: tuple[str, ...]
    ports: tuple[str, ...]
    files: tuple[IbFile, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no RDMA device."""
        names = tuple(adapter_names(host))
        ports = tuple(f"{p.split('/')[4]}/{p.split('/')[6]}" for p in host.glob(f"{HCAS}/*/ports/*"))
        return cls(names, ports, tuple(_files(host)))


def _files(host: Host) -> Iterator[IbFile]:
    for kind, directory, part in _CLASSES:
        for path in host.glob(f"{directory}/{kind}*"):
            try:
                yield _file(host, kind, path, "/".join(host.text(f"{path}/{name}") for name in part))
            except FactError as error:
                if error.kind != "absent":  # taken away meanwhile
                    raise


def _file(host: Host, kind: str, sysfs: str, part: str) -> IbFile:
    path = f"{_DEV}/{sysfs.rpartition('/')[2]}"
    try:
        found = host.call(device_file, path)
    except FactError as error:
        if error.kind != "absent":
            raise
        return IbFile(kind, part, path, None)
    return IbFile(kind, part, path, str(found["mode"]) if found["is_character_device"] else None)
