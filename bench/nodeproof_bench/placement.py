"""From a suite and a machine to runs of `nodeproof-bench`, each with what it will take: nothing is measured here."""

import difflib
import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.cpu import CPUS, CpuTopology
from nodeproof.probes.gpu_vendor import NVIDIA, PCI_DEVICES, gpus_on_bus
from nodeproof.probes.memory import MemorySize
from nodeproof.probes.numa import NODES, NumaNode, NumaNodes
from nodeproof.probes.parse import integer, number_list, read_int
from nodeproof_bench.port_kinds import PORTS, port_paths
from nodeproof_bench.suites import BENCHMARKS, BY_NAME, SUITES, Benchmark, Entry, Suite

#: Assumed where the kernel names no cache; what the C core takes for the least, too.
LEAST_CACHE_BYTES = 32 << 20

#: How large the C core makes arrays, in sizes of all last-level caches of the node, and chains, in sizes of one.
_PAST_CACHES, _LEAST_CHAIN_BYTES = 4, 512 << 20

#: Writing fresh memory for the first time, faults and zeroing by the kernel included, in bytes per second: by one
#: thread, and by all of a node. A virtual machine whose host must find the memory first is at the lower end.
_FILL_BYTES_PER_S, _MOST_FILL_BYTES_PER_S = 0.4e9, 20e9

#: One thread links the lines of a working set into a random cycle: a cache miss for each line, and the faults.
_CHAIN_BYTES_PER_S = 0.8e9

#: How much longer than planned a suite may take to repeat what was disturbed.
_ROOM = 1.4

#: Of a burn-in that is short, no benchmark takes more than this share, but some time all of them need.
_MOST_OF_DURATION, _LEAST_OF_DURATION_S = 0.25, 0.1

#: A GPU gets a context and kernels before it works.
_GPU_SETUP_S = 0.6

#: Most places of a cache in the hierarchy that are looked at.
_MOST_CACHES = 16


class Place(NamedTuple):
    """A NUMA node with CPUs and memory, as far as placement cares: all its last-level caches, and the largest."""

    node: int
    cpus: int
    memory_bytes: int
    cache_bytes: int
    largest_cache_bytes: int


@fact(
    f"{CPUS}/{{present,online}}",
    f"{CPUS}/cpu*/topology/{{package_cpus_list,core_cpus_list}}",
    f"{CPUS}/cpu*/cache/index*/{{level,size,shared_cpu_list}}",
    f"{NODES}/online",
    f"{NODES}/node*/{{cpulist,meminfo,distance}}",
    "/proc/meminfo",
    PORTS,
    f"{PCI_DEVICES}/*/{{vendor,class,physfn}}",
    f"{PCI_DEVICES}/*/driver (link)",
)
class Topology(NamedTuple):
    """What benchmarks are placed on. `cells` is the size of the matrix of nodes with CPUs and nodes with memory.

    Whether an RDMA port is active is not asked here: an adapter whose firmware died would not answer. Nor is a GPU's
    driver, which may hang: `gpus` is how many of NVIDIA's the PCI bus shows.
    """

    sockets: int
    cores: int
    cpus: int
    places: tuple[Place, ...]
    cells: int
    rdma_ports: int = 0
    gpus: int = 0

    @classmethod
    def read(cls, host: Host) -> Self:
        """A kernel without NUMA is one node. What the kernel does not say of caches is assumed to be small."""
        cpus = CpuTopology.read(host)
        nodes = _nodes(host, cpus.online)
        places = tuple(
            Place(n, len(node.cpus), node.memory_bytes, *_cache_bytes(host, node.cpus))
            for n, node in nodes.items()
            if node.cpus and node.memory_bytes
        )
        if not places:
            raise FactError(f"{NODES}/node*", "malformed", "no NUMA node has both CPUs and memory")
        with_memory = sum(node.memory_bytes > 0 for node in nodes.values())
        cells, rdma_ports = len(places) * with_memory, len(port_paths(host))
        return cls(cpus.sockets, cpus.cores, len(cpus.online), places, cells, rdma_ports, _gpus(host))


def _gpus(host: Host) -> int:
    """Return how many GPUs our kernels may run on. An earlier recording does not say."""
    try:
        vendor, addresses = gpus_on_bus(host)
    except FactError:
        return 0
    return len(addresses) if vendor is NVIDIA else 0


def _nodes(host: Host, online: Sequence[int]) -> Mapping[int, NumaNode]:
    try:
        return NumaNodes.read(host).nodes
    except FactError as error:
        if error.kind != "absent":
            raise
        return {0: NumaNode(cpus=tuple(online), memory_bytes=MemorySize.read(host).total_bytes, distances=(10,))}


def _cache_bytes(host: Host, cpus: Iterable[int]) -> tuple[int, int]:
    """Return the sum of the last-level caches of these CPUs, and the largest.

    Only an estimate hangs on it: what cannot be read counts as small.
    """
    seen, sizes = set[int](), [0]
    for cpu in cpus:
        if cpu in seen:
            continue
        try:
            shared, size = _last_level_cache(host, cpu)
        except FactError:
            break
        seen |= {cpu, *shared}
        sizes.append(size)
    return max(sum(sizes), LEAST_CACHE_BYTES), max(*sizes, LEAST_CACHE_BYTES)


def _last_level_cache(host: Host, cpu: int) -> tuple[list[int], int]:
    """Return the CPUs that share the cache, and its size, which the kernel writes as `32768K`."""
    levels = dict[int, str]()
    for index in range(_MOST_CACHES):
        directory = f"{CPUS}/cpu{cpu}/cache/index{index}"
        try:
            levels[read_int(host, f"{directory}/level")] = directory
        except FactError:
            break
    if not levels:
        raise FactError(f"{CPUS}/cpu{cpu}/cache", "absent")
    last = levels[max(levels)]
    size = integer(f"{last}/size", host.text(f"{last}/size").removesuffix("K")) << 10
    return number_list(f"{last}/shared_cpu_list", host.text(f"{last}/shared_cpu_list")), size


class Planned(NamedTuple):
    """One run of `nodeproof-bench`: its options, and how many seconds it may take, setting up included."""

    name: str
    args: tuple[str, ...]
    estimate_s: float

    @property
    def words(self) -> str:
        return " ".join([self.name, *self.args])

    @property
    def deadline_s(self) -> float:
        """When something is wrong beyond doubt: a busy machine takes longer than an idle one."""
        return 3 * self.estimate_s + 10


class Plan(NamedTuple):
    """All runs, in order. Disturbed ones are repeated until `limit_s`; `is_repeated`: all are, until time is up."""

    suite: str
    runs: tuple[Planned, ...]
    limit_s: float
    is_repeated: bool = False

    @property
    def estimate_s(self) -> float:
        return sum(run.estimate_s for run in self.runs)


class UnknownName(ValueError):
    """No suite and no benchmark is called that."""


def plan(
    words: Sequence[str],
    topology: Topology,
    *,
    seconds: float | None = None,
    path: str = "",
    duration_s: float = math.inf,
) -> Plan:
    """Return what is to be run for suites, names and patterns such as `memory.*`; nothing means `quick`.

    `seconds` replaces how long each benchmark may measure, `path` is where files for disk benchmarks are made.
    `duration_s` is how long what is repeated may take: what looks for wrong values must fit into a short burn-in.
    Raises UnknownName.
    """
    words = words or ["quick"]
    suites = [SUITES[w] for w in words if w in SUITES]
    runs: list[Planned] = []
    for entry in [e for word in words for e in _entries(word, topology)]:
        most_s = max(_LEAST_OF_DURATION_S, _MOST_OF_DURATION * duration_s)
        measured_s = seconds if seconds is not None else min(_measured_s(entry, topology), most_s)
        runs += _placed(entry, topology, measured_s, path)
    runs = list({(r.name, r.args): r for r in runs}.values())
    total_s = sum(r.estimate_s for r in runs)
    is_one_suite = len(suites) == len(words) == 1
    limit_s = _limit_s(suites[0], total_s) if is_one_suite else 3 * total_s
    return Plan(" ".join(words), tuple(runs), limit_s, is_repeated=any(s.is_repeated for s in suites))


def _limit_s(suite: Suite, planned_s: float) -> float:
    return max(suite.least_limit_s, min(suite.most_limit_s, _ROOM * planned_s))


def _entries(word: str, topology: Topology) -> list[Entry]:
    if word in SUITES:
        return [e for e in SUITES[word].entries if _is_worth_it(BENCHMARKS[e.name], topology)]
    names = fnmatch.filter(BENCHMARKS, word)
    if not names:
        close = difflib.get_close_matches(word, [*SUITES, *BENCHMARKS], n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see `nodeproof bench --list`"
        raise UnknownName(f"no suite and no benchmark is called {word!r}, {hint}")
    return [BY_NAME[name] for name in names]


def _is_worth_it(benchmark: Benchmark, topology: Topology) -> bool:
    """Whether a suite has it on this machine: a matrix of one cell says what memory.read and memory.latency say."""
    if benchmark.is_on_gpus:
        return topology.gpus > (benchmark.name == "gpu.p2p_bandwidth")
    return (topology.cells > 1 or not benchmark.is_matrix) and (topology.rdma_ports > 0 or not benchmark.is_on_rdma)


def _placed(entry: Entry, topology: Topology, measured_s: float, path: str) -> list[Planned]:
    benchmark = BENCHMARKS[entry.name]
    options = ["--share", f"{entry.share:g}"] if entry.share else []
    options += ["--path", path] if benchmark.is_on_disk and path else []
    options += ["--seconds", f"{measured_s:g}"]
    if not benchmark.is_per_node:
        setup_s = max(_setup_s(benchmark, place, topology) for place in topology.places)
        setups = topology.cells if benchmark.is_matrix else 1
        share_s = max(entry.share * p.memory_bytes / _fill_bytes_per_s(p, topology) for p in topology.places)
        gpus_s = _GPU_SETUP_S * topology.gpus if benchmark.is_on_gpus else 0
        return [Planned(entry.name, tuple(options), measured_s + setups * setup_s + share_s + gpus_s)]
    return [
        Planned(entry.name, ("--node", str(p.node), *options), measured_s + _setup_s(benchmark, p, topology))
        for p in topology.places
    ]


def _measured_s(entry: Entry, topology: Topology) -> float:
    pairs = topology.cores * (topology.cores - 1) // 2
    parts_s = entry.core_s * topology.cores + entry.pair_s * pairs + entry.cell_s * topology.cells
    gpus = max(1, topology.gpus)  # asked for by name, it is run anywhere
    parts_s += entry.gpu_s * gpus + entry.gpu_pair_s * max(1, gpus * (gpus - 1))
    return round(min(entry.most_s, entry.seconds + parts_s), 2)


def _fill_bytes_per_s(place: Place, topology: Topology) -> float:
    cores = max(1, place.cpus * topology.cores // max(1, topology.cpus))
    return min(cores * _FILL_BYTES_PER_S, _MOST_FILL_BYTES_PER_S)


def _setup_s(benchmark: Benchmark, place: Place, topology: Topology) -> float:
    fill_s = benchmark.arrays * _PAST_CACHES * place.cache_bytes / _fill_bytes_per_s(place, topology)
    chain_bytes = max(_LEAST_CHAIN_BYTES, _PAST_CACHES * place.largest_cache_bytes)
    return benchmark.setup_s + fill_s + benchmark.chains * chain_bytes / _CHAIN_BYTES_PER_S
