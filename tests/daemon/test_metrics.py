"""Metrics: what is on the page, and that Prometheus' own parsers read it."""

import re
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from nodeproof.daemon.exposition import accepts_openmetrics, exposed
from nodeproof.daemon.metric_families import LABEL_CHARS, MOST_COUNTED, MOST_SERIES, Family, families
from nodeproof.daemon.metrics import render
from nodeproof.daemon.snapshot import IncidentNow, Snapshot
from nodeproof.events.ledger import CounterSeries
from nodeproof.verdict import harmless
from planted_snapshot import NOW, SNAPSHOT

EMPTY = Snapshot(NOW, NOW, "0.1.0", "", "", "observe", "", 0.0, "no policy")
PARSERS: dict[bool, Any] = {False: text_families, True: openmetrics_families}


def series(snapshot: Snapshot, *, is_openmetrics: bool = False) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Render a page, have it parsed and return all series. No two are the same."""
    parsed = PARSERS[is_openmetrics](render(snapshot, is_openmetrics=is_openmetrics).decode())
    found = [((s.name, frozenset(s.labels.items())), s.value) for family in parsed for s in family.samples]
    assert len(found) == len(dict(found))
    return dict(found)


def value(snapshot: Snapshot, name: str, **labels: str) -> float | None:
    return series(snapshot).get((f"nodeproof_{name}", frozenset(labels.items())))


@pytest.mark.parametrize("snapshot", [SNAPSHOT, EMPTY], ids=["full", "empty"])
def test_both_formats_say_the_same_to_prometheus(snapshot: Snapshot) -> None:
    assert series(snapshot) == series(snapshot, is_openmetrics=True)


def test_names_follow_the_conventions() -> None:
    made = families(SNAPSHOT)
    assert len({f.name for f in made}) == len(made) >= 50
    for family in made:
        assert re.fullmatch(r"nodeproof(_[a-z0-9]+)+", family.name)
        assert not re.search(r"_(counter|gauge|summary|histogram|info|total|count|sum|ms|minutes|mb)(_|$)", family.name)
        assert family.help.endswith(".")
    assert [f.name for f in made] == [f.name for f in families(EMPTY)], "a page shows what there is"


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("build_info", {"version": "0.1.0"}, 1),
        ("node_info", {"node": "gpu001", "boot_id": "0b5c"}, 1),
        ("node_status", {"status": "fail"}, 1),
        ("node_status", {"status": "ok"}, 0),
        ("node_severity", {}, 4),
        ("out_of_service", {}, 1),
        ("agent_cpu_seconds_total", {}, 12.5),
        ("agent_updated_timestamp_seconds", {}, NOW),
        ("agent_warnings", {}, 1),
        ("check_status", {"check": "gpu.count", "status": "fail", "on_fail": "drain"}, 1),
        ("check_status", {"check": "gpu.count", "status": "ok", "on_fail": "drain"}, None),
        ("check_severity", {"check": "nic.speed"}, 3),
        ("check_since_timestamp_seconds", {"check": "gpu.count"}, NOW - 600),
        ("check_judged_timestamp_seconds", {"check": "gpu.count"}, NOW - 5),
        ("check_duration_seconds", {"check": "gpu.count"}, 0.012),
        ("check_failures_in_a_row", {"check": "gpu.count"}, 2),
        ("checks", {"status": "fail"}, 2),
        ("checks", {"status": "warn"}, 0),
        ("checks_to_drain", {}, 1),
        ("failure_age_seconds", {}, 600),
        ("unknown_age_seconds", {}, 600),
        ("group_interval_seconds", {"group": "health"}, 300),
        ("group_next_pass_timestamp_seconds", {"group": "health"}, NOW + 295),
        ("group_passes_total", {"group": "counters"}, 1440),
        ("group_failures_total", {"group": "health"}, 1),
        ("health_age_seconds", {}, 5),
        ("events_total", {"rule": "gpu.xid"}, 3),
        ("events_total", {"rule": "kernel.oom"}, 0),
        ("events_lost_total", {"source": "kmsg"}, 7),
        ("events_lost_total", {"source": "nvml"}, 0),
        ("source_followed", {"source": "kmsg"}, 1),
        ("source_followed", {"source": "nvml"}, 0),
        ("counted_total", {"counter": "edac.corrected", "part": "dimm:CPU0_DIMM_A1"}, 42),
        ("counted_saturated", {"counter": "ib.symbol_error", "part": "ib:mlx5_0/1"}, 1),
        ("counted_saturated", {"counter": "edac.corrected", "part": "dimm:CPU0_DIMM_A1"}, None),
        ("counted_resets_total", {"counter": "ib.symbol_error", "part": "ib:mlx5_0/1"}, 2),
        ("counted_series_saturated", {}, 1),
        ("counted_read_timestamp_seconds", {}, NOW - 30),
        ("incidents", {}, 1),
        ("incident_findings", {"cause": "pci.link", "part": "pci:0000:3b:00.0"}, 3),
        ("actions_total", {"result": "drained"}, 1),
        ("actions_total", {"result": "resumed"}, 0),
        ("last_action_info", {"intent": "drain", "result": "held_back"}, 1),
        ("drain_held_back", {}, 1),
        ("drain_only_observed", {}, 0),
        ("gate_valid", {}, 1),
        ("gate_valid_until_timestamp_seconds", {}, NOW + 700),
        ("policy_info", {"digest": "abcdef123456", "mode": "enforce"}, 1),
        ("policy_enforced", {}, 1),
        ("policy_broken", {}, 0),
        ("history_size_bytes", {}, 1 << 20),
        ("history_kept", {}, 1),
    ],
)
def test_a_series_says_what_the_agent_knows(name: str, labels: dict[str, str], expected: float | None) -> None:
    assert value(SNAPSHOT, name, **labels) == expected


def test_before_the_first_pass_there_is_no_status_and_no_gate() -> None:
    never = SNAPSHOT._replace(checks=(), gate_until=0.0, groups=(SNAPSHOT.groups[0]._replace(last_at=0.0),))
    assert value(never, "node_severity") is None
    assert value(never, "node_status", status="ok") is None
    assert value(never, "gate_valid") == 0
    assert value(never, "health_age_seconds") == 86400
    assert value(EMPTY, "policy_broken") == 1


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    back = SNAPSHOT._replace(at=NOW - 3600)
    assert value(back, "health_age_seconds") == value(back, "failure_age_seconds") == 0


@pytest.mark.parametrize("length", [0, 10_000])
def test_hostile_text_stays_inside_its_label(length: int) -> None:
    hostile = 'a"} 1\nnodeproof_out_of_service 0\n# \\ {\x1b[2J \udcff é ' + "x" * length
    counter = SNAPSHOT.counters[0]._replace(part=hostile)
    snapshot = SNAPSHOT._replace(counters=(counter,), events={hostile: 1}, node=hostile)
    for is_openmetrics in (False, True):
        found = series(snapshot, is_openmetrics=is_openmetrics)
        kept = harmless(hostile, LABEL_CHARS)
        assert found["nodeproof_counted_total", frozenset({("counter", counter.name), ("part", kept)})] == 42
        assert found["nodeproof_out_of_service", frozenset()] == 1
        assert max(len(line) for line in render(snapshot, is_openmetrics=is_openmetrics).splitlines()) < 500


def test_labels_are_escaped_whoever_made_them() -> None:
    label = 'a\\n"\n\\'
    page = exposed([Family("x", "gauge", "A word.", ("a",), (((label,), 1),))], is_openmetrics=True).decode()
    assert page.count("\n") == 4
    assert [s.labels for family in PARSERS[True](page) for s in family.samples] == [{"a": label}]


def test_too_many_parts_are_left_out_and_counted() -> None:
    many = tuple(CounterSeries("c", f"disk:{i}", NOW, NOW, i) for i in range(MOST_COUNTED + 1000))
    causes = tuple(IncidentNow("c", f"disk:{i}", "", (), NOW) for i in range(MOST_SERIES + 1))
    found = series(SNAPSHOT._replace(counters=many, incidents=causes))
    assert sum(name == "nodeproof_counted_total" for name, _ in found) == MOST_COUNTED
    assert found["nodeproof_series_left_out", frozenset({("family", "nodeproof_counted")})] == 1000
    assert found["nodeproof_series_left_out", frozenset({("family", "nodeproof_incident_findings")})] == 1
    assert found["nodeproof_counted_series", frozenset()] == MOST_COUNTED + 1000
    assert not any(name == "nodeproof_series_left_out" for name, _ in series(SNAPSHOT))


def test_names_that_are_the_same_when_cut_are_one_series() -> None:
    long = [CounterSeries("c", "x" * LABEL_CHARS + end, NOW, NOW, ord(end)) for end in "ab"]
    found = series(SNAPSHOT._replace(counters=tuple(long)))
    assert found["nodeproof_series_left_out", frozenset({("family", "nodeproof_counted")})] == 1
    assert [number for (name, _), number in found.items() if name == "nodeproof_counted_total"] == [ord("a")]


@pytest.mark.parametrize(
    ("accept", "is_accepted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        ("text/html, application/openmetrics-text;q=0.1", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("Application/OpenMetrics-Text;version=0.0.1", True),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.000,*/*", False),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            True,
        ),
    ],
)
def test_openmetrics_is_for_who_accepts_it(accept: str, is_accepted: bool) -> None:
    assert accepts_openmetrics(accept) is is_accepted
