"""Judgement of what connects the GPUs of a node: NVLink or xGMI, NVLink's fabric, peer access."""

from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.gpu_device import Fabric
from nodeproof.probes.gpu_fabric import FabricManager
from nodeproof.probes.gpu_links import GpuLinks
from nodeproof.probes.ledger import Seen
from nodeproof.verdict import Verdict, fail, named, ok, warn
from nodeproof_checks.gpu_common import listed, odd_ones, parts
from nodeproof_checks.over_time import Limit, judged


def _active(links: GpuLinks) -> dict[str, int]:
    """Return how many links of each GPU that has any are up."""
    return {label: sum(link.is_active is True for link in found) for label, found in links.of.items() if found}


def _speeds(links: GpuLinks) -> dict[str, int]:
    """Return the speed of each link that is up and says it, by GPU and number."""
    return {
        f"{label} link {link.number}": link.speed_mb_per_s
        for label, found in links.of.items()
        for link in found or ()
        if link.is_active and link.speed_mb_per_s is not None
    }


def _learn(links: GpuLinks) -> dict[str, int]:
    active, speeds = _active(links), _speeds(links)
    learnt = {"min_active_count": max(active.values())} if active else {}
    return learnt | ({"min_speed_mb_per_s": max(speeds.values())} if speeds else {})


@check(
    "gpu.nvlink",
    tags="healthcheck boot gpu",
    remedy="Reset all GPUs of the node when no job uses them (`nvidia-smi --gpu-reset`, or `amd-smi reset "
    "--gpureset`), or reboot the node. A link "
    "that stays down or slow: inspect the GPU's seat and the baseboard, then replace.",
    learn=_learn,
    beta=True,
)
def nvlink(
    links: GpuLinks,
    *,
    min_active_count: Annotated[int, "NVLinks that every GPU must have up; 0: as many as most have"] = 0,
    min_speed_mb_per_s: Annotated[int, "least speed of a link that is up; 0: that of most"] = 0,
) -> Verdict:
    """Every GPU has all its NVLinks up, at full speed, or all its xGMI links.

    One link that is down takes its share of the bandwidth from every collective of the node, and on some systems the
    GPU out of its fabric. Sources: NVML API reference, NVML_FI_DEV_NVLINK_GET_STATE and _GET_SPEED;
    amd_smi/amdsmi.h, amdsmi_get_gpu_xgmi_link_status.
    """
    active, speeds = _active(links), _speeds(links)
    least = min_active_count or max(active.values(), default=0)
    down = {label: f"has {n} links up" for label, n in active.items() if n < least}
    if down:
        return fail(f"expected {least} {links.kind}s: {listed(down)}", parts=parts(down), active_count=active)
    slow_is = min_speed_mb_per_s or min((s for s in speeds.values() if s not in odd_ones(speeds).values()), default=0)
    slow = {name: f"at {speed} MB/s" for name, speed in speeds.items() if speed < slow_is}
    if slow:
        labels = dict.fromkeys(name.partition(" ")[0] for name in slow)
        return fail(f"expected {links.kind}s at {slow_is} MB/s: {listed(slow)}", parts=parts(labels))
    _raise_unread(links)
    if not active:
        raise FactError("nvml_links", "absent", f"no GPU has {links.kind}s")
    return ok(
        f"{least} {links.kind}s are up on each of {len(active)} GPUs", speed_mb_per_s=min(speeds.values(), default=None)
    )


def _raise_unread(links: GpuLinks) -> None:
    for error in links.unread:
        raise error
    for label, found in links.of.items():
        for link in found or ():
            if link.is_active is None:
                word = link.errors.get("is_active", "not supported")
                raise FactError(f"nvml_links {label}", "failed", f"state of link {link.number}: {word}")


@check(
    "gpu.nvlink_error_rate",
    tags="healthcheck boot gpu",
    remedy="Reset all GPUs of the node when no job uses them (`nvidia-smi --gpu-reset`), or reboot the node. Errors "
    "that come back on the same link: inspect the GPU's seat and the baseboard, then replace.",
    beta=True,
)
def nvlink_error_rate(
    seen: Seen,
    *,
    max_recoveries_per_hour: Annotated[float, "replays and recoveries of one link in an hour"] = 0.0,
    max_errors_per_hour: Annotated[float, "packets of one link in an hour that came with errors"] = 360_000.0,
    window_h: Annotated[float, "hours that are looked back on"] = 1.0,
) -> Verdict:
    """No NVLink has errors, or has to start anew, more often than a sound one.

    Limits are those of DCGM: any replay or recovery, and a hundred CRC errors a second (dcgm_gpu_hardware_limits.h);
    for NVLink 5, which counts other kinds of error, the second is carried over. Source: NVML API reference, field
    values NVML_FI_DEV_NVLINK_ERROR_DL_* and NVML_FI_DEV_NVLINK_COUNT_*.
    """
    limits = [
        Limit("gpu.nvlink_recoveries", "replays and recoveries", max_recoveries_per_hour),
        Limit("gpu.nvlink_errors", "errors", max_errors_per_hour),
    ]
    return judged(seen, limits, window_h)


_COMPLETED = 3
_STATES = {1: "not started", 2: "in progress"}

#: Fields of the health mask (NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_*), two bits each, in which 1 means yes.
_DEGRADED, _RECOVERING, _UNHEALTHY, _TIMEOUT = 0, 2, 4, 6
_MISCONFIGURED = 8
_CONFIGURATIONS = {
    2: "wrong system GUID",
    3: "wrong chassis serial number",
    4: "no partition",
    5: "too few NVLinks",
    6: "incompatible GPU firmware",
    7: "wrong place",
    8: "invalid state",
}


def _severe(fabric: Fabric) -> list[str]:
    """Return what keeps a GPU from working in its fabric."""
    found = [f"status {fabric.status}"] if fabric.status else []
    if fabric.health_mask >> _UNHEALTHY & 3 == 1:
        found.append("unhealthy route")
    if fabric.health_mask >> _DEGRADED & 3 == 1:
        found.append("degraded bandwidth")
    configuration = fabric.health_mask >> _MISCONFIGURED & 0xF
    if configuration > 1:
        found.append(_CONFIGURATIONS.get(configuration, f"configuration error {configuration}"))
    return found or (["unhealthy"] if fabric.health_summary == 2 else [])


def _light(fabric: Fabric) -> list[str]:
    found = ["route recovery"] if fabric.health_mask >> _RECOVERING & 3 == 1 else []
    found += ["recovery of timed-out access"] if fabric.health_mask >> _TIMEOUT & 3 == 1 else []
    return found or (["limited capacity"] if fabric.health_summary == 3 else [])


@check(
    "gpu.fabric",
    tags="healthcheck boot gpu",
    remedy="Reset all GPUs of the node when no job uses them (`nvidia-smi --gpu-reset`), or reboot the node. If it "
    "stays: inspect NVLinks (`gpu.nvlink`), cables and switches of the fabric, then replace.",
    beta=True,
)
def fabric(gpus: Gpus) -> Verdict:
    """Every GPU is in its NVLink fabric without a defect, and all GPUs of the node in the same.

    A GPU with a degraded or unhealthy route still computes, but jobs across it are slow or hang. GPUs that have not
    joined are judged by `gpu.fabric_manager`. Source: NVML API reference, nvmlGpuFabricInfoV_t and its health mask.
    """
    known = {g.label: g.fabric for g in gpus.saying("fabric") if g.fabric and g.fabric.state == _COMPLETED}
    if severe := {label: ", ".join(words) for label, f in known.items() if (words := _severe(f))}:
        return fail(f"GPUs with a defect in the NVLink fabric: {listed(severe)}", parts=parts(severe))
    odd = odd_ones({label: (f.cluster_uuid, f.clique) for label, f in known.items()})
    if odd:
        return fail(f"GPUs in another NVLink fabric than most of the node: {named(odd)}", parts=parts(odd))
    if light := {label: ", ".join(words) for label, f in known.items() if (words := _light(f))}:
        return warn(f"GPUs that recover in the NVLink fabric: {listed(light)}", parts=parts(light))
    gpus.raise_unjudged("fabric")
    if not known:
        raise FactError("nvml_device", "absent", "no GPU has joined an NVLink fabric")
    return ok(f"{len(known)} GPUs are in one NVLink fabric without a defect")


@check(
    "gpu.fabric_manager",
    tags="healthcheck boot gpu",
    remedy="Reboot the node, or start the service (`systemctl enable --now nvidia-fabricmanager`): it must be of the "
    "driver's very version; its log says what keeps it. GPUs that still do not join: reset them.",
    beta=True,
)
def fabric_manager(gpus: Gpus, manager: FabricManager) -> Verdict:
    """Fabric Manager runs where NVSwitches need it, and every GPU has joined its fabric.

    Without it CUDA does not start on a node with NVSwitches; one that died later goes unnoticed until a link fails.
    Where the switches are no devices of the node, only the GPUs tell. Sources: NVIDIA Fabric Manager user guide; NVML
    API reference, nvmlGpuFabricState_t.
    """
    known = {g.label: g.fabric.state for g in gpus.saying("fabric") if g.fabric}
    waiting = {label: _STATES.get(s, f"state {s}") for label, s in known.items() if s != _COMPLETED}
    runs = "Fabric Manager runs" if manager.pids else "Fabric Manager does not run"
    if waiting:
        return fail(f"GPUs have not joined their NVLink fabric ({runs}): {listed(waiting)}", parts=parts(waiting))
    if manager.switches and not manager.pids:
        return fail(f"{runs}, but the node has {manager.switches} NVSwitches", switches=manager.switches)
    gpus.raise_unread("fabric")
    if not known and not manager.switches:
        raise FactError("nvml_device", "absent", "no GPU is part of an NVLink fabric, and there is no NVSwitch")
    return ok(f"{runs}: {len(known)} GPUs have joined, {manager.switches} NVSwitches are devices of this node")


def _able(links: GpuLinks) -> int:
    return sum(words == "OK" for words in links.peers.values())


@check(
    "gpu.peer_access",
    tags="healthcheck boot gpu",
    remedy="Inspect: is Fabric Manager running, are access control services of PCIe or an IOMMU on, is peer access "
    "switched off for the driver? Reboot the node after a change.",
    learn=lambda links: {"min_pair_count": _able(links)} if links.peers else {},
    beta=True,
)
def peer_access(
    links: GpuLinks, *, min_pair_count: Annotated[int, "pairs of GPUs that must reach each other's memory"]
) -> Verdict:
    """As many pairs of GPUs as should can read each other's memory.

    Where two cannot, libraries copy through the host's memory: it works, at a fraction of the bandwidth. Source: NVML
    API reference, nvmlDeviceGetP2PStatus; amd_smi/amdsmi.h, amdsmi_is_P2P_accessible.
    """
    able = _able(links)
    if len(links.peers) >= min_pair_count > able:
        apart = [f"{a} and {b} ({words})" for (a, b), words in links.peers.items() if words != "OK"]
        return fail(
            f"{able} pairs of GPUs reach each other, expected {min_pair_count}: not {named(apart)}", pairs=apart
        )
    for error in links.unread:
        raise error
    if not links.peers:
        raise FactError("nvml_peers", "absent", "no pair of GPUs to ask about")
    return ok(f"{able} pairs of GPUs reach each other")
