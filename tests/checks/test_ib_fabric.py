"""Subnet manager and partitions of InfiniBand ports."""

from pathlib import Path

import pytest

from ib_node import IB, IbNode
from nodeproof.check import registry
from nodeproof.probes.ib_ports import IbPkeys
from nodeproof.probes.infiniband import Infiniband
from nodeproof.verdict import Status
from support import Machine, verdict_of

PORT = f"{IB}/mlx5_1/ports/1"


@pytest.fixture
def node() -> IbNode:
    return IbNode(count=3)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("sm_lid", "0x0", "mlx5_1/1 knows no subnet manager (SM LID 0), expected one"),
        ("sm_lid", "0xffff", "mlx5_1/1 knows no subnet manager (SM LID 65535), expected one"),
        ("lid", "0x0", "mlx5_1/1 has no address (LID 0), expected one from the subnet manager at 1"),
    ],
)
def test_an_active_port_needs_address_and_manager(
    node: IbNode, tmp_path: Path, file: str, text: str, words: str
) -> None:
    node.files[f"{PORT}/{file}"] = text

    verdict = verdict_of("ib.subnet_manager", node.plant(tmp_path))
    assert verdict.status == Status.FAIL
    assert verdict.summary == words
    assert verdict.evidence == {"parts": ["ib:mlx5_1/1"]}


def test_a_sound_port_names_its_manager(node: IbNode, tmp_path: Path) -> None:
    verdict = verdict_of("ib.subnet_manager", node.plant(tmp_path))

    assert verdict.status == Status.OK
    assert verdict.summary == "3 InfiniBand ports with a subnet manager at LID 1"


def test_roce_ports_have_no_manager_and_no_partitions(machine: Machine) -> None:
    port = f"{IB}/mlx5_0/ports/1"
    host = machine(
        {
            f"{port}/state": "4: ACTIVE",
            f"{port}/phys_state": "5: LinkUp",
            f"{port}/rate": "100 Gb/sec (4X EDR)",
            f"{port}/link_layer": "Ethernet",
            f"{port}/lid": "0x0",
            f"{port}/sm_lid": "0x0",
            f"{port}/lid_mask_count": "0",
            f"{port}/cap_mask": "0x04010000",
            f"{port}/pkeys/0": "0xffff",
        }
    )

    for check_id in ("ib.subnet_manager", "ib.pkeys"):
        assert verdict_of(check_id, host).status == Status.SKIP
        assert verdict_of(check_id, host).summary.endswith("not there (no active InfiniBand port)")


@pytest.mark.parametrize("check_id", ["ib.subnet_manager", "ib.pkeys"])
def test_a_port_that_waits_for_its_manager_is_not_judged(node: IbNode, tmp_path: Path, check_id: str) -> None:
    node.files |= {f"{PORT}/state": "2: INIT", f"{PORT}/sm_lid": "0x0", f"{PORT}/lid": "0x0", f"{PORT}/pkeys/1": "0x0"}

    assert verdict_of(check_id, node.plant(tmp_path)).status == Status.OK


@pytest.mark.parametrize(("check_id", "file"), [("ib.subnet_manager", "lid"), ("ib.pkeys", "pkeys/1")])
@pytest.mark.parametrize("error", [("timed_out", ""), ("denied", "EACCES")])
def test_what_could_not_be_read_is_unknown(
    node: IbNode, tmp_path: Path, check_id: str, file: str, error: tuple[str, str]
) -> None:
    node.errors[f"{PORT}/{file}"] = error

    assert verdict_of(check_id, node.plant(tmp_path)).status == Status.UNKNOWN


@pytest.mark.parametrize(("check_id", "file"), [("ib.subnet_manager", "sm_lid"), ("ib.pkeys", "pkeys/1")])
def test_garbage_is_unknown(node: IbNode, tmp_path: Path, check_id: str, file: str) -> None:
    node.files[f"{PORT}/{file}"] = "\x1b[2J"

    assert verdict_of(check_id, node.plant(tmp_path)).status == Status.UNKNOWN


@pytest.mark.parametrize(
    ("required", "status"),
    [
        (("0x8001",), Status.OK),
        (("0x0001",), Status.OK),  # a full member is a member
        (("0x7fff",), Status.OK),
        (("0xffff",), Status.FAIL),  # the default partition's limited member is no full one
        (("0x8009",), Status.FAIL),
        (("0x12345",), Status.UNKNOWN),
        (("partition",), Status.UNKNOWN),
        ((), Status.OK),
    ],
)
def test_membership_is_part_of_what_is_required(
    node: IbNode, tmp_path: Path, required: tuple[str, ...], status: Status
) -> None:
    assert verdict_of("ib.pkeys", node.plant(tmp_path), required=required).status == status


def test_ports_of_a_board_must_have_the_same_keys_unless_policy_says_otherwise(node: IbNode, tmp_path: Path) -> None:
    node.files[f"{PORT}/pkeys/2"] = "0x8002"
    host = node.plant(tmp_path)

    verdict = verdict_of("ib.pkeys", host)
    assert verdict.summary == "ports of one board differ in partition keys: mlx5_1/1 has 0x7fff, 0x8001, 0x8002"
    assert verdict.evidence["pkeys"] == {"mlx5_1/1": ["0x7fff", "0x8001", "0x8002"]}
    assert verdict_of("ib.pkeys", host, is_uniform=False).status == Status.OK
    learn = registry()["ib.pkeys"].learn
    assert learn is not None
    assert learn(Infiniband.read(host), IbPkeys.read(host)) == {"required": ("0x7fff", "0x8001"), "is_uniform": False}


def test_ports_of_another_board_may_have_other_keys(node: IbNode, tmp_path: Path) -> None:
    node.files |= {f"{PORT}/pkeys/1": "0x8002", f"{IB}/mlx5_1/board_id": "MT_0000000223"}

    assert verdict_of("ib.pkeys", node.plant(tmp_path)).status == Status.OK


def test_keys_behind_an_empty_one_are_found_and_an_empty_block_ends_the_table(node: IbNode, tmp_path: Path) -> None:
    node.files |= {f"{PORT}/pkeys/31": "0x8003", f"{PORT}/pkeys/63": "0x8004"}
    pkeys = IbPkeys.read(node.plant(tmp_path))

    assert pkeys.known["mlx5_1/1"] == (0x7FFF, 0x8001, 0x8003, 0x8004)
    assert pkeys.known["mlx5_0/1"] == (0x7FFF, 0x8001)
