"""NVLinks of a GPU, and which GPUs reach each other: asked by themselves, for there are many of them.

Source: NVML API reference, NvLink Methods and Field Value Enums.
"""

import importlib
import itertools
from collections.abc import Mapping
from typing import Any

from nodeproof.host.nvml_session import asked, error_of, field_values, name_of, of_gpu, opened, text

#: NVML_NVLINK_MAX_LINKS of nvml.h.
_MOST_LINKS = 18

#: Values that are asked for at once: a call for each link would cost more than its answer.
_MOST_VALUES = 60

#: NVML_P2P_CAPS_INDEX_READ, which pynvml has as a tuple by mistake.
_CAN_READ = 0

#: Per link, by scope: the three that count up to NVLink 4, then those of NVLink 5.
_LINK_IDS = {
    "is_active": "NVML_FI_DEV_NVLINK_GET_STATE",
    "speed_mb_per_s": "NVML_FI_DEV_NVLINK_GET_SPEED",
    "replays": "NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY",
    "recoveries": "NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY",
    "crc_errors": "NVML_FI_DEV_NVLINK_ERROR_DL_CRC",
    "receive_errors": "NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS",
    "integrity_errors": "NVML_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS",
    "buffer_overruns": "NVML_FI_DEV_NVLINK_COUNT_BUFFER_OVERRUN_ERRORS",
    "failed_recoveries": "NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS",
    "effective_errors": "NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS",
}

#: What a link counts.
LINK_COUNTS = tuple(_LINK_IDS)[2:]


def nvml_links(index: int) -> dict[str, Any]:
    """Return `links` of one GPU, None where it has no NVLink; for the rest see `of_gpu`."""
    fields = {
        "pci_bus_id": lambda nvml, gpu: text(nvml.nvmlDeviceGetPciInfo(gpu).busId),
        "name": lambda nvml, gpu: nvml.nvmlDeviceGetName(gpu),
        "links": _links,
    }
    return of_gpu(f"nvml_links {index}", index, fields, {})


def _links(nvml: Any, gpu: Any) -> list[dict[str, Any]] | None:
    errors: dict[str, str] = {}
    count = field_values(nvml, gpu, {"count": ("NVML_FI_DEV_NVLINK_LINK_COUNT", 0)}, errors)["count"]
    if errors:
        raise nvml.NVMLError(next(_code(nvml, word) for word in errors.values()))
    if not count:
        return None
    numbers = range(min(int(count), _MOST_LINKS))
    answers, failed = _values(nvml, gpu, numbers[:1], _LINK_IDS)
    ids = dict(_LINK_IDS)
    if answers[0, "is_active"]:  # what a link that is up does not count, no other of that GPU does
        ids = {name: id_ for name, id_ in ids.items() if name not in LINK_COUNTS or answers[0, name] is not None}
    more, failed_more = _values(nvml, gpu, numbers[1:], ids)
    answers, failed = answers | more, failed | failed_more
    return [_link(nvml, gpu, number, answers, failed) for number in numbers]


def _values(
    nvml: Any, gpu: Any, numbers: range, ids: Mapping[str, str]
) -> tuple[dict[tuple[int, str], Any], dict[tuple[int, str], str]]:
    """Return by link and name what links answer to `ids`, and what failed."""
    wanted = [((number, name), (id_, number)) for number in numbers for name, id_ in ids.items()]
    answers: dict[tuple[int, str], Any] = {}
    failed: dict[tuple[int, str], str] = {}
    for start in range(0, len(wanted), _MOST_VALUES):
        answers |= field_values(nvml, gpu, dict(wanted[start : start + _MOST_VALUES]), failed)
    return answers, failed


def _code(nvml: Any, word: str) -> int:
    """Return the error code that a name stands for, the inverse of `name_of`."""
    return int(getattr(nvml, f"NVML_ERROR_{word}", nvml.NVML_ERROR_UNKNOWN))


def _link(
    nvml: Any, gpu: Any, number: int, values: dict[tuple[int, str], Any], failed: dict[tuple[int, str], str]
) -> dict[str, Any]:
    errors = {name: failed[number, name] for name in _LINK_IDS if (number, name) in failed}
    answers: dict[str, Any] = {name: values.get((number, name)) for name in _LINK_IDS}
    if answers["is_active"] is None:  # not a field before Hopper
        answers |= asked(nvml, {"is_active": lambda: nvml.nvmlDeviceGetNvLinkState(gpu, number)}, errors)
    answers |= asked(nvml, {"remote": lambda: _remote(nvml, gpu, number)}, {})
    is_active = answers["is_active"]
    return answers | {"is_active": None if is_active is None else bool(is_active), "errors": errors}


def _remote(nvml: Any, gpu: Any, number: int) -> str:
    return text(nvml.nvmlDeviceGetNvLinkRemotePciInfo(gpu, number).busId)


def nvml_peers(*indexes: int) -> dict[str, Any]:
    """Return for each pair of these GPUs, as `0 1`, whether one can read the other's memory, in NVML's words: `OK`."""
    source = "nvml_peers"
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml = opened(source)
        gpus = {index: nvml.nvmlDeviceGetHandleByIndex(index) for index in indexes}
    except nvml.NVMLError as error:
        return {"error": error_of(nvml, source, error)}
    words = {v: n.removeprefix("NVML_P2P_STATUS_") for n, v in vars(nvml).items() if n.startswith("NVML_P2P_STATUS_")}
    pairs: dict[str, str] = {}
    for a, b in itertools.combinations(indexes, 2):
        try:
            status = nvml.nvmlDeviceGetP2PStatus(gpus[a], gpus[b], _CAN_READ)
        except nvml.NVMLError as error:
            pairs[f"{a} {b}"] = name_of(nvml, error.value)
        else:
            pairs[f"{a} {b}"] = words.get(status, f"status {status}")
    return {"error": None, "pairs": pairs}
