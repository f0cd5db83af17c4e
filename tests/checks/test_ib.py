"""InfiniBand checks on planted adapters."""

from typing import Any

import pytest

from nodeproof.check import registry
from nodeproof.probes.ib_ports import IbInterfaces
from nodeproof.probes.infiniband import Infiniband
from nodeproof.verdict import Status
from support import Machine, verdict_of

IB = "/sys/class/infiniband"


def hca(name: str, *, firmware: str = "28.39.1002", board: str = "MT_0000000838", **port: str) -> dict[str, str]:
    files = {
        "state": "4: ACTIVE",
        "phys_state": "5: LinkUp",
        "rate": "400 Gb/sec (4X NDR)",
        "link_layer": "InfiniBand",
    } | port
    return {f"{IB}/{name}/ports/1/{file}": f"{text}\n" for file, text in files.items()} | {
        f"{IB}/{name}/fw_ver": f"{firmware}\n",
        f"{IB}/{name}/board_id": f"{board}\n",
    }


CLAIM = {"mlx5_0/1": 400, "mlx5_10/1": 400}


def test_claimed_ports_pass(machine: Machine) -> None:
    host = machine(hca("mlx5_0") | hca("mlx5_10"))

    verdict = verdict_of("ib.port", host, claimed=CLAIM, link_layer="InfiniBand")
    assert verdict.status == Status.OK
    assert verdict.summary == "all claimed ports are active: mlx5_0/1 (400 Gb/s), mlx5_10/1 (400 Gb/s)"


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ({"state": "1: DOWN", "phys_state": "2: Polling"}, "has no link (Polling), expected LinkUp"),
        ({"state": "2: INIT"}, "is in state INIT, expected ACTIVE"),
        ({"rate": "100 Gb/sec (1X NDR)"}, "runs at 100 Gb/s, expected 400"),
        ({"link_layer": "Ethernet"}, "has link layer Ethernet, expected InfiniBand"),
    ],
)
def test_a_bad_port_fails_and_is_named(machine: Machine, port: dict[str, str], words: str) -> None:
    host = machine(hca("mlx5_0") | hca("mlx5_10", **port))

    verdict = verdict_of("ib.port", host, claimed=CLAIM, link_layer="InfiniBand")
    assert verdict.status == Status.FAIL
    assert verdict.summary == f"mlx5_10/1 {words}"
    assert verdict.evidence == {"ports": ["mlx5_10/1"]}


def test_a_missing_adapter_fails_and_none_at_all_too(machine: Machine) -> None:
    assert "mlx5_10/1 is missing" in verdict_of("ib.port", machine(hca("mlx5_0")), claimed=CLAIM).summary


def test_a_port_that_is_down_on_purpose_is_judged_where_it_is_claimed_alone(machine: Machine) -> None:
    host = machine(hca("mlx5_0") | hca("mlx5_1", state="1: DOWN", phys_state="3: Disabled"))

    assert verdict_of("ib.port", host, claimed={"mlx5_0/1": 400}).status == Status.OK
    assert verdict_of("ib.port", host, claimed={"mlx5_1/1": 400}).status == Status.FAIL


def test_no_rdma_device_is_a_skip_unless_claimed(machine: Machine) -> None:
    host = machine({})

    assert verdict_of("ib.port", host).status == Status.SKIP
    for check_id in ("ib.firmware", "ib.homogeneity", "ib.subnet_manager", "ib.pkeys", "ib.device_files"):
        assert verdict_of(check_id, host).status == Status.SKIP
    for check_id in ("ib.pci", "ib.locality", "ib.netdev_binding"):
        assert verdict_of(check_id, host).status == Status.SKIP
    assert verdict_of("ib.port", host, claimed=CLAIM).status == Status.FAIL


@pytest.mark.parametrize("port", [{"rate": "fast"}, {"rate": "nan Gb/sec"}, {"state": "ACTIVE"}, {"phys_state": ""}])
def test_a_garbled_claimed_port_is_unknown(machine: Machine, port: dict[str, str]) -> None:
    host = machine(hca("mlx5_0", **port) | hca("mlx5_10"))

    assert verdict_of("ib.port", host, claimed=CLAIM).status == Status.UNKNOWN
    assert verdict_of("ib.port", host, claimed={"mlx5_10/1": 400}).status == Status.OK


def test_a_failed_port_outweighs_an_unread_one(machine: Machine) -> None:
    denied = {f"{IB}/mlx5_0/ports/1/state": ("denied", "EACCES")}
    host = machine(hca("mlx5_0") | hca("mlx5_10", rate="200 Gb/sec (2X NDR)"), errors=denied)

    assert verdict_of("ib.port", host, claimed=CLAIM).status == Status.FAIL
    assert verdict_of("ib.port", host, claimed={"mlx5_0/1": 400}).status == Status.UNKNOWN


def test_firmware_of_one_board_must_agree(machine: Machine) -> None:
    host = machine(hca("mlx5_0") | hca("mlx5_1", firmware="28.36.1010") | hca("mlx5_2", board="MT_1", firmware="16.1"))

    verdict = verdict_of("ib.firmware", host)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "MT_0000000838 adapters differ in firmware: mlx5_0 28.39.1002, mlx5_1 28.36.1010"


def test_firmware_must_be_allowed(machine: Machine) -> None:
    host = machine(hca("mlx5_0"))

    assert verdict_of("ib.firmware", host, allowed={"MT_0000000838": "28.39.*"}).status == Status.OK
    verdict = verdict_of("ib.firmware", host, allowed={"MT_0000000838": "28.40.*"})
    assert verdict.summary == "MT_0000000838 adapters run firmware mlx5_0 28.39.1002, allowed 28.40.*"


def test_firmware_may_be_allowed_by_adapter_where_a_driver_names_no_board(machine: Machine) -> None:
    host = machine(hca("mlx5_0") | hca("rxe0", board="", firmware=""))

    assert verdict_of("ib.firmware", host, allowed={"mlx5_0": "28.39.*"}).status == Status.OK
    verdict = verdict_of("ib.firmware", host, allowed={"mlx5_0": "28.40.*"})
    assert verdict.summary == "mlx5_0 runs 28.39.1002, allowed 28.40.*"
    verdict = verdict_of("ib.firmware", host, allowed={"rxe0": "28.39.*"})
    assert verdict.status == Status.FAIL
    assert verdict.summary == "rxe0 runs no firmware that its driver says, allowed 28.39.*"


def test_unreadable_firmware_is_unknown(machine: Machine) -> None:
    host = machine(hca("mlx5_0"), errors={f"{IB}/mlx5_0/fw_ver": ("timed_out", "")})

    assert verdict_of("ib.firmware", host).status == Status.UNKNOWN


def test_soft_roce_has_no_firmware_and_may_be_claimed(machine: Machine) -> None:
    port = {"rate": "2.5 Gb/sec (1X SDR)", "link_layer": "Ethernet"}
    files = {path: text for path, text in hca("rxe0", firmware="", **port).items() if "board_id" not in path}
    host = machine(files)

    assert verdict_of("ib.firmware", host).status == Status.OK
    assert verdict_of("ib.port", host, claimed={"rxe0/1": 2}).status == Status.OK


def test_learn_claims_active_ports_of_physical_adapters(machine: Machine) -> None:
    files = hca("mlx5_0") | hca("mlx5_1", state="1: DOWN") | hca("mlx5_2")
    ib = Infiniband.read(machine(files, directories=(f"{IB}/mlx5_2/device/physfn",)))

    specs = registry()
    learn_port, learn_firmware = specs["ib.port"].learn, specs["ib.firmware"].learn
    assert learn_port is not None
    assert learn_firmware is not None
    assert learn_port(ib) == {"claimed": {"mlx5_0/1": 400}}
    assert learn_firmware(ib) == {"allowed": {"MT_0000000838": "28.39.1002"}}


def test_a_port_that_lost_lanes_is_told_by_its_width(machine: Machine) -> None:
    host = machine(hca("mlx5_0") | hca("mlx5_10", rate="200 Gb/sec (2X NDR)"))

    verdict = verdict_of("ib.port", host, claimed=CLAIM, min_width=4)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "mlx5_10/1 runs on 2 lanes (200 Gb/s), expected 4"
    assert verdict_of("ib.port", host, claimed={"mlx5_10/1": 200}, min_width=2).status == Status.OK


@pytest.mark.parametrize(
    ("text", "gb_per_s", "lanes", "speed"),
    [
        ("400 Gb/sec (4X NDR)", 400.0, 4, "NDR"),
        ("2.5 Gb/sec (1X)", 2.5, 1, ""),
        ("10 Gb/sec (4X SDR)", 10.0, 4, "SDR"),
        ("40 Gb/sec (4X FDR10)", 40.0, 4, "FDR10"),
        ("25 Gb/sec", 25.0, None, ""),
    ],
)
def test_a_rate_says_lanes_and_speed(
    machine: Machine, text: str, gb_per_s: float, lanes: int | None, speed: str
) -> None:
    port = Infiniband.read(machine(hca("mlx5_0", rate=text))).ports["mlx5_0/1"]

    assert (port.rate_gb_per_s, port.lanes, port.speed) == (gb_per_s, lanes, speed)


def test_a_number_of_ports_may_be_claimed_instead_of_names(machine: Machine) -> None:
    files = hca("mlx5_0") | hca("mlx5_1", state="2: INIT") | hca("mlx5_2")
    host = machine(files, directories=(f"{IB}/mlx5_2/device/physfn",))

    assert verdict_of("ib.port", host, claimed=1).status == Status.OK
    verdict = verdict_of("ib.port", host, claimed=2)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "1 port active, expected 2: mlx5_1/1 is in state INIT, expected ACTIVE"
    assert "expected 4: mlx5_1/1 is" in verdict_of("ib.port", host, claimed=4).summary
    assert verdict_of("ib.port", host, claimed=1, link_layer="Ethernet").status == Status.FAIL


def test_a_port_that_could_not_be_read_may_be_the_one_that_is_missing(machine: Machine) -> None:
    host = machine(hca("mlx5_0") | hca("mlx5_1"), errors={f"{IB}/mlx5_1/ports/1/state": ("timed_out", "")})

    assert verdict_of("ib.port", host, claimed=1).status == Status.OK
    assert verdict_of("ib.port", host, claimed=2).status == Status.UNKNOWN
    assert verdict_of("ib.port", host, claimed=3).status == Status.FAIL


def interface(adapter: str, name: str, mtu: int) -> dict[str, str]:
    return {f"{IB}/{adapter}/device/net/{name}/mtu": f"{mtu}\n"}


@pytest.mark.parametrize(
    ("port", "mtu", "words"),
    [
        ({"rate": "200 Gb/sec (4X HDR)"}, 4092, "rate: mlx5_2/1 has 200 Gb/s, most have 400 Gb/s"),
        ({"rate": "400 Gb/sec (2X XDR)"}, 4092, "width: mlx5_2/1 has 2X, most have 4X"),
        ({"link_layer": "Ethernet"}, 4092, "link layer: mlx5_2/1 has Ethernet, most have InfiniBand"),
        ({}, 2044, "MTU: mlx5_2/1 has 2044, most have 4092"),
    ],
)
def test_the_odd_port_of_a_board_is_named_without_a_policy(
    machine: Machine, port: dict[str, str], mtu: int, words: str
) -> None:
    mtus = interface("mlx5_0", "ib0", 4092) | interface("mlx5_1", "ib1", 4092) | interface("mlx5_2", "ib2", mtu)
    verdict = verdict_of("ib.homogeneity", machine(hca("mlx5_0") | hca("mlx5_1") | hca("mlx5_2", **port) | mtus))

    assert verdict.status == Status.FAIL
    assert verdict.summary == f"ports of one board differ in {words}"


def test_only_active_ports_of_one_board_must_agree(machine: Machine) -> None:
    down = hca("mlx5_1", state="1: DOWN", phys_state="2: Polling", rate="10 Gb/sec (4X SDR)")
    storage = hca("mlx5_2", board="MT_0000000223", rate="100 Gb/sec (4X EDR)")
    host = machine(hca("mlx5_0") | down | storage)

    assert verdict_of("ib.homogeneity", host).status == Status.OK


def test_adapters_that_name_no_board_are_not_compared(machine: Machine) -> None:
    host = machine(hca("rxe0", board="") | hca("rxe1", board="", rate="2.5 Gb/sec (1X SDR)"))

    assert verdict_of("ib.homogeneity", host).status == Status.SKIP


def test_rates_that_policy_claims_are_left_to_the_check_of_ports(machine: Machine) -> None:
    host = machine(hca("mlx5_0") | hca("mlx5_1", rate="200 Gb/sec (2X NDR)"))
    learn = registry()["ib.homogeneity"].learn
    assert learn is not None
    learnt: dict[str, Any] = dict(learn(Infiniband.read(host), IbInterfaces.read(host)))

    assert learnt == {"compared": ("link_layer", "mtu")}
    assert verdict_of("ib.homogeneity", host, **learnt).status == Status.OK
    verdict = verdict_of("ib.homogeneity", host)
    words = "mlx5_0/1 has 400 Gb/s, mlx5_1/1 has 200 Gb/s, expected the same"
    assert verdict.summary == f"ports of one board differ in rate: {words}"
    assert verdict.evidence == {"parts": ["ib:mlx5_0/1", "ib:mlx5_1/1"]}


def test_every_check_of_adapters_has_the_tag() -> None:
    assert {id_ for id_, spec in registry().items() if "infiniband" in spec.tags} >= {
        "ib.port",
        "ib.firmware",
        "ib.homogeneity",
        "ib.subnet_manager",
        "ib.pkeys",
        "ib.pci",
        "ib.locality",
        "ib.device_files",
        "ib.netdev_binding",
        "ib.modules",
    }
