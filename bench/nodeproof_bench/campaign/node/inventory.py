"""What a node is made of, as text by key, so that nodes of one class compare. Pure but for `read`.

A fact that could not be had has no key: whether it should be there is for checks to say. No serial numbers: they
differ by nature.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nodeproof.engine.worker import read_facts
from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes.cpu import CpuTopology, Microcode
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.identity import Identity
from nodeproof.probes.infiniband import Infiniband
from nodeproof.probes.kernel import KernelCmdline, KernelVersion
from nodeproof.probes.memory import MemorySize
from nodeproof.probes.nic import Interfaces, NicFirmwares
from nodeproof.probes.numa import NumaNodes
from nodeproof.probes.nvme import NvmeDrives
from nodeproof.probes.smbios import Dimms, Firmware
from nodeproof.verdict import harmless
from nodeproof_bench.campaign.collect.rows import CLASS_KEY
from nodeproof_bench.campaign.node.dimm_parts import DimmParts

#: How long one question, and all of them, may take.
_DEADLINE_S, _MOST_S = 10.0, 30.0

_VALUE_CHARS = 400
_GIB = 1 << 30

Facts = Mapping[type, Any]
Pairs = Iterator[tuple[str, object]]


def read(host: Host) -> dict[str, str]:
    """Return what this node is made of. Never raises for what cannot be read."""
    until_s = time.monotonic() + _MOST_S
    readings = read_facts(host, tuple(_TOLD), deadline_s=_DEADLINE_S, until_s=until_s)
    return flat({fact: r.value for fact, r in readings.items() if not isinstance(r.value, FactError)})


def flat(facts: Facts) -> dict[str, str]:
    """Return facts as text by key, the class of hardware among them."""
    told = {key: value for fact, tell in _TOLD.items() if fact in facts for key, value in tell(facts[fact])}
    told[CLASS_KEY] = hardware_class(facts)
    return {key: harmless(str(value), _VALUE_CHARS) for key, value in sorted(told.items()) if value not in ("", None)}


def hardware_class(facts: Facts) -> str:
    """Return what nodes must share to be compared: processors, memory, GPUs and network adapters."""
    identity, topology, memory = (facts.get(fact) for fact in (Identity, CpuTopology, MemorySize))
    words = [(identity.cpu_model if identity else "") or "unknown CPU"]
    if topology:
        words.append(f"{topology.sockets} x {topology.cores // max(1, topology.sockets)} cores")
    if memory:
        words.append(f"{installed_gib(memory.total_bytes):g} GiB")
    adapters = facts[NicFirmwares].known.values() if NicFirmwares in facts else ()
    hcas = facts[Infiniband].hcas.values() if Infiniband in facts else ()
    for models in (_gpu_models(facts), [a.model for a in adapters], [f"RDMA {h.board}".strip() for h in hcas]):
        words += [f"{count} x {model or 'unknown'}" for model, count in sorted(Counter(models).items())]
    return harmless("; ".join(words), _VALUE_CHARS)


def installed_gib(usable_bytes: int) -> float:
    """Return the memory that is installed, roughly: firmware and kernel keep 1 to 4 % of it, not the same everywhere.

    Rounded up to an eighth of the power of two below it, which is as much as modules come in.
    """
    step = 2.0 ** (math.floor(math.log2(max(1, usable_bytes))) - 3)
    return math.ceil(usable_bytes / step) * step / _GIB


def _gpu_models(facts: Facts) -> list[str]:
    if Gpus in facts and facts[Gpus].known:
        return [gpu.name or "" for gpu in facts[Gpus].known.values()]
    return list(facts[Identity].gpu_models) if Identity in facts else []


def _firmware(firmware: Firmware) -> Pairs:
    for name, value in firmware._asdict().items():
        yield f"smbios.{name}", value


def _dimms(dimms: Dimms) -> Pairs:
    modules = [dimm for dimm in dimms.installed if dimm.is_module]
    yield "memory.modules", len(modules) or None
    for dimm in modules:
        size = f"{dimm.size_bytes / _GIB:g} GiB" if dimm.size_bytes else "unknown size"
        yield f"memory.module.{dimm.locator}", f"{size} {dimm.kind} at {dimm.configured_mts or dimm.speed_mts} MT/s"


def _dimm_parts(dimms: DimmParts) -> Pairs:
    for slot, part in dimms.parts.items():
        yield f"memory.part.{slot}", part


def _cpu(topology: CpuTopology) -> Pairs:
    yield "cpu.sockets", topology.sockets
    yield "cpu.cores", topology.cores
    yield "cpu.threads", len(topology.online)


def _microcode(microcode: Microcode) -> Pairs:
    yield "cpu.microcode", ", ".join(hex(revision) for revision in sorted(set(microcode.revisions.values())))


def _identity(identity: Identity) -> Pairs:
    yield "cpu.model", identity.cpu_model


def _kernel(kernel: KernelVersion) -> Pairs:
    yield "kernel.release", kernel.release


def _cmdline(cmdline: KernelCmdline) -> Pairs:
    """Yield the options but those that name this node's own disk and image."""
    own = ("root=", "BOOT_IMAGE=", "initrd=", "resume=", "ip=", "nfsroot=", "rd.", "ostree=")
    yield "kernel.cmdline", " ".join(sorted(word for word in cmdline.words if not word.startswith(own)))


def _memory(memory: MemorySize) -> Pairs:
    yield "memory.size", f"{installed_gib(memory.total_bytes):g} GiB"


def _numa(numa: NumaNodes) -> Pairs:
    yield "numa.nodes", len(numa.nodes)


def _nics(nics: NicFirmwares) -> Pairs:
    for name, nic in nics.known.items():
        yield f"nic.{name}.model", nic.model
        yield f"nic.{name}.driver", nic.driver
        yield f"nic.{name}.firmware", nic.version


def _interfaces(interfaces: Interfaces) -> Pairs:
    for name in interfaces.ports & interfaces.known.keys():
        speed = interfaces.known[name].speed_mb_per_s
        yield f"nic.{name}.speed", f"{speed} Mb/s" if speed else None
        yield f"nic.{name}.mtu", interfaces.known[name].mtu_bytes


def _rdma(infiniband: Infiniband) -> Pairs:
    for name, hca in infiniband.hcas.items():
        yield f"rdma.{name}.board", hca.board
        yield f"rdma.{name}.firmware", hca.firmware
    for name, port in infiniband.ports.items():
        yield f"rdma.{name}.rate", f"{port.rate_gb_per_s:g} Gb/s {port.link_layer}"
        yield f"rdma.{name}.state", port.state_words


def _gpus(gpus: Gpus) -> Pairs:
    yield "gpu.driver", gpus.driver_version
    yield "gpu.count", len(gpus.known) or None
    for index, gpu in gpus.known.items():
        yield f"gpu.{index}.model", gpu.name
        yield f"gpu.{index}.vbios", gpu.vbios_version
        yield f"gpu.{index}.gsp_firmware", gpu.gsp_firmware_version


def _nvme(drives: NvmeDrives) -> Pairs:
    for name, drive in drives.known.items():
        yield f"nvme.{name}.model", drive.model
        yield f"nvme.{name}.firmware", drive.firmware


_TOLD: Mapping[type, Callable[[Any], Pairs]] = {
    Identity: _identity,
    Firmware: _firmware,
    Dimms: _dimms,
    DimmParts: _dimm_parts,
    CpuTopology: _cpu,
    Microcode: _microcode,
    KernelVersion: _kernel,
    KernelCmdline: _cmdline,
    MemorySize: _memory,
    NumaNodes: _numa,
    NicFirmwares: _nics,
    Interfaces: _interfaces,
    Infiniband: _rdma,
    Gpus: _gpus,
    NvmeDrives: _nvme,
}
