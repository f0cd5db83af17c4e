"""Which node this is: what the classes of a policy match on."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact

HOST_NAME = "/proc/sys/kernel/hostname"
PRODUCT = "/sys/class/dmi/id/product_name"
CPU_INFO = "/proc/cpuinfo"
GPUS = "/proc/driver/nvidia/gpus/*/information"

#: What firmware says where the vendor left the field as it came.
_PLACEHOLDERS = frozenset(
    {"", "default string", "none", "not specified", "system product name", "to be filled by o.e.m.", "unknown"}
)


# isolated: the NVIDIA driver takes its GPU locks to answer, and a GPU that fell off the bus may hold them
@fact(HOST_NAME, PRODUCT, CPU_INFO, GPUS, isolated=True)
class Identity(NamedTuple):
    """What a policy class can match. Empty: this node does not have it (a Grace CPU has no model name).

    `unread` holds what could not be read although it may be there.
    """

    host_name: str
    product: str = ""
    cpu_model: str = ""
    gpu_models: tuple[str, ...] = ()
    unread: tuple[FactError, ...] = ()

    @classmethod
    def read(cls, host: Host) -> Self:
        """Never raises: what cannot be read is empty, and in `unread`."""
        unread = list[FactError]()
        product = _optional(host, PRODUCT, unread)
        return cls(
            host_name=host_name(host),
            product="" if product.lower() in _PLACEHOLDERS else product,
            cpu_model=field_of(_optional(host, CPU_INFO, unread), "model name"),
            gpu_models=_gpu_models(host, unread),
            unread=tuple(unread),
        )


def key_of_source(source: str) -> str | None:
    """Return which field of the identity comes from `source`; None: it could be any."""
    if source.startswith("/proc/driver/nvidia/"):
        return "gpu_model"
    return {PRODUCT: "product", CPU_INFO: "cpu_model"}.get(source)


def host_name(host: Host) -> str:
    """Return the node's name; a tree without one (only `sys/`, say) is a node without a name."""
    try:
        return host.text(HOST_NAME)
    except FactError:
        return ""


def field_of(text: str, name: str) -> str:
    """Return the first value of `name` in lines of the form `name : value`, or an empty string."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _optional(host: Host, path: str, unread: list[FactError]) -> str:
    try:
        return host.text(path)
    except FactError as error:
        if error.kind != "absent":
            unread.append(error)
        return ""


def _gpu_models(host: Host, unread: list[FactError]) -> tuple[str, ...]:
    """Return the model of each NVIDIA GPU that the driver lists, without loading NVML."""
    try:
        paths = host.glob(GPUS)
    except FactError as error:
        unread.append(error)
        return ()
    models = (field_of(_optional(host, path, unread), "Model") for path in paths)
    return tuple(model for model in models if model)
