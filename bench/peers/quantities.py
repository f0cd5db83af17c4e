"""What is compared: for each quantity our figures and the peers', as (what it is called, command, figure)."""

from typing import NamedTuple


class Row(NamedTuple):
    """A figure of a command. `is_peer`: it measures the same, hence counts in the ratio of ours to the best peer."""

    label: str
    command: str
    figure: str
    is_peer: bool = False


class Quantity(NamedTuple):
    """`ours` are our capability and sustained figures. `note` says what one has to know to read the rows."""

    id: str
    title: str
    unit: str
    ours: tuple[Row, ...]
    theirs: tuple[Row, ...]
    note: str = ""
    is_time: bool = False
    in_quick: bool = False

    @property
    def peers(self) -> tuple[Row, ...]:
        return tuple(row for row in self.theirs if row.is_peer)


_LIKWID, _LIKWID_BASE = "likwid-bench, huge pages", "likwid-bench, 4 KiB pages"
_STREAM_NT, _STREAM = "STREAM's rules, clang, non-temporal", "STREAM's rules, gcc"


def _ours(command: str, point: str = "") -> tuple[Row, ...]:
    return (
        Row("nodeproof-bench, capability", command, f"{point}value"),
        Row("nodeproof-bench, sustained", command, f"{point}sustained"),
    )


def _bandwidth(name: str, team: str, threads: str, *, more: tuple[Row, ...] = (), note: str = "") -> Quantity:
    theirs = [Row(_LIKWID, f"likwid-{name}-{team}", "rate", is_peer=True)]
    if name == "triad" and team == "1":
        theirs.append(Row(_LIKWID_BASE, "likwid-triad-1-base-pages", "rate", is_peer=True))
    if name != "read":
        theirs.append(Row(_STREAM_NT, f"stream-clang-{team}", name, is_peer=True))
        theirs.append(Row(_STREAM, f"stream-gcc-{team}", name, is_peer=True))
    title = f"Memory {name}, {threads}"
    ours = _ours(f"{name}-{team}")
    return Quantity(f"{name}-{team}", title, "GB/s", ours, (*theirs, *more), note, in_quick=True)


def _flops(team: str, threads: str, *more: Row) -> Quantity:
    theirs = (
        Row("likwid-bench, widest vectors", f"likwid-flops-{team}", "rate", is_peer=True),
        Row("OpenBLAS dgemm", f"dgemm-{team}", "rate"),
        *more,
    )
    note = "A matrix product is no test of the peak: it is shown for what the library's choice of kernels costs."
    ours = _ours(f"flops-{team}", "fp64.")
    return Quantity(f"flops-{team}", f"FMA peak fp64, {threads}", "GFLOP/s", ours, theirs, note, in_quick=True)


_SYSBENCH = "sysbench's block of 1 MiB never leaves the cache, so that it says nothing of memory: not valid here."
_STRESS = "stress-ng gives one mean over four kernels whose stores fill the cache, and none for less than five seconds."

QUANTITIES: tuple[Quantity, ...] = (
    _bandwidth(
        "triad",
        "1",
        "one thread",
        more=(Row("stress-ng --stream, mean of four kernels", "stress-ng", "rate"),),
        note=_STRESS,
    ),
    _bandwidth("triad", "all", "all cores"),
    _bandwidth("copy", "1", "one thread"),
    _bandwidth("copy", "all", "all cores"),
    _bandwidth(
        "read", "1", "one thread", more=(Row("sysbench memory (not valid)", "sysbench", "rate"),), note=_SYSBENCH
    ),
    _bandwidth("read", "all", "all cores"),
    _flops(
        "1",
        "one thread",
        Row("likwid-bench, 256 bit", "likwid-flops-1-avx", "rate", is_peer=True),
        Row("OpenBLAS dgemm, kernels of SkylakeX", "dgemm-1-skylakex", "rate"),
    ),
    _flops("all", "all cores"),
    Quantity(
        "latency-l1",
        "Latency of the L1 cache",
        "ns",
        _ours("latency-l1"),
        (Row("multichase's method", "chase-l1", "latency", is_peer=True),),
        is_time=True,
        in_quick=True,
    ),
    Quantity(
        "latency-memory",
        "Latency of memory",
        "ns",
        _ours("latency-memory"),
        (
            Row("multichase's method, all lines in random order", "chase-memory", "latency", is_peer=True),
            Row("lat_mem_rd's method, last size of the sweep", "sweep", "latency"),
        ),
        "The sweep is on 4 KiB pages and misses the TLB with every load: another quantity, whose scatter is compared.",
        is_time=True,
        in_quick=True,
    ),
    Quantity(
        "core-to-core",
        "A cache line from core to core, one way",
        "ns",
        _ours("core-to-core"),
        (Row("the method of multichase's pingpong", "pingpong", "latency", is_peer=True),),
        is_time=True,
        in_quick=True,
    ),
    Quantity(
        "disk-latency",
        "Random reads of 4 KiB, one at a time",
        "µs",
        _ours("disk-latency"),
        (Row("fio, io_uring, median", "fio-latency", "latency", is_peer=True),),
        is_time=True,
    ),
    Quantity(
        "disk-bandwidth",
        "Sequential reads of 1 MiB, 32 at a time",
        "GB/s",
        _ours("disk-bandwidth"),
        (Row("fio, io_uring, mean", "fio-bandwidth", "rate", is_peer=True),),
    ),
    Quantity(
        "round-trip",
        "TCP round trip over loopback, waiting asleep",
        "µs",
        _ours("loopback", "blocking."),
        (
            Row("sockperf, median", "sockperf", "round_trip", is_peer=True),
            Row("qperf, mean, two half trips", "qperf", "round_trip", is_peer=True),
        ),
        is_time=True,
        in_quick=True,
    ),
    Quantity(
        "round-trip-spinning",
        "TCP round trip over loopback, waiting awake",
        "µs",
        _ours("loopback", "spinning."),
        (Row("sockperf --nonblocked, median", "sockperf-spinning", "round_trip", is_peer=True),),
        is_time=True,
        in_quick=True,
    ),
    Quantity(
        "throughput",
        "TCP throughput over loopback",
        "GB/s",
        _ours("loopback", "throughput."),
        (Row("qperf", "qperf", "rate", is_peer=True),),
        in_quick=True,
    ),
    Quantity(
        "jitter",
        "Share of time lost to others",
        "%",
        (Row("nodeproof-bench cpu.jitter", "jitter", "value"),),
        (),
    ),
    Quantity(
        "noise",
        "Longest disturbance",
        "µs",
        (),
        (Row("oslat, longest gap", "oslat", "worst"), Row("cyclictest, latest wake-up", "cyclictest", "worst")),
        "For information: a maximum over one second wanders by more than its own size.",
        is_time=True,
    ),
)
