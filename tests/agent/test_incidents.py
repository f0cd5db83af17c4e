"""Findings that have one cause: told as one, the cause first."""

import fnmatch
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.act import act
from nodeproof.check import CheckSpec, registry
from nodeproof.daemon.judging import OPERATOR
from nodeproof.decide import History, counted, decide
from nodeproof.decide.incidents import _NEARNESS, by_cause, incidents, parts_of
from nodeproof.engine import Pass, Result
from nodeproof.host import Host
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.probes.relations import Relations
from nodeproof.verdict import Status, Verdict
from support import Machine, verdict_of

GPU, BRIDGE, ROOT = "pci:0000:3b:00.0", "pci:0000:3a:00.0", "pci:0000:00:01.0"
NEIGHBOUR = "pci:0000:3c:00.0"

#: A GPU and its neighbour behind one switch, and an adapter with two functions that is a NIC and an HCA.
RELATED: Mapping[str, Sequence[str]] = {
    GPU: (GPU, BRIDGE, ROOT),
    NEIGHBOUR: (NEIGHBOUR, BRIDGE, ROOT),
    BRIDGE: (BRIDGE, ROOT),
    ROOT: (ROOT,),
    "pci:0000:81:00.0": ("pci:0000:81:00.0",),
    "nic:eth0": ("pci:0000:81:00.0",),
    "nic:eth1": ("pci:0000:81:00.0",),
    "ib:mlx5_0": ("pci:0000:81:00.0",),
}


def found(check_id: str, *parts: str, status: Status = Status.FAIL, **evidence: object) -> Result:
    spec = CheckSpec(check_id, lambda: Verdict(status, ""), (), {}, frozenset(), "", None, beta=False)
    return Result(spec, CheckSettings(), Verdict(status, "broken", {"parts": list(parts)} | evidence), 0.0)


def told(results: Sequence[Result], relations: Mapping[str, Sequence[str]] = RELATED) -> list[tuple[str, ...]]:
    """Return the ids of each incident's findings, the cause first."""
    return [tuple(r.spec.id for r in i.all) for i in incidents(results, relations)]


def test_a_gpu_that_fell_off_the_bus_is_one_incident() -> None:
    results = [
        found("event.aer_fatal", BRIDGE),
        found("event.xid", "pci:0000:3B:00"),  # as the driver spells it
        found("gpu.count", GPU),
        found("device.removed", GPU),
    ]

    (incident,) = incidents(results, RELATED)

    assert incident.cause.spec.id == "device.removed"
    assert [r.spec.id for r in incident.members] == ["event.xid", "event.aer_fatal", "gpu.count"]
    assert incident.part == GPU


def test_without_relations_the_same_part_still_joins() -> None:
    results = [found("event.aer_fatal", BRIDGE), found("gpu.count", GPU), found("event.xid", "pci:0000:3b:00")]

    assert told(results, {}) == [("event.xid", "gpu.count"), ("event.aer_fatal",)]
    assert told(results, {}) == [tuple(r.spec.id for r in i.all) for i in incidents(results)]


def test_neighbours_behind_a_bridge_are_one_only_if_the_bridge_is_ill() -> None:
    two = [found("event.xid", GPU), found("pci.link", NEIGHBOUR)]

    assert told(two) == [("event.xid",), ("pci.link",)]
    assert told([*two, found("event.aer_fatal", BRIDGE)]) == [("event.xid", "event.aer_fatal", "pci.link")]
    assert told([*two, found("event.aer_fatal", ROOT)]) == [("event.xid", "event.aer_fatal", "pci.link")]


def test_interface_port_and_device_of_an_adapter_are_one() -> None:
    results = [
        found("ib.port", "ib:mlx5_0/1"),
        found("nic.flaps", "nic:eth1"),
        found("device.link_down", "nic:eth0"),
        found("event.aer_nonfatal", "pci:0000:81:00.0"),
    ]

    assert told(results) == [("event.aer_nonfatal", "device.link_down", "ib.port", "nic.flaps")]
    assert told([results[0], found("event.nic_module", "ib:mlx5_0/2")]) == [("event.nic_module", "ib.port")]


def test_memory_errors_of_one_module_are_one() -> None:
    edac, mce = found("memory.edac", "dimm:CPU0_A1"), found("event.mce_uncorrected", "dimm:CPU0_A1")

    assert told([edac, mce, found("memory.edac", "dimm:CPU1_B2")]) == [
        ("event.mce_uncorrected", "memory.edac"),
        ("memory.edac",),
    ]


def test_what_names_no_part_or_the_whole_node_is_alone() -> None:
    results = [found("event.oom"), found("event.hung_task", ""), found("event.soft_lockup", ""), found("fs.full")]

    assert len(told(results)) == 4


def test_mounts_are_not_one_for_being_mounts() -> None:
    assert len(told([found("event.fs_error", "fs:/scratch"), found("event.fs_error", "fs:/home")])) == 2


def test_a_failure_comes_before_a_warning_and_what_is_well_is_no_finding() -> None:
    results = [
        found("event.aer_corrected", GPU, status=Status.WARN),
        found("gpu.count", GPU),
        found("event.xid", GPU, status=Status.OK),
        found("event.aer_fatal", GPU, status=Status.UNKNOWN),
    ]

    assert told(results) == [("gpu.count", "event.aer_corrected")]
    assert incidents([]) == ()


def test_what_has_nothing_to_do_with_each_other_stays_in_its_order() -> None:
    results = [found("fs.full"), found("cpu.smt"), found("kernel.taint")]

    assert [r.spec.id for r in by_cause(results)] == ["fs.full", "cpu.smt", "kernel.taint"]


@given(st.lists(st.lists(st.sampled_from([*RELATED, "dimm:A1", ""]), max_size=3), max_size=8))
def test_each_finding_is_in_one_incident_and_what_shares_a_part_in_the_same(parts: list[list[str]]) -> None:
    results = [found(f"event.n{n}", *where) for n, where in enumerate(parts)]

    groups = [i.all for i in incidents(results, RELATED)]

    assert sorted(r.spec.id for group in groups for r in group) == sorted(r.spec.id for r in results)
    place = {r.spec.id: n for n, group in enumerate(groups) for r in group}
    for a in results:
        for b in results:
            if (set(parts_of(a)) & set(parts_of(b))) - {""}:
                assert place[a.spec.id] == place[b.spec.id]


def test_evidence_of_another_shape_is_no_part() -> None:
    assert parts_of(found("a.b")._replace(verdict=Verdict(Status.FAIL, "", {"parts": "pci:0"}))) == ()
    assert parts_of(found("nic.link")._replace(verdict=Verdict(Status.FAIL, "", {"interfaces": 7}))) == ()


def test_the_reason_of_a_drain_names_the_cause_and_counts_the_rest() -> None:
    results = [
        found("fs.full"),
        found("gpu.count", GPU),
        found("event.aer_fatal", BRIDGE),
        found("event.xid", GPU),
    ]

    intent = decide(results, counted(History(), results), Settings(mode="enforce"), RELATED)

    assert intent.text == "event.xid: broken (+3 more)"
    assert intent.checks == ("event.xid", "event.aer_fatal", "gpu.count", "fs.full")


def test_what_is_done_about_it_says_so_too(tmp_path: Path) -> None:
    results = (found("gpu.count", GPU), found("event.aer_fatal", BRIDGE), found("event.xid", GPU))

    done = act(Pass(results, {}), Settings(), "n1", str(tmp_path / "state"), [""].append, relations=RELATED)

    assert str(done["summary"]).endswith("event.xid: broken (+2 more)")


def test_the_table_of_causes_names_checks_that_there_are() -> None:
    ids = {OPERATOR, *registry()}

    assert [pattern for pattern, _ in _NEARNESS if not fnmatch.filter(ids, pattern)] == []


# -- what existing checks say of which parts are ill


@pytest.mark.parametrize(
    ("check_id", "evidence", "parts"),
    [
        ("gpu.count", {"broken": {"0000:3b:00.0": "GPU_IS_LOST"}}, ("pci:0000:3b:00.0",)),
        ("ib.port", {"ports": ["mlx5_0/1"]}, ("ib:mlx5_0/1",)),
        ("nic.link", {"interfaces": ["eth0", "eth1"]}, ("nic:eth0", "nic:eth1")),
        ("pci.aer", {"error_count": {"0000:3b:00.0": {}}}, ("pci:0000:3b:00.0",)),
        ("cpu.smt", {"control": "on"}, ()),
    ],
)
def test_parts_of_checks_that_name_none(check_id: str, evidence: dict[str, object], parts: tuple[str, ...]) -> None:
    assert check_id in registry()
    result = found(check_id)._replace(verdict=Verdict(Status.FAIL, "", evidence))
    assert parts_of(result) == parts


MC = "/sys/devices/system/edac/mc/mc0"


def test_the_module_with_too_many_errors_is_named_and_no_other(machine: Machine) -> None:
    files = {f"{MC}/ce_count": "5001", f"{MC}/ue_count": "0"}
    for n, count in ((0, "1"), (1, "5000")):
        files |= {f"{MC}/dimm{n}/dimm_label": f"A{n}", f"{MC}/dimm{n}/dimm_ce_count": count}
        files |= {f"{MC}/dimm{n}/dimm_ue_count": "0"}
    verdict = verdict_of("memory.edac", machine(files))

    assert parts_of(found("memory.edac")._replace(verdict=verdict)) == ("dimm:A1", "dimm:A1 (mc0 dimm1)")


# -- relations


PCI = "/sys/bus/pci/devices"
TREE = "../../../devices/pci0000:00"


@pytest.fixture
def related(machine: Callable[..., Host]) -> Mapping[str, tuple[str, ...]]:
    """A switch below a root port with a GPU that has an audio function; a NIC of two ports; drives; a virtual NIC."""
    places = {
        "0000:00:01.0": "",
        "0000:3a:00.0": "/0000:00:01.0",
        "0000:3b:00.0": "/0000:00:01.0/0000:3a:00.0",
        "0000:3b:00.1": "/0000:00:01.0/0000:3a:00.0",
        "0000:81:00.0": "",
        "0000:81:00.1": "",
        "0000:00:17.0": "",
        "0000:00:1c.0": "",
        "0000:00:1c.1": "",
    }
    links = {f"{PCI}/{address}": f"{TREE}{path}/{address}" for address, path in places.items()}
    links |= {
        "/sys/class/net/eth0": "../../devices/pci0000:80/0000:81:00.0/net/eth0",
        "/sys/class/net/eth1": "../../devices/pci0000:80/0000:81:00.1/net/eth1",
        "/sys/class/net/lo": "../../devices/virtual/net/lo",
        "/sys/class/infiniband/mlx5_1": "../../devices/pci0000:80/0000:81:00.1/infiniband/mlx5_1",
        "/sys/class/nvme/nvme0": "../../devices/pci0000:00/0000:00:1c.0/0000:05:00.0/nvme/nvme0",
        "/sys/block/nvme0n1": "../devices/pci0000:00/0000:00:1c.0/0000:05:00.0/nvme/nvme0/nvme0n1",
        "/sys/block/sda": "../devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda",
    }
    buses = ("0000:00:01.0/pci_bus/0000:3a", "0000:3a:00.0/pci_bus/0000:3b", "0000:00:1c.0/pci_bus/0000:05")
    directories = [f"{PCI}/{bus}" for bus in (*buses, "0000:00:1c.1/pci_bus/0000:06")]
    host = machine({}, links=links, directories=(*directories, *links))
    return Relations.read(host).of


def test_functions_of_one_card_are_one_and_ports_of_a_bridge_are_not(related: Mapping[str, Sequence[str]]) -> None:
    assert related[GPU] == (GPU, BRIDGE, ROOT)
    assert related["pci:0000:3b:00.1"] == (GPU, BRIDGE, ROOT)
    assert related["pci:0000:00:1c.1"] == ("pci:0000:00:1c.1",)
    assert related["nic:eth1"] == related["ib:mlx5_1"] == related["nic:eth0"] == ("pci:0000:81:00.0",)
    assert "nic:lo" not in related


def test_a_drive_is_its_controller_and_a_disk_is_behind_one(related: Mapping[str, Sequence[str]]) -> None:
    assert related["disk:nvme0n1"] == related["nvme:nvme0"] == ("pci:0000:05:00.0", "pci:0000:00:1c.0")
    assert related["disk:sda"] == ("disk:sda", "pci:0000:00:17.0")


def test_relations_of_this_machine_are_read_and_are_whole() -> None:
    with Host() as host:
        related = Relations.read(host).of

    buses = os.listdir("/sys/bus/pci/devices") if os.path.isdir("/sys/bus/pci/devices") else []
    assert {f"pci:{address}" for address in buses} == {part for part in related if part.startswith("pci:")}
    assert all(chain for chain in related.values())


def test_a_machine_that_says_nothing_is_related_to_nothing(machine: Callable[..., Host]) -> None:
    assert Relations.read(machine({})).of == {}
    denied = machine({}, errors={f"{PCI}/*": ("denied", "EACCES"), "/sys/class/net/*": ("timed_out", "")})
    assert Relations.read(denied).of == {}
