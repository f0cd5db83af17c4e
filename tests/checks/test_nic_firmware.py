"""Firmware of network adapters, as ethtool and devlink tell it."""

import pytest

from nodeproof.check import registry
from nodeproof.host import Host
from nodeproof.host.devlink import devlink_info
from nodeproof.host.ethtool import ethtool_drvinfo
from nodeproof.probes.nic import NicFirmwares
from nodeproof.verdict import Status
from support import Machine, verdict_of

NET = "/sys/class/net"
MODEL = "15b3:101d/15b3:0040"


def port(name: str) -> dict[str, str]:
    device = "DRIVER=mlx5_core\nPCI_ID=15B3:101D\nPCI_SUBSYS_ID=15B3:0040\n"
    return {f"{NET}/{name}/type": "1\n", f"{NET}/{name}/device/uevent": device}


NODE = port("eth1") | port("eth10")


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


def test_stored_firmware_that_already_runs_waits_for_nothing(machine: Machine) -> None:
    same = {"fw.version": "22.31.1014", "fw.psid": "MT_1"}
    versions = {"fixed": {}, "running": same, "stored": same | {"fw.bundle_id": "7"}}
    host = with_firmware(machine, "22.31.1014", "22.31.1014", {"pci/0000:81:00.0": versions})

    assert NicFirmwares.read(host).known["eth1"].pending == {}
    assert verdict_of("nic.firmware", host).status == Status.OK


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


def test_learnt_firmware_is_what_most_ports_run(machine: Machine) -> None:
    learn = registry()["nic.firmware"].learn
    assert learn is not None

    host = with_firmware(machine, "22.31.1014 [a]", "22.31.1014 [a]")
    allowed = learn(NicFirmwares.read(host))["allowed"]
    assert allowed == {MODEL: "22.31.1014 [[]a]"}
    assert verdict_of("nic.firmware", host, allowed=allowed).status == Status.OK
