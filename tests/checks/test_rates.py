"""Rates of error counters: limits, windows, bursts, saturation, and where nothing can be known."""

from collections.abc import Sequence
from typing import Any

import pytest

from nodeproof.check import registry
from nodeproof.events.ledger import CounterSeries, EventSeries, Ledger, to_json
from nodeproof.events.rule import REPAIRED
from nodeproof.host import Host
from nodeproof.host.clock import wall_clock_s
from nodeproof.probes.ledger import BOOT_ID, LEDGER
from nodeproof.verdict import Status
from nodeproof_checks.over_time import errors_allowed
from support import Machine, verdict_of

NOW, HOUR = 1_800_000_000.0, 3600.0

#: Every rate check: a counter that it judges, and how many of it the check bears in its window at most.
CHECKS = {
    "pci.aer_rate": ("pci.aer_correctable", 921),
    "memory.corrected_rate": ("memory.corrected", 1024),
    "nic.error_rate": ("nic.rx_crc_errors", 90),
    "nic.flap_rate": ("nic.carrier_changes", 10),
    "cpu.throttle_rate": ("cpu.core_throttles", 60),
    "nvme.media_error_rate": ("nvme.media_errors", 3),
}


def counter(name: str, *points: tuple[float, int], part: str = "nic:eth0", **fields: Any) -> CounterSeries:
    """Return a counter that was watched for two days until now; `points` are (seconds ago, how many)."""
    known = {"observed_since": NOW - 48 * HOUR, "read_at": NOW, "value": 0} | fields
    return CounterSeries(name, part, points=tuple((NOW - ago_s, count) for ago_s, count in points), **known)


def agent_saw(
    machine: Machine,
    *counters: CounterSeries,
    events: tuple[EventSeries, ...] = (),
    written_ago_s: float = 10.0,
    boot_id: str = "b",
) -> Host:
    ledger = Ledger(boot_id, NOW - 72 * HOUR, NOW - written_ago_s, events, counters)
    return machine({LEDGER: to_json(ledger), BOOT_ID: "b\n"}, calls={(wall_clock_s,): NOW})


@pytest.mark.parametrize(("check_id", "counter_name", "most"), [(id_, *rest) for id_, rest in CHECKS.items()])
def test_a_limit_is_for_the_whole_window_of_each_part(
    machine: Machine, check_id: str, counter_name: str, most: int
) -> None:
    def verdict(*counts: int) -> Any:
        parts = [counter(counter_name, (60.0, count), part=f"nic:p{i}") for i, count in enumerate(counts)]
        return verdict_of(check_id, agent_saw(machine, *parts))

    assert verdict(0, 0).status == Status.OK
    assert verdict(most, most).status in {Status.OK, Status.WARN}
    bad = verdict(0, most + 1)
    assert bad.status == Status.FAIL
    assert bad.summary.startswith(f"p1 has {most + 1} ")
    assert bad.evidence == {"parts": ["nic:p1"], "error_count": {"nic:p1": {counter_name: most + 1}}}


@pytest.mark.parametrize("check_id", CHECKS)
def test_what_nobody_counts_is_not_judged(machine: Machine, check_id: str) -> None:
    verdict = verdict_of(check_id, agent_saw(machine, counter("other.counter", (60.0, 10**6))))

    assert verdict.status == Status.SKIP
    assert f"nothing counts {check_id.partition('.')[0]}." in verdict.summary


@pytest.mark.parametrize("check_id", CHECKS)
def test_without_an_agent_since_boot_nothing_is_judged(machine: Machine, check_id: str) -> None:
    assert verdict_of(check_id, machine({BOOT_ID: "b\n"})).status == Status.SKIP
    earlier = agent_saw(machine, counter(CHECKS[check_id][0], (60.0, 10**6)), boot_id="another")
    assert verdict_of(check_id, earlier).status == Status.SKIP


def test_a_burst_is_over_when_its_window_is(machine: Machine) -> None:
    def at(ago_s: float) -> Any:
        return verdict_of("nic.error_rate", agent_saw(machine, counter("nic.rx_errors", (ago_s, 500))))

    assert at(HOUR - 1).status == Status.FAIL
    assert at(HOUR + 1).status == Status.OK
    longer = agent_saw(machine, counter("nic.rx_errors", (HOUR + 1, 500)))
    assert verdict_of("nic.error_rate", longer, window_h=2.0).status == Status.FAIL


def test_what_was_before_a_repair_counts_no_more(machine: Machine) -> None:
    repaired = (EventSeries(REPAIRED, "", "", ((NOW - 600, 1),), "an operator says so"),)

    before = agent_saw(machine, counter("nic.rx_errors", (900.0, 500)), events=repaired)
    assert verdict_of("nic.error_rate", before).status == Status.OK
    again = agent_saw(machine, counter("nic.rx_errors", (300.0, 500)), events=repaired)
    assert verdict_of("nic.error_rate", again).summary.startswith("eth0 has 500 bad received packets in 10 min, ")


def test_a_short_observation_is_not_extrapolated(machine: Machine) -> None:
    young: dict[str, Any] = {"observed_since": NOW - 120}
    few = agent_saw(machine, counter("nic.rx_errors", (60.0, 89), **young))
    assert verdict_of("nic.error_rate", few).status == Status.OK

    many = agent_saw(machine, counter("nic.rx_errors", (60.0, 91), **young))
    verdict = verdict_of("nic.error_rate", many)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "eth0 has 91 bad received packets in 2 min, expected at most 90 in 1 h"


def test_a_limit_and_a_window_make_the_count_that_is_borne(machine: Machine) -> None:
    host = agent_saw(machine, counter("nic.carrier_changes", (60.0, 1), (10 * HOUR, 5)))

    assert verdict_of("nic.flap_rate", host, max_changes_per_hour=0.25, window_h=24.0).status == Status.OK
    verdict = verdict_of("nic.flap_rate", host, max_changes_per_hour=0.2, window_h=24.0)
    assert verdict.summary == "eth0 has 6 carrier changes in 24 h, expected at most 4 in 24 h"


def test_a_counter_at_its_end_is_unknown_and_no_other_hides_behind_it(machine: Machine) -> None:
    full = counter("nic.carrier_changes", value=255, is_saturated=True)

    verdict = verdict_of("nic.flap_rate", agent_saw(machine, full))
    assert verdict.status == Status.UNKNOWN
    words = "it stands at 255, its largest value, and counts no more"
    assert verdict.summary == f"nic.carrier_changes of eth0: failed ({words})"

    bad = counter("nic.carrier_changes", (60.0, 11), part="nic:eth1")
    assert verdict_of("nic.flap_rate", agent_saw(machine, full, bad)).status == Status.FAIL


def test_what_filled_a_counter_up_still_fails(machine: Machine) -> None:
    full = counter("nic.carrier_changes", (60.0, 200), value=255, is_saturated=True)

    assert verdict_of("nic.flap_rate", agent_saw(machine, full)).status == Status.FAIL


def test_counters_that_are_not_read_any_more_are_unknown(machine: Machine) -> None:
    stale, fresh = (counter("nic.rx_errors", part=f"nic:p{h}", read_at=NOW - h * HOUR) for h in (2, 0))

    verdict = verdict_of("nic.error_rate", agent_saw(machine, stale))
    assert (verdict.status, verdict.summary) == (Status.UNKNOWN, f"{LEDGER}: failed (counters were not read for 2.0 h)")
    assert verdict_of("nic.error_rate", agent_saw(machine, stale, fresh)).status == Status.OK  # one port that went


def test_what_an_agent_saw_before_it_ended_counts_for_its_window(machine: Machine) -> None:
    def ended(ago_s: float, *points: tuple[float, int]) -> Any:
        series = counter("nic.rx_errors", *points, read_at=NOW - ago_s)
        return verdict_of("nic.error_rate", agent_saw(machine, series, written_ago_s=ago_s))

    assert ended(0.5 * HOUR, (0.6 * HOUR, 500)).status == Status.FAIL
    assert ended(0.5 * HOUR).status == Status.OK
    assert ended(2 * HOUR).status == Status.SKIP


def test_a_ledger_that_is_damaged_is_unknown(machine: Machine) -> None:
    host = machine({LEDGER: "{", BOOT_ID: "b\n"}, calls={(wall_clock_s,): NOW})

    assert verdict_of("nic.error_rate", host).status == Status.UNKNOWN


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"pci.aer_fatal": 1, "pci.aer_correctable": 5000}, "0000:3b:00.0 has 1 fatal PCIe errors"),
        ({"pci.aer_received_fatal": 1}, "0000:3b:00.0 has 1 fatal PCIe errors from below"),
        ({"pci.aer_nonfatal": 11}, "0000:3b:00.0 has 11 non-fatal PCIe errors"),
    ],
)
def test_the_gravest_pcie_errors_are_named(machine: Machine, counts: dict[str, int], words: str) -> None:
    series = [counter(name, (60.0, n), part="pci:0000:3b:00.0") for name, n in counts.items()]

    verdict = verdict_of("pci.aer_rate", agent_saw(machine, *series))
    assert verdict.status == Status.FAIL
    assert verdict.summary.startswith(f"{words} in 1 h, expected at most ")
    assert verdict.evidence["error_count"] == {"pci:0000:3b:00.0": counts}


def test_a_dimm_is_a_warning_before_it_is_a_failure(machine: Machine) -> None:
    def errors(count: int, **fields: Any) -> Any:
        series = counter("memory.corrected", (20 * HOUR, count), part="dimm:CPU0_DIMM_A1", **fields)
        return verdict_of("memory.corrected_rate", agent_saw(machine, series))

    assert errors(10).status == Status.OK
    early = errors(11)
    assert early.status == Status.WARN
    assert early.summary == "CPU0_DIMM_A1 has 11 corrected errors in 24 h, expected at most 10 in 24 h"
    assert early.evidence["parts"] == ["dimm:CPU0_DIMM_A1"]
    assert errors(1025).status == Status.FAIL
    assert errors(11, read_at=NOW - 2 * HOUR).status == Status.UNKNOWN


def test_no_rate_check_takes_the_id_of_one_that_judges_since_boot() -> None:
    since_boot: Sequence[str] = ("pci.aer", "memory.edac", "nic.errors", "nic.flaps", "nvme.health")

    assert set(since_boot) | CHECKS.keys() <= registry().keys()


@pytest.mark.parametrize(
    ("ratio", "bits_per_s", "seconds", "allowed"),
    [(1e-12, 100e9, 3600, 360), (1e-15, 400e9, 3600, 1), (1e-15, 100e9, 3600, 0), (1e-12, 0, 3600, 0)],
)
def test_a_bit_error_ratio_allows_so_many_errors(ratio: float, bits_per_s: float, seconds: float, allowed: int) -> None:
    assert errors_allowed(ratio, bits_per_s, seconds) == allowed
