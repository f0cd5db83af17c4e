"""NUMA checks."""

from typing import Any

from nodeproof.check import registry
from nodeproof.probes.numa import NODES, PCI, DeviceLocality, NumaNodes
from nodeproof.verdict import Status
from support import Files, Machine, verdict_of

BALANCING = "/proc/sys/kernel/numa_balancing"


def node_files(node: int, cpus: str, gib: int, distance: str) -> dict[str, str]:
    return {
        f"{NODES}/node{node}/cpulist": f"{cpus}\n",
        f"{NODES}/node{node}/meminfo": f"Node {node} MemTotal:       {gib << 20} kB\nNode {node} MemFree: 1 kB\n",
        f"{NODES}/node{node}/distance": f"{distance}\n",
    }


def two_nodes(gib: int = 256, distance: str = "21 10") -> dict[str, str]:
    online = {f"{NODES}/online": "0-1\n"}
    return online | node_files(0, "0-63", 256, "10 21") | node_files(1, "64-127", gib, distance)


def device(address: str, pci_class: str, node: int) -> dict[str, str]:
    return {f"{PCI}/{address}/class": f"{pci_class}\n", f"{PCI}/{address}/numa_node": f"{node}\n"}


def with_memory_only_node() -> Files:
    online = {f"{NODES}/online": "0-1\n"}
    return online | node_files(0, "0-63", 256, "10 20") | node_files(1, "", 64, "20 10")


def test_nodes(machine: Machine) -> None:
    host = machine(two_nodes())

    assert verdict_of("numa.nodes", host, claimed=2).status == Status.OK
    verdict = verdict_of("numa.nodes", host, claimed=8)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "2 NUMA nodes, expected 8: node 0, 1"
    assert verdict_of("numa.nodes", host).summary == "policy claims no numa"


def test_a_node_that_lost_its_memory_is_named_unless_it_has_none_by_design(machine: Machine) -> None:
    host = machine(two_nodes(gib=0))

    verdict = verdict_of("numa.nodes", host, claimed=2)
    assert verdict.status == Status.FAIL
    assert verdict.summary.startswith("NUMA node 1 has CPUs and no memory")
    assert verdict_of("numa.nodes", host, claimed=2, without_memory=(1,)).status == Status.OK
    assert verdict_of("numa.memory_balance", host).status == Status.OK


def test_memory_without_cpus_is_reported_and_is_no_fault(machine: Machine) -> None:
    host = machine(with_memory_only_node())

    verdict = verdict_of("numa.nodes", host, claimed=2)
    assert verdict.status == Status.OK
    assert verdict.evidence["nodes_without_cpus"] == [1]
    assert verdict_of("numa.memory_balance", host).status == Status.OK


def test_no_numa_is_a_skip_and_a_failure_where_claimed(machine: Machine) -> None:
    host = machine({})

    assert verdict_of("numa.memory_balance", host).status == Status.SKIP
    assert verdict_of("numa.nodes", host, claimed=2).status == Status.FAIL


def test_one_dimm_of_twelve_missing_unbalances_a_node(machine: Machine) -> None:
    verdict = verdict_of("numa.memory_balance", machine(two_nodes(gib=256 * 11 // 12)))

    assert verdict.status == Status.FAIL
    assert verdict.summary == (
        "NUMA node 1 has 239616 MiB, 8.6 % less than the 262144 MiB of node 0, expected at most 5 %"
    )


def test_balance_allows_for_reservations_and_policy(machine: Machine) -> None:
    assert verdict_of("numa.memory_balance", machine(two_nodes(gib=255))).status == Status.OK
    host = machine(two_nodes(gib=128))
    assert verdict_of("numa.memory_balance", host, max_difference_percent=60).status == Status.OK


def test_distances(machine: Machine) -> None:
    assert verdict_of("numa.distances", machine(two_nodes())).status == Status.OK
    verdict = verdict_of("numa.distances", machine(two_nodes()), expected=("10 32", "32 10"))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "NUMA distances are 10 21 / 21 10, expected 10 32 / 32 10"


def test_a_node_that_is_not_nearest_to_itself_fails(machine: Machine) -> None:
    verdict = verdict_of("numa.distances", machine(two_nodes(distance="10 10")))

    assert verdict.status == Status.FAIL
    assert "NUMA node 1 is not nearest to itself" in verdict.summary


def test_one_way_distances_are_a_warning_until_policy_expects_them(machine: Machine) -> None:
    host = machine(two_nodes(distance="31 10"))

    assert verdict_of("numa.distances", host).status == Status.WARN
    assert verdict_of("numa.distances", host, expected=("10 21", "31 10")).status == Status.OK


def test_garbage_is_unknown(machine: Machine) -> None:
    assert verdict_of("numa.distances", machine(two_nodes(distance="10"))).status == Status.UNKNOWN
    no_total = two_nodes() | {f"{NODES}/node1/meminfo": "Node 1\n"}
    assert verdict_of("numa.memory_balance", machine(no_total)).status == Status.UNKNOWN
    assert (
        verdict_of("numa.nodes", machine(two_nodes() | {f"{NODES}/online": "all"}), claimed=2).status == Status.UNKNOWN
    )


def test_balancing(machine: Machine) -> None:
    host = machine({BALANCING: "1\n"})

    assert verdict_of("numa.balancing", host, required="on").status == Status.OK
    assert verdict_of("numa.balancing", host, required="off").status == Status.FAIL
    assert verdict_of("numa.balancing", machine({BALANCING: "0\n"}), required="off").status == Status.OK


def test_the_remedy_of_balancing_says_which_number_is_which() -> None:
    remedy = registry()["numa.balancing"].remedy_for({"required": "on"})

    assert remedy.startswith("Switch it on: set kernel.numa_balancing to 1 for on, 0 for off")


def test_balancing_absent_or_denied(machine: Machine) -> None:
    denied = machine({}, errors={BALANCING: ("denied", "EACCES")})

    assert verdict_of("numa.balancing", denied, required="off").status == Status.UNKNOWN


def test_balancing_of_a_kernel_without_it_is_a_skip(machine: Machine) -> None:
    assert verdict_of("numa.balancing", machine({}), required="off").status == Status.SKIP


def test_devices_at_other_nodes_than_expected_fail_and_are_named(machine: Machine) -> None:
    host = machine(two_nodes() | device("0000:17:00.0", "0x030200", 0) | device("0000:c1:00.0", "0x020700", 1))

    assert verdict_of("numa.device_locality", host, expected={"0000:c1:00.0": 1}).status == Status.OK
    verdict = verdict_of("numa.device_locality", host, expected={"0000:17:00.0": 0, "0000:c1:00.0": 0})
    assert verdict.status == Status.FAIL
    assert verdict.summary == "0000:c1:00.0 is at NUMA node 1, expected 0"


def test_devices_without_a_node_are_a_warning_on_machines_with_several_nodes(machine: Machine) -> None:
    files = device("0000:17:00.0", "0x010802", -1) | device("0000:00:1f.0", "0x060100", -1)

    verdict = verdict_of("numa.device_locality", machine(two_nodes() | files))
    assert verdict.status == Status.WARN
    assert verdict.evidence == {"numa_node": {"0000:17:00.0": -1}}
    assert verdict_of("numa.device_locality", machine(files), expected={"0000:17:00.0": -1}).status == Status.OK


def test_one_node_needs_no_device_places(machine: Machine) -> None:
    files = {f"{NODES}/online": "0\n"} | node_files(0, "0-3", 8, "10") | device("0000:17:00.0", "0x020000", -1)

    assert verdict_of("numa.device_locality", machine(files)).status == Status.OK
    assert verdict_of("numa.distances", machine(files)).status == Status.OK


def test_device_that_is_gone_is_somebody_elses_finding(machine: Machine) -> None:
    host = machine(two_nodes() | device("0000:17:00.0", "0x020000", 0))

    assert verdict_of("numa.device_locality", host, expected={"0000:18:00.0": 1}).status == Status.OK


def test_no_pci_bus_is_a_skip_and_a_denied_one_unknown(machine: Machine) -> None:
    assert verdict_of("numa.device_locality", machine(two_nodes())).status == Status.SKIP
    denied = machine(two_nodes(), errors={f"{PCI}/*": ("denied", "EACCES")})
    assert verdict_of("numa.device_locality", denied).status == Status.UNKNOWN


def test_what_was_learned_passes(machine: Machine) -> None:
    virtual = {f"{PCI}/0000:17:00.1/physfn/class": "0x020000\n"}
    files = two_nodes(gib=128, distance="31 10") | virtual
    files |= device("0000:17:00.0", "0x020000", -1) | device("0000:17:00.1", "0x020000", 1)
    host = machine(files)
    numa, locality = NumaNodes.read(host), DeviceLocality.read(host)

    for name in ("numa.nodes", "numa.memory_balance", "numa.distances", "numa.device_locality"):
        spec = registry()[name]
        assert spec.learn is not None
        learned: dict[str, Any] = dict(spec.learn(*([numa, locality] if len(spec.facts) == 2 else [numa])))
        assert verdict_of(name, host, **learned).status == Status.OK, name
    assert list(locality.devices) == ["0000:17:00.0"]
