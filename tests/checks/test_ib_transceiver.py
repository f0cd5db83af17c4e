"""Transceivers on planted ports: warmth and light by each module's own limits, margins of policy, what is unread."""

from collections.abc import Mapping
from typing import Any

import pytest

from nodeproof.decide.incidents import incidents
from nodeproof.engine import Result
from nodeproof.host import Host
from nodeproof.host.module_eeprom import halves_of, module_eeprom
from nodeproof.policy.settings import CheckSettings
from nodeproof.verdict import Status, fail
from support import Machine, verdict_of
from transceivers import Image, cmis, qsfp, sfp

NET = "/sys/class/net"
CHECK = "ib.transceiver"


def port(name: str, *, carrier: str = "1", bus: str = "PCI_ID=15B3:1021", kind: str = "1") -> dict[str, str]:
    files = {"type": kind, "carrier": carrier, "device/uevent": f"DRIVER=mlx5_core\n{bus}"}
    return {f"{NET}/{name}/{file}": f"{text}\n" for file, text in files.items()}


def ports(machine: Machine, modules: Mapping[str, Image], **more: Any) -> Host:
    files: dict[str, str] = {}
    for name in modules:
        files |= port(name)
    calls = {(module_eeprom, name): halves_of(image.read) for name, image in modules.items()}
    return machine(files | more.pop("files", {}), calls=calls, **more)


def test_sound_modules_of_all_kinds_pass(machine: Machine) -> None:
    host = ports(machine, {"eth2": sfp(), "eth3": qsfp(), "eth4": cmis(), "eth5": qsfp(technology=0xB0, status=0x04)})

    verdict = verdict_of(CHECK, host)
    assert (verdict.status, verdict.summary) == (Status.OK, "4 modules, 3 with limits of their own, none beyond them")


def test_one_dark_lane_among_eight_ports_is_named(machine: Machine) -> None:
    modules = {f"eth{i}": cmis() for i in range(8)} | {
        "eth5": cmis(received=[5012, 5012, 600, 5012, 5012, 5012, 5012, 5012])
    }

    verdict = verdict_of(CHECK, ports(machine, modules))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "eth5 lane 3 receives -12.2 dBm, its alarm is at -12.0"
    assert verdict.evidence["parts"] == ["nic:eth5"]
    known = verdict.evidence["modules"]
    assert isinstance(known, dict)
    assert (known["eth5"]["part"], known["eth5"]["lanes"]["3"]["received_mw"]) == ("OSFP-DR8", pytest.approx(0.06))


@pytest.mark.parametrize(
    ("image", "status", "words"),
    [
        (qsfp(received=[5012, 5012, 5012, 900]), Status.WARN, "lane 4 receives -10.5 dBm, its warning is at -10.0"),
        (qsfp(received=[0, 5012, 5012, 5012]), Status.FAIL, "lane 1 receives -40.0 dBm, its alarm is at -12.0"),
        (qsfp(received=[30000] * 4), Status.FAIL, "lane 1 receives 4.8 dBm, its alarm is at 3.4 and 3 more"),
        (qsfp(sent=500), Status.FAIL, "lane 1 sends -13.0 dBm, its alarm is at -12.0 and 3 more"),
        (sfp(received=600), Status.FAIL, "lane 1 receives -12.2 dBm, its alarm is at -12.0"),
        (qsfp(temperature=75.5), Status.FAIL, "is at 75.5 °C, its alarm is at 75.0"),
        (cmis(temperature=71), Status.WARN, "is at 71.0 °C, its warning is at 70.0"),
        (cmis(temperature=-20), Status.OK, "1 module, 1 with limits"),
        (
            qsfp(limits={"bias_ma": (2500, 500, 2400, 600)}),
            Status.FAIL,
            "lane 1 drives its laser with 6.0 mA, its alarm",
        ),
    ],
)
def test_a_module_is_measured_by_its_own_limits(machine: Machine, image: Image, status: Status, words: str) -> None:
    verdict = verdict_of(CHECK, ports(machine, {"eth2": image}))

    assert verdict.status == status
    assert verdict.summary.removeprefix("eth2 ").startswith(words)


def test_policy_may_ask_for_a_margin_of_light_and_for_less_warmth(machine: Machine) -> None:
    host = ports(machine, {"eth2": qsfp(received=[5012, 5012, 5012, 1200])})  # -9.2 dBm

    assert verdict_of(CHECK, host).status == Status.OK
    assert verdict_of(CHECK, host, min_rx_power_margin_db=2.5).status == Status.OK
    verdict = verdict_of(CHECK, host, min_rx_power_margin_db=3.0)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "eth2 lane 4 receives -9.2 dBm, expected at least -9.0: 3 dB above its alarm"
    verdict = verdict_of(CHECK, host, max_temperature_celsius=40.0)
    assert verdict.summary == "eth2 is at 40.5 °C, expected at most 40"


def test_a_module_without_limits_is_measured_by_policy_alone(machine: Machine) -> None:
    zeros = dict.fromkeys(("temperature_celsius", "received_mw", "sent_mw", "bias_ma"), (0.0, 0.0, 0.0, 0.0))
    host = ports(machine, {"eth2": qsfp(received=[0, 0, 0, 0], limits=zeros)})

    assert verdict_of(CHECK, host).summary == "1 module, 0 with limits of their own, none beyond them"
    assert verdict_of(CHECK, host, max_temperature_celsius=40.0).status == Status.FAIL


def test_light_is_judged_where_there_is_a_link_and_warmth_everywhere(machine: Machine) -> None:
    unused = port("eth2", carrier="0")
    assert verdict_of(CHECK, ports(machine, {"eth2": qsfp(received=[0] * 4)}, files=unused)).status == Status.OK
    assert verdict_of(CHECK, ports(machine, {"eth2": qsfp(temperature=80)}, files=unused)).status == Status.FAIL


def test_a_failed_module_outweighs_an_unread_one_and_that_a_dim_one(machine: Machine) -> None:
    def verdict(image: Image) -> Status:
        errors = {"module_eeprom eth9": ("failed", "EIO")}
        return verdict_of(CHECK, ports(machine, {"eth2": image}, files=port("eth9"), errors=errors)).status

    assert verdict(qsfp()) == Status.UNKNOWN
    assert verdict(qsfp(temperature=71)) == Status.UNKNOWN
    assert verdict(qsfp(temperature=80)) == Status.FAIL


@pytest.mark.parametrize(
    ("carrier", "kind", "status"),
    [
        ("1", "denied", Status.UNKNOWN),
        ("1", "failed", Status.UNKNOWN),
        ("1", "absent", Status.SKIP),
        ("0", "denied", Status.SKIP),
        ("0", "failed", Status.SKIP),
    ],
)
def test_what_cannot_be_read_is_unknown_where_the_port_is_used(
    machine: Machine, carrier: str, kind: str, status: Status
) -> None:
    host = machine(port("eth2", carrier=carrier), errors={"module_eeprom eth2": (kind, "")})

    assert verdict_of(CHECK, host).status == status


def test_a_garbled_module_is_unknown(machine: Machine) -> None:
    verdict = verdict_of(CHECK, ports(machine, {"eth2": qsfp().put("page_00", 150, 0x7A)}))

    assert verdict.status == Status.UNKNOWN
    assert verdict.summary == "module_eeprom eth2: malformed (the checksum in byte 191 of page_00 is wrong)"


@pytest.mark.parametrize(
    "files",
    [
        {},
        port("eth0", bus="MODALIAS=virtio:d00000001v00001AF4"),
        port("eth0", kind="772"),
        port("pf0vf1") | {f"{NET}/pf0vf1/phys_port_name": "pf0vf1\n"},
    ],
    ids=["none", "virtio", "loopback", "representor"],
)
def test_interfaces_that_can_have_no_module_are_not_asked(machine: Machine, files: dict[str, str]) -> None:
    assert verdict_of(CHECK, machine(files)).status == Status.SKIP  # asked, they would be unknown: not recorded


def test_virtual_functions_are_not_asked(machine: Machine) -> None:
    host = machine(port("eth2"), directories=(f"{NET}/eth2/device/physfn",))

    assert verdict_of(CHECK, host).status == Status.SKIP


def test_infiniband_interfaces_and_named_ports_are_asked(machine: Machine) -> None:
    files = port("ib0", kind="32") | {f"{NET}/ib0/phys_port_name": "p0\n"}

    assert verdict_of(CHECK, ports(machine, {"ib0": qsfp(temperature=80)}, files=files)).status == Status.FAIL


def test_a_dim_module_is_the_cause_of_a_link_that_went_down() -> None:
    from nodeproof.check import registry

    specs = registry()
    light = Result(specs[CHECK], CheckSettings(), fail("dim", parts=["nic:eth2"]), 0.0)
    link = Result(specs["device.link_down"], CheckSettings(), fail("down", parts=["nic:eth2"]), 0.0)
    (incident,) = incidents([link, light])

    assert incident.cause.spec.id == CHECK
