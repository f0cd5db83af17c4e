"""InfiniBand checks on planted adapters."""

import pytest

from nodeproof.check import registry
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
    assert verdict_of("ib.firmware", host).status == Status.SKIP
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
