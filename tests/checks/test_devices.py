"""Devices and links that left: what fails while they are away, and what is over when they are back."""

from typing import Any

import pytest

from nodeproof.daemon.sources.rtnetlink import Links
from nodeproof.events import Event
from nodeproof.events.event import Source
from nodeproof.events.ledger import Ledger, folded, to_json
from nodeproof.events.rule import REPAIRED
from nodeproof.host import Host
from nodeproof.host.clock import wall_clock_s
from nodeproof.probes.ledger import BOOT_ID, LEDGER
from nodeproof.verdict import Status, Verdict
from support import Machine, verdict_of

NOW = 1_800_000_000.0
BOOTED = NOW - 10_000
GPU = "pci:0000:3b:00.0"


def event(rule: str, ago_s: float, part: str = GPU, *, variant: str = "", **fields: str) -> Event:
    at = NOW - ago_s
    source: Source = "rtnetlink" if part.startswith("nic:") else "uevent"
    fields = {"pci": part.removeprefix("pci:") if part.startswith("pci:") else "", "at": f"{at:.6f}", **fields}
    return Event(rule, at, "b", source, f"{part} {rule.partition('.')[2]}", part, variant, fields=fields)


def present(ago_s: float, parts: str = "", whole: str = "", *, source: str = "uevent") -> Event:
    return event("device.present", ago_s, "", variant=source, parts=parts, whole=whole)


def agent_saw(machine: Machine, *events: Event) -> Host:
    ledger = Ledger("b", BOOTED, NOW, events=folded((), events))
    return machine({LEDGER: to_json(ledger), BOOT_ID: "b\n"}, calls={(wall_clock_s,): NOW})


STARTED = present(9000.0, f"{GPU} nic:eth0", "nic:eth0", source="uevent")
LINKS_STARTED = present(9000.0, "nic:eth0", "nic:eth0", source="rtnetlink")


def removed(machine: Machine, *events: Event, **parameters: Any) -> Verdict:
    return verdict_of("device.removed", agent_saw(machine, STARTED, *events), **parameters)


def test_a_device_that_left_fails_until_it_is_back(machine: Machine) -> None:
    assert removed(machine).status == Status.OK
    verdict = removed(machine, event("device.removed", 12.0))
    assert verdict.status == Status.FAIL
    assert verdict.summary == f"missing: {GPU} removed (12 s ago)"
    assert verdict.evidence == {"parts": [GPU]}
    assert removed(machine, event("device.removed", 12.0), event("device.added", 11.0)).status == Status.OK
    again = (event("device.removed", 12.0), event("device.added", 11.0), event("device.removed", 10.0))
    assert removed(machine, *again).status == Status.FAIL


def test_the_order_within_a_second_counts(machine: Machine) -> None:
    """The ledger puts events of one second together: what came last is in their fields."""
    back_and_gone = [event("device.removed", 9.9), event("device.added", 9.7), event("device.removed", 9.5)]

    assert removed(machine, *back_and_gone).status == Status.FAIL
    assert removed(machine, *back_and_gone, event("device.added", 9.4)).status == Status.OK


def test_a_device_that_only_lost_its_driver_is_a_warning(machine: Machine) -> None:
    unbound = event("device.removed", 7200.0, variant="unbound")

    verdict = removed(machine, unbound)
    assert (verdict.status, verdict.summary) == (Status.WARN, f"without a driver: {GPU} removed (2.0 h ago)")
    assert removed(machine, unbound, unbound_is="fail").status == Status.FAIL
    assert removed(machine, unbound, event("device.added", 60.0)).status == Status.OK
    fell_off = event("device.removed", 7199.0)
    assert removed(machine, unbound, fell_off).status == Status.FAIL


def test_a_part_names_the_device_that_it_hangs_on(machine: Machine) -> None:
    verdict = removed(machine, event("device.removed", 5.0, "disk:sda", pci="0000:00:17.0"))

    assert verdict.evidence == {"parts": ["disk:sda", "pci:0000:00:17.0"]}


def test_what_was_back_when_the_agent_started_again_is_not_missing(machine: Machine) -> None:
    gone = event("device.removed", 500.0)

    assert removed(machine, gone, present(400.0, GPU)).status == Status.OK
    assert removed(machine, gone, present(400.0, "pci:0000:86:00.0")).status == Status.FAIL


def test_what_left_before_this_boot_is_of_no_interest(machine: Machine) -> None:
    assert removed(machine, event("device.removed", 10_001.0)).status == Status.OK


def test_an_operators_repair_is_taken_at_its_word(machine: Machine) -> None:
    gone, repaired = event("device.removed", 500.0), event(REPAIRED, 400.0, "")

    assert removed(machine, gone, repaired).status == Status.OK
    assert removed(machine, gone, repaired, event("device.removed", 300.0)).status == Status.FAIL


def test_parts_that_may_go_are_excepted(machine: Machine) -> None:
    gone = event("device.removed", 5.0, "disk:sdq")

    assert removed(machine, gone).status == Status.FAIL
    assert removed(machine, gone, excepted=("disk:*",)).status == Status.OK


@pytest.mark.parametrize("check_id", ["device.removed", "device.link_down"])
def test_where_nobody_looks_nothing_is_judged(machine: Machine, check_id: str) -> None:
    assert verdict_of(check_id, machine({BOOT_ID: "b\n"})).status == Status.SKIP
    verdict = verdict_of(check_id, agent_saw(machine))
    assert (verdict.status, verdict.summary) == (Status.SKIP, f"{LEDGER}: not there (no agent follows devices)")


def test_a_ledger_that_is_damaged_is_unknown(machine: Machine) -> None:
    host = machine({LEDGER: "{", BOOT_ID: "b\n"}, calls={(wall_clock_s,): NOW})

    assert verdict_of("device.removed", host).status == Status.UNKNOWN
    assert verdict_of("device.link_down", host).status == Status.UNKNOWN


def link(machine: Machine, *events: Event, **parameters: Any) -> Verdict:
    return verdict_of("device.link_down", agent_saw(machine, LINKS_STARTED, *events), **parameters)


def port(rule: str, ago_s: float, **fields: Any) -> Event:
    return event(rule, ago_s, "nic:eth0", **fields)


def test_a_port_without_its_link_fails_after_the_time_that_training_takes(machine: Machine) -> None:
    assert link(machine).status == Status.OK
    young = link(machine, port("device.link_down", 4.0))
    assert young.status == Status.OK
    assert young.summary.endswith("of 1 network port; nic:eth0 link_down (4 s ago), which may take 10 s")
    assert young.evidence["again_in_s"] == pytest.approx(6.0)
    verdict = link(machine, port("device.link_down", 11.0))
    assert (verdict.status, verdict.summary) == (Status.FAIL, "nic:eth0 link_down (11 s ago)")
    assert verdict.evidence == {"parts": ["nic:eth0"]}
    assert link(machine, port("device.link_down", 11.0), max_down_s=60.0).status == Status.OK
    assert link(machine, port("device.link_down", 11.0), excepted=("nic:eth*",)).status == Status.OK


@pytest.mark.parametrize(
    "after",
    [
        port("device.link_up", 20.0),
        port("device.link_off", 20.0),
        port("device.removed", 20.0, variant="unbound"),
        present(20.0, "nic:eth0", "nic:eth0", source="rtnetlink"),
    ],
    ids=lambda e: str(e.rule),
)
def test_what_ends_a_lost_link(machine: Machine, after: Event) -> None:
    down = port("device.link_down", 30.0)

    assert link(machine, down, after).status == Status.OK
    assert link(machine, down, after, port("device.link_down", 15.0)).status == Status.FAIL


def test_a_port_that_is_there_without_a_link_is_still_down(machine: Machine) -> None:
    still = present(20.0, "nic:eth0", "", source="rtnetlink")

    assert link(machine, port("device.link_down", 30.0), still).status == Status.FAIL


def test_the_source_tells_what_the_check_reads(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> None:
    net = tmp_path_factory.mktemp("net")
    (net / "eth0" / "device").mkdir(parents=True)
    source = Links(print, print, "b", str(net))
    source._listed, told = {7}, list[Event]()
    name = {3: b"eth0\0"}
    source._new(7, 1, 0x10001, name, NOW - 100)
    told += source._end_of_list(NOW - 90)
    told += source._new(7, 1, 0x1, name, NOW - 50)
    down = verdict_of("device.link_down", agent_saw(machine, *told))
    assert down.summary == "eth0 lost its link and was not switched off (50 s ago)"
    told += source._new(7, 1, 0x10001, name, NOW - 40)
    assert verdict_of("device.link_down", agent_saw(machine, *told)).status == Status.OK
