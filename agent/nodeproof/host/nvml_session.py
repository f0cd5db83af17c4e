"""How NVML is asked: opened once in a process, and each answer by itself, so that one that fails takes no other along.

Deliberately not here: what is asked (`nvml`, `nvml_fields`, `nvml_links`, `nvml_inforom`).
"""

import contextlib
import functools
import importlib
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from nodeproof.errors import FactError, Kind

#: One question about one GPU: takes the module `pynvml` and a handle.
Ask = Callable[[Any, Any], Any]

#: NVML errors that say something about us or the moment, not about the GPU.
_KINDS: dict[str, Kind] = {
    "NO_PERMISSION": "denied",
    "TIMEOUT": "timed_out",
    "MEMORY": "failed",
    "INSUFFICIENT_RESOURCES": "failed",
}

#: NVML errors by which a field says that this GPU or this driver does not have it.
_NOT_THERE = ("NOT_SUPPORTED", "FUNCTION_NOT_FOUND", "VGPU_ECC_NOT_SUPPORTED", "ARGUMENT_VERSION_MISMATCH")

#: What a field is called: a word, or the number of a link with it.
_Name = TypeVar("_Name")

#: nvmlFieldValue_t: field, scope, timestamp, latency, type of the value, error, value. Taken apart at once: there are
#: hundreds of them, and pynvml makes an object of each member.
_FIELD_VALUE = struct.Struct("=IIqqiI8s")

#: Members of nvmlValue_t by nvmlValueType_t: dVal, uiVal, ulVal, ullVal, sllVal, siVal, usVal.
_MEMBERS = tuple(struct.Struct(f"={format_}") for format_ in "dIQQqiH")


def preload() -> None:
    """Import `pynvml` where NVIDIA's driver is loaded, for a process whose forks ask: it takes 40 ms in each else."""
    if os.path.exists("/proc/driver/nvidia/version"):
        with contextlib.suppress(ImportError):  # whoever asks is told
            importlib.import_module("pynvml")


def opened(source: str) -> Any:
    """Return the module `pynvml`, initialised; raises its NVMLError, and FactError `absent` without the library.

    NVML is not shut down: the process that asks ends soon, and without a client a GPU that is not in persistence
    mode would be initialised anew for each question. To initialise once more only counts.
    """
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound as error:
        # pynvml gives every dlopen error this name; the loader's own words say which it was
        raise FactError(source, "absent", str(error.__context__ or error)) from error
    return nvml


def of_gpu(source: str, index: int, fields: Mapping[str, Ask], ids: Mapping[str, str]) -> dict[str, Any]:
    """Return what NVML says of one GPU, or with `error` why there is no handle for it.

    `fields` are asked one by one, `ids` (names of NVML's field ids) in one call. What this GPU or driver does not
    have is None; any other error of a field is kept by name in `errors`.
    """
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml = opened(source)
        gpu = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        return {"error": error_of(nvml, source, error)}
    errors: dict[str, str] = {}
    answers = asked(nvml, {name: _bound(ask, nvml, gpu) for name, ask in fields.items()}, errors)
    answers |= field_values(nvml, gpu, {name: (id_, 0) for name, id_ in ids.items()}, errors)
    return answers | {"errors": errors, "error": None}


def _bound(ask: Ask, nvml: Any, gpu: Any) -> Callable[[], Any]:
    return lambda: ask(nvml, gpu)


def asked(nvml: Any, fields: Mapping[str, Callable[[], Any]], errors: dict[str, str]) -> dict[str, Any]:
    """Return the answer to each of `fields`, None where there is none; what failed is added to `errors`."""
    answers: dict[str, Any] = dict.fromkeys(fields)
    for name, ask in fields.items():
        try:
            answers[name] = ask()
        except nvml.NVMLError as error:
            if (word := name_of(nvml, error.value)) not in _NOT_THERE:
                errors[name] = word
        except AttributeError:  # a function that this version of pynvml does not know
            continue
        except UnicodeDecodeError:
            errors[name] = "MALFORMED"
    return answers


def field_values(
    nvml: Any, gpu: Any, wanted: Mapping[_Name, tuple[str, int]], errors: dict[_Name, str]
) -> dict[_Name, int | float | None]:
    """Return numbered fields of NVML by the names of `wanted`, each the name of a field id and a scope, in one call.

    Each value has an error of its own. Source: NVML API reference, nvmlDeviceGetFieldValues, nvmlFieldValue_t.
    """
    answers: dict[_Name, int | float | None] = dict.fromkeys(wanted)
    known = {name: (getattr(nvml, id_), scope) for name, (id_, scope) in wanted.items() if hasattr(nvml, id_)}
    try:
        found = nvml.nvmlDeviceGetFieldValues(gpu, list(known.values()))
    except nvml.NVMLError as error:
        if (word := name_of(nvml, error.value)) not in _NOT_THERE:
            errors |= dict.fromkeys(known, word)
        return answers
    for name, (*_, kind, code, raw) in zip(known, _FIELD_VALUE.iter_unpack(bytes(found)), strict=True):
        if code == nvml.NVML_SUCCESS and 0 <= kind < len(_MEMBERS):
            answers[name] = _MEMBERS[kind].unpack_from(raw)[0]
        elif code == nvml.NVML_SUCCESS:
            errors[name] = "MALFORMED"
        elif (word := name_of(nvml, code)) not in _NOT_THERE:
            errors[name] = word
    return answers


def call(function: str, *args: str) -> Ask:
    """Return a question that is one function of a GPU; `args` name constants of NVML."""
    return lambda nvml, gpu: getattr(nvml, function)(gpu, *(getattr(nvml, name) for name in args))


def is_on(function: str, which: int | None = None) -> Ask:
    """Return a question for a switch; `which` of the two that the function returns (now, after the next reset)."""

    def ask(nvml: Any, gpu: Any) -> bool:
        answer = getattr(nvml, function)(gpu)
        return bool(answer if which is None else answer[which])

    return ask


def first_of(*asks: Ask) -> Ask:
    """Return a question that is put in newer words first, then in those that older drivers know."""

    def ask(nvml: Any, gpu: Any) -> Any:
        for one in asks[:-1]:
            try:
                return one(nvml, gpu)
            except nvml.NVMLError as error:
                if name_of(nvml, error.value) not in _NOT_THERE:
                    raise
            except AttributeError:  # not in this version of pynvml
                continue
        return asks[-1](nvml, gpu)

    return ask


def error_of(nvml: Any, source: str, error: Any) -> dict[str, str]:
    """Return name and text of an error that is an answer; raise FactError for one that is not."""
    name = name_of(nvml, error.value)
    if name in _KINDS:
        raise FactError(source, _KINDS[name], name) from error
    return {"name": name, "text": str(error)}


@functools.cache
def name_of(nvml: Any, code: int) -> str:
    """Return an NVML error as its header names it, without the prefix: `GPU_IS_LOST`."""
    prefix = "NVML_ERROR_"
    names = (n[len(prefix) :] for n, v in vars(nvml).items() if n.startswith(prefix) and v == code)
    return next(names, f"error {code}")


def text(raw: str | bytes) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def bounded(items: Iterable[Any], most: int) -> list[Any]:
    """Return at most `most` of what a library says there is."""
    return [item for item, _ in zip(items, range(most), strict=False)]
