"""The commands that a round runs: ours, the peers', and some of both again beside a busy loop on the same CPU.

Each is run as it stands in the page, from the root of the checkout.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from peers import parsers
from peers.machine import Machine
from peers.parsers import Parser

#: Where our own peers (`build.py`) and the files of the disk benchmarks are.
OUT = "build/bench-peers"

#: Above this, something else than the tool and what it caused had the machine. Of work that the kernel does for disks
#: and networks, part is done by threads of the kernel, and looks foreign.
FOREIGN_CORES, FOREIGN_CORES_OF_KERNEL_WORK = 0.15, 0.5

#: What is for information only is not worth its time in every round.
SELDOM = 3

#: Run twice in a row: how far two such runs differ is repeatability, how far two rounds do is the host's drift as well.
REPEATED = frozenset(
    {f"{who}{name}-{team}" for who in ("", "likwid-") for name in ("triad", "copy", "read") for team in ("1", "all")}
    | {"flops-1", "latency-memory", "sweep"}
)

#: Run a second time, disturbed: the peers', which are slow and differ by half, less often.
HOGGED = {
    "triad-1": 1,
    "triad-all": 1,
    "latency-memory": 1,
    "likwid-triad-1": SELDOM,
    "stream-clang-1": SELDOM,
    "chase-memory": SELDOM,
}

FIO_DATA = f"{OUT}/fio.data"
FIO_PREPARATION = f"fio --name=x --filename={FIO_DATA} --size=1G --rw=read --create_only=1"

_PORT = 11199


class Command(NamedTuple):
    """`server` runs meanwhile; `is_hogged`: so does a busy loop on the first CPU.

    It is run in each `every`th round. `passes` are the exit statuses after which there is a result. `foreign_cores` is
    what others may use meanwhile. `calibration` is the command of likwid-bench whose first run finds the number of
    iterations that the rounds repeat. `lacks` says why it cannot be run on this machine, if so.
    """

    id: str
    text: str
    parse: Parser
    server: str = ""
    is_hogged: bool = False
    every: int = 1
    passes: tuple[int, ...] = (0,)
    foreign_cores: float = FOREIGN_CORES
    calibration: str = ""
    lacks: str = ""

    @property
    def shown(self) -> str:
        return f"{self.server} & {self.text}" if self.server else self.text

    def repeating(self, iterations: Mapping[str, float]) -> Self:
        """Return the command as the rounds run it, given what the first runs found."""
        if self.calibration not in iterations:
            return self
        found = f"likwid-bench -i {iterations[self.calibration]:.0f} "
        return self._replace(text=self.text.replace("likwid-bench ", found))


def all_commands(machine: Machine) -> dict[str, Command]:
    """Return the commands by id, in the order in which a round runs them."""
    teams = {"1": machine.cpus[:1], "all": machine.cpus} if len(machine.cpus) > 1 else {"1": machine.cpus}
    found: list[Command] = []
    for team, cpus in teams.items():
        found += [*_bandwidth(machine, team, cpus), *_flops(machine, team, cpus)]
    found += [*_seldom(machine), *_latency(machine), *_cores(machine)]
    found += [c._replace(foreign_cores=FOREIGN_CORES_OF_KERNEL_WORK) for c in (*_disk(), *_network())]
    commands: dict[str, Command] = {}
    for command in found:
        commands[command.id] = command
        if command.id in REPEATED:
            again = command._replace(id=f"{command.id}-again")
            commands[again.id] = again
        if command.id in HOGGED:
            hogged = command._replace(id=f"{command.id}-hog", is_hogged=True, every=HOGGED[command.id])
            commands[hogged.id] = hogged
    return commands


def hog(machine: Machine) -> str:
    return f"taskset -c {machine.cpus[0]} sh -c 'while :; do :; done'"


def memory_bytes(machine: Machine) -> int:
    """Return the working set that is memory's and no cache's, a power of two for the sweep."""
    return 1 << (4 * machine.cache_bytes - 1).bit_length()


def l1_bytes(machine: Machine) -> int:
    """Return a working set that stays in the L1 cache beside a stack and a counter."""
    return machine.l1_bytes // 2


def _list(cpus: tuple[int, ...]) -> str:
    return ",".join(str(cpu) for cpu in cpus)


def _ours(id_: str, name: str, options: str) -> Command:
    return Command(id_, f"nodeproof-bench {name} {options}".rstrip(), parsers.nodeproof)


def _likwid(id_: str, kernel: str, size: str, machine: Machine, threads: int) -> Command:
    is_flops = kernel.startswith("peakflops")
    pages = "" if is_flops else "env GLIBC_TUNABLES=glibc.malloc.hugetlb=1 "
    return Command(
        id_,
        f"{pages}likwid-bench -t {kernel} -w M0:{size}:{threads}",
        parsers.likwid_flops if is_flops else parsers.likwid_bandwidth,
        calibration=id_,
        lacks="" if machine.vectors else f"no kernel of likwid-bench was chosen for {machine.architecture}",
    )


def _stream(id_: str, program: str, cpus: tuple[int, ...], machine: Machine) -> Command:
    threads = f"env OMP_NUM_THREADS={len(cpus)} OMP_PROC_BIND=true"
    return Command(
        id_,
        f"numactl -C {_list(cpus)} -l {threads} {OUT}/{program} {4 * machine.cache_bytes >> 20}",
        parsers.stream,
    )


def _bandwidth(machine: Machine, team: str, cpus: tuple[int, ...]) -> Iterator[Command]:
    """Arrays of four times the last-level cache each for every tool, as STREAM's rules ask."""
    array_mb, vectors = -(-4 * machine.cache_bytes // 10**6), machine.vectors
    for name, kernel, arrays in (
        ("triad", f"stream_mem_{vectors}", 3),
        ("copy", f"copy_mem_{vectors}", 2),
        ("read", f"load_{vectors}", 1),
    ):
        yield _ours(f"{name}-{team}", f"memory.{name}", f"--cpus {_list(cpus)}")
        likwid = _likwid(f"likwid-{name}-{team}", kernel, f"{arrays * array_mb}MB", machine, len(cpus))
        yield likwid
        if name == "triad" and team == "1":
            text = likwid.text[likwid.text.index("likwid-bench") :]
            yield likwid._replace(id="likwid-triad-1-base-pages", text=text, every=SELDOM)
    yield _stream(f"stream-clang-{team}", "stream-clang", cpus, machine)
    yield _stream(f"stream-gcc-{team}", "stream-gcc", cpus, machine)


def _flops(machine: Machine, team: str, cpus: tuple[int, ...]) -> Iterator[Command]:
    kernel = "peakflops_sse" if machine.vectors == "sse" else f"peakflops_{machine.vectors}_fma"
    yield _ours(f"flops-{team}", "cpu.flops", f"--cpus {_list(cpus)}")
    yield _likwid(f"likwid-flops-{team}", kernel, f"{16 * len(cpus)}kB", machine, len(cpus))
    if machine.vectors == "avx512" and team == "1":
        yield _likwid("likwid-flops-1-avx", "peakflops_avx_fma", f"{16 * len(cpus)}kB", machine, len(cpus))
    threads = f"numactl -C {_list(cpus)} env OPENBLAS_NUM_THREADS={len(cpus)}"
    yield Command(f"dgemm-{team}", f"{threads} {OUT}/dgemm 1536", parsers.dgemm, every=SELDOM)
    if machine.vectors == "avx512" and team == "1":
        text = f"{threads} OPENBLAS_CORETYPE=SkylakeX {OUT}/dgemm 1536"
        yield Command("dgemm-1-skylakex", text, parsers.dgemm, every=SELDOM)


def _seldom(machine: Machine) -> Iterator[Command]:
    cpu = machine.cpus[0]
    sysbench = "sysbench memory --memory-block-size=1M --memory-total-size=40G --memory-oper=read run"
    yield Command("sysbench", f"taskset -c {cpu} {sysbench}", parsers.sysbench, every=SELDOM)
    yield Command("stress-ng", f"stress-ng --stream 1 --taskset {cpu} --timeout 6", parsers.stress_ng, every=SELDOM)
    yield _ours("jitter", "cpu.jitter", f"--cpus {cpu}")._replace(every=SELDOM)
    yield Command("oslat", f"oslat --cpu-list {cpu} --duration 1 -q", parsers.oslat, every=SELDOM)
    cyclictest = f"cyclictest -t1 -a {cpu} -p 80 -i 200 -D 1 -m -q"
    yield Command("cyclictest", cyclictest, parsers.cyclictest, every=SELDOM)
    quick = "nodeproof bench quick --json --no-history"  # 1 and 3: it judged the node to be unfit, or disturbed
    yield Command("quick", quick, parsers.suite, every=SELDOM, passes=(0, 1, 3))


def _latency(machine: Machine) -> Iterator[Command]:
    cpu, small, large = machine.cpus[0], l1_bytes(machine), memory_bytes(machine)
    for name, size in (("l1", small), ("memory", large)):
        yield _ours(f"latency-{name}", "memory.latency", f"--cpus {cpu} --bytes {size}")
        yield Command(f"chase-{name}", f"numactl -C {cpu} -l {OUT}/chase samples {size} 2", parsers.chase)
    yield Command("sweep", f"numactl -C {cpu} -l {OUT}/chase sweep {large}", parsers.chase)


def _cores(machine: Machine) -> Iterator[Command]:
    if len(machine.cpus) > 1:
        pair = machine.cpus[:2]
        yield _ours("core-to-core", "cpu.core_to_core", f"--cpus {_list(pair)}")
        yield Command("pingpong", f"{OUT}/pingpong {pair[0]} {pair[1]}", parsers.pingpong)


def _disk() -> Iterator[Command]:
    """Of files as large as ours, and past the page cache."""
    shown = "--output-format=json --lat_percentiles=1"
    fio = f"fio --name=x --filename={FIO_DATA} --size=1G --direct=1 --time_based --runtime=1 {shown}"
    random, sequential = "--rw=randread --bs=4k --iodepth=1", "--rw=read --bs=1M --iodepth=32"
    yield _ours("disk-latency", "disk.latency", f"--path {OUT} --seconds 2")
    yield Command("fio-latency", f"{fio} {random} --ioengine=io_uring", parsers.fio)
    yield _ours("disk-bandwidth", "disk.bandwidth", f"--path {OUT} --seconds 2")
    yield Command("fio-bandwidth", f"{fio} {sequential} --ioengine=io_uring", parsers.fio)


def _network() -> Iterator[Command]:
    """Short messages over TCP; waiting asleep and waiting awake are different quantities."""
    yield _ours("loopback", "net.loopback", "")
    for id_, wait in (("sockperf", ""), ("sockperf-spinning", " --nonblocked")):
        address = f"--tcp -i 127.0.0.1 -p {_PORT}{wait}"
        yield Command(
            id_, f"sockperf ping-pong {address} -m 14 -t 1 --full-rtt", parsers.sockperf, f"sockperf server {address}"
        )
    yield Command("qperf", f"qperf 127.0.0.1 -lp {_PORT} -t 1 tcp_lat tcp_bw", parsers.qperf, f"qperf -lp {_PORT}")
