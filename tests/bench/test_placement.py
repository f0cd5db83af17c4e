"""From machines to runs: which benchmarks are placed where, and how long that takes."""

import pytest

from nodeproof.errors import FactError
from nodeproof_bench.placement import LEAST_CACHE_BYTES, Place, Planned, Topology, UnknownName, plan
from nodeproof_bench.suites import BENCHMARKS, BY_NAME, SUITES
from planted_cpus import CPUS, NODES, big_machine, node_files, small_machine
from support import Machine

SMALL = Topology(sockets=1, cores=2, cpus=2, places=(Place(0, 2, 256 << 30, 32 << 20, 32 << 20),), cells=1)
BIG = Topology(
    sockets=2,
    cores=128,
    cpus=256,
    places=(Place(0, 128, 256 << 30, 256 << 20, 32 << 20), Place(1, 128, 256 << 30, 256 << 20, 32 << 20)),
    cells=4,
)


def words(*names: str, topology: Topology = SMALL, **options: float) -> list[str]:
    return [run.words for run in plan(names, topology, seconds=options.get("seconds")).runs]


def test_a_small_machine_is_read(machine: Machine) -> None:
    assert Topology.read(machine(small_machine())) == SMALL


def test_a_large_machine_is_read_cache_by_cache(machine: Machine) -> None:
    assert Topology.read(machine(big_machine())) == BIG


def test_a_kernel_without_numa_is_one_node(machine: Machine) -> None:
    files = {path: text for path, text in small_machine().items() if not path.startswith(NODES)}
    files["/proc/meminfo"] = f"MemTotal: {1 << 28} kB\n"

    assert Topology.read(machine(files)) == SMALL


def test_memory_without_cpus_is_a_column_of_the_matrix_and_no_place(machine: Machine) -> None:
    files = {**small_machine(), f"{NODES}/online": "0-1", **node_files(0, "0-1", 2), **node_files(1, "", 2)}

    assert Topology.read(machine(files)) == SMALL._replace(cells=2)


def test_cpus_without_memory_are_no_place_to_measure_it(machine: Machine) -> None:
    files = {**small_machine(), f"{NODES}/online": "0-1", **node_files(0, "0", 2), **node_files(1, "1", 2, 0)}
    found = Topology.read(machine(files))

    assert ([p.node for p in found.places], found.cells, found.cores) == ([0], 1, 2)


def test_each_cell_of_a_matrix_is_set_up_anew() -> None:
    one, four = (plan(["numa.bandwidth"], BIG._replace(cells=n), seconds=1).estimate_s - 1 for n in (1, 4))

    assert four == pytest.approx(4 * one)


def test_caches_that_the_kernel_does_not_name_are_taken_for_small(machine: Machine) -> None:
    files = {path: text for path, text in small_machine().items() if "/cache/" not in path}

    assert Topology.read(machine(files)).places[0].cache_bytes == LEAST_CACHE_BYTES


def test_a_machine_whose_cpus_cannot_be_read_is_not_planned_for(machine: Machine) -> None:
    with pytest.raises(FactError):
        Topology.read(machine({}, errors={f"{CPUS}/present": ("denied", "EACCES")}))


def test_memory_is_measured_on_each_node_and_cpus_once() -> None:
    assert words("memory.triad", topology=BIG) == [
        "memory.triad --node 0 --seconds 2",
        "memory.triad --node 1 --seconds 2",
    ]
    assert words("cpu.flops", topology=BIG) == ["cpu.flops --seconds 3"]


def test_patterns_suites_and_names_may_be_mixed_and_nothing_is_run_twice() -> None:
    found = words("memory.read", "memory.*", "cpu.flops", "cpu.flops")

    assert len(found) == len(set(found)) == sum(name.startswith("memory.") for name in BENCHMARKS) + 1
    assert found[0] == "memory.read --node 0 --seconds 2"


def test_nothing_named_is_the_quick_suite() -> None:
    assert plan([], SMALL) == plan(["quick"], SMALL)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("memory.traid", "did you mean 'memory.triad'?"),
        ("quikc", "did you mean 'quick'?"),
        ("quantum.*", "see `nodeproof bench --list`"),
    ],
)
def test_an_unknown_name_comes_with_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(UnknownName) as caught:
        plan([name], SMALL)

    assert str(caught.value) == f"no suite and no benchmark is called {name!r}, {hint}"


def test_seconds_replace_what_the_suite_says() -> None:
    assert words("memory.read", "cpu.per_core", seconds=0.25) == [
        "memory.read --node 0 --seconds 0.25",
        "cpu.per_core --seconds 0.25",
    ]


def test_files_of_disk_benchmarks_are_made_where_it_was_said() -> None:
    assert plan(["disk.latency"], SMALL, path="/scratch").runs[0].args == ("--path", "/scratch", "--seconds", "3")


def test_a_scan_takes_longer_on_a_larger_machine() -> None:
    small, big = (plan(["standard"], t).runs for t in (SMALL, BIG))

    def seconds(runs: tuple[Planned, ...], name: str) -> float:
        return sum(r.estimate_s for r in runs if r.name == name)

    for name in ("cpu.per_core", "cpu.core_to_core"):
        assert seconds(big, name) > 3 * seconds(small, name)


def test_a_matrix_of_one_cell_is_in_no_suite_but_can_be_asked_for() -> None:
    assert not any("numa." in w for w in words("standard"))
    assert any("numa." in w for w in words("standard", topology=BIG))
    assert words("numa.latency") == ["numa.latency --seconds 1"]


def test_a_burn_in_begins_with_what_finds_wrong_values() -> None:
    first, second, *_ = plan(["burnin"], BIG).runs

    assert first.words == "cpu.verify --seconds 60"
    assert second.words == "memory.verify --share 0.8 --seconds 60"
    assert second.estimate_s > 60 + 0.8 * (256 << 30) / 20e9  # all memory is written once before


@pytest.mark.parametrize("duration_s", [10, 20, 60])
def test_a_short_burn_in_looks_for_wrong_values_too(duration_s: float) -> None:
    first = plan(["burnin"], SMALL, duration_s=duration_s).runs[0]

    assert first.words == f"cpu.verify --seconds {duration_s / 4:g}"
    assert first.estimate_s < duration_s / 2
    assert plan(["burnin"], SMALL, duration_s=3600).runs == plan(["burnin"], SMALL).runs


def test_the_deadline_is_far_beyond_the_estimate() -> None:
    assert all(r.deadline_s >= 2 * r.estimate_s + 10 for r in plan(["standard"], BIG).runs)


@pytest.mark.parametrize("name", SUITES)
def test_suites_name_only_benchmarks_that_there_are(name: str) -> None:
    assert all(entry.name in BENCHMARKS for entry in SUITES[name].entries)


def test_every_benchmark_can_be_asked_for_by_name() -> None:
    assert set(BY_NAME) == set(BENCHMARKS)


def test_the_suites_take_no_longer_than_promised() -> None:
    assert plan(["quick"], SMALL).estimate_s <= 20
    assert plan(["quick"], BIG).estimate_s <= 60
    assert plan(["standard"], SMALL).estimate_s <= 180
    assert plan(["standard"], BIG).estimate_s <= 180


def test_repeating_disturbed_runs_stays_within_the_promise() -> None:
    assert plan(["quick"], SMALL).limit_s <= 20
    assert plan(["quick"], BIG).limit_s <= 60
    assert plan(["standard"], BIG).limit_s <= 180
