"""Judgement of what GPUs do now: what they need, what holds them down, heat, leftovers.

Source: NVIDIA NVML API reference.
"""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.gpu_device import Gpu
from nodeproof.probes.jobs import RunningJobs
from nodeproof.probes.ledger import Seen
from nodeproof.verdict import Verdict, fail, named, ok, warn
from nodeproof_checks.gpu_common import listed, parts
from nodeproof_checks.over_time import HOUR_S, Limit, judged

#: nvmlDeviceGpuRecoveryAction_t, and what each asks an operator for.
_ACTIONS = {
    1: "reset it",
    2: "reboot the node",
    3: "stop all that uses peer access, then it says what to do",
    4: "runs with reduced capacity: reset it when its jobs have ended",
    5: "recover the IMEX domain",
    6: "reset its PCIe bus",
    7: "reboot the system",
}


@check(
    "gpu.recovery_action",
    tags="prolog healthcheck boot gpu",
    remedy="Do what the finding says, when no job uses the GPU: reset the GPU (`nvidia-smi --gpu-reset -i ADDRESS`), "
    "or reboot the node.",
    beta=True,
)
def recovery_action(gpus: Gpus) -> Verdict:
    """No GPU asks for a reset, a reboot or another repair.

    Since 2024 the driver says itself what a GPU needs after an error; that goes before every table of XIDs. What a
    later driver may ask for besides is a failure too, and is told by its number. Sources: NVML API reference,
    NVML_FI_DEV_GET_GPU_RECOVERY_ACTION; NVIDIA GPU Memory Error Management, Error Recovery and Response Flags.
    """
    known = gpus.saying("recovery_action")
    asks = {
        g.label: _ACTIONS.get(g.recovery_action or 0, f"action {g.recovery_action}") for g in known if g.recovery_action
    }
    if asks:
        actions = {g.label: g.recovery_action for g in known if g.recovery_action}
        return fail(f"the driver asks for recovery: {listed(asks)}", parts=parts(asks), actions=actions)
    gpus.raise_unjudged("recovery_action")
    return ok(f"{len(known)} GPUs need no recovery")


#: nvmlClocksEventReasons: those that the hardware or heat enforces.
_SLOWED = {0x08: "hardware slowdown", 0x40: "hardware thermal slowdown", 0x80: "power brake", 0x20: "thermal slowdown"}
_THERMAL = 0x20


def _reasons(gpu: Gpu) -> list[str]:
    """Return why clocks are held down; the general reason goes where a special one is there too."""
    bits = gpu.clock_event_reasons or 0
    if bits & (0x40 | 0x80):
        bits &= ~0x08
    return [words for bit, words in _SLOWED.items() if bits & bit]


@check(
    "gpu.throttle",
    tags="healthcheck boot gpu",
    remedy="Inspect: power brake: power supplies and their redundancy, the BMC's log. Thermal: fans, air filters, "
    "inlet temperature, coolant. Replace a GPU that alone does it among sound neighbours.",
    beta=True,
)
def throttle(
    gpus: Gpus, *, thermal_is: Annotated[Literal["warn", "fail"], "what a slowdown by the driver for heat is"] = "warn"
) -> Verdict:
    """No GPU is slowed down by its hardware or by heat now.

    A slowdown by hardware halves the clocks or worse, and all ranks of a job wait for that GPU. That power limits hold
    a busy GPU back is normal and not judged. Source: NVML API reference, nvmlClocksEventReasons.
    """
    known = gpus.saying("clock_event_reasons")
    slowed = {g.label: f"({', '.join(reasons)})" for g in known if (reasons := _reasons(g))}
    if slowed:
        is_light = all(((g.clock_event_reasons or 0) & 0xC8) == 0 for g in known) and thermal_is == "warn"
        return (warn if is_light else fail)(f"clocks are held down: {listed(slowed)}", parts=parts(slowed))
    gpus.raise_unjudged("clock_event_reasons")
    return ok(f"{len(known)} GPUs are slowed down neither by hardware nor by heat")


@check(
    "gpu.throttle_share",
    tags="healthcheck boot gpu",
    remedy="Inspect: fans, air filters, inlet temperature, coolant; compare with the other GPUs of the node.",
    beta=True,
)
def throttle_share(
    seen: Seen,
    *,
    max_share: Annotated[float, "share of time for which one GPU's clocks may be held down for a reason"] = 0.05,
    window_h: Annotated[float, "hours that are looked back on"] = 1.0,
) -> Verdict:
    """No GPU is held down by heat, or to stay reliable, for a notable share of the time.

    A moment of it says little; three minutes in an hour (the limit is ours) cost every job that is on the GPU. The time
    is what the driver counts. Source: NVML API reference, NVML_FI_DEV_PERF_POLICY_THERMAL and _RELIABILITY.
    """
    allowed_ms = max_share * HOUR_S * 1000
    limits = [
        Limit("gpu.thermal_ms", "ms at lower clocks for heat", allowed_ms),
        Limit("gpu.reliability_ms", "ms at lower clocks for the sake of reliability", allowed_ms),
    ]
    return judged(seen, limits, window_h)


def _margins(gpu: Gpu) -> dict[str, int]:
    """Return how far a GPU is from its limits, in degrees, by what gets hot."""
    margins = {}
    limits = [t for t in (gpu.core_max_celsius, gpu.core_slowdown_celsius) if t is not None]
    if gpu.core_margin_celsius is not None:
        margins["core"] = gpu.core_margin_celsius
    elif gpu.core_celsius is not None and limits:
        margins["core"] = min(limits) - gpu.core_celsius
    if gpu.memory_celsius is not None and gpu.memory_max_celsius is not None and gpu.memory_celsius > 0:
        margins["memory"] = gpu.memory_max_celsius - gpu.memory_celsius
    return margins


@check(
    "gpu.temperature",
    tags="healthcheck boot gpu",
    remedy="Inspect: fans, air filters, inlet temperature, coolant; compare with the other GPUs of the node. Replace a "
    "GPU that alone is hot among sound neighbours.",
    beta=True,
)
def temperature(
    gpus: Gpus,
    *,
    min_margin_celsius: Annotated[int, "least distance of core and memory from where they are slowed down"] = 1,
    warn_margin_celsius: Annotated[int, "distance below which to warn"] = 5,
) -> Verdict:
    """Core and memory of every GPU stay clear of the temperature at which they are slowed down.

    Core and memory have limits of their own, which differ by model: a distance is judged, not degrees. Newer drivers
    say it themselves, for older ones it is computed from thresholds. The distances are ours. Source: NVML API
    reference, nvmlDeviceGetMarginTemperature and nvmlTemperatureThresholds_t.
    """
    margins = {f"{g.label} {part}": margin for g in gpus.usable for part, margin in _margins(g).items()}
    hot = {name: f"is {m} C below its limit" for name, m in margins.items() if m < min_margin_celsius}
    warm = {name: f"is {m} C below its limit" for name, m in margins.items() if m < warn_margin_celsius}
    if hot or warm:
        found, say = (hot, fail) if hot else (warm, warn)
        least = min_margin_celsius if hot else warn_margin_celsius
        labels = dict.fromkeys(name.partition(" ")[0] for name in found)
        return say(f"expected at least {least} C: {listed(found)}", parts=parts(labels), margin_celsius=margins)
    gpus.raise_unjudged("core_celsius")
    gpus.raise_unread("core_margin_celsius", "core_max_celsius", "memory_celsius", "memory_max_celsius")
    if not margins:
        return ok(f"{len(gpus.usable)} GPUs name no limits of temperature")
    return ok(f"{len(gpus.usable)} GPUs are at least {min(margins.values())} C below their limits")


@check(
    "gpu.processes",
    tags="healthcheck boot gpu",
    remedy="Restart the application: end what it left behind (`kill PID`), and find out why its job did not. "
    "Where it cannot be ended, reset the GPU or reboot the node.",
    beta=True,
)
def processes(
    gpus: Gpus,
    jobs: RunningJobs,
    *,
    allowed: Annotated[tuple[str, ...], "commands that may use a GPU without a job, as `ps -o comm` names them"] = (
        "nvidia-cuda-mps",
    ),
) -> Verdict:
    """No process is left on a GPU while no job runs on the node. Never a failure.

    What a job left behind holds memory of the GPU, and the next job dies for want of it. While any job runs nothing is
    judged, since it may be that job's. Source: NVML API reference, nvmlDeviceGetComputeRunningProcesses.
    """
    if jobs.ids:
        return ok(f"a job is running: {named(sorted(jobs.ids))}")
    left = dict[str, str]()
    for gpu in gpus.usable:
        pids = {*(gpu.compute_processes or ()), *(gpu.graphics_processes or ())}
        names = [
            f"{gpu.commands.get(pid, 'process')} ({pid})" for pid in sorted(pids) if not _is_allowed(gpu, pid, allowed)
        ]
        if names:
            left[gpu.label] = f"is in use by {named(names, 2)}"
    if left:
        return warn(f"no job runs, but {listed(left)}", parts=parts(left))
    gpus.raise_unjudged("compute_processes")
    gpus.raise_unread("graphics_processes")
    return ok(f"no process is left on {len(gpus.usable)} GPUs")


def _is_allowed(gpu: Gpu, pid: int, allowed: tuple[str, ...]) -> bool:
    return any(fnmatchcase(gpu.commands.get(pid, ""), pattern) for pattern in allowed)


@check(
    "gpu.pcie_replay_rate",
    tags="healthcheck boot gpu",
    remedy="Inspect: reseat the GPU or its riser and cable, and compare `pci.aer_rate` of the same slot. Replace the "
    "GPU if the errors move with it.",
    beta=True,
)
def pcie_replay_rate(
    seen: Seen,
    *,
    max_replays_per_hour: Annotated[float, "PCIe replays of one GPU in an hour"] = 480.0,
    window_h: Annotated[float, "hours that are looked back on"] = 1.0,
) -> Verdict:
    """No GPU has to send packets again over PCIe more often than a sound link does.

    A contact or a riser that is going bad costs bandwidth before it costs the link. The limit is DCGM's: 8 a minute
    (dcgm_gpu_hardware_limits.h). Source: NVML API reference, nvmlDeviceGetPcieReplayCounter.
    """
    return judged(seen, [Limit("gpu.pcie_replays", "PCIe replays", max_replays_per_hour)], window_h)
