"""NVMe admin commands through the kernel's pass-through ioctl."""

import os
import struct

from nodeproof.errors import FactError

#: _IOWR('N', 0x41, struct nvme_passthru_cmd), linux/nvme_ioctl.h.
_ADMIN_COMMAND = 0xC0484E41

#: struct nvme_passthru_cmd: opcode, flags, rsvd1, nsid, cdw2, cdw3, metadata, addr, metadata_len,
#: data_len, cdw10 to cdw15, timeout_ms, result.
_COMMAND = struct.Struct("=BBHIIIQQII6III")

_GET_LOG_PAGE = 0x02
_SMART_LOG = 0x02
_SMART_BYTES = 512
_WHOLE_CONTROLLER = 0xFFFFFFFF
_INVALID_FIELD = 0x02
#: Leaves a pending event for whoever waits for it; drives before NVMe 1.3 may refuse the bit.
_RETAIN_EVENT = 1 << 15


def nvme_smart_log(device: str) -> dict[str, int]:
    """Return the SMART / Health Information log of the controller `device` (`/dev/nvme0`).

    Layout: NVM Express Base Specification, log page 02h. Temperatures are in kelvin there and here;
    a data unit is 512 000 bytes. The kernel's own timeout is kept: a shorter one would let a slow
    drive be reset on our account.
    """
    file = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status, log = _log_page(file, _RETAIN_EVENT)
        if status & 0x7FF == _INVALID_FIELD:
            status, log = _log_page(file, 0)
    finally:
        os.close(file)
    if status:
        raise FactError(f"nvme_smart_log {device}", "failed", f"NVMe status {status:#x}")
    return decode_smart_log(log)


def _log_page(file: int, retain: int) -> tuple[int, bytes]:
    """Return the NVMe status (0 is success) and the log."""
    import array
    import fcntl

    log = array.array("B", bytes(_SMART_BYTES))
    address, _ = log.buffer_info()
    dword10 = _SMART_LOG | retain | (_SMART_BYTES // 4 - 1) << 16
    dwords = (dword10, 0, 0, 0, 0, 0)
    command = bytearray(
        _COMMAND.pack(_GET_LOG_PAGE, 0, 0, _WHOLE_CONTROLLER, 0, 0, 0, address, 0, _SMART_BYTES, *dwords, 0, 0)
    )
    return fcntl.ioctl(file, _ADMIN_COMMAND, command), log.tobytes()


def decode_smart_log(log: bytes) -> dict[str, int]:
    """Return the fields of log page 02h."""

    def field(first: int, count: int) -> int:
        return int.from_bytes(log[first : first + count], "little")

    return {
        "critical_warning": field(0, 1),
        "temperature_kelvin": field(1, 2),
        "available_spare_percent": field(3, 1),
        "spare_threshold_percent": field(4, 1),
        "used_percent": field(5, 1),
        "data_units_read": field(32, 16),
        "data_units_written": field(48, 16),
        "power_on_hours": field(128, 16),
        "unsafe_shutdowns": field(144, 16),
        "media_errors": field(160, 16),
        "error_log_entries": field(176, 16),
        "warning_temperature_minutes": field(192, 4),
        "critical_temperature_minutes": field(196, 4),
    }
