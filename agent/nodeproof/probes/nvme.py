"""NVMe drives: identity and state from sysfs, health from the SMART log."""

from collections.abc import Iterator
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.nvme import nvme_smart_log
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter

CLASS = "/sys/class/nvme"


class NvmeDrive(NamedTuple):
    """One controller. `state` is the kernel's: `live` is the only one that does I/O."""

    model: str
    serial: str
    firmware: str
    state: str
    address: str


@fact("/sys/class/nvme/nvme*/{model,serial,firmware_rev,state,transport,address}")
class NvmeDrives(NamedTuple):
    """The node's own NVMe controllers by name; those of a fabric (`transport` tcp, rdma, fc) are not among them.

    Source: the attributes of drivers/nvme/host/sysfs.c.
    """

    known: dict[str, NvmeDrive]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where there is no local NVMe controller."""
        known: dict[str, NvmeDrive] = {}
        unread: dict[str, FactError] = {}
        for directory in host.glob(f"{CLASS}/nvme[0-9]*"):
            name = directory.rpartition("/")[2]
            try:
                if host.text(f"{directory}/transport") == "pcie":
                    known[name] = _drive(host, directory)
            except FactError as error:
                unread[name] = error
        if not known and not unread:
            raise FactError(f"{CLASS}/nvme*", "absent", "no NVMe drive")
        return cls(known, unread)

    @property
    def live(self) -> list[str]:
        return [name for name, drive in self.known.items() if drive.state == "live"]


def _drive(host: Host, directory: str) -> NvmeDrive:
    return NvmeDrive(
        model=host.text(f"{directory}/model"),
        serial=host.text(f"{directory}/serial"),
        firmware=host.text(f"{directory}/firmware_rev"),
        state=host.text(f"{directory}/state"),
        address=host.text(f"{directory}/address"),
    )


class SmartLog(NamedTuple):
    """Health of one drive as it reports it. `used_percent` is wear and may exceed 100.

    `unsafe_shutdowns` is None in recordings of an earlier version.
    """

    critical_warning: int
    temperature_celsius: int
    available_spare_percent: int
    spare_threshold_percent: int
    used_percent: int
    media_errors: int
    unsafe_shutdowns: int | None = None


@fact("/sys/class/nvme/nvme*", "NVME_IOCTL_ADMIN_CMD Get Log Page 02h on /dev/nvme*", isolated=True)
class NvmeHealth(NamedTuple):
    """SMART log by live controller, and for those that gave none: why. The ioctl needs root and a node in /dev."""

    known: dict[str, SmartLog]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        known: dict[str, SmartLog] = {}
        unread: dict[str, FactError] = {}
        for name in NvmeDrives.read(host).live:
            try:
                known[name] = _smart_log(host, f"/dev/{name}")
            except FactError as error:
                unread[name] = error
        if not known and not unread:
            raise FactError(f"{CLASS}/nvme*", "absent", "no live NVMe drive")
        return cls(known, unread)

    def counters(self) -> Iterator[Counter]:
        for name, log in self.known.items():
            yield Counter("nvme.media_errors", f"nvme:{name}", log.media_errors)
            if log.unsafe_shutdowns is not None:
                yield Counter("nvme.unsafe_shutdowns", f"nvme:{name}", log.unsafe_shutdowns)


def _smart_log(host: Host, device: str) -> SmartLog:
    try:
        log = host.call(nvme_smart_log, device)
    except FactError as error:
        if error.kind != "absent":
            raise
        # the kernel has the drive; a sandbox or a container may lack its node in /dev
        why = "no device node" if error.detail == "ENOENT" else error.detail
        raise FactError(error.source, "failed", why) from error
    return SmartLog(
        critical_warning=log["critical_warning"],
        temperature_celsius=log["temperature_kelvin"] - 273,
        available_spare_percent=log["available_spare_percent"],
        spare_threshold_percent=log["spare_threshold_percent"],
        used_percent=log["used_percent"],
        media_errors=log["media_errors"],
        unsafe_shutdowns=log.get("unsafe_shutdowns"),
    )
