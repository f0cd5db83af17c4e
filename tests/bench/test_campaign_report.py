"""The report of a campaign: one document, and a page and a terminal that say the same."""

import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import jsonschema
import pytest

import campaign_book
from campaign_book import FACTS, METRICS, Planted, Shape, change_samples, fill, finding
from nodeproof_bench.analysis.fleet import Judgement
from nodeproof_bench.campaign.assess import Assessment
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import FindingRow
from nodeproof_bench.campaign.report import document as report
from nodeproof_bench.campaign.report.html import page
from nodeproof_bench.campaign.report.text import lines, unseen

NOTHING_FOUND = Assessment(Judgement((), {}, 120, 0.4, {}), {})

SCHEMA = json.loads(
    resources.files("nodeproof_bench.campaign.report").joinpath("campaign-report.schema.json").read_text()
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

TRIAD = "memory.triad --node 0"


def documented(book: Book, campaign_id: str, findings: Sequence[FindingRow] = ()) -> dict[str, Any]:
    """Return the document of a campaign with these findings; it is checked against its schema."""
    book.set_findings(campaign_id, findings)
    made = report.write(book, book.campaign(campaign_id), NOTHING_FOUND)
    VALIDATOR.validate(json.loads(json.dumps(made, allow_nan=False)))
    return made


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {row["node"]: row["verdict"] for row in document["nodes"]}


def metric(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(m for m in document["metrics"] if m["metric"] == name)


def test_the_schema_is_one_and_refuses_what_is_no_report(book: Book) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    made = documented(book, fill(book))
    made["nodes"][0]["verdict"] = "fine"

    with pytest.raises(jsonschema.ValidationError, match="'fine' is not one of"):
        VALIDATOR.validate(made)


# verdicts


def test_it_is_said_what_would_not_be_seen(book: Book) -> None:
    found = {
        ("", "disk.latency"): 0.12,
        ("b", "net.latency"): 0.2,
        ("", "cpu.flops"): 0.01,
        ("lonely", "cpu.flops"): None,
    }
    nothing = Judgement((), {}, 120, 0.4, {})
    id_ = fill(book)
    document = report.write(book, book.campaign(id_), Assessment(nothing, {}, resolution=found))
    VALIDATOR.validate(document)
    text = "\n".join(lines(document))

    assert [row["loss"] for row in document["resolution"]] == [None, 0.2, 0.12, 0.01]
    assert "Too few nodes to compare with each other in cpu.flops (lonely)" in text
    assert (
        "A loss of 5 % would not be seen in 2 of 4 comparisons: net.latency (b) only from 20.0 %, disk.latency" in text
    )
    assert "would not be seen" in page(document)
    assert not list(unseen([{"class": "", "metric": "cpu.flops", "loss": 0.01}], 0.05))


def test_healthy_nodes_are_ok_without_a_reason(book: Book) -> None:
    document = documented(book, fill(book))

    assert set(verdicts(document).values()) == {"ok"}
    assert all(row["why"] == [] for row in document["nodes"])


def test_each_node_gets_the_word_for_what_happened_to_it(book: Book) -> None:
    planted = Planted(
        failed_checks={"n02": ("memory.dimms", "15 modules, expected 16")},
        without_result=["n05"],
        skipped={"n07": "drained: fan"},
    )
    id_ = fill(book, planted)
    found = [
        finding(id_, "n03", state="confirmed"),
        finding(id_, "n04", state="suspect"),
        finding(id_, "n06", state="cleared"),
    ]
    document = documented(book, id_, found)
    words = verdicts(document)

    assert {n: w for n, w in words.items() if w != "ok"} == {
        "n02": "bad", "n03": "bad", "n04": "suspect", "n05": "unknown", "n07": "skipped"
    }  # fmt: skip
    why = {row["node"]: row["why"] for row in document["nodes"]}
    assert why["n02"] == ["memory.dimms: 15 modules, expected 16"]
    assert "bench failed: no result file came" in why["n05"]
    assert why["n07"] == ["drained: fan"]


def test_the_worst_come_first_and_the_largest_loss_before_a_smaller_one(book: Book) -> None:
    id_ = fill(book)
    found = [
        finding(id_, "n04", loss=0.3),
        finding(id_, "n03", state="confirmed", loss=0.05),
        finding(id_, "n08", state="confirmed", loss=0.2),
    ]
    document = documented(book, id_, found)

    assert [row["node"] for row in document["nodes"][:3]] == ["n08", "n03", "n04"]
    assert [f["node"] for f in document["findings"]] == ["n08", "n03", "n04"]


def test_a_check_that_could_not_tell_on_one_node_makes_that_node_unknown(book: Book) -> None:
    id_ = fill(book)
    with book.engine.begin() as database:
        database.exec_driver_sql("UPDATE verdicts SET status = 'unknown' WHERE node = 'n09' AND check_id = 'fs.space'")
    document = documented(book, id_)

    assert {n: w for n, w in verdicts(document).items() if w != "ok"} == {"n09": "unknown"}
    assert document["summary"]["blind_checks"] == []


def test_a_check_that_failed_in_a_pair_convicts_neither_of_its_nodes(book: Book) -> None:
    id_ = fill(book)
    pair = next(task for task in book.tasks(id_) if len(task.nodes) == 2)
    with book.engine.begin() as database:
        for node in pair.nodes:
            row = (id_, pair.task, node, pair.phase, "net.latency", "fail", "as slow as its partner")
            columns = "campaign_id, task, node, phase, check_id, status, summary"
            database.exec_driver_sql(f"INSERT INTO verdicts ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    assert set(verdicts(documented(book, id_)).values()) == {"ok"}


def test_a_check_that_could_tell_nowhere_is_said_once_and_hides_no_node(book: Book) -> None:
    id_ = fill(book)
    with book.engine.begin() as database:
        database.exec_driver_sql("UPDATE verdicts SET status = 'unknown' WHERE check_id = 'fs.space'")
    document = documented(book, id_)

    assert set(verdicts(document).values()) == {"ok"}
    assert document["summary"]["blind_checks"] == ["fs.space"]
    assert "Most nodes could not tell (were the jobs allowed to look?): fs.space" in "\n".join(lines(document))


def test_a_node_whose_runs_were_all_disturbed_is_unknown_and_in_no_distribution(book: Book) -> None:
    id_ = fill(book)
    stolen = ("n01", "cpu.flops")
    change_samples(
        book,
        id_,
        lambda s: s._replace(is_inconclusive=True, reason="steal") if (s.node, s.metric) == stolen else s,
    )
    document = documented(book, id_)
    flops = metric(document, "cpu.flops")

    assert verdicts(document)["n01"] == "unknown"
    assert flops["inconclusive"] == ["n01"]
    assert flops["count"] == 11
    assert "n01" not in {row["node"] for row in flops["values"]}


def test_in_a_campaign_that_goes_on_what_has_not_run_yet_is_no_reason(book: Book) -> None:
    id_ = fill(book)
    statements = (
        "UPDATE tasks SET state = 'waiting' WHERE phase = 'repeat'",
        "UPDATE campaigns SET state = 'running', ended_at = NULL",
    )
    with book.engine.begin() as database:
        for statement in statements:
            database.exec_driver_sql(statement)

    assert set(verdicts(documented(book, id_)).values()) == {"ok"}
    book.end_campaign(id_, "cancelled", 1.0)
    assert set(verdicts(documented(book, id_)).values()) == {"unknown"}


# figures


def test_counts_and_node_hours_are_the_sums_of_what_there_is(book: Book) -> None:
    document = documented(book, fill(book, Planted(skipped={"n07": "down"})))
    summary = document["summary"]
    hours = sum(job.node_seconds or 0.0 for job in book.jobs("c0ffee01")) / 3600

    assert sum(summary["nodes"].values()) == len(document["nodes"]) == 12
    assert summary["node_hours"] == pytest.approx(hours)
    assert sum(phase["node_hours"] for phase in document["phases"]) == pytest.approx(hours)
    assert sum(row["node_hours"] for row in document["nodes"]) == pytest.approx(hours)
    assert sum(summary["tasks"].values()) == sum(phase["tasks"] for phase in document["phases"])
    assert [phase["phase"] for phase in document["phases"]] == ["inventory", "bench", "pairs", "stress", "repeat"]


def test_a_distribution_lists_the_slowest_first_whichever_way_is_better(book: Book) -> None:
    planted = Planted(factors={"n03": {TRIAD: 0.8}, "n04": {"memory.latency --node 0": 1.3}})
    document = documented(book, fill(book, planted))

    for name, slowest in ((TRIAD, "n03"), ("memory.latency --node 0", "n04")):
        values = [row["value"] for row in metric(document, name)["values"]]
        assert metric(document, name)["values"][0]["node"] == slowest
        assert values == sorted(values, reverse=not METRICS[name].is_higher_better)
        assert metric(document, name)["quantiles"]["0"] == min(values)


def test_metrics_with_outliers_come_first_and_name_them(book: Book) -> None:
    id_ = fill(book, Planted(factors={"n03": {TRIAD: 0.8}}))
    document = documented(book, id_, [finding(id_, "n03", metric=TRIAD, loss=0.2)])

    first = document["metrics"][0]
    assert (first["metric"], [o["node"] for o in first["outliers"]]) == (TRIAD, ["n03"])
    assert first["outliers"][0]["loss"] == 0.2


def test_of_thousands_of_nodes_quantiles_and_outliers_are_kept(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeproof_bench.campaign.report.spread.bounded.__defaults__", (11,))
    id_ = fill(book)
    document = documented(book, id_, [finding(id_, "n03", metric=TRIAD)])

    assert metric(document, TRIAD)["values"] == []
    assert metric(document, TRIAD)["count"] == 12
    assert [o["node"] for o in metric(document, TRIAD)["outliers"]] == ["n03"]


def test_pairs_name_their_ends_and_path_the_worst_first(book: Book) -> None:
    document = documented(book, fill(book, Planted(pair_factors={"n05": 1.4}), Shape(pair_rounds=11)))
    latency = next(p for p in document["pairs"] if p["metric"] == "net.latency spinning 1 B")

    assert latency["count"] == 12 * 11 // 2
    assert all("n05" in row["nodes"] for row in latency["values"][:11])
    assert {row["path"] for row in latency["values"]} >= {"within leaf1", "leaf1 - leaf2"}
    assert "net.latency spinning 1 B" not in {m["metric"] for m in document["metrics"]}


# what differs


def test_the_odd_one_out_is_named_with_what_most_have(book: Book) -> None:
    document = documented(book, fill(book, Planted(facts={"n11": {"smbios.bios_version": "2.6.0"}})))
    (odd,) = document["inventory"]

    assert (odd["key"], odd["majority"], odd["majority_count"]) == ("smbios.bios_version", "2.7.1", 11)
    assert odd["odd"] == [{"node": "n11", "value": "2.6.0"}]


def test_a_fact_that_one_node_did_not_tell_is_a_disagreement_too(book: Book) -> None:
    id_ = fill(book)
    with book.engine.begin() as database:
        database.exec_driver_sql("DELETE FROM facts WHERE node = 'n02' AND key = 'nic.firmware.eth0'")
    (odd,) = documented(book, id_)["inventory"]

    assert (odd["majority"], odd["odd"]) == (FACTS["nic.firmware.eth0"], [{"node": "n02", "value": None}])


def test_a_node_that_has_a_class_for_itself_is_compared_with_the_class_that_it_is_most_like(book: Book) -> None:
    id_ = fill(book, Planted(facts={"n04": {"memory.dimms": "15 x 32 GiB 4800 MT/s"}}))
    with book.engine.begin() as database:
        database.exec_driver_sql("UPDATE nodes SET hardware_class = 'HPC-9000, 480 GiB' WHERE node = 'n04'")
    (odd,) = documented(book, id_)["inventory"]

    assert (odd["class"], odd["key"], odd["nodes"]) == ("HPC-9000", "memory.dimms", 12)
    assert odd["odd"] == [{"node": "n04", "value": "15 x 32 GiB 4800 MT/s"}]


def test_a_node_unlike_all_others_is_compared_with_nobody(book: Book) -> None:
    id_ = fill(book)
    with book.engine.begin() as database:
        database.exec_driver_sql("UPDATE nodes SET hardware_class = 'login' WHERE node = 'n04'")
        database.exec_driver_sql("UPDATE facts SET value = value || ' of its own' WHERE node = 'n04'")

    assert documented(book, id_)["inventory"] == []


def test_a_class_split_in_halves_has_no_majority(book: Book) -> None:
    half = {f"n{n:02d}": {"kernel.release": "6.12"} for n in range(1, 7)}
    (split,) = documented(book, fill(book, Planted(facts=half)))["inventory"]

    assert split["majority_count"] is None
    assert len(split["odd"]) == 12


def test_what_changed_under_heat_is_named_against_how_the_class_changed(book: Book) -> None:
    all_slower = {f"n{n:02d}": {"cpu.frequency": 0.96} for n in range(1, 13)}
    document = documented(book, fill(book, Planted(hot={**all_slower, "n06": {"cpu.frequency": 0.8}})))
    first = document["under_heat"][0]

    assert first["metric"] == "cpu.frequency"
    assert first["losses"]["median"] == pytest.approx(0.04, abs=0.005)
    assert [row["node"] for row in first["changed"]] == ["n06"]
    assert first["changed"][0]["loss"] == pytest.approx(0.2, abs=0.01)


def test_since_the_last_campaign_verdicts_facts_and_figures_are_compared(book: Book) -> None:
    before = fill(book, Planted(), Shape(id="aaaa0001", name="january"))
    book.set_findings(before, [finding(before, "n01", state="confirmed")])
    planted = Planted(factors={"n04": {TRIAD: 0.9}}, facts={"n02": {"smbios.bios_version": "2.8.0"}})
    now = fill(book, planted, Shape(id="bbbb0002", began=campaign_book.BEGAN + 86400, seed=2))
    since = documented(book, now)["since_last"]

    assert (since["campaign"], since["name"]) == (before, "january")
    assert since["verdicts"] == [{"node": "n01", "before": "bad", "now": "ok"}]
    assert since["facts"] == [{"node": "n02", "key": "smbios.bios_version", "before": "2.7.1", "now": "2.8.0"}]
    first = since["metrics"][0]
    assert (first["metric"], [row["node"] for row in first["changed"]]) == (TRIAD, ["n04"])


def test_the_first_campaign_has_nothing_to_be_compared_with(book: Book) -> None:
    assert documented(book, fill(book))["since_last"] is None


def test_passwords_of_the_plan_are_in_no_report(book: Book) -> None:
    id_ = fill(book)
    url = "postgresql+psycopg://nodeproof:s3cret@db/campaigns"
    with book.engine.begin() as database:
        database.exec_driver_sql("UPDATE campaigns SET plan = ?", (json.dumps({"results": {"database": url}}),))
    document = documented(book, id_)

    assert "s3cret" not in json.dumps(document)
    assert document["campaign"]["plan"]["results"]["database"] == "postgresql+psycopg://nodeproof:***@db/campaigns"


# in a terminal


def test_the_terminal_shows_counts_and_who_is_to_be_looked_at_first(book: Book) -> None:
    id_ = fill(book, Planted(facts={"n11": {"smbios.bios_version": "2.6.0"}}))
    found = [finding(id_, "n03", metric=TRIAD, value=180e9, expected=205e9, loss=0.122, state="confirmed")]
    shown = list(lines(documented(book, id_, [*found, finding(id_, path="leaf1 - leaf2", text="path is slow")])))
    text = "\n".join(shown)

    assert shown[0] == "rack-12 (c0ffee01), done: 1 bad, 11 ok"
    assert re.search(r"(?m)^n03 +bad +memory.triad --node 0 180 GB/s, expected 205 GB/s: 12.2 % worse", text)
    assert re.search(r"(?m)^leaf1 - leaf2 +suspect +path is slow$", text)
    assert re.search(r"(?m)^smbios.bios_version +2.7.1 \(11 of 12\) +n11: 2.6.0$", text)


def test_the_terminal_is_not_at_the_mercy_of_names(book: Book) -> None:
    id_ = fill(book)
    text = "\n".join(lines(documented(book, id_, [finding(id_, "n03", text="evil\x1b[2J\nn99 ok")])))

    assert "\x1b" not in text
    assert "\nn99" not in text
