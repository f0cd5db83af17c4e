"""Which benchmarks there are, what they cost, and which of them make a suite: data for `nodeproof_bench.placement`.

A benchmark measures for at most `--seconds`, all its parts together, and stops earlier once its figure is known well
enough. A scan or a matrix needs longer on a larger machine, hence the seconds for each core or pair.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: How much of its time a benchmark's machine may spend on others before the result says nothing. Of work that the
#: kernel does for a benchmark of disks or networks, part is done by threads of the kernel, and looks foreign.
FOREIGN_SHARE, FOREIGN_SHARE_OF_KERNEL_WORK = 0.15, 0.5


class Benchmark(NamedTuple):
    """A benchmark of the C core, and what it does before it measures.

    It is run on every NUMA node in turn if `is_per_node`, once otherwise. `arrays` of four times the node's
    last-level caches each are written by all cores first, `chains` of four times the largest linked by one thread.
    `is_of_values`: it looks for wrong values, which no disturbance excuses. `is_on_rdma`: one run is over all ports.
    `is_on_gpus`: one run is over all GPUs of NVIDIA, each of which is set up first.
    """

    name: str
    is_per_node: bool = False
    arrays: int = 0
    chains: int = 0
    setup_s: float = 0.1
    is_matrix: bool = False
    is_on_disk: bool = False
    is_of_values: bool = False
    is_on_rdma: bool = False
    is_on_gpus: bool = False
    foreign_share: float = FOREIGN_SHARE


#: Arrays that each reads or writes.
_STREAMS = {"read": 1, "write": 1, "copy": 2, "scale": 2, "add": 3, "triad": 3, "triad_regular": 3}


def _on_gpus(name: str, *, is_of_values: bool = False) -> Benchmark:
    """Return a benchmark of GPUs, whose work is timed by the GPU: who else wants the CPU does not matter much."""
    foreign_share = FOREIGN_SHARE_OF_KERNEL_WORK
    return Benchmark(f"gpu.{name}", setup_s=2, is_on_gpus=True, is_of_values=is_of_values, foreign_share=foreign_share)


BENCHMARKS: Mapping[str, Benchmark] = {
    b.name: b
    for b in (
        *(Benchmark(f"memory.{name}", is_per_node=True, arrays=n) for name, n in _STREAMS.items()),
        Benchmark("memory.latency", is_per_node=True, chains=1),
        Benchmark("memory.loaded_latency", is_per_node=True, arrays=2, chains=1),
        Benchmark("numa.bandwidth", arrays=1, is_matrix=True),
        Benchmark("numa.latency", chains=1, is_matrix=True),
        Benchmark("cpu.flops"),
        Benchmark("cpu.frequency"),
        Benchmark("cpu.per_core"),
        Benchmark("cpu.core_to_core"),
        Benchmark("cpu.jitter"),
        Benchmark("clock.consistency"),
        Benchmark("net.loopback", foreign_share=FOREIGN_SHARE_OF_KERNEL_WORK),
        Benchmark("net.latency", foreign_share=FOREIGN_SHARE_OF_KERNEL_WORK),
        Benchmark("net.bandwidth", foreign_share=FOREIGN_SHARE_OF_KERNEL_WORK),
        # of Soft-RoCE, the kernel is the adapter
        Benchmark("rdma.latency", setup_s=0.5, is_on_rdma=True, foreign_share=FOREIGN_SHARE_OF_KERNEL_WORK),
        Benchmark("rdma.bandwidth", setup_s=0.5, is_on_rdma=True, foreign_share=FOREIGN_SHARE_OF_KERNEL_WORK),
        Benchmark("disk.bandwidth", setup_s=4, is_on_disk=True, foreign_share=FOREIGN_SHARE_OF_KERNEL_WORK),
        Benchmark("disk.latency", setup_s=4, is_on_disk=True, foreign_share=FOREIGN_SHARE_OF_KERNEL_WORK),
        Benchmark("cpu.verify", setup_s=0.5, is_of_values=True),
        Benchmark("memory.verify", setup_s=1, is_of_values=True),
        *map(_on_gpus, ("hbm_bandwidth", "pcie_bandwidth", "pcie_latency", "p2p_bandwidth", "gemm", "burn")),
        *(_on_gpus(name, is_of_values=True) for name in ("memtest", "compute_check")),
    )
}


class Entry(NamedTuple):
    """A benchmark in a suite: how long it may measure, more for each core, pair of cores or cell of the matrix.

    `gpu_s` is for each GPU, `gpu_pair_s` from each GPU to each other. `share` is how much of the free memory is tested.
    """

    name: str
    seconds: float
    core_s: float = 0
    pair_s: float = 0
    cell_s: float = 0
    gpu_s: float = 0
    gpu_pair_s: float = 0
    most_s: float = math.inf
    share: float = 0


class Suite(NamedTuple):
    """What is run in this order. Runs that were disturbed are repeated while the whole stays within the limit.

    The limit is two fifths more than planned, but at least `least_limit_s` and at most `most_limit_s`.
    """

    title: str
    entries: Sequence[Entry]
    least_limit_s: float
    most_limit_s: float
    is_repeated: bool = False


_QUICK = (
    Entry("cpu.core_to_core", 0.5, core_s=0.002),
    Entry("memory.read", 1),
    Entry("memory.copy", 1),
    Entry("memory.triad", 1),
    Entry("memory.latency", 1.2),
    Entry("numa.bandwidth", 0, cell_s=0.4),
    Entry("numa.latency", 0, cell_s=0.4),
    Entry("cpu.flops", 1),
    Entry("cpu.frequency", 0.6),
    Entry("cpu.per_core", 0.3, core_s=0.025),
    Entry("cpu.jitter", 1.2),
    Entry("clock.consistency", 0.5),
    Entry("net.loopback", 1),
    Entry("rdma.latency", 1.5),
    Entry("gpu.hbm_bandwidth", 0, gpu_s=0.4),
    Entry("gpu.gemm", 0, gpu_s=1),
)

_STANDARD = (
    Entry("cpu.core_to_core", 1, pair_s=0.0015, most_s=20),
    *(Entry(f"memory.{name}", 2) for name in _STREAMS),
    Entry("memory.latency", 3),
    Entry("memory.loaded_latency", 4),
    Entry("numa.bandwidth", 0, cell_s=1),
    Entry("numa.latency", 0, cell_s=1),
    Entry("cpu.flops", 3),
    Entry("cpu.frequency", 2),
    Entry("cpu.per_core", 0.5, core_s=0.05),
    Entry("cpu.jitter", 8),
    Entry("clock.consistency", 2),
    Entry("net.loopback", 3),
    Entry("rdma.latency", 1.5),
    Entry("rdma.bandwidth", 1.5),
    Entry("disk.bandwidth", 4),
    Entry("disk.latency", 3),
    Entry("cpu.verify", 15),
    Entry("memory.verify", 6, share=0.02),
    Entry("gpu.hbm_bandwidth", 0, gpu_s=0.8),
    Entry("gpu.pcie_bandwidth", 0, gpu_s=0.6),
    Entry("gpu.pcie_latency", 0, gpu_s=0.1),
    Entry("gpu.p2p_bandwidth", 0, gpu_pair_s=0.05),
    Entry("gpu.gemm", 0, gpu_s=2),
    Entry("gpu.compute_check", 0, gpu_s=0.5),
    Entry("gpu.memtest", 0, gpu_s=2),
)

#: In no suite of those above: on one host the first two say what net.loopback says, and the last one heats the room.
_BY_NAME_ONLY = (
    Entry("net.latency", 1.5),
    Entry("net.bandwidth", 1.5),
    Entry("gpu.burn", 30),
)

#: What finds wrong values comes first, so that the shortest burn-in has it, and what is measured after it is hot.
_BURN_IN = (
    Entry("cpu.verify", 60),
    Entry("memory.verify", 60, share=0.8),
    Entry("gpu.memtest", 0, gpu_s=8),
    Entry("gpu.burn", 60),
    Entry("gpu.compute_check", 0, gpu_s=4),
    *(e for e in _STANDARD if not BENCHMARKS[e.name].is_of_values),
)

SUITES: Mapping[str, Suite] = {
    "quick": Suite("the figures that tell most of a node, in seconds", _QUICK, 20, 60),
    "standard": Suite("all benchmarks of one host", _STANDARD, 60, 180),
    "burnin": Suite(
        "all benchmarks of one host, with long tests for wrong values, until the time is up", _BURN_IN, 0, 0, True
    ),
}

#: How long a benchmark that is asked for by name may measure.
BY_NAME: Mapping[str, Entry] = {entry.name: entry for entry in (*_STANDARD, *_BY_NAME_ONLY)}
