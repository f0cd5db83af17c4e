"""Where RDMA is measured: which runs a suite has on a node with ports, and what is known of them."""

import pytest

from nodeproof.probes.infiniband import HCAS
from nodeproof_bench.placement import Place, Topology, plan
from nodeproof_bench.port_kinds import PortKinds
from planted_cpus import small_machine
from support import Machine

SMALL = Topology(sockets=1, cores=2, cpus=2, places=(Place(0, 2, 256 << 30, 32 << 20, 32 << 20),), cells=1)


def words(*names: str, ports: int) -> list[str]:
    return [r.words for r in plan(names, SMALL._replace(rdma_ports=ports)).runs]


def test_suites_leave_rdma_out_where_there_is_no_port() -> None:
    assert not [w for suite in ("quick", "standard", "burnin") for w in words(suite, ports=0) if "rdma" in w]


def test_one_run_is_over_all_ports() -> None:
    assert [w for w in words("quick", ports=8) if "rdma" in w] == ["rdma.latency --seconds 1.5"]
    assert [w for w in words("standard", ports=8) if "rdma" in w] == [
        "rdma.latency --seconds 1.5",
        "rdma.bandwidth --seconds 1.5",
    ]


def test_asked_for_by_name_it_is_planned_anywhere() -> None:
    assert words("rdma.latency", ports=0) == ["rdma.latency --seconds 1.5"]


def test_suites_take_no_longer_than_promised_with_ports() -> None:
    with_ports = SMALL._replace(rdma_ports=8)

    assert plan(["quick"], with_ports).estimate_s <= 20
    assert plan(["standard"], with_ports).estimate_s <= 180


def test_ports_are_counted_without_asking_an_adapter(machine: Machine) -> None:
    broken = {f"{HCAS}/mlx5_0/ports/1/state": ("timed_out", "hung")}
    files = {**small_machine(), f"{HCAS}/mlx5_0/ports/1/link_layer": "InfiniBand"}

    assert Topology.read(machine(files, errors=broken)).rdma_ports == 1


def test_a_machine_without_rdma_has_no_ports_to_plan_for(machine: Machine) -> None:
    assert Topology.read(machine(small_machine())).rdma_ports == 0


def slot(address: str) -> dict[str, str]:
    directory = f"/sys/bus/pci/devices/{address}"
    return {
        f"{directory}/uevent": "PCI_CLASS=20700\nPCI_ID=15B3:1021",
        f"{directory}/current_link_width": "16",
        f"{directory}/max_link_width": "16",
        f"{directory}/current_link_speed": "32.0 GT/s PCIe",
        f"{directory}/max_link_speed": "32.0 GT/s PCIe",
    }


def test_link_layer_and_slot_of_a_port_are_read(machine: Machine) -> None:
    files = {f"{HCAS}/{name}/ports/1/link_layer": "InfiniBand" for name in ("mlx5_0", "rxe0")}
    above = "../../devices/pci0000:40/0000:40:01.1"
    links = {
        f"{HCAS}/mlx5_0": f"{above}/0000:41:00.0/infiniband/mlx5_0",
        f"{HCAS}/rxe0": "../../devices/virtual/infiniband/rxe0",
        "/sys/bus/pci/devices/0000:41:00.0": f"{above}/0000:41:00.0",
    }
    found = PortKinds.read(machine(files | slot("0000:41:00.0"), links=links))

    assert found.link_layer("mlx5_0/1") == "InfiniBand"
    assert found.slot_bytes_per_s("mlx5_0/1") == pytest.approx(57.2e9, rel=1e-2)
    assert found.slot_bytes_per_s("rxe0/1") is None


def test_a_machine_without_rdma_has_no_kinds_of_ports(machine: Machine) -> None:
    assert PortKinds.read(machine({})) == PortKinds({})
