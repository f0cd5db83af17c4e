"""AMD's management library: how it is found, opened once in a process, and asked.

AMD's own Python module fits one version of the library only, and cannot be imported where there is none. What is
asked here is the same in libraries 24 to 26 (ROCm 6.0 to 7): numbers, and the first members of structures, for which
there is more room than any of them has. Source: amd_smi/amdsmi.h.
"""

import ctypes
import functools
from typing import Any

from nodeproof.errors import FactError, Kind

#: By their number: libraries whose structures are known to begin as ours do. The newest that is there is asked.
_VERSIONS = (26, 25, 24)

#: Where the dynamic loader does not look of itself, but ROCm's packages put the library.
_PLACES = ("", "/opt/rocm/lib/")

#: amdsmi_init_flags_t: AMDSMI_INIT_AMD_GPUS.
_GPUS_ONLY = 2

#: amdsmi_status_t of a function that this version of the library does not have.
_NOT_SUPPORTED = 2

#: More than any machine holds; one GPU may be divided into eight.
MOST_PROCESSORS = 256

#: Room for one structure, whatever its version: the largest of those that are asked has less than 1 KiB.
ROOM_BYTES = 16384

#: amdsmi_status_t, without its prefix; what is not here is told by its number.
_NAMES = {
    1: "INVAL",
    2: "NOT_SUPPORTED",
    3: "NOT_YET_IMPLEMENTED",
    4: "FAIL_LOAD_MODULE",
    5: "FAIL_LOAD_SYMBOL",
    6: "DRM_ERROR",
    7: "API_FAILED",
    8: "TIMEOUT",
    9: "RETRY",
    10: "NO_PERMISSION",  # NO_PERM there; one word with NVML, by which a fact knows that it was denied
    12: "IO",
    14: "FILE_ERROR",
    15: "OUT_OF_RESOURCES",
    16: "INTERNAL_EXCEPTION",
    18: "INIT_ERROR",
    30: "BUSY",
    31: "NOT_FOUND",
    32: "NOT_INIT",
    34: "DRIVER_NOT_LOADED",
    40: "NO_DATA",
    41: "INSUFFICIENT_SIZE",
    42: "UNEXPECTED_SIZE",
    43: "UNEXPECTED_DATA",
    51: "NO_DRV",
    52: "FILE_NOT_FOUND",
    54: "AMDGPU_RESTART_ERR",
    56: "CORRUPTED_EEPROM",
}

#: By which a field says that this GPU or this driver does not have it.
NOT_THERE = ("NOT_SUPPORTED", "NOT_YET_IMPLEMENTED", "NO_DATA", "FILE_NOT_FOUND")

#: What says something about us or the moment, not about a GPU.
_KINDS: dict[str, Kind] = {
    "NO_PERMISSION": "denied",
    "TIMEOUT": "timed_out",
    "OUT_OF_RESOURCES": "failed",
    "BUSY": "failed",
    "RETRY": "failed",
}


class AmdError(Exception):
    """What a function of the library returned instead of an answer."""

    def __init__(self, code: int) -> None:
        self.name = _NAMES.get(code & 0xFFFFFFFF, f"error {code & 0xFFFFFFFF}")
        self.code = code
        super().__init__(self.name)


class Library:
    """The library, initialised for GPUs. It is not shut down: the process that asks ends soon."""

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded
        self.ask("amdsmi_init", ctypes.c_uint64(_GPUS_ONLY))

    def ask(self, function: str, *args: Any) -> None:
        """Call a function, which leaves its answer behind a pointer. Raises AmdError, as for one that is not there."""
        try:
            call = getattr(self._loaded, function)
        except AttributeError as error:
            raise AmdError(_NOT_SUPPORTED) from error
        code = int(call(*args))
        if code:
            raise AmdError(code)

    @functools.cached_property
    def gpus(self) -> list[ctypes.c_void_p]:
        """Return handles of all processors, socket by socket; that of a socket that fails raises AmdError."""
        found = list[ctypes.c_void_p]()
        for socket in self._handles("amdsmi_get_socket_handles"):
            found += self._handles("amdsmi_get_processor_handles", socket)
        return found[:MOST_PROCESSORS]

    def _handles(self, function: str, *of: Any) -> list[ctypes.c_void_p]:
        count = ctypes.c_uint32(0)
        self.ask(function, *of, ctypes.byref(count), None)
        count.value = min(count.value, MOST_PROCESSORS)
        handles = (ctypes.c_void_p * MOST_PROCESSORS)()
        self.ask(function, *of, ctypes.byref(count), handles)
        return [ctypes.c_void_p(handle) for handle in handles[: min(count.value, MOST_PROCESSORS)]]


def opened(source: str) -> Library:
    """Return the library. Raises AmdError where it does not work, FactError `absent` where there is none."""
    try:
        return _library()
    except OSError as error:
        raise FactError(source, "absent", str(error)) from error


@functools.cache
def _library() -> Library:
    """Return the library, initialised once. Raises OSError with the loader's words about what is missing."""
    names = [f"{place}libamd_smi.so.{version}" for version in _VERSIONS for place in _PLACES]
    problems = list[OSError]()
    for name in names:
        try:
            return Library(ctypes.CDLL(name))
        except OSError as error:
            problems.append(error)
    needed = (p for p, name in zip(problems, names, strict=True) if not str(p).startswith(name))
    raise next(needed, problems[0])  # that something is missing which a library needs says more


def error_of(source: str, error: AmdError) -> dict[str, str]:
    """Return name and text of an error that is an answer; raise FactError for one that is not."""
    if error.name in _KINDS:
        raise FactError(source, _KINDS[error.name], error.name) from error
    return {"name": error.name, "text": f"amdsmi_status_t {error.code & 0xFFFFFFFF}"}
