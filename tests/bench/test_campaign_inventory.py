"""What a job of a campaign tells of its node besides measurements: its hardware class, and what its agent remembers."""

from pathlib import Path

import pytest

from nodeproof.events import Event
from nodeproof.history import History
from nodeproof.probes.cpu import CpuTopology
from nodeproof.probes.identity import Identity
from nodeproof.probes.memory import MemorySize
from nodeproof_bench.campaign.node import inventory, past


@pytest.mark.parametrize(
    ("usable_gib", "installed_gib"), [(3.82, 4), (31.1, 32), (62.5, 64), (187.2, 192), (251.3, 256), (503.4, 512)]
)
def test_memory_counts_as_what_is_installed(usable_gib: float, installed_gib: float) -> None:
    assert inventory.installed_gib(int(usable_gib * 2**30)) == installed_gib


def test_nodes_with_other_processors_or_memory_are_of_another_class() -> None:
    topology = CpuTopology(present=(0, 1), online=(0, 1), smt_control=None, sockets=2, cores=64)

    def of(model: str, gib: float) -> str:
        facts = {
            Identity: Identity("n1", cpu_model=model),
            CpuTopology: topology,
            MemorySize: MemorySize(int(gib * 2**30)),
        }
        return inventory.flat(facts)["hardware.class"]

    assert of("EPYC 9654", 251.3) == of("EPYC 9654", 250.9) == "EPYC 9654; 2 x 32 cores; 256 GiB"
    assert len({of("EPYC 9654", 251.3), of("EPYC 9654", 187.0), of("EPYC 9754", 251.3)}) == 3


def test_a_node_of_which_nothing_can_be_read_has_a_class_of_its_own() -> None:
    assert inventory.flat({}) == {"hardware.class": "unknown CPU"}


def test_without_a_history_there_are_no_events(tmp_path: Path) -> None:
    assert past.events(str(tmp_path)) == []


def test_what_the_agent_saw_counts_for_the_memory_of_the_fleet(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    history = History(str(directory))
    event = Event("event.xid", 100.0, "b", "kmsg", "XID 79", part="gpu:GPU-1")
    flap = event._replace(rule="event.nic_link_down", at=110.0, part="nic:eth0", text="down")
    history.add_events([event, flap, event._replace(rule="event.mce_corrected", at=111.0, text="corrected")], None)
    history.add_verdicts(120.0, [("gpu.count", "fail", "7 GPUs, expected 8", {}), ("cpu.smt", "warn", "SMT is on", {})])
    history.add_action(130.0, {"result": "drained", "reason": "nodeproof[01234567]: gpu.count: 7 GPUs"})
    history.add_action(140.0, {"result": "resumed", "summary": "fit again"})
    history.close()

    assert past.events(str(directory)) == [
        {"at": 100.0, "kind": "xid", "detail": "gpu:GPU-1: XID 79"},
        {"at": 110.0, "kind": "flap", "detail": "nic:eth0: down"},
        {"at": 120.0, "kind": "failure", "detail": "gpu.count: 7 GPUs, expected 8"},
        {"at": 130.0, "kind": "drain", "detail": "nodeproof[01234567]: gpu.count: 7 GPUs"},
    ]
