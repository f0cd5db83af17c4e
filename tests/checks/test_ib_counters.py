"""What InfiniBand and RoCE ports count over time: limits by rate, resets, saturation, congestion, drops and flaps.

Counters go the way that they go on a node: from sysfs files through the probe and the agent's ledger to the verdict.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ib_counts import IB, Counts, counter_files
from nodeproof.daemon.counters import observed
from nodeproof.events.ledger import CounterSeries, EventSeries, Ledger, to_json
from nodeproof.events.rule import REPAIRED
from nodeproof.host.clock import wall_clock_s
from nodeproof.probes.ib_counters import IbCounters
from nodeproof.probes.ledger import BOOT_ID, LEDGER
from nodeproof.verdict import Status, Verdict
from support import Machine, plant, verdict_of

NOW, HOUR = 1_800_000_000.0, 3600.0

NDR = {
    "state": "4: ACTIVE",
    "phys_state": "5: LinkUp",
    "rate": "400 Gb/sec (4X NDR)",
    "link_layer": "InfiniBand",
}
HDR = NDR | {"rate": "200 Gb/sec (4X HDR)"}
ROCE = NDR | {"link_layer": "Ethernet"}
DOWN = NDR | {"state": "1: DOWN", "phys_state": "2: Polling", "rate": "10 Gb/sec (4X SDR)"}
OFF = DOWN | {"phys_state": "3: Disabled"}


class Node:
    """A node whose counters the agent reads from time to time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.readings = 0
        self.series: tuple[CounterSeries, ...] = ()
        self.events: tuple[EventSeries, ...] = ()

    def counted(self, ago_s: float, counts: Counts) -> None:
        """Have the agent read these counters, so long ago."""
        self.readings += 1
        host = plant(self.root / f"reading{self.readings}", counter_files(counts))
        self.series = observed(self.series, IbCounters.read(host).counters(), NOW - ago_s)

    def verdict(self, check_id: str, ports: Mapping[str, Mapping[str, str]], **parameters: Any) -> Verdict:
        files: dict[str, str | bytes] = {
            f"{IB}/{adapter}/ports/1/{file}": f"{text}\n"
            for adapter, port in ports.items()
            for file, text in port.items()
        }
        files[LEDGER] = to_json(Ledger("b", NOW - 72 * HOUR, NOW - 10, self.events, self.series))
        files[BOOT_ID] = "b\n"
        host = plant(self.root / "node", files, calls={(wall_clock_s,): NOW})
        return verdict_of(check_id, host, **parameters)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def rails(count: int, port: Mapping[str, str] = NDR) -> dict[str, Mapping[str, str]]:
    return {f"mlx5_{i}": port for i in range(count)}


def alike(count: int, **counts: int) -> dict[str, Mapping[str, int | str]]:
    return {f"mlx5_{i}": counts for i in range(count)}


def rose(node: Node, before: Counts, after: Counts, ago_s: float = 0.0) -> None:
    node.counted(2 * HOUR, before)
    node.counted(ago_s, after)


def test_one_bad_port_among_eight_is_named(node: Node) -> None:
    quiet = alike(8, symbol_error=7, port_rcv_errors=0)
    rose(node, quiet, quiet | {"mlx5_5": {"symbol_error": 1448, "port_rcv_errors": 0}})

    verdict = node.verdict("ib.counters", rails(8))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "mlx5_5/1 has 1441 symbol errors in 1 h, expected at most 1440 in 1 h"
    assert verdict.evidence == {"parts": ["ib:mlx5_5/1"], "error_count": {"ib:mlx5_5/1": {"ib.symbol_error": 1441}}}


def test_eight_sound_ports_pass(node: Node) -> None:
    rose(node, alike(8, symbol_error=7), alike(8, symbol_error=9))

    verdict = node.verdict("ib.counters", rails(8))
    assert (verdict.status, verdict.summary) == (Status.OK, "8 parts within limits: 16 counted in 1 h")


@pytest.mark.parametrize(
    ("port", "allowed"), [(NDR, 1440), (HDR, 720), (NDR | {"rate": "800 Gb/sec (4X XDR)"}, 2880), (ROCE, 1440)]
)
def test_a_bit_error_ratio_allows_a_faster_link_more_errors(node: Node, port: Mapping[str, str], allowed: int) -> None:
    rose(node, {"mlx5_0": {"symbol_error": 0}}, {"mlx5_0": {"symbol_error": allowed}})
    assert node.verdict("ib.counters", {"mlx5_0": port}).status == Status.OK

    node.counted(0.0, {"mlx5_0": {"symbol_error": allowed + 1}})
    assert node.verdict("ib.counters", {"mlx5_0": port}).status == Status.FAIL
    assert node.verdict("ib.counters", {"mlx5_0": port}, max_bit_error_ratio=1e-11).status == Status.OK


def test_the_rate_of_a_port_without_a_link_limits_nothing(node: Node) -> None:
    rose(node, {"mlx5_0": {"symbol_error": 0}}, {"mlx5_0": {"symbol_error": 100}})

    assert node.verdict("ib.counters", {"mlx5_0": NDR | {"rate": DOWN["rate"]}}).status == Status.FAIL
    assert node.verdict("ib.counters", {"mlx5_0": DOWN}).status == Status.SKIP


@pytest.mark.parametrize(
    ("name", "most"),
    [("port_rcv_errors", 100), ("local_link_integrity_errors", 4), ("excessive_buffer_overrun_errors", 4)],
)
def test_other_errors_have_limits_of_their_own(node: Node, name: str, most: int) -> None:
    rose(node, {"mlx5_0": {name: 0}}, {"mlx5_0": {name: most}})
    assert node.verdict("ib.counters", rails(1)).status == Status.OK

    node.counted(0.0, {"mlx5_0": {name: most + 1}})
    assert node.verdict("ib.counters", rails(1)).status == Status.FAIL


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("port_xmit_discards", 1000),
        ("port_rcv_remote_physical_errors", 1000),
        ("hw/local_ack_timeout_err", 3600),
        ("hw/rnr_nak_retry_err", 3600),
        ("hw/packet_seq_err", 36000),
        ("hw/out_of_sequence", 36000),
        ("hw/roce_slow_restart", 36000),
    ],
)
def test_what_others_may_be_to_blame_for_is_a_warning(node: Node, name: str, most: int) -> None:
    rose(node, {"mlx5_0": {name: 0}}, {"mlx5_0": {name: most}})
    assert node.verdict("ib.counters", {"mlx5_0": ROCE}).status == Status.OK

    node.counted(0.0, {"mlx5_0": {name: most + 1}})
    verdict = node.verdict("ib.counters", {"mlx5_0": ROCE})
    assert verdict.status == Status.WARN
    assert verdict.evidence["parts"] == ["ib:mlx5_0/1"]


def test_packets_out_of_order_are_no_fault_on_infiniband(node: Node) -> None:
    counts = {"symbol_error": 0, "hw/out_of_sequence": 0}
    rose(node, {"mlx5_0": counts}, {"mlx5_0": counts | {"hw/out_of_sequence": 10**6}})

    assert node.verdict("ib.counters", rails(1)).status == Status.OK
    assert node.verdict("ib.counters", {"mlx5_0": ROCE}).status == Status.WARN


def test_a_burst_is_over_when_its_window_is(node: Node) -> None:
    node.counted(3 * HOUR, {"mlx5_0": {"symbol_error": 0}})
    node.counted(1.5 * HOUR, {"mlx5_0": {"symbol_error": 30000}})
    node.counted(60, {"mlx5_0": {"symbol_error": 30000}})

    assert node.verdict("ib.counters", rails(1)).status == Status.OK
    assert node.verdict("ib.counters", rails(1), window_h=2.0).status == Status.FAIL


@pytest.mark.parametrize(("now", "status"), [(5, Status.OK), (1500, Status.FAIL)])
def test_after_a_driver_reload_or_a_reset_what_is_counted_since_counts(node: Node, now: int, status: Status) -> None:
    rose(node, {"mlx5_0": {"symbol_error": 60000}}, {"mlx5_0": {"symbol_error": now}})

    verdict = node.verdict("ib.counters", rails(1))
    assert verdict.status == status
    if status == Status.OK:
        assert verdict.evidence["resets"] == 1
        assert "5 counted" in verdict.summary


@pytest.mark.parametrize(("name", "end"), [("symbol_error", 65535), ("excessive_buffer_overrun_errors", 15)])
def test_a_counter_at_its_end_is_unknown_and_hides_no_other_port(node: Node, name: str, end: int) -> None:
    full: Counts = {"mlx5_0": {name: end}, "mlx5_1": {"symbol_error": 0}}
    rose(node, full, full)

    verdict = node.verdict("ib.counters", rails(2))
    assert verdict.status == Status.UNKNOWN
    words = f"it stands at {end}, its largest value, and counts no more"
    assert verdict.summary == f"ib.{name} of mlx5_0/1: failed ({words})"

    node.counted(0.0, {"mlx5_0": {name: end}, "mlx5_1": {"symbol_error": 2000}})
    verdict = node.verdict("ib.counters", rails(2))
    assert verdict.status == Status.FAIL
    assert verdict.evidence["parts"] == ["ib:mlx5_1/1"]


def test_what_filled_a_counter_up_still_fails(node: Node) -> None:
    rose(node, {"mlx5_0": {"symbol_error": 0}}, {"mlx5_0": {"symbol_error": 65535}})

    assert node.verdict("ib.counters", rails(1)).status == Status.FAIL


def test_a_port_that_counts_and_cannot_be_read_is_unknown(node: Node) -> None:
    rose(node, {"mlx5_0": {"port_rcv_errors": 0}}, {"mlx5_0": {"port_rcv_errors": 0}})

    assert node.verdict("ib.counters", {"mlx5_0": NDR | {"rate": "fast"}}).status == Status.UNKNOWN


def test_a_port_whose_losses_are_counted_and_that_cannot_be_read_is_unknown(node: Node) -> None:
    rose(node, {"mlx5_0": {"link_downed": 0}}, {"mlx5_0": {"link_downed": 0}})

    assert node.verdict("ib.flaps", {"mlx5_0": NDR | {"phys_state": "up"}}).status == Status.UNKNOWN


@pytest.mark.parametrize("check_id", ["ib.counters", "ib.congestion", "ib.flaps"])
def test_without_ports_counters_or_an_agent_nothing_is_judged(node: Node, machine: Machine, check_id: str) -> None:
    assert verdict_of(check_id, machine({BOOT_ID: "b\n"})).status == Status.SKIP
    assert node.verdict(check_id, rails(1)).status == Status.SKIP


def test_soft_roce_is_judged_by_what_it_counts(node: Node) -> None:
    sound = {"hw/rcvd_seq_err": 0, "hw/sent_pkts": 5, "hw/link_downed": 0}
    rose(node, {"rxe0": sound}, {"rxe0": sound | {"hw/rcvd_seq_err": 10**5, "hw/sent_pkts": 10**9}})
    rxe = ROCE | {"rate": "2.5 Gb/sec (1X SDR)"}

    verdict = node.verdict("ib.counters", {"rxe0": rxe})
    assert verdict.status == Status.WARN
    words = "rxe0/1 has 100000 packets that the other end missed in 1 h, expected at most 36000 in 1 h"
    assert verdict.summary == words


# Congestion


def waits(node: Node, *ticks: int) -> None:
    rose(
        node,
        {f"mlx5_{i}": {"port_xmit_wait": 0} for i in range(len(ticks))},
        {f"mlx5_{i}": {"port_xmit_wait": count} for i, count in enumerate(ticks)},
    )


def test_ticks_of_an_unknown_unit_are_reported_and_not_judged(node: Node) -> None:
    waits(node, 5, 4_000_000_000)

    verdict = node.verdict("ib.congestion", rails(2))
    assert (verdict.status, verdict.summary) == (Status.OK, "2 ports: mlx5_1/1 waited longest, 4000000000 ticks")
    assert verdict.evidence["tick_count"] == {"ib:mlx5_0/1": 5, "ib:mlx5_1/1": 4_000_000_000}


def test_waiting_is_a_share_of_time_where_the_unit_is_known_and_warns_at_most(node: Node) -> None:
    half = round(400e9 / 8 / 64 * HOUR * 0.5 / 1000)  # of a thousandth: the counter has 32 bits
    waits(node, 5, half)

    verdict = node.verdict("ib.congestion", rails(2), tick_bytes=64_000.0)
    assert (verdict.status, verdict.summary) == (Status.OK, "2 ports waited to send for at most 50.0%")
    verdict = node.verdict("ib.congestion", rails(2), tick_bytes=64_000.0, warn_wait_share=0.4)
    assert (verdict.status, verdict.summary) == (
        Status.WARN,
        "waited to send for more than 40% of the time: mlx5_1/1 50%",
    )
    assert verdict.evidence["parts"] == ["ib:mlx5_1/1"]
    slower = node.verdict("ib.congestion", rails(2, HDR), tick_bytes=64_000.0)
    assert (slower.status, slower.summary[-4:]) == (Status.WARN, "100%")


def test_a_full_wait_counter_is_unknown_where_it_is_judged(node: Node) -> None:
    full = {"mlx5_0": {"port_xmit_wait": (1 << 32) - 1}, "mlx5_1": {"port_xmit_wait": 9}}
    rose(node, full, full)

    verdict = node.verdict("ib.congestion", rails(2))
    assert (verdict.status, verdict.evidence["full"]) == (Status.OK, ["ib:mlx5_0/1"])
    assert node.verdict("ib.congestion", rails(2), tick_bytes=8.0).status == Status.UNKNOWN


# Drops and flaps


def losses(node: Node, *points: tuple[float, int], name: str = "link_downed") -> None:
    """Have two ports count; the second one has lost its link so often, so long ago."""
    node.counted(48 * HOUR, {"mlx5_0": {name: 0}, "mlx5_1": {name: 0}})
    for ago_s, count in points:
        node.counted(ago_s, {"mlx5_0": {name: 0}, "mlx5_1": {name: count}})
    node.counted(0, {"mlx5_0": {name: 0}, "mlx5_1": {name: points[-1][1]}})


def test_a_link_that_stays_away_is_a_drop_and_no_flap(node: Node) -> None:
    losses(node, (300.0, 1))

    verdict = node.verdict("ib.flaps", {"mlx5_0": NDR, "mlx5_1": DOWN})
    assert verdict.status == Status.FAIL
    assert verdict.summary == "mlx5_1/1 has no link (Polling), last lost 300 s ago"
    assert (verdict.evidence["parts"], verdict.evidence["dropped"]) == (["ib:mlx5_1/1"], ["ib:mlx5_1/1"])
    assert node.verdict("ib.flaps", rails(2)).status == Status.OK  # it is back


def test_a_drop_is_not_forgiven_when_the_window_is_over_but_by_a_repair(node: Node) -> None:
    losses(node, (30 * HOUR, 1))
    ports = {"mlx5_0": NDR, "mlx5_1": DOWN}
    assert node.verdict("ib.flaps", ports).summary == "mlx5_1/1 has no link (Polling), last lost 30.0 h ago"

    node.events = (EventSeries(REPAIRED, "", "", ((NOW - HOUR, 1),), "an operator says so"),)
    assert node.verdict("ib.flaps", ports).status == Status.OK


def test_a_link_that_may_still_train_is_looked_at_again(node: Node) -> None:
    losses(node, (100.0, 1))

    verdict = node.verdict("ib.flaps", {"mlx5_0": NDR, "mlx5_1": DOWN})
    assert verdict.status == Status.OK
    assert verdict.summary.endswith("mlx5_1/1 has no link (Polling), last lost 100 s ago, which may take 240 s")
    assert verdict.evidence["again_in_s"] == 140


def test_a_link_that_comes_back_again_and_again_is_a_flap(node: Node) -> None:
    losses(node, (10 * HOUR, 1), (5 * HOUR, 2))
    assert node.verdict("ib.flaps", rails(2)).status == Status.OK

    node.counted(0.0, {"mlx5_0": {"link_downed": 0}, "mlx5_1": {"link_downed": 3}})
    verdict = node.verdict("ib.flaps", rails(2))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "mlx5_1/1 has 3 lost links in 12 h, expected at most 2 in 12 h"
    assert verdict.evidence["dropped"] == []
    assert node.verdict("ib.flaps", rails(2), window_h=1.0).status == Status.OK


def test_recoveries_have_a_limit_too(node: Node) -> None:
    losses(node, (60.0, 61), name="link_error_recovery")

    verdict = node.verdict("ib.flaps", rails(2))
    assert verdict.summary == "mlx5_1/1 has 61 recoveries of the link in 12 h, expected at most 60 in 12 h"


@pytest.mark.parametrize("port", [OFF, DOWN | {"link_layer": "Ethernet"}])
def test_a_port_that_is_switched_off_or_ethernet_has_dropped_nothing(node: Node, port: Mapping[str, str]) -> None:
    losses(node, (HOUR, 1))

    assert node.verdict("ib.flaps", {"mlx5_0": NDR, "mlx5_1": port}).status == Status.OK


def test_a_port_that_was_down_before_the_agent_looked_has_dropped_nothing(node: Node) -> None:
    rose(node, {"mlx5_0": {"link_downed": 4}}, {"mlx5_0": {"link_downed": 4}})

    assert node.verdict("ib.flaps", {"mlx5_0": DOWN}).status == Status.OK


def test_ports_of_ethernet_alone_are_the_business_of_other_checks(node: Node) -> None:
    losses(node, (60.0, 200))

    verdict = node.verdict("ib.flaps", rails(2, ROCE))
    assert (verdict.status, "no InfiniBand port" in verdict.summary) == (Status.SKIP, True)


def test_a_full_counter_of_lost_links_is_unknown_and_hides_no_other_port(node: Node) -> None:
    full = {"mlx5_0": {"link_downed": 255}, "mlx5_1": {"link_downed": 0}}
    rose(node, full, full)
    assert node.verdict("ib.flaps", rails(2)).status == Status.UNKNOWN

    node.counted(0.0, full | {"mlx5_1": {"link_downed": 3}})
    verdict = node.verdict("ib.flaps", rails(2))
    assert verdict.status == Status.FAIL
    assert verdict.evidence["parts"] == ["ib:mlx5_1/1"]
