"""Ethernet checks on planted ports."""

import pytest

from nodeproof.check import registry
from nodeproof.host import Host
from nodeproof.host.devlink import devlink_info
from nodeproof.host.ethtool import ethtool_drvinfo
from nodeproof.probes.nic import Interfaces, NicFirmwares
from nodeproof.verdict import Status
from support import Machine, verdict_of

NET = "/sys/class/net"
MODEL = "15b3:101d/15b3:0040"


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


NODE = port("eth1") | port("eth10")
CLAIM = ("eth1", "eth10")
SWITCHED_OFF = {f"{NET}/eth1/{f}": ("failed", "EINVAL") for f in ("carrier", "speed", "duplex")}


def test_claimed_ports_pass(machine: Machine) -> None:
    verdict = verdict_of("nic.link", machine(NODE), claimed=CLAIM, min_mb_per_s={"eth1": 25000})

    assert verdict.status == Status.OK
    assert verdict.summary == "all 2 claimed Ethernet ports are up: eth1 (25000 Mb/s), eth10 (25000 Mb/s)"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"operstate": "down", "carrier": 0}, "is down (down, no carrier), expected up"),
        ({"operstate": "lowerlayerdown"}, "is down (lowerlayerdown, with carrier), expected up"),
        ({"speed": 10000}, "runs at 10000 Mb/s, expected 25000"),
        ({"duplex": "half"}, "runs in half duplex, expected full"),
        ({"type": 32}, "is missing: no Ethernet port of that name"),
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

    assert list(Interfaces.read(host).known) == ["eth1", "eth10"]


def test_a_machine_without_ports_is_a_skip(machine: Machine) -> None:
    host = machine({f"{NET}/lo/type": "772"}, calls={(devlink_info,): {}})

    for check_id in ("nic.flaps", "nic.errors", "nic.firmware"):
        assert verdict_of(check_id, host).status == Status.SKIP
    assert verdict_of("nic.mtu", host, mtu_bytes={"eth0": 1500}).status == Status.SKIP


def test_mtu(machine: Machine) -> None:
    host = machine(NODE | port("eth2", mtu=1500))

    assert verdict_of("nic.mtu", host).status == Status.SKIP
    assert verdict_of("nic.mtu", host, mtu_bytes={"eth1": 9000, "eth9": 9000}).status == Status.OK
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


def test_garbled_counters_are_unknown(machine: Machine) -> None:
    assert verdict_of("nic.errors", machine(port("eth1", statistics__rx_errors="few"))).status == Status.UNKNOWN


def with_firmware(machine: Machine, one: str, other: str, devlink: dict[str, object] | None = None) -> Host:
    def answer(bus: str, version: str) -> dict[str, str]:
        return {"driver": "mlx5_core", "driver_version": "6.1", "firmware_version": version, "bus": bus}

    calls = {
        (ethtool_drvinfo, "eth1"): answer("0000:81:00.0", one),
        (ethtool_drvinfo, "eth10"): answer("0000:81:00.1", other),
        (devlink_info,): devlink or {},
    }
    return machine(NODE, calls=calls)


def test_firmware_of_one_model_must_agree(machine: Machine) -> None:
    host = with_firmware(machine, "22.31.1014", "22.28.2006")

    verdict = verdict_of("nic.firmware", host)
    assert verdict.status == Status.FAIL
    assert verdict.summary == f"adapters of model {MODEL} differ in firmware: eth1 22.31.1014, eth10 22.28.2006"


@pytest.mark.parametrize("key", [MODEL, "15b3:101d", "mlx5_core"])
def test_firmware_must_be_allowed(machine: Machine, key: str) -> None:
    host = with_firmware(machine, "22.31.1014", "22.31.1014")

    assert verdict_of("nic.firmware", host).status == Status.OK
    assert verdict_of("nic.firmware", host, allowed={key: "22.31.*", "e1000e": "1"}).status == Status.OK
    verdict = verdict_of("nic.firmware", host, allowed={key: "22.32.*"})
    assert verdict.status == Status.FAIL
    assert f"eth1 (mlx5_core {MODEL}) runs firmware 22.31.1014, allowed 22.32.*" in verdict.summary


def test_devlink_completes_what_ethtool_does_not_say(machine: Machine) -> None:
    versions = {"fixed": {}, "running": {"fw.version": "22.31.1014"}, "stored": {"fw.version": "22.32.0"}}
    host = with_firmware(machine, "N/A", "22.31.1014", {"pci/0000:81:00.0": versions})

    assert NicFirmwares.read(host).known["eth1"].version == "22.31.1014"
    verdict = verdict_of("nic.firmware", host)
    assert verdict.status == Status.WARN
    assert verdict.summary == "firmware is stored and waits for a reset to run: eth1 fw.version 22.32.0"


def test_drivers_without_firmware_pass(machine: Machine) -> None:
    assert "eth1 says none" in verdict_of("nic.firmware", with_firmware(machine, "", "N/A")).summary


def test_a_kernel_without_devlink_is_fine_but_a_refusal_is_unknown(machine: Machine) -> None:
    calls = {(ethtool_drvinfo, "eth1"): {"driver": "x", "driver_version": "", "firmware_version": "1", "bus": ""}}

    host = machine(port("eth1"), calls=calls, errors={"devlink_info": ("absent", "ENOENT")})
    assert verdict_of("nic.firmware", host).status == Status.OK
    host = machine(port("eth1"), calls=calls, errors={"devlink_info": ("denied", "EPERM")})
    assert verdict_of("nic.firmware", host).status == Status.UNKNOWN


def test_a_driver_that_does_not_answer_is_unknown(machine: Machine) -> None:
    errors = {"ethtool_drvinfo eth1": ("timed_out", ""), "devlink_info": ("absent", "ENOENT")}

    assert verdict_of("nic.firmware", machine(port("eth1"), errors=errors)).status == Status.UNKNOWN


def test_learn_describes_ports_in_use(machine: Machine) -> None:
    interfaces = Interfaces.read(machine(NODE | port("eth2", carrier=0)))
    specs = registry()
    link, mtu = specs["nic.link"].learn, specs["nic.mtu"].learn
    assert link is not None
    assert mtu is not None

    assert link(interfaces) == {"claimed": CLAIM, "min_mb_per_s": {"eth1": 25000, "eth10": 25000}}
    assert mtu(interfaces) == {"mtu_bytes": {"eth1": 9000, "eth10": 9000}}


def test_learnt_firmware_is_what_most_ports_run(machine: Machine) -> None:
    learn = registry()["nic.firmware"].learn
    assert learn is not None

    host = with_firmware(machine, "22.31.1014 [a]", "22.31.1014 [a]")
    allowed = learn(NicFirmwares.read(host))["allowed"]
    assert allowed == {MODEL: "22.31.1014 [[]a]"}
    assert verdict_of("nic.firmware", host, allowed=allowed).status == Status.OK
