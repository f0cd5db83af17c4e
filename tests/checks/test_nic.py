"""Ethernet checks on planted ports."""

import pytest

from nodeproof.check import registry
from nodeproof.host.devlink import devlink_info
from nodeproof.probes.nic import Interfaces
from nodeproof.verdict import Status
from support import Machine, verdict_of

NET = "/sys/class/net"


def port(name: str, **values: str | int) -> dict[str, str]:
    """Files of a healthy port of a ConnectX-6; `statistics__x` stands for the file `statistics/x`."""
    files: dict[str, str | int] = {
        "type": 1,
        "operstate": "up",
        "carrier": 1,
        "speed": 25000,
        "duplex": "full",
        "mtu": 9000,
        "carrier_changes": 2,
        "device/uevent": "DRIVER=mlx5_core\nPCI_ID=15B3:101D\nPCI_SUBSYS_ID=15B3:0040",
        "statistics/rx_packets": 1_000_000,
        "statistics/tx_packets": 1_000_000,
    }
    errors = ("rx_errors", "rx_crc_errors", "rx_missed_errors", "tx_errors", "tx_carrier_errors")
    files |= {f"statistics/{name}": 0 for name in errors}
    files |= {key.replace("statistics__", "statistics/"): value for key, value in values.items()}
    return {f"{NET}/{name}/{file}": f"{value}\n" for file, value in files.items()}


def virtual(name: str, **values: str | int) -> dict[str, str]:
    """Files of an interface without a device: a bond, VLAN or bridge."""
    return {path: text for path, text in port(name, **values).items() if "/device/" not in path}


NODE = port("eth1") | port("eth10")
CLAIM = ("eth1", "eth10")
SWITCHED_OFF = {f"{NET}/eth1/{f}": ("failed", "EINVAL") for f in ("carrier", "speed", "duplex")}


def test_claimed_ports_pass(machine: Machine) -> None:
    verdict = verdict_of("nic.link", machine(NODE), claimed=CLAIM, min_mb_per_s={"eth1": 25000})

    assert verdict.status == Status.OK
    assert verdict.summary == "all claimed interfaces are up: eth1 (25000 Mb/s), eth10 (25000 Mb/s)"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"operstate": "down", "carrier": 0}, "is down (down, no carrier), expected up"),
        ({"operstate": "lowerlayerdown"}, "is down (lowerlayerdown, with carrier), expected up"),
        ({"speed": 10000}, "runs at 10000 Mb/s, expected 25000"),
        ({"duplex": "half"}, "runs in half duplex, expected full"),
    ],
)
def test_a_bad_port_fails_and_is_named(machine: Machine, values: dict[str, str | int], words: str) -> None:
    host = machine(port("eth1", **values) | port("eth10"))

    verdict = verdict_of("nic.link", host, claimed=CLAIM, min_mb_per_s={"eth1": 25000, "eth10": 25000})
    assert verdict.status == Status.FAIL
    assert verdict.summary == f"eth1 {words}"
    assert verdict.evidence == {"interfaces": ["eth1"]}


def test_a_missing_port_fails_by_name(machine: Machine) -> None:
    assert "eth10 is missing" in verdict_of("nic.link", machine(port("eth1")), claimed=CLAIM).summary
    assert verdict_of("nic.link", machine({}), claimed=CLAIM).status == Status.FAIL


def test_a_port_that_is_switched_off_is_down(machine: Machine) -> None:
    host = machine(port("eth1", operstate="down") | port("eth10"), errors=SWITCHED_OFF)

    assert verdict_of("nic.link", host, claimed=CLAIM).summary == "eth1 is down (down, no carrier), expected up"
    assert verdict_of("nic.link", host, claimed=("eth10",)).status == Status.OK


@pytest.mark.parametrize("speed", ["-1", "4294967295"])
def test_an_unknown_speed_is_not_judged(machine: Machine, speed: str) -> None:
    host = machine(port("eth1", speed=speed, duplex="unknown"))

    assert verdict_of("nic.link", host, claimed=("eth1",), min_mb_per_s={"eth1": 25000}).status == Status.OK


def test_an_unread_port_is_unknown_and_hides_no_failure(machine: Machine) -> None:
    hung = {f"{NET}/eth1/speed": ("timed_out", "")}
    host = machine(port("eth1") | port("eth10", carrier=0), errors=hung)

    assert verdict_of("nic.link", host, claimed=("eth1",)).status == Status.UNKNOWN
    assert verdict_of("nic.link", host, claimed=CLAIM).status == Status.FAIL
    assert verdict_of("nic.flaps", host).status == Status.UNKNOWN
    assert verdict_of("nic.errors", host).status == Status.UNKNOWN
    assert verdict_of("nic.mtu", host, mtu_bytes={"eth1": 9000}).status == Status.UNKNOWN
    assert verdict_of("nic.mtu", host, mtu_bytes={"eth10": 9000}).status == Status.OK


def test_only_physical_ports_count(machine: Machine) -> None:
    usb = {f"{NET}/usb0/device/uevent": "MODALIAS=usb:v046Bp*"}
    files = NODE | port("usb0") | usb | port("vf0") | {f"{NET}/lo/type": "772", f"{NET}/bonding_masters": ""}
    host = machine(files, directories=(f"{NET}/vf0/device/physfn",))

    assert Interfaces.read(host).ports == {"eth1", "eth10"}


def test_what_stands_for_a_function_of_an_adapter_is_no_port(machine: Machine) -> None:
    names = {"eth1": "p0", "eth1_0": "pf0vf3", "eth1_1": "pf0sf1", "eth1_2": "c1pf0vf0"}
    files = [port(name, phys_port_name=said) for name, said in names.items()]
    sub = port("sf0") | {f"{NET}/sf0/device/uevent": "MODALIAS=auxiliary:mlx5_core.sf"}
    host = machine({path: text for tree in (*files, sub) for path, text in tree.items()})

    assert Interfaces.read(host).ports == {"eth1"}


BOND = virtual("bond0", mtu=1500)


def test_a_bond_a_vlan_and_ipoib_are_judged_where_named(machine: Machine) -> None:
    host = machine(NODE | BOND | virtual("bond0.100", carrier=0, operstate="down") | port("ib0", type=32, mtu=2044))

    assert verdict_of("nic.link", host, claimed=("eth1", "bond0", "ib0")).status == Status.OK
    verdict = verdict_of("nic.link", host, claimed=("bond0", "bond0.100"))
    assert verdict.summary == "bond0.100 is down (down, no carrier), expected up"
    assert verdict_of("nic.mtu", host, mtu_bytes={"bond0": 1500, "ib0": 2044}).status == Status.OK
    for others in ({}, {"eth1": 9000}):
        verdict = verdict_of("nic.mtu", host, mtu_bytes={"bond0": 9000, **others})
        assert verdict.summary == "bond0 has an MTU of 1500 bytes, expected 9000"


def test_other_interfaces_than_ports_are_judged_by_name_alone(machine: Machine) -> None:
    """Neither their flaps nor what could not be read of them says anything of the node."""
    odd = virtual("veth1", carrier_changes=900) | virtual("veth2", mtu="many")
    host = machine(NODE | odd)

    assert verdict_of("nic.flaps", host).status == Status.OK
    assert verdict_of("nic.errors", host).summary == "2 Ethernet ports with no more errors than tolerated"
    assert verdict_of("nic.link", host, claimed=("eth1",)).status == Status.OK
    assert verdict_of("nic.mtu", host, mtu_bytes={"veth2": 1500}).status == Status.UNKNOWN


def test_a_node_without_ports_may_have_a_named_interface(machine: Machine) -> None:
    host = machine(BOND, calls={(devlink_info,): {}})

    assert verdict_of("nic.mtu", host, mtu_bytes={"bond0": 9000}).status == Status.FAIL
    assert verdict_of("nic.link", host, claimed=("bond0",)).status == Status.OK
    for check_id in ("nic.flaps", "nic.errors", "nic.firmware"):
        assert verdict_of(check_id, host).status == Status.SKIP


def test_a_machine_without_ports_is_a_skip(machine: Machine) -> None:
    host = machine({f"{NET}/lo/type": "772"}, calls={(devlink_info,): {}})

    for check_id in ("nic.flaps", "nic.errors", "nic.firmware"):
        assert verdict_of(check_id, host).status == Status.SKIP
    assert verdict_of("nic.mtu", host, mtu_bytes={"eth0": 1500}).status == Status.SKIP


def test_mtu(machine: Machine) -> None:
    host = machine(NODE | port("eth2", mtu=1500))

    assert verdict_of("nic.mtu", host).status == Status.SKIP
    verdict = verdict_of("nic.mtu", host, mtu_bytes={"eth1": 9000, "eth9": 9000})
    assert verdict.status == Status.OK
    assert verdict.summary == "MTU in bytes as expected: eth1 9000; not there: eth9"
    assert verdict.evidence == {"missing": ["eth9"]}
    assert verdict_of("nic.mtu", host, mtu_bytes={"eth9": 9000}).status == Status.SKIP
    verdict = verdict_of("nic.mtu", host, mtu_bytes={"eth1": 9000, "eth2": 9000})
    assert verdict.summary == "eth2 has an MTU of 1500 bytes, expected 9000"
    assert verdict.evidence == {"mtu_bytes": {"eth2": 1500}}


def test_flaps(machine: Machine) -> None:
    assert verdict_of("nic.flaps", machine(NODE)).status == Status.OK

    host = machine(NODE | port("eth2", carrier_changes=31))
    assert verdict_of("nic.flaps", host, max_carrier_changes=31).status == Status.OK
    assert verdict_of("nic.flaps", host).summary == "eth2 changed its carrier 31 times since boot, limit 30"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rx_crc_errors": 200}, "200 bad received packets in a million (200 in all), limit 10"),
        ({"rx_errors": 300, "rx_crc_errors": 200}, "300 bad received packets in a million (300 in all)"),
        ({"tx_errors": 150}, "150 failed sent packets in a million"),
        ({"rx_missed_errors": 5000}, "4975 missed packets in a million (5000 in all), limit 1000"),
    ],
)
def test_errors_fail_by_their_share(machine: Machine, values: dict[str, int], words: str) -> None:
    host = machine(NODE | port("eth2", **{f"statistics__{name}": count for name, count in values.items()}))

    verdict = verdict_of("nic.errors", host)
    assert verdict.status == Status.FAIL
    assert f"eth2 has {words}" in verdict.summary


@pytest.mark.parametrize("values", [{"rx_errors": 99}, {"rx_missed_errors": 900}, {"rx_packets": 0, "tx_packets": 0}])
def test_a_few_errors_pass(machine: Machine, values: dict[str, int]) -> None:
    host = machine(port("eth2", **{f"statistics__{name}": count for name, count in values.items()}))

    assert verdict_of("nic.errors", host).status == Status.OK


RDMA = f"{NET}/eth2/device/infiniband/mlx5_0"
RDMA_COUNTERS = "/sys/class/infiniband/mlx5_0/ports/1/counters"


def test_the_share_of_errors_is_not_judged_where_rdma_packets_are_not_counted(machine: Machine) -> None:
    host = machine(NODE | port("eth2", statistics__rx_crc_errors=200), directories=(RDMA,))

    verdict = verdict_of("nic.errors", host)
    assert verdict.status == Status.OK
    assert verdict.summary.endswith("; eth2 not judged: nothing counts the RDMA packets")
    assert verdict.evidence == {"not_judged": ["eth2"]}


@pytest.mark.parametrize(("packets", "status"), [(10**9, Status.OK), (10**4, Status.FAIL), ("N/A", Status.SKIP)])
def test_errors_are_a_share_of_rdma_packets_too(machine: Machine, packets: object, status: Status) -> None:
    counters = {f"{RDMA_COUNTERS}/port_{way}_packets": f"{packets}\n" for way in ("rcv", "xmit")}
    files = port("eth2", statistics__rx_crc_errors=200) | counters

    assert verdict_of("nic.errors", machine(files, directories=(RDMA,))).status == status


def test_garbled_counters_are_unknown(machine: Machine) -> None:
    assert verdict_of("nic.errors", machine(port("eth1", statistics__rx_errors="few"))).status == Status.UNKNOWN


def test_learn_describes_ports_in_use(machine: Machine) -> None:
    interfaces = Interfaces.read(machine(NODE | port("eth2", carrier=0)))
    specs = registry()
    link, mtu = specs["nic.link"].learn, specs["nic.mtu"].learn
    assert link is not None
    assert mtu is not None

    assert link(interfaces) == {"claimed": CLAIM, "min_mb_per_s": {"eth1": 25000, "eth10": 25000}}
    assert mtu(interfaces) == {"mtu_bytes": {"eth1": 9000, "eth10": 9000}}
