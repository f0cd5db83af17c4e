"""Event checks: nothing seen, as much as is borne, one too many; codes and their actions; no agent, a broken ledger."""

import json
from collections.abc import Callable, Mapping

import pytest

from nodeproof.check import registry
from nodeproof.events.catalogue import BY_ID, RULES
from nodeproof.events.ledger import EventSeries, Ledger, Points, to_json
from nodeproof.events.xid import ACTIONS, SXIDS, XIDS
from nodeproof.host import Host
from nodeproof.host.clock import wall_clock_s
from nodeproof.probes.ledger import BOOT_ID, LEDGER
from nodeproof.verdict import Status
from support import Machine, verdict_of

NOW = 1_700_000_000.0
BOOTED = NOW - 3 * 86400
HOUR = 3600.0

Seen = Callable[..., Host]

#: Status of a finding, and how many of one part are borne.
EXPECTED = {
    "event.gpu_lost": (Status.FAIL, 0),
    "event.gpu_init": (Status.FAIL, 0),
    "event.mce_uncorrected": (Status.FAIL, 0),
    "event.mce_deferred": (Status.WARN, 0),
    "event.mce_corrected": (Status.WARN, 10),
    "event.cper_fatal": (Status.FAIL, 0),
    "event.cper_recoverable": (Status.FAIL, 0),
    "event.cper_corrected": (Status.WARN, 10),
    "event.boot_error": (Status.WARN, 0),
    "event.edac_uncorrected": (Status.FAIL, 0),
    "event.edac_corrected": (Status.WARN, 10),
    "event.memory_failure": (Status.FAIL, 0),
    "event.aer_fatal": (Status.FAIL, 0),
    "event.aer_nonfatal": (Status.WARN, 3),
    "event.aer_corrected": (Status.WARN, 100),
    "event.aer_unrecovered": (Status.FAIL, 0),
    "event.pcie_contained": (Status.FAIL, 0),
    "event.pcie_slot_down": (Status.WARN, 0),
    "event.pci_inaccessible": (Status.FAIL, 0),
    "event.iommu_fault": (Status.WARN, 10),
    "event.nic_firmware": (Status.FAIL, 0),
    "event.nic_command": (Status.FAIL, 2),
    "event.nic_slot_power": (Status.WARN, 0),
    "event.nic_temperature": (Status.FAIL, 0),
    "event.nic_module": (Status.WARN, 0),
    "event.nic_unplugged": (Status.WARN, 2),
    "event.nic_link_down": (Status.WARN, 5),
    "event.nic_transmit": (Status.WARN, 2),
    "event.nvme_timeout": (Status.WARN, 3),
    "event.nvme_failed": (Status.FAIL, 0),
    "event.nvme_media": (Status.FAIL, 0),
    "event.disk_error": (Status.WARN, 5),
    "event.raid_degraded": (Status.WARN, 0),
    "event.fs_error": (Status.FAIL, 0),
    "event.fs_readonly": (Status.FAIL, 0),
    "event.lustre_bug": (Status.FAIL, 0),
    "event.lustre_evicted": (Status.WARN, 1),
    "event.lustre_lost": (Status.WARN, 10),
    "event.nfs_server": (Status.WARN, 10),
    "event.panic": (Status.FAIL, 0),
    "event.crash": (Status.WARN, 0),
    "event.oops": (Status.FAIL, 0),
    "event.hard_lockup": (Status.FAIL, 0),
    "event.soft_lockup": (Status.WARN, 0),
    "event.rcu_stall": (Status.WARN, 0),
    "event.hung_task": (Status.WARN, 2),
    "event.oom": (Status.WARN, 0),
    "event.oom_cgroup": (Status.WARN, 1000),
    "event.segfault": (Status.WARN, 300),
    "event.cpu_hot": (Status.WARN, 3),
    "event.critical_heat": (Status.FAIL, 0),
    "event.nmi": (Status.WARN, 0),
    "event.clock_unstable": (Status.WARN, 0),
}
CODED = {"event.xid", "event.sxid"}


@pytest.fixture
def seen(machine: Machine) -> Seen:
    """Plant what the agent saw."""

    def plant(*events: EventSeries, lost: dict[str, int] | None = None) -> Host:
        ledger = Ledger("b", BOOTED, NOW, events, (), lost or {})
        return machine({LEDGER: to_json(ledger), BOOT_ID: "b\n"}, calls={(wall_clock_s,): NOW})

    return plant


def series(rule: str, count: int = 1, at: float = NOW - 12, part: str = "pci:0000:3b:00.0", **rest: str) -> EventSeries:
    return EventSeries(rule, part, rest.pop("variant", ""), ((at, count),), rest.pop("text", "the line"), rest)


def xid(
    code: int, at: float = NOW - 12, count: int = 1, part: str = "pci:0000:3b:00.0", said: Mapping[str, str] = {}
) -> EventSeries:
    return EventSeries("event.xid", part, str(code), ((at, count),), f"NVRM: Xid ... {code}", said)


def test_every_rule_is_expected_here() -> None:
    assert EXPECTED.keys() | CODED == BY_ID.keys()


@pytest.mark.parametrize("rule", EXPECTED)
def test_a_rule_bears_its_limit_and_no_more(seen: Seen, rule: str) -> None:
    status, limit = EXPECTED[rule]

    assert verdict_of(rule, seen()).status == Status.OK
    assert verdict_of(rule, seen(*([series(rule, limit)] if limit else []))).status == Status.OK
    found = verdict_of(rule, seen(series(rule, limit + 1)))
    assert found.status == status
    assert found.evidence["parts"] == ["pci:0000:3b:00.0"]
    assert found.evidence["event_count"] == limit + 1
    assert BY_ID[rule].name in found.summary


@pytest.mark.parametrize("rule", [*EXPECTED, "event.xid", "event.sxid", "event.lost"])
def test_without_an_agent_nothing_is_known(machine: Machine, rule: str) -> None:
    none = machine({BOOT_ID: "b\n"}, calls={(wall_clock_s,): NOW})

    verdict = verdict_of(rule, none)
    assert verdict.status == Status.SKIP
    assert "no agent has run since this boot" in verdict.summary


def test_of_an_earlier_boot_nothing_is_known_and_a_broken_ledger_is_unknown(machine: Machine) -> None:
    ledger = to_json(Ledger("another", BOOTED, NOW, (series("event.panic"),)))
    earlier = machine({LEDGER: ledger, BOOT_ID: "b\n"}, calls={(wall_clock_s,): NOW})
    assert verdict_of("event.panic", earlier).status == Status.SKIP

    broken = machine({LEDGER: json.dumps({"schema": "other"}), BOOT_ID: "b\n"}, calls={(wall_clock_s,): NOW})
    assert verdict_of("event.panic", broken).status == Status.UNKNOWN

    denied = machine({BOOT_ID: "b\n"}, errors={LEDGER: ("denied", "EACCES")}, calls={(wall_clock_s,): NOW})
    assert verdict_of("event.xid", denied).status == Status.UNKNOWN


def test_the_sentence_says_what_where_how_often_and_when(seen: Seen) -> None:
    assert verdict_of("event.aer_fatal", seen(series("event.aer_fatal"))).summary == (
        "0000:3b:00.0: fatal PCIe error, once, last 12 s ago"
    )
    dimm = series("event.edac_corrected", 42, NOW - 2 * HOUR, "dimm:CPU0_DIMM_A1", text="EDAC MC0: ...")
    verdict = verdict_of("event.edac_corrected", seen(dimm))
    assert verdict.summary == (
        "DIMM CPU0_DIMM_A1: corrected memory error, 42 times in 24 h, at most 10 expected, last 2 h ago"
    )
    assert verdict.evidence["text"] == "EDAC MC0: ..."
    assert verdict_of("event.oom", seen(series("event.oom", 2, NOW - 300, ""))).summary == (
        "process killed for want of memory on the node, twice, last 5 min ago"
    )
    assert verdict_of("event.hard_lockup", seen()).summary == "no hard lockup since the node booted"
    some = verdict_of("event.edac_corrected", seen(series("event.edac_corrected", 2, part="dimm:A1")))
    assert some.summary == "corrected memory error: twice in 24 h, at most 10 expected"


def test_parts_are_judged_one_by_one_and_named_by_how_bad_they_are(seen: Seen) -> None:
    a, b, c = (series("event.disk_error", n, part=f"disk:sd{x}") for n, x in ((5, "a"), (6, "b"), (9, "c")))

    verdict = verdict_of("event.disk_error", seen(a, b, c))
    assert verdict.evidence["parts"] == ["disk:sdc", "disk:sdb"]
    assert verdict.summary.startswith("sdc: disk I/O error, 9 times")
    assert verdict_of("event.disk_error", seen(a)).status == Status.OK


def test_lines_about_the_same_are_not_added_up(seen: Seen) -> None:
    device = series("event.aer_nonfatal", 3)
    port = series("event.aer_nonfatal", 2, variant="received")

    assert verdict_of("event.aer_nonfatal", seen(device, port)).status == Status.OK
    assert (
        verdict_of("event.aer_nonfatal", seen(device._replace(points=((NOW, 4),)), port)).evidence["event_count"] == 4
    )


def test_an_old_burst_is_over_with_its_window_and_a_fault_with_its_boot(seen: Seen) -> None:
    burst = series("event.nvme_timeout", 20, NOW - 23 * HOUR, "nvme:nvme0")
    assert verdict_of("event.nvme_timeout", seen(burst)).status == Status.WARN
    assert verdict_of("event.nvme_timeout", seen(burst), window_h=20.0).status == Status.OK
    assert verdict_of("event.nvme_timeout", seen(burst._replace(points=((NOW - 25 * HOUR, 20),)))).status == Status.OK

    fatal = series("event.aer_fatal", at=BOOTED + 60)
    assert verdict_of("event.aer_fatal", seen(fatal)).status == Status.FAIL
    assert verdict_of("event.aer_fatal", seen(fatal._replace(points=((BOOTED - 60, 1),)))).status == Status.OK
    crash = series("event.crash", at=BOOTED - 60, part="")
    assert verdict_of("event.crash", seen(crash)).status == Status.WARN


def test_what_was_before_a_repair_counts_no_more(seen: Seen) -> None:
    repaired = EventSeries("agent.repaired", "", "", ((NOW - 60, 1),), "an operator says so")

    assert verdict_of("event.aer_fatal", seen(series("event.aer_fatal", at=NOW - 90), repaired)).status == Status.OK
    assert verdict_of("event.aer_fatal", seen(series("event.aer_fatal", at=NOW - 30), repaired)).status == Status.FAIL
    assert verdict_of("event.xid", seen(xid(79, NOW - 90), repaired)).status == Status.OK


def test_policy_sets_limit_window_and_severity(seen: Seen) -> None:
    hot = seen(series("event.cpu_hot", 3, part="cpu:7"))

    assert verdict_of("event.cpu_hot", hot).status == Status.OK
    assert verdict_of("event.cpu_hot", hot, max_event_count=2).summary.startswith("CPU 7: processor that throttled")
    assert verdict_of("event.cpu_hot", hot, max_event_count=2, event_is="fail").status == Status.FAIL


def test_an_xid_says_what_is_to_be_done(seen: Seen) -> None:
    verdict = verdict_of("event.xid", seen(xid(79)))
    assert verdict.status == Status.FAIL
    assert verdict.summary == (
        "0000:3b:00.0: XID 79 (GPU has fallen off the bus), once, last 12 s ago: reboot the node"
    )
    assert verdict.evidence["parts"] == ["pci:0000:3b:00.0"]
    assert verdict.evidence["codes"] == {"79": "reboot"}

    assert verdict_of("event.xid", seen()).summary == "no XID since the node booted that needs something done"
    assert verdict_of("event.xid", seen(xid(94))).status == Status.WARN
    harmless = verdict_of("event.xid", seen(xid(43, count=3), xid(45)))
    assert harmless.status == Status.OK
    assert "4 times one that needs nothing" in harmless.summary
    unknown = verdict_of("event.xid", seen(xid(999)))
    assert unknown.status == Status.WARN
    assert "not in NVIDIA's catalogue" in unknown.summary


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *((13, Status.OK), (31, Status.OK), (32, Status.OK), (39, Status.OK), (82, Status.OK), (137, Status.OK)),
        *((139, Status.OK), (171, Status.OK), (63, Status.WARN), (92, Status.WARN), (121, Status.WARN)),
        *((160, Status.WARN), (12, Status.WARN), (59, Status.WARN), (48, Status.FAIL), (54, Status.FAIL)),
        *((64, Status.FAIL), (74, Status.FAIL), (79, Status.FAIL), (95, Status.FAIL), (109, Status.FAIL)),
        *((119, Status.FAIL), (140, Status.FAIL), (143, Status.FAIL), (149, Status.FAIL), (151, Status.FAIL)),
        *((157, Status.FAIL), (167, Status.FAIL), (173, Status.FAIL)),
    ],
)
def test_codes_of_the_table(seen: Seen, code: int, status: Status) -> None:
    assert verdict_of("event.xid", seen(xid(code))).status == status


def test_the_worst_code_comes_first(seen: Seen) -> None:
    other = "pci:0000:5d:00.0"
    verdict = verdict_of("event.xid", seen(xid(74), xid(64, NOW - 90, part=other), xid(94), xid(79)))

    assert verdict.summary.startswith("0000:5d:00.0: XID 64 (GPU memory row could not be remapped)")
    assert verdict.evidence["codes"] == {"64": "rma", "79": "reboot", "74": "reset"}
    assert verdict.evidence["parts"] == [other, "pci:0000:3b:00.0"]


def test_a_program_s_error_that_repeats_is_watched(seen: Seen) -> None:
    assert verdict_of("event.xid", seen(xid(31, count=9))).status == Status.OK
    assert verdict_of("event.xid", seen(xid(31, count=10))).status == Status.WARN
    assert verdict_of("event.xid", seen(xid(31, NOW - 25 * HOUR, 10))).status == Status.OK
    assert verdict_of("event.xid", seen(xid(31, count=10)), actions={"31": "app"}).status == Status.OK


def test_policy_overrides_the_table(seen: Seen) -> None:
    assert verdict_of("event.xid", seen(xid(109)), actions={"109": "watch"}).status == Status.WARN
    assert verdict_of("event.xid", seen(xid(109)), actions={"109": "none"}).status == Status.OK
    assert verdict_of("event.xid", seen(xid(63)), actions={"63": "reboot"}).status == Status.FAIL
    sxid = EventSeries("event.sxid", "pci:0000:c1:00.0", "20034", ((NOW, 1),), "t", {"level": "Fatal"})
    assert verdict_of("event.sxid", seen(sxid), actions={"20034": "watch"}).status == Status.WARN


@pytest.mark.parametrize(
    ("recovery", "name", "status", "words"),
    [
        ("0x1", "GPU Reset Required", Status.FAIL, "XID 154 (the driver says: GPU Reset Required), once"),
        ("0x2", "Node Reboot Required", Status.FAIL, "reboot the node"),
        ("0x4", "Drain and Reset", Status.FAIL, "reset it"),
        ("0x9", "Something New", Status.FAIL, "inspect it"),
        ("0x0", "None", Status.OK, "no XID"),
        ("", "", Status.WARN, "watch it"),
    ],
)
def test_the_driver_s_own_word_is_obeyed(seen: Seen, recovery: str, name: str, status: Status, words: str) -> None:
    fields = {"recovery": recovery, "recovery_name": name} if recovery else {}
    verdict = verdict_of("event.xid", seen(xid(154, said=fields)))

    assert verdict.status == status
    assert words in verdict.summary


def test_a_gpu_that_was_reset_is_well_again_one_that_is_broken_is_not(seen: Seen) -> None:
    well = xid(154, NOW - 60, said={"recovery": "0x0", "recovery_name": "None"})

    assert verdict_of("event.xid", seen(xid(95, NOW - 600), well)).status == Status.OK
    assert verdict_of("event.xid", seen(xid(95, NOW - 30), well)).status == Status.FAIL
    assert verdict_of("event.xid", seen(xid(95, NOW - 600, part="pci:0000:5d:00.0"), well)).status == Status.FAIL
    assert verdict_of("event.xid", seen(xid(64, NOW - 600), well)).status == Status.FAIL


def test_nvlink_5_is_judged_by_what_the_line_says(seen: Seen) -> None:
    fields = {"unit": "NETIR_LINK_EVT", "level": "Fatal", "link": "09", "intrinfo": "0x025525c6"}
    fatal = verdict_of("event.xid", seen(xid(149, said=fields)))
    assert fatal.status == Status.FAIL
    assert fatal.summary == (
        "0000:3b:00.0: XID 149 (NVLink NETIR error: NETIR_LINK_EVT Fatal on link 09), once, last 12 s ago: reset it"
    )

    light = xid(145, said={**fields, "level": "Nonfatal"})._replace(variant="145 nonfatal")
    assert verdict_of("event.xid", seen(light)).status == Status.WARN
    assert verdict_of("event.xid", seen(xid(149))).summary.endswith("inspect it")
    # NVML tells the same without its severity, a moment before or later
    assert verdict_of("event.xid", seen(light, xid(145, NOW - 11))).status == Status.WARN
    assert verdict_of("event.xid", seen(light, xid(145, NOW - 60))).status == Status.FAIL


@pytest.mark.parametrize(
    ("code", "level", "status"),
    [
        (20034, "Fatal", Status.FAIL),
        (12028, "Non-fatal", Status.FAIL),
        (22013, "Non-fatal", Status.OK),
        (22013, "Fatal", Status.FAIL),
        (10004, "Non-fatal", Status.WARN),
        (19001, "Non-fatal", Status.FAIL),
        (99999, "Non-fatal", Status.WARN),
        (99999, "Fatal", Status.FAIL),
    ],
)
def test_sxids(seen: Seen, code: int, level: str, status: Status) -> None:
    fields = {"level": level, "link": "30", "what": "LTSSM Fault Up"}
    variant = str(code) if level == "Fatal" else f"{code} nonfatal"
    verdict = verdict_of(
        "event.sxid", seen(EventSeries("event.sxid", "pci:0000:c1:00.0", variant, ((NOW, 1),), "t", fields))
    )

    assert verdict.status == status
    assert status == Status.OK or f"0000:c1:00.0: SXID {code} (LTSSM Fault Up, link 30), once" in verdict.summary


def test_hostile_ledgers_are_no_crash(seen: Seen) -> None:
    odd = EventSeries("event.xid", "pci:\x1b[31m", "not a code", ((NOW, 1),), "x" * 9000, {"recovery": "zz"})
    empty = EventSeries("event.xid", "pci:0000:3b:00.0", "154", Points(), "", {"recovery": "0x0"})

    verdict = verdict_of("event.xid", seen(odd, empty))
    assert verdict.status == Status.WARN
    assert verdict.summary.isprintable()


def test_lost_events_are_told(seen: Seen) -> None:
    assert verdict_of("event.lost", seen()).summary == "no event was lost"
    verdict = verdict_of("event.lost", seen(lost={"kmsg": 12, "uevent": 1, "nvml": 0}))
    assert verdict.status == Status.WARN
    assert verdict.summary == "events were lost since the agent started: 12 of kmsg, 1 of uevent"
    assert verdict_of("event.lost", seen(lost={"kmsg": 12}), max_event_count=20).status == Status.OK


def test_the_tables_are_well_formed() -> None:
    assert {row.action for row in XIDS.values()} <= {*ACTIONS, "obey"}
    assert {code for code, row in XIDS.items() if row.action == "obey"} == {154}
    assert set(SXIDS.values()) <= set(ACTIONS)
    assert all(10_000 <= code < 31_000 for code in SXIDS)
    assert not any(row.name.endswith(".") or "\n" in row.name for row in XIDS.values())


def test_checks_are_made_of_the_rules() -> None:
    spec = registry()["event.aer_corrected"]

    assert {rule.id for rule in RULES} <= registry().keys()
    assert spec.parameters["max_event_count"].default == BY_ID["event.aer_corrected"].limit == 100
    assert spec.parameters["event_is"].type_name == "'warn' or 'fail'"
    assert registry()["event.xid"].parameters["actions"].default is None
    assert spec.tags == {"prolog", "healthcheck", "boot"}
    assert spec.function.__module__ == "nodeproof_checks.events"
