"""Questions to AMD's management library, answered in the words of `nvml`, so that one fact holds GPUs of both.

One question per GPU: one that hangs the library is then named, and the others still answer. What AMD does not say, or
says otherwise in each version of the library, is None. Source: amd_smi/amdsmi.h.
"""

import ctypes
import itertools
import struct
from collections.abc import Callable, Mapping
from typing import Any

from nodeproof.host.amdsmi_library import NOT_THERE, ROOM_BYTES, AmdError, Library, error_of, opened
from nodeproof.host.nvml_fields import FIELD_IDS, FIELDS
from nodeproof.host.nvml_links import LINK_COUNTS

#: amdsmi_gpu_block_t: memory controllers, whose memory is the GPU's HBM.
_MEMORY_BLOCK = 1

#: amdsmi_temperature_type_t and amdsmi_temperature_metric_t.
_HOTSPOT, _MEMORY = 1, 2
_CURRENT, _CRITICAL, _EMERGENCY = 0, 5, 7

#: amdsmi_memory_page_status_t: out of use, or in use by something that keeps it from being; waiting to be.
_RETIRED, _PENDING = (0, 2), (1,)

#: amdsmi_xgmi_link_status_type_t.
_UP, _DISABLED = 1, 2

#: Widths that PCIe has, and what stands for none; amdsmi_status_t for what makes no sense.
_NO_WIDTH = (0, 0xFFFF)
_WIDTHS = (*_NO_WIDTH, 1, 2, 4, 8, 12, 16, 32)
_UNEXPECTED_DATA = 43

#: AMDSMI_MAX_NUM_XGMI_LINKS.
_MOST_LINKS = 8

#: amdsmi_retired_page_record_t: address, size, status, padding.
_PAGE = struct.Struct("<QQII")
_MOST_PAGES = 4096

_UUID_BYTES = 38

_Gpu = ctypes.c_void_p
_Ask = Callable[[Library, _Gpu], Any]


def amdsmi_devices() -> dict[str, Any]:
    """Return versions and the number of GPUs, or with `init_error` why the library does not work.

    Raises FactError `absent` where it cannot be loaded.
    """
    source = "amdsmi_devices"
    try:
        library = opened(source)
        gpus = library.gpus
        errors: dict[str, str] = {}
        answers = _asked(library, gpus[0], {"driver_version": _driver_version}, errors) if gpus else {}
    except AmdError as error:
        return {"init_error": error_of(source, error)}
    versions = {"driver_version": None, "nvml_version": None, "cuda_driver_version": None}
    return versions | answers | {"errors": errors, "init_error": None, "device_count": len(gpus)}


def amdsmi_device(index: int) -> dict[str, Any]:
    """Return what the library says of one GPU: the fields of `nvml_device`, and `retired_pages_most`."""
    return dict.fromkeys((*FIELDS, *FIELD_IDS)) | _of_gpu(f"amdsmi_device {index}", index, _FIELDS)


def amdsmi_links(index: int) -> dict[str, Any]:
    """Return the xGMI links of one GPU as `nvml_links` does; those that are switched off are none."""
    return _of_gpu(f"amdsmi_links {index}", index, {"pci_bus_id": _bus_id, "name": _name, "links": _links})


def amdsmi_peers(*indexes: int) -> dict[str, Any]:
    """Return for each pair of these GPUs, as `0 1`, whether one can reach the other's memory: `OK` if it can."""
    source = "amdsmi_peers"
    try:
        library = opened(source)
        gpus = {index: library.gpus[index] for index in indexes}
        pairs = {f"{a} {b}": _reach(library, gpus[a], gpus[b]) for a, b in itertools.combinations(indexes, 2)}
    except AmdError as error:
        return {"error": error_of(source, error)}
    return {"error": None, "pairs": pairs}


def _reach(library: Library, a: _Gpu, b: _Gpu) -> str:
    can = ctypes.c_bool()
    try:
        library.ask("amdsmi_is_P2P_accessible", a, b, ctypes.byref(can))
    except AmdError as error:
        return error.name
    return "OK" if can.value else "NOT_ACCESSIBLE"


def _of_gpu(source: str, index: int, fields: Mapping[str, _Ask]) -> dict[str, Any]:
    """Return what the library says of one GPU, or with `error` why there is none; see `nvml_session.of_gpu`."""
    try:
        library = opened(source)
        gpus = library.gpus
        if index >= len(gpus):
            return {"error": {"name": "NOT_FOUND", "text": f"{len(gpus)} GPUs"}}
        _bus_id(library, gpus[index])
    except AmdError as error:
        return {"error": error_of(source, error)}
    errors: dict[str, str] = {}
    return _asked(library, gpus[index], fields, errors) | {"errors": errors, "error": None}


def _asked(library: Library, gpu: _Gpu, fields: Mapping[str, _Ask], errors: dict[str, str]) -> dict[str, Any]:
    """Return the answer to each of `fields`, None where there is none; what failed is added to `errors`."""
    answers: dict[str, Any] = dict.fromkeys(fields)
    for name, ask in fields.items():
        try:
            answers[name] = ask(library, gpu)
        except AmdError as error:
            if error.name not in NOT_THERE:
                errors[name] = error.name
        except UnicodeDecodeError:
            errors[name] = "MALFORMED"
    return answers


def _raw(library: Library, function: str, *args: Any) -> bytes:
    """Return the structure that a function fills in, and what is behind it."""
    room = ctypes.create_string_buffer(ROOM_BYTES)
    library.ask(function, *args, room)
    return room.raw


def _number(function: str, kind: Any, *args: Any) -> _Ask:
    """Return a question whose answer is one number."""

    def ask(library: Library, gpu: _Gpu) -> int:
        number = kind()
        library.ask(function, gpu, *args, ctypes.byref(number))
        return int(number.value)

    return ask


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode()


def _driver_version(library: Library, gpu: _Gpu) -> str | None:
    """amdsmi_driver_info_t begins with it."""
    return _text(_raw(library, "amdsmi_get_gpu_driver_info", gpu)[:256]) or None


def _bus_id(library: Library, gpu: _Gpu) -> str:
    """amdsmi_bdf_t: three bits for the function, five for the device, eight for the bus, the rest for the domain."""
    address = _number("amdsmi_get_gpu_device_bdf", ctypes.c_uint64)(library, gpu)
    return f"{address >> 16:04x}:{address >> 8 & 0xFF:02x}:{address >> 3 & 0x1F:02x}.{address & 7}"


def _name(library: Library, gpu: _Gpu) -> str | None:
    """amdsmi_asic_info_t begins with the market name."""
    return _text(_raw(library, "amdsmi_get_gpu_asic_info", gpu)[:256]) or None


def _uuid(library: Library, gpu: _Gpu) -> str:
    room, size = ctypes.create_string_buffer(256), ctypes.c_uint32(_UUID_BYTES)
    library.ask("amdsmi_get_gpu_device_uuid", gpu, ctypes.byref(size), room)
    return _text(room.raw)


def _width(offset: int) -> _Ask:
    """Return the question for a width in amdsmi_pcie_info_t: what is possible, in 96 bytes, then what is now."""

    def ask(library: Library, gpu: _Gpu) -> int | None:
        raw = _raw(library, "amdsmi_get_pcie_info", gpu)
        width = int.from_bytes(raw[offset : offset + 2], "little")
        if width not in _WIDTHS:  # another structure than ours must not make a healthy link look narrow
            raise AmdError(_UNEXPECTED_DATA)
        return None if width in _NO_WIDTH else width

    return ask


def _errors(function: str, *args: Any) -> Callable[[Library, _Gpu], tuple[int, int]]:
    """Return a question for the counts with which amdsmi_error_count_t begins: corrected, uncorrected."""

    def ask(library: Library, gpu: _Gpu) -> tuple[int, int]:
        corrected, uncorrected = struct.unpack_from("<QQ", _raw(library, function, gpu, *args))
        return corrected, uncorrected

    return ask


_all_errors = _errors("amdsmi_get_gpu_total_ecc_count")
_memory_errors = _errors("amdsmi_get_gpu_ecc_count", ctypes.c_uint64(_MEMORY_BLOCK))


def _in_memory(which: int) -> _Ask:
    return lambda library, gpu: _memory_errors(library, gpu)[which]


def _elsewhere(which: int) -> _Ask:
    """Return the question for errors of all blocks but memory: caches, registers, links."""
    return lambda library, gpu: max(0, _all_errors(library, gpu)[which] - _memory_errors(library, gpu)[which])


def _is_ecc_on(library: Library, gpu: _Gpu) -> bool:
    return bool(_number("amdsmi_get_gpu_ecc_enabled", ctypes.c_uint64)(library, gpu) & _MEMORY_BLOCK)


def _power_cap_mw(which: int) -> _Ask:
    """Return a question to amdsmi_power_cap_info_t, which begins with the cap and its default, in microwatts."""
    return lambda library, gpu: (
        struct.unpack_from("<QQ", _raw(library, "amdsmi_get_power_cap_info", gpu, ctypes.c_uint32(0)))[which] // 1000
    )


def _celsius(kind: int, metric: int) -> _Ask:
    return _number("amdsmi_get_temp_metric", ctypes.c_int64, ctypes.c_int(kind), ctypes.c_int(metric))


def _pages(library: Library, gpu: _Gpu, states: tuple[int, ...]) -> list[int]:
    """Return the states of bad pages of memory that are in one of these."""
    count = ctypes.c_uint32(0)
    library.ask("amdsmi_get_gpu_bad_page_info", gpu, ctypes.byref(count), None)
    if not count.value:
        return []
    count.value = min(count.value, _MOST_PAGES)
    room = ctypes.create_string_buffer(_PAGE.size * _MOST_PAGES)
    library.ask("amdsmi_get_gpu_bad_page_info", gpu, ctypes.byref(count), room)
    found = (_PAGE.unpack_from(room, i * _PAGE.size)[2] for i in range(min(count.value, _MOST_PAGES)))
    return [state for state in found if state in states]


_page_threshold = _number("amdsmi_get_gpu_bad_page_threshold", ctypes.c_uint32)


def _links(library: Library, gpu: _Gpu) -> list[dict[str, Any]] | None:
    """amdsmi_xgmi_link_status_t: how many links, and the status of each."""
    count, *states = struct.unpack_from(f"<{1 + _MOST_LINKS}I", _raw(library, "amdsmi_get_gpu_xgmi_link_status", gpu))
    links = [
        dict.fromkeys(LINK_COUNTS) | {"is_active": state == _UP, "speed_mb_per_s": None, "remote": None, "errors": {}}
        for state in states[: min(count, _MOST_LINKS)]
        if state != _DISABLED
    ]
    return links or None


_FIELDS: dict[str, _Ask] = {
    "pci_bus_id": _bus_id,
    "name": _name,
    "uuid": _uuid,
    "pcie_width": _width(96),
    "pcie_width_max": _width(0),
    "pcie_replays": _number("amdsmi_get_gpu_pci_replay_counter", ctypes.c_uint64),
    "is_ecc_on": _is_ecc_on,
    "is_ecc_on_after_reset": _is_ecc_on,  # it is the board's, and no setting
    "sram_uncorrected": _elsewhere(1),
    "dram_uncorrected": _in_memory(1),
    "sram_corrected": _elsewhere(0),
    "dram_corrected": _in_memory(0),
    "sram_uncorrected_ever": _elsewhere(1),  # since the driver was loaded: none is kept for longer
    "dram_uncorrected_ever": _in_memory(1),
    "sram_corrected_ever": _elsewhere(0),
    "dram_corrected_ever": _in_memory(0),
    "power_limit_mw": _power_cap_mw(0),
    "power_limit_default_mw": _power_cap_mw(1),
    "core_celsius": _celsius(_HOTSPOT, _CURRENT),
    "core_slowdown_celsius": _celsius(_HOTSPOT, _CRITICAL),
    "core_shutdown_celsius": _celsius(_HOTSPOT, _EMERGENCY),
    "memory_celsius": _celsius(_MEMORY, _CURRENT),
    "memory_max_celsius": _celsius(_MEMORY, _CRITICAL),
    "retired_pages_corrected": lambda library, gpu: len(_pages(library, gpu, ())),
    "retired_pages_uncorrected": lambda library, gpu: len(_pages(library, gpu, _RETIRED)),  # why is not told
    "retired_pages_pending": lambda library, gpu: len(_pages(library, gpu, _PENDING)),
    "retired_pages_most": lambda library, gpu: _page_threshold(library, gpu) or None,  # 0: the driver has none
}
