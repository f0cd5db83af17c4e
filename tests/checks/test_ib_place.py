"""Slots, NUMA nodes and GPUs of RDMA adapters."""

from pathlib import Path

import pytest

from ib_node import IB, PCI, IbNode
from nodeproof.probes.ib_adapters import IbAdapters
from nodeproof.verdict import Status
from nodeproof_checks.ib_place import usable_gb_per_s
from support import Machine, verdict_of


@pytest.fixture
def node() -> IbNode:
    return IbNode(count=2)


def slot(node: IbNode, *, lanes: int | None = None, speed: str | None = None) -> None:
    """Put the second adapter into a slot that can do less than the card."""
    card, port = node.rails[1].path[-1], node.rails[1].path[-2]
    for name, value in (("width", lanes), ("speed", speed)):
        if value is not None:
            node.files |= {f"{PCI}/{port}/max_link_{name}": f"{value}", f"{PCI}/{card}/current_link_{name}": f"{value}"}


def test_what_a_link_carries_is_less_than_its_transfers() -> None:
    assert usable_gb_per_s(32, 16) == pytest.approx(504.1, abs=0.1)
    assert usable_gb_per_s(16, 16) == pytest.approx(252.1, abs=0.1)
    assert usable_gb_per_s(5, 8) == 32
    assert usable_gb_per_s(64, 8) == pytest.approx(484.0)


def test_a_slot_that_carries_the_rate_passes_without_policy(node: IbNode, tmp_path: Path) -> None:
    verdict = verdict_of("ib.pci", node.plant(tmp_path))

    assert verdict.status == Status.OK
    assert verdict.summary == "2 adapters in sufficient slots: x16 at 32 GT/s"


@pytest.mark.parametrize(
    ("lanes", "speed", "words"),
    [
        (8, None, "has a port of 400 Gb/s in a slot for 252 (x8 at 32 GT/s), expected at least that"),
        (None, "16.0 GT/s PCIe", "has a port of 400 Gb/s in a slot for 252 (x16 at 16 GT/s), expected at least that"),
    ],
)
def test_a_slot_too_small_for_the_rate_fails_without_policy(
    node: IbNode, tmp_path: Path, lanes: int | None, speed: str | None, words: str
) -> None:
    slot(node, lanes=lanes, speed=speed)
    host = node.plant(tmp_path)

    verdict = verdict_of("ib.pci", host)
    assert verdict.status == Status.FAIL
    assert verdict.summary == f"mlx5_1 ({node.rails[1].path[-1]}) {words}"
    assert verdict_of("pci.link", host).status == Status.OK
    for excepted in ("mlx5_1", node.rails[1].path[-1]):
        assert verdict_of("ib.pci", host, excepted=(excepted,)).status == Status.OK
    assert verdict_of("ib.pci", host, is_rate_judged=False).status == Status.OK


def test_claimed_width_and_speed_are_of_slot_and_card_together(node: IbNode, tmp_path: Path) -> None:
    slot(node, lanes=8, speed="16.0 GT/s PCIe")
    host = node.plant(tmp_path)

    assert "can do x8 with it, expected x16" in verdict_of("ib.pci", host, min_width=16).summary
    assert "can do 16 GT/s with it, expected 32" in verdict_of("ib.pci", host, min_gt_per_s=32.0).summary


def test_a_link_below_what_its_ends_can_do_is_a_finding_of_pci_link_alone(node: IbNode, tmp_path: Path) -> None:
    node.files[f"{PCI}/{node.rails[1].path[-1]}/current_link_width"] = "8"
    host = node.plant(tmp_path)

    assert verdict_of("pci.link", host).status == Status.FAIL
    assert verdict_of("ib.pci", host, min_width=16, min_gt_per_s=32.0).status == Status.OK


def test_a_slot_that_does_not_say_what_it_can_do_is_judged_by_what_it_does(node: IbNode, tmp_path: Path) -> None:
    card, port = node.rails[1].path[-1], node.rails[1].path[-2]
    node.files = {p: t for p, t in node.files.items() if p != f"{PCI}/{port}/max_link_width"}
    node.files[f"{PCI}/{card}/current_link_width"] = "8"
    host = node.plant(tmp_path)

    assert verdict_of("pci.link", host).status == Status.OK
    assert verdict_of("ib.pci", host).status == Status.FAIL


def test_a_link_or_place_that_could_not_be_read_is_unknown(node: IbNode, tmp_path: Path) -> None:
    node.errors[f"{PCI}/{node.rails[1].path[-1]}/current_link_speed"] = ("timed_out", "")
    host = node.plant(tmp_path)
    assert verdict_of("ib.pci", host).status == Status.UNKNOWN

    node.errors = {f"{IB}/mlx5_1/device/numa_node": ("denied", "EACCES")}
    assert verdict_of("ib.locality", node.plant(tmp_path)).status == Status.UNKNOWN


def test_soft_roce_is_in_no_slot(machine: Machine) -> None:
    port = f"{IB}/rxe0/ports/1"
    files = {
        f"{port}/state": "4: ACTIVE",
        f"{port}/phys_state": "5: LinkUp",
        f"{port}/rate": "2.5 Gb/sec (1X SDR)",
        f"{port}/link_layer": "Ethernet",
        f"{IB}/rxe0/node_guid": "5054:00ff:fe12:3456",
        f"{IB}/rxe0/node_type": "1: CA",
        f"{PCI}/0000:00:01.0/uevent": "PCI_CLASS=20000\nPCI_ID=1AF4:1041\n",
        f"{PCI}/0000:00:01.0/current_link_width": "1",
    }
    links = {
        f"{IB}/rxe0": "../../devices/virtual/infiniband/rxe0",
        f"{PCI}/0000:00:01.0": "../../../devices/pci0000:00/0000:00:01.0",
    }
    host = machine(files, links=links)

    adapter = IbAdapters.read(host).known["rxe0"]
    assert (adapter.pci_address, adapter.numa_node, adapter.node_type) == (None, None, "CA")
    assert verdict_of("ib.pci", host).status == Status.SKIP


def test_adapters_that_swapped_places_are_named(node: IbNode, tmp_path: Path) -> None:
    one, other = node.rails
    for rail, its in ((one, other), (other, one)):
        node.links[f"{IB}/{rail.name}"] = f"../../devices/pci0000:{its.base:02x}/{'/'.join(its.path)}/infiniband/x"
        node.files[f"{IB}/{rail.name}/device/numa_node"] = f"{its.node}"
    host = node.plant(tmp_path)

    verdict = verdict_of("ib.locality", host, expected={"mlx5_0": 0, "mlx5_1": 1})
    assert verdict.summary == "mlx5_0 is at NUMA node 1, expected 0, mlx5_1 is at NUMA node 0, expected 1"
    gpu = one.gpu_path[-1]
    verdict = verdict_of("ib.locality", host, pairs={gpu: "mlx5_0"})
    assert verdict.summary == f"GPU {gpu} is nearest to mlx5_1, expected mlx5_0"
    assert verdict_of("ib.locality", host, pairs={gpu: "mlx5_1"}).status == Status.OK


def test_without_a_common_bridge_the_numa_node_decides(node: IbNode, tmp_path: Path) -> None:
    gpu = "0000:f1:00.0"
    node.links[f"{PCI}/{gpu}"] = f"../../../devices/pci0000:f0/0000:f0:01.0/{gpu}"
    node.files |= {f"{PCI}/{gpu}/class": "0x030200", f"{PCI}/{gpu}/numa_node": "1"}
    host = node.plant(tmp_path)

    assert verdict_of("ib.locality", host, pairs={gpu: "mlx5_1"}).status == Status.OK
    assert verdict_of("ib.locality", host, pairs={gpu: "mlx5_0"}).status == Status.FAIL


def test_missing_parts_are_for_other_checks(node: IbNode, tmp_path: Path) -> None:
    host = node.plant(tmp_path)

    verdict = verdict_of("ib.locality", host, expected={"mlx5_9": 1}, pairs={"0000:ff:00.0": "mlx5_0"})
    assert verdict.status == Status.OK
