"""The kernel's clock discipline, by adjtimex(2)."""

import os


def adjtimex() -> dict[str, int]:
    """Return how the kernel keeps its clock: read only (modes = 0).

    Layout: struct timex in linux/timex.h on 64-bit Linux. Errors are in microseconds, `offset` in
    microseconds or, with STA_NANO (0x2000) in `status`, nanoseconds. `state` 5 is TIME_ERROR.
    """
    import ctypes

    class Timex(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("esterror", ctypes.c_long),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_char * 192),  # what the kernel fills in behind, with room to spare
        )

    libc = ctypes.CDLL(None, use_errno=True)
    timex = Timex()
    state = libc.adjtimex(ctypes.byref(timex))
    if state < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return {
        "state": state,
        "status": timex.status,
        "offset": timex.offset,
        "frequency_scaled_ppm": timex.freq,
        "max_error_us": timex.maxerror,
        "estimated_error_us": timex.esterror,
    }
