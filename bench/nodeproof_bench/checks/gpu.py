"""Judgement of GPUs by what they did: how fast they move and compute."""

from collections.abc import Callable, Mapping
from typing import Annotated

from nodeproof.check import check
from nodeproof.verdict import Verdict, named
from nodeproof_bench.checks.gpu_parts import (
    ALARMS,
    COMPUTE_MARGIN,
    RATE_MARGIN,
    TIME_MARGIN,
    Part,
    Rule,
    judged,
    learnt_limits,
)
from nodeproof_bench.result import BenchHistory


def _learn(name: str, key: str, margin: float) -> Callable[..., Mapping[str, object]]:
    def learn(history: BenchHistory) -> Mapping[str, object]:
        return learnt_limits(history, name, key, margin)

    return learn


@check(
    "gpu.hbm_bandwidth",
    tags="boot bench",
    beta=True,
    remedy="Compare `gpu.clocks`, `gpu.throttle`, `gpu.ecc_mode` and `gpu.remapped_rows` of the named GPU with its "
    "siblings; look for processes on it (`gpu.processes`). If it stays slow after a reset, replace it.",
    learn=_learn("gpu.hbm_bandwidth", "min_bytes_per_s", RATE_MARGIN),
)
def hbm_bandwidth(
    history: BenchHistory,
    *,
    min_bytes_per_s: Annotated[
        dict[str, float] | None,
        "least bandwidth of a GPU's own memory, in bytes per second by operation (copy, read, write, triad); not "
        "judged if unset",
    ] = None,
    max_loss_ratio: Annotated[float, "how far a GPU may be behind the median of its siblings, from 0 to 1"] = 0.03,
) -> Verdict:
    """Every GPU moves data through its memory as fast as its siblings, and as policy asks.

    Training and most simulations wait for memory. A stack of HBM that lost channels or a memory clock that was left
    low is in no error counter; the whole job runs at the pace of that one GPU.
    """
    return judged(history, "gpu.hbm_bandwidth", Rule("B/s", False, max_loss_ratio, min_bytes_per_s or {}))


@check(
    "gpu.pcie_bandwidth",
    tags="boot bench",
    beta=True,
    remedy="Compare `gpu.pcie_width`, `gpu.pcie_replay_rate` and `pci.link` of the named GPU with its siblings, then "
    "IOMMU and ACS settings (`iommu=pt`) and the NUMA settings of the BIOS. Reseat it; exchange riser or cable.",
    learn=_learn("gpu.pcie_bandwidth", "min_bytes_per_s", RATE_MARGIN),
)
def pcie_bandwidth(
    history: BenchHistory,
    *,
    min_bytes_per_s: Annotated[
        dict[str, float] | None,
        "least bandwidth between host and GPU, in bytes per second by operation (h2d, d2h, both, and h2d_far, d2h_far, "
        "both_far with memory of the farthest NUMA node); not judged if unset",
    ] = None,
    max_loss_ratio: Annotated[float, "how far a GPU may be behind the median of its siblings, from 0 to 1"] = 0.1,
) -> Verdict:
    """Every GPU exchanges data with the host as fast as its siblings, and as policy asks.

    A link that trained with half its lanes, or resends packets, still works. In a published fleet of 24,000 GPUs, two
    of a hundred nodes were slow between host and GPU and nowhere else.
    """
    return judged(history, "gpu.pcie_bandwidth", Rule("B/s", False, max_loss_ratio, min_bytes_per_s or {}))


@check(
    "gpu.pcie_latency",
    tags="boot bench",
    beta=True,
    remedy="Compare power management of link and CPU (ASPM, C-states), IOMMU mode and the NUMA node of the named GPU "
    "with its siblings.",
    learn=_learn("gpu.pcie_latency", "max_latency_s", TIME_MARGIN),
)
def pcie_latency(
    history: BenchHistory,
    *,
    max_latency_s: Annotated[
        dict[str, float] | None,
        "longest time in seconds by operation (flag: half a round trip; copy_h2d, copy_d2h: 8 bytes); not judged if "
        "unset",
    ] = None,
    max_loss_ratio: Annotated[
        float, "how much longer a GPU may take than the median of its siblings, as a share of that"
    ] = 0.5,
) -> Verdict:
    """Host and GPU reach each other as soon as on its siblings, and as policy asks.

    Small kernels and small messages pay this time for each launch. A link that falls asleep in between, or packets
    that an IOMMU looks at, multiply it while large copies show nothing.
    """
    return judged(history, "gpu.pcie_latency", Rule("s", True, max_loss_ratio, max_latency_s or {}))


@check(
    "gpu.p2p_bandwidth",
    tags="boot bench",
    beta=True,
    remedy="Compare `gpu.nvlink`, `gpu.nvlink_error_rate`, `gpu.fabric` and `gpu.peer_access` of the named GPUs; "
    "where PCIe is between them, ACS and IOMMU settings. One GPU in all slow pairs: reset, then replace it.",
    learn=_learn("gpu.p2p_bandwidth", "min_bytes_per_s", RATE_MARGIN),
)
def p2p_bandwidth(
    history: BenchHistory,
    *,
    min_bytes_per_s: Annotated[
        dict[str, float] | None, "least bandwidth from GPU to GPU, in bytes per second, as copy; not judged if unset"
    ] = None,
    max_loss_ratio: Annotated[float, "how far a pair may be behind the median of all pairs, from 0 to 1"] = 0.5,
) -> Verdict:
    """Every GPU reaches every other one as fast as the other pairs, and as policy asks.

    Collectives go round all GPUs of a node: the slowest pair is the speed of all. Pairs are far apart on purpose where
    some share a switch and others a socket, hence the wide default; set a limit for the class.
    """
    return judged(history, "gpu.p2p_bandwidth", Rule("B/s", False, max_loss_ratio, min_bytes_per_s or {}))


@check(
    "gpu.gemm",
    tags="boot bench",
    beta=True,
    remedy="Compare `gpu.clocks`, `gpu.power_limit`, `gpu.throttle` and `gpu.temperature` of the named GPU with its "
    "siblings; look at cooling. If it stays slow after a reset at the same clocks, replace it.",
    learn=_learn("gpu.gemm", "min_flop_per_s", COMPUTE_MARGIN),
)
def gemm(
    history: BenchHistory,
    *,
    min_flop_per_s: Annotated[
        dict[str, float] | None,
        "least rate of matrix products, in operations per second by type (bf16, tf32, fp64, fp8: our own kernel; "
        "bf16_cublaslt and so on: NVIDIA's library, judged where it was measured); not judged if unset",
    ] = None,
    max_loss_ratio: Annotated[float, "how far a GPU may be behind the median of its siblings, from 0 to 1"] = 0.1,
) -> Verdict:
    """Every GPU multiplies matrices as fast as its siblings, and as policy asks.

    Tensor cores are what a training node is bought for. A GPU that is held at low clocks by heat, power or a setting
    makes all others wait at each step. Our own kernel is the same on every node, so that its figures compare across
    nodes and years; those of cuBLASLt are the peak that programs see, and change with the library that is installed.
    """
    return judged(history, "gpu.gemm", Rule("FLOP/s", False, max_loss_ratio, min_flop_per_s or {}))


@check(
    "gpu.burn",
    tags="boot bench",
    beta=True,
    remedy="Look at the cooling of the named GPU (fans, heat sink, liquid loop), then at its power supply and cables; "
    "compare `gpu.power_limit`. Run `nodeproof bench gpu.burn` again once it is mended.",
    learn=_learn("gpu.burn", "min_flop_per_s", COMPUTE_MARGIN),
)
def burn(
    history: BenchHistory,
    *,
    min_flop_per_s: Annotated[
        dict[str, float] | None, "least rate at full load, in operations per second by type (bf16); not judged if unset"
    ] = None,
    max_temp_celsius: Annotated[float | None, "highest temperature of a GPU at full load; not judged if unset"] = None,
    max_loss_ratio: Annotated[float, "how far a GPU may be behind the median of its siblings, from 0 to 1"] = 0.1,
) -> Verdict:
    """All GPUs at once keep their speed at full power, and none has to save itself.

    Power and cooling are shared: a node that passes GPU by GPU may fail when all of them work. Slowdown by the
    hardware is for heat, or for power that the board cannot deliver, never for the power limit.
    """

    def alarm(part: Part) -> str:
        if reasons := [word.replace("_", " ") for word in part.slowed_by if word in ALARMS]:
            return f"{part.name} was slowed down by its hardware at full load: {named(reasons)}"
        if max_temp_celsius is not None and part.celsius is not None and part.celsius > max_temp_celsius:
            return f"{part.name} reached {part.celsius:g} °C at full load, expected at most {max_temp_celsius:g}"
        return ""

    return judged(history, "gpu.burn", Rule("FLOP/s", False, max_loss_ratio, min_flop_per_s or {}), alarm)
