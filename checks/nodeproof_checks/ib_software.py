"""Judgement of what lies between RDMA adapters and the programs that use them: files, interfaces, modules."""

from collections import defaultdict
from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.ib_adapters import IbAdapters, RdmaLinks
from nodeproof.probes.ib_files import IbFile, IbFiles
from nodeproof.probes.ib_gpudirect import NvidiaModule
from nodeproof.probes.ib_ports import IbGids, IbInterfaces
from nodeproof.probes.infiniband import Infiniband
from nodeproof.probes.kernel import KernelModules, KernelVersion
from nodeproof.probes.parse import integer
from nodeproof.verdict import Verdict, fail, named, ok, plural
from nodeproof_checks.ib import parts

_Kind = Literal["uverbs", "umad", "issm", "rdma_cm"]

#: Kernel module that makes each kind of file.
_MODULES = {"uverbs": "ib_uverbs", "umad": "ib_umad", "issm": "ib_umad", "rdma_cm": "rdma_ucm"}

#: The first kernel whose RDMA drivers take dma_buf (drivers/infiniband/core/umem_dmabuf.c).
_DMA_BUF_SINCE = (5, 12)


def _expected_parts(kind: str, ib: Infiniband, files: IbFiles) -> list[str]:
    """Return the parts that should have a file: adapters, InfiniBand ports, or the machine."""
    if kind == "uverbs":
        return list(files.adapters)
    if kind == "rdma_cm":
        return [""]
    return [port for port in files.ports if port in ib.ports and ib.ports[port].link_layer == "InfiniBand"]


def _learn_files(ib: Infiniband, files: IbFiles) -> dict[str, object]:
    modes: dict[str, set[str]] = defaultdict(set)
    for file in files.files:
        if file.mode is not None:
            modes[file.kind].add(file.mode)
    kinds = [k for k in _MODULES if k in modes and not _lacking(k, ib, files)]
    return {"required": tuple(kinds), "modes": {k: next(iter(modes[k])) for k in kinds if len(modes[k]) == 1}}


@check(
    "ib.device_files",
    tags="healthcheck boot infiniband",
    remedy="Load the module (`modprobe ib_uverbs`; ib_umad, rdma_ucm) and let rdma-core load it at boot. If it is "
    "loaded, udev did not make the file, or gave it other rights than its rules say: `udevadm trigger`.",
    learn=_learn_files,
    beta=True,
)
def device_files(
    ib: Infiniband,
    files: IbFiles,
    *,
    required: Annotated[
        tuple[_Kind, ...],
        "kinds of files that must be there: uverbs of each adapter, umad and issm of each InfiniBand port, rdma_cm",
    ] = ("uverbs", "umad"),
    modes: Annotated[dict[str, str] | None, 'mode by kind, e.g. `uverbs = "0666"`; not judged if unset'] = None,
) -> Verdict:
    """Programs can open every adapter: its device files are there, with the rights that policy says.

    An adapter that works and whose `/dev/infiniband/uverbs0` is missing, because a module was not loaded or udev
    failed, is invisible to MPI and NCCL: they fall back to TCP, at a tenth of the speed and without a word. A file that
    only root may open looks the same to users and fine to administrators.
    """
    for kind in required:
        if lacking := _lacking(kind, ib, files):
            return fail(_words(kind, lacking, ib, files), parts=parts(lacking), kind=kind)
    wrong = [file for file in files.files if _is_other_mode(file, modes or {})]
    if wrong:
        words = [f"{file.path} has mode {file.mode}, expected {(modes or {})[file.kind]}" for file in wrong]
        return fail(named(words, 2), parts=parts(file.part for file in wrong))
    if {"umad", "issm"} & set(required):
        for name, error in ib.unread.items():
            if "/" in name:  # whose link layer is not known
                raise error
    found = sum(file.mode is not None for file in files.files)
    return ok(f"{plural(found, 'device file')} of {plural(len(files.adapters), 'adapter')} in order")


def _is_other_mode(file: IbFile, modes: dict[str, str]) -> bool:
    if file.mode is None or file.kind not in modes:
        return False
    return integer("modes", modes[file.kind], 8) != integer(file.path, file.mode, 8)


def _lacking(kind: str, ib: Infiniband, files: IbFiles) -> list[str]:
    there = {file.part for file in files.files if file.kind == kind and file.mode is not None}
    return [part for part in _expected_parts(kind, ib, files) if part not in there]


def _words(kind: str, lacking: list[str], ib: Infiniband, files: IbFiles) -> str:
    known: list[IbFile] = [file for file in files.files if file.kind == kind]
    if not known:
        number = len(_expected_parts(kind, ib, files))
        return f"there is no {kind} file, expected {number}: is module {_MODULES[kind]} loaded?"
    paths = [file.path for file in known if file.part in lacking]
    if paths:
        return f"{named(paths)} missing in /dev, expected one for each {kind} device of the kernel"
    return f"{named(lacking)} without a {kind} file, expected one each"


def _learn_bindings(
    adapters: IbAdapters, interfaces: IbInterfaces, links: RdmaLinks, _gids: IbGids
) -> dict[str, object]:
    virtual = {name for name, adapter in adapters.known.items() if adapter.is_virtual_function}
    bound = {port: _bound(port, interfaces, links) for port in links.ports if port.partition("/")[0] not in virtual}
    found = {port: names[0] for port, names in bound.items() if len(names) == 1}
    return {"expected": found} if found else {}


@check(
    "ib.netdev_binding",
    tags="healthcheck boot infiniband",
    remedy="Compare `rdma link` with `ls /sys/class/infiniband/*/device/net`, and interface names with the udev or "
    "systemd.link rules that give them: by PCI address or port GUID they stay, by order of discovery they do not.",
    learn=_learn_bindings,
    beta=True,
)
def netdev_binding(
    adapters: IbAdapters,
    interfaces: IbInterfaces,
    links: RdmaLinks,
    gids: IbGids,
    *,
    expected: Annotated[dict[str, str] | None, 'interface by `adapter/port`, e.g. `"mlx5_0/1" = "ibp24s0"`'] = None,
) -> Verdict:
    """Each RDMA port belongs to the interface that policy says, and all parts of the kernel agree on it.

    Addresses, routes and rail numbers hang on interfaces, traffic on RDMA ports. If they are bound crosswise,
    connections are made over one rail and data flows over another, at full speed in every test of a single rail.
    Compared are what RDMA netlink says, the interfaces of the same PCI function, and where RoCE's GIDs come from;
    parts of a bond, bridge or team lend their port to another interface and are compared with policy alone.
    """
    problems = {}
    for port in dict.fromkeys([*links.ports, *(expected or {})]):
        if port.partition("/")[0] in interfaces.unread:  # whose interfaces are not all known
            continue
        words = _unexpected(port, expected or {}, interfaces, links) or _misbound(port, interfaces, links, gids)
        if words:
            problems[port] = f"{port} {words}"
    if problems:
        return fail(named(list(problems.values()), 2), parts=parts(problems))
    for error in (*adapters.unread.values(), *interfaces.unread.values(), *gids.unread.values()):
        raise error
    bound = sum(bool(_bound(port, interfaces, links)) for port in links.ports)
    return ok(f"{bound} of {plural(len(links.ports), 'RDMA port')} bound to an interface, as all of the kernel says")


def _bound(port: str, interfaces: IbInterfaces, links: RdmaLinks) -> list[str]:
    """Return the interfaces of a port: what netlink says, or those of the same function."""
    told = links.ports[port].netdev if port in links.ports else None
    return [told] if told else sorted(interfaces.of(port))


def _unexpected(port: str, expected: dict[str, str], interfaces: IbInterfaces, links: RdmaLinks) -> str:
    """Return how a port differs from policy. A port that is missing is for `ib.port` to find."""
    if port not in expected or port not in links.ports:
        return ""
    bound = _bound(port, interfaces, links)
    return "" if expected[port] in bound else f"belongs to {named(bound) or 'no interface'}, expected {expected[port]}"


def _misbound(port: str, interfaces: IbInterfaces, links: RdmaLinks, gids: IbGids) -> str:
    """Return where the kernel contradicts itself; a device without interfaces of its own has nothing to compare."""
    mine = port.partition("/")[0]
    own = interfaces.known.get(mine, {})
    if not own or any(interface.is_enslaved for interface in own.values()):
        return ""
    told = links.ports[port].netdev if port in links.ports else None
    if told and told not in own:
        return f"belongs to {told} by netlink, expected {named(list(own))}, which its PCI function has"
    others = {name for adapter, found in interfaces.known.items() if adapter != mine for name in found}
    for gid in gids.known.get(port, ()):
        if gid.netdev in others - own.keys():
            return f"has its GID {gid.number} from {gid.netdev}, another adapter's, expected {named(list(own))}"
    return ""


def _learn_gpudirect(modules: KernelModules, version: KernelVersion, nvidia: NvidiaModule) -> dict[str, object]:
    if _has_peermem(modules):
        return {"required": "nvidia_peermem"}
    return {} if _why_no_dma_buf(modules, version, nvidia) else {"required": "dma_buf"}


@check(
    "ib.modules",
    tags="healthcheck boot infiniband",
    remedy="`modprobe nvidia_peermem` and name it in /etc/modules-load.d; it fails if the driver was built before the "
    "RDMA stack was installed: build it anew. For dma_buf install the open kernel modules on Linux 5.12 or newer.",
    learn=_learn_gpudirect,
    beta=True,
)
def modules(
    modules: KernelModules,
    version: KernelVersion,
    nvidia: NvidiaModule,
    *,
    required: Annotated[
        Literal["nvidia_peermem", "dma_buf", "either"], "way by which adapters must be able to reach GPU memory"
    ],
) -> Verdict:
    """Adapters can read and write GPU memory directly (GPUDirect RDMA).

    Without it every message is copied through host memory, at a third of the bandwidth and several times the latency;
    NCCL says so in its debug output alone. Two ways lead there: the module nvidia_peermem, or dma_buf with a GPU
    driver that exports it (NVIDIA's open modules, amdgpu) and a kernel since 5.12. Kernels with a backport of it count
    as too old: ask for nvidia_peermem or leave this out. Source: NVIDIA GPUDirect RDMA documentation; kernel
    documentation, driver-api/dma-buf.rst.
    """
    why_not = _why_no_dma_buf(modules, version, nvidia)
    if required != "dma_buf" and _has_peermem(modules):
        return ok("nvidia_peermem is loaded")
    if required != "nvidia_peermem" and not why_not:
        return ok(f"kernel {version.release} and the GPU's driver can do dma_buf")
    if required == "nvidia_peermem":
        return fail("module nvidia_peermem is not loaded, expected it for GPUDirect RDMA")
    also = "" if required == "dma_buf" else " and nvidia_peermem is not loaded"
    return fail(f"no GPUDirect RDMA by dma_buf: {why_not}, expected {required}{also}")


def _has_peermem(modules: KernelModules) -> bool:
    """Say whether the module is loaded, the one of today or its predecessor from MLNX_OFED's time."""
    return not {"nvidia_peermem", "nv_peer_mem"}.isdisjoint(modules.names)


def _why_no_dma_buf(modules: KernelModules, version: KernelVersion, nvidia: NvidiaModule) -> str:
    numbers = [int(n) for n in version.release.split("-")[0].split(".")[:2] if n.isascii() and n.isdecimal()]
    if len(numbers) < 2:
        raise FactError(
            "/proc/sys/kernel/osrelease", "malformed", f"expected a version, found {version.release[:40]!r}"
        )
    if tuple(numbers) < _DMA_BUF_SINCE:
        return f"kernel {version.release} is older than 5.12"
    if nvidia.is_open is False:
        return "the NVIDIA driver is not the open one"
    if nvidia.is_open is None and "amdgpu" not in modules.names:
        return "no GPU driver is loaded that exports dma_buf"
    return "" if "ib_uverbs" in modules.names else "module ib_uverbs is not loaded"
