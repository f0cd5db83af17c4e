"""A healthy node of eight InfiniBand ports has no finding, and each fault of it exactly one, by the right check."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from ib_node import IB, PCI, IbNode
from nodeproof.check import registry
from nodeproof.cli import record
from nodeproof.engine.run import judge
from nodeproof.engine.worker import Reading, read_facts
from nodeproof.host import Host, open_host
from nodeproof.policy.settings import CheckSettings
from nodeproof.verdict import Status, Verdict

SPECS = {id_: spec for id_, spec in registry().items() if spec.subject == "ib" or id_ == "pci.link"}

BAD = "mlx5_5"
PORT = f"{IB}/{BAD}/ports/1"


def policy_of(host: Host) -> dict[str, dict[str, object]]:
    """Return what policy says who learnt it from this node, and what only people say."""
    readings, said = read(host), dict[str, dict[str, object]]()
    for id_, spec in SPECS.items():
        said[id_] = dict(spec.learn(*(readings[f].value for f in spec.facts))) if spec.learn is not None else {}
    said["ib.port"] |= {"link_layer": "InfiniBand", "min_width": 4}
    said["ib.subnet_manager"] |= {"allowed": (1,)}
    return said


def read(host: Host) -> dict[type, Reading]:
    facts = list(dict.fromkeys(fact for spec in SPECS.values() for fact in spec.facts))
    return read_facts(host, facts, deadline_s=5, until_s=float("inf"))


def verdicts(host: Host, policy: dict[str, dict[str, object]]) -> dict[str, Verdict]:
    readings = read(host)
    return {id_: judge(spec, CheckSettings(policy[id_]), readings) for id_, spec in SPECS.items()}


def findings(host: Host, policy: dict[str, dict[str, object]]) -> dict[str, Verdict]:
    """Return all that is neither sound nor skipped."""
    return {id_: verdict for id_, verdict in verdicts(host, policy).items() if verdict.status > Status.SKIP}


class Good(NamedTuple):
    """The node as it was an hour ago, and the policy that it taught."""

    host: Host
    policy: dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    host = IbNode().plant(tmp_path_factory.mktemp("good"))
    return Good(host, policy_of(IbNode().watch(tmp_path_factory.mktemp("watched"), host)))


def test_a_healthy_node_has_no_finding_under_a_policy_that_claims_all_of_it(good: Good, tmp_path: Path) -> None:
    assert good.policy["ib.port"]["claimed"] == {f"mlx5_{n}/1": 400 for n in range(8)}
    assert good.policy["ib.pkeys"] == {"required": ("0x7fff", "0x8001")}
    assert good.policy["ib.locality"]["expected"] == {f"mlx5_{n}": n // 4 for n in range(8)}
    assert good.policy["ib.locality"]["pairs"]["0000:15:00.0"] == "mlx5_0"  # type: ignore[index]
    assert good.policy["ib.netdev_binding"]["expected"]["mlx5_5/1"] == "ibp100s0"  # type: ignore[index]

    assert findings(IbNode().watch(tmp_path / "now", good.host), good.policy) == {}


def test_every_check_of_adapters_judges_the_healthy_node(good: Good, tmp_path: Path) -> None:
    """A check that is skipped has no finding either; drivers, which `ib.transceiver` asks, this node has none of."""
    found = verdicts(IbNode().watch(tmp_path / "now", good.host), good.policy)
    assert {id_ for id_, verdict in found.items() if verdict.status != Status.OK} <= {"ib.transceiver"}


def test_a_scrubbed_recording_names_no_guid_and_comes_to_the_same_verdicts(good: Good, tmp_path: Path) -> None:
    node = IbNode()
    misbound(node)
    node.watch(tmp_path / "now", good.host)
    recorded = tmp_path / "recorded"

    done = CliRunner().invoke(record.command, [str(recorded), "--root", str(tmp_path / "now"), "--scrub"])
    assert done.exit_code == 0, done.output
    assert not [p for p in recorded.rglob("*") if p.is_file() and node.rails[0].guid in p.read_text()]
    with open_host(recorded) as host:
        assert set(findings(host, good.policy)) == {"ib.netdev_binding"}


def at_200(node: IbNode) -> None:
    node.files[f"{PORT}/rate"] = "200 Gb/sec (2X NDR)\n"


def in_init(node: IbNode) -> None:
    node.files |= {f"{PORT}/state": "2: INIT\n", f"{PORT}/lid": "0x0\n", f"{PORT}/sm_lid": "0x0\n"}
    node.files[f"{PORT}/pkeys/1"] = "0x0000\n"
    node.netlink[BAD]["ports"]["1"] |= {"state": 2, "lid": 0, "sm_lid": 0}


def odd_firmware(node: IbNode) -> None:
    node.files[f"{IB}/{BAD}/fw_ver"] = "28.36.1010\n"
    node.netlink[BAD]["firmware"] = "28.36.1010"


def wrong_pkey(node: IbNode) -> None:
    node.files[f"{PORT}/pkeys/1"] = "0x8002\n"


def limited_pkey(node: IbNode) -> None:
    node.files[f"{PORT}/pkeys/1"] = "0x0001\n"


def no_manager(node: IbNode) -> None:
    node.files[f"{PORT}/sm_lid"] = "0x0\n"


def foreign_manager(node: IbNode) -> None:
    node.files[f"{PORT}/sm_lid"] = "0x33\n"


def misbound(node: IbNode) -> None:
    """Rename two interfaces crosswise, as a udev rule by order of discovery does."""
    one, other = node.rails[4], node.rails[5]
    for rail, name in ((one, other.netdev), (other, one.netdev)):
        directory = f"{IB}/{rail.name}/device/net"
        node.files = {p: t for p, t in node.files.items() if not p.startswith(f"{directory}/{rail.netdev}/")}
        node.files |= {f"{directory}/{name}/mtu": "4092\n", f"{directory}/{name}/dev_port": "0\n"}


def seat_of_eight_lanes(node: IbNode) -> None:
    node.files[f"{PCI}/{node.rails[5].path[-1]}/current_link_width"] = "8\n"


def slot_of_eight_lanes(node: IbNode) -> None:
    card, slot = node.rails[5].path[-1], node.rails[5].path[-2]
    node.files |= {f"{PCI}/{slot}/max_link_width": "8\n", f"{PCI}/{slot}/current_link_width": "8\n"}
    node.files[f"{PCI}/{card}/current_link_width"] = "8\n"


def other_socket(node: IbNode) -> None:
    node.files[f"{IB}/{BAD}/device/numa_node"] = "0\n"


def without_verbs(node: IbNode) -> None:
    node.files = {path: text for path, text in node.files.items() if "/infiniband_verbs/" not in path}


def verbs_for_root_alone(node: IbNode) -> None:
    for call, answer in node.calls.items():
        if call[-1] == "/dev/infiniband/uverbs5":
            answer["mode"] = "0600"


def small_mtu(node: IbNode) -> None:
    node.files[f"{IB}/{BAD}/device/net/{node.rails[5].netdev}/mtu"] = "2044\n"


def without_peermem(node: IbNode) -> None:
    node.directories = tuple(d for d in node.directories if not d.endswith("/nvidia_peermem"))
    node.files["/proc/modules"] = "mlx5_ib 16384 0 - Live 0x0000000000000000\n"


def symbol_errors(node: IbNode) -> None:
    node.files[f"{PORT}/counters/symbol_error"] = "2000\n"


def lost_links(node: IbNode) -> None:
    node.files[f"{PORT}/counters/link_downed"] = "9\n"


FAULTS: list[tuple[Callable[[IbNode], None], str, str]] = [
    (at_200, "ib.port", "mlx5_5/1 runs on 2 lanes (200 Gb/s), expected 4"),
    (in_init, "ib.port", "mlx5_5/1 is in state INIT, expected ACTIVE"),
    (odd_firmware, "ib.firmware", "MT_0000000838 adapters run firmware mlx5_5 28.36.1010, allowed 28.39.1002"),
    (no_manager, "ib.subnet_manager", "mlx5_5/1 knows no subnet manager (SM LID 0), expected one"),
    (foreign_manager, "ib.subnet_manager", "mlx5_5/1 obeys a subnet manager at LID 51, expected 1"),
    (wrong_pkey, "ib.pkeys", "mlx5_5/1 lacks partition key 0x8001 (it has 0x7fff, 0x8002)"),
    (limited_pkey, "ib.pkeys", "mlx5_5/1 is a limited member of partition 0x0001, expected a full one"),
    (
        misbound,
        "ib.netdev_binding",
        "mlx5_4/1 belongs to ibp100s0, expected ibp84s0, mlx5_5/1 belongs to ibp84s0, expected ibp100s0",
    ),
    (seat_of_eight_lanes, "pci.link", "ib 0000:64:00.0 runs at x8, expected x16 below port 0000:63:00.0"),
    (
        slot_of_eight_lanes,
        "ib.pci",
        "mlx5_5 (0000:64:00.0) is in a slot that can do x8 with it, expected x16",
    ),
    (other_socket, "ib.locality", "mlx5_5 is at NUMA node 0, expected 1"),
    (without_verbs, "ib.device_files", "there is no uverbs file, expected 8: is module ib_uverbs loaded?"),
    (verbs_for_root_alone, "ib.device_files", "/dev/infiniband/uverbs5 has mode 0600, expected 0666"),
    (
        small_mtu,
        "ib.homogeneity",
        "ports of one board differ in MTU: mlx5_5/1 has 2044, most have 4092",
    ),
    (without_peermem, "ib.modules", "module nvidia_peermem is not loaded, expected it for GPUDirect RDMA"),
    (symbol_errors, "ib.counters", "mlx5_5/1 has 2000 symbol errors in 60 min, expected at most 1440 in 1 h"),
    (lost_links, "ib.flaps", "mlx5_5/1 has 8 lost links in 1.16 h, expected at most 2 in 12 h"),
]


@pytest.mark.parametrize(("fault", "check_id", "words"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_each_fault_is_one_finding(
    fault: Callable[[IbNode], None],
    check_id: str,
    words: str,
    good: Good,
    tmp_path: Path,
) -> None:
    node = IbNode()
    fault(node)

    found = findings(node.watch(tmp_path / "now", good.host), good.policy)
    assert {id_: verdict.status for id_, verdict in found.items()} == {check_id: Status.FAIL}
    assert found[check_id].summary == words


def test_a_counter_at_its_end_is_unknown_and_nothing_else(good: Good, tmp_path: Path) -> None:
    node = IbNode()
    node.files[f"{PORT}/counters/port_rcv_errors"] = "65535\n"
    before = node.plant(tmp_path / "before")

    found = findings(node.watch(tmp_path / "now", before), good.policy)
    assert {id_: verdict.status for id_, verdict in found.items()} == {"ib.counters": Status.UNKNOWN}
    assert "port_rcv_errors of mlx5_5/1" in found["ib.counters"].summary


def unread_interface(node: IbNode) -> None:
    (mtu,) = [path for path in node.files if path.startswith(f"{IB}/{BAD}/device/net/") and path.endswith("/mtu")]
    node.errors[mtu] = ("failed", "EIO")


def unread_modules(node: IbNode) -> None:
    node.errors["/proc/modules"] = ("denied", "EACCES")


#: What cannot be read, and the checks that cannot tell without it.
UNREAD = [
    (unread_interface, {"ib.homogeneity", "ib.netdev_binding"}),
    (unread_modules, {"ib.modules"}),
]


@pytest.mark.parametrize(("fault", "unsure"), UNREAD, ids=lambda value: getattr(value, "__name__", None))
def test_what_cannot_be_read_is_unknown(
    fault: Callable[[IbNode], None], unsure: set[str], good: Good, tmp_path: Path
) -> None:
    node = IbNode()
    fault(node)

    found = findings(node.watch(tmp_path / "now", good.host), good.policy)
    assert {id_: verdict.status for id_, verdict in found.items()} == dict.fromkeys(unsure, Status.UNKNOWN)
