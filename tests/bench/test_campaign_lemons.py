"""Lemons: nodes that fail again and again. One bad day is none."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import campaign_book
from campaign_book import Shape, fill, finding
from nodeproof.cli import fleet
from nodeproof_bench.campaign.book_rows import NodeEvent
from nodeproof_bench.campaign.report.lemons import HALF_LIFE_S, WEIGHTS, ranked
from nodeproof_bench.campaign.report.lemons_cli import command

DAY_S = 86400.0
NOW = 1772438400.0


def event(node: str, days_ago: float, kind: str = "drain", detail: str = "") -> NodeEvent:
    return NodeEvent(node, NOW - days_ago * DAY_S, kind, detail, "test")


def lemons(*events: NodeEvent) -> list[str]:
    return [node.node for node in ranked(events, NOW) if node.is_lemon]


@pytest.mark.parametrize("kind", WEIGHTS)
def test_no_single_event_makes_a_lemon(kind: str) -> None:
    assert lemons(event("n1", 0, kind)) == []


def test_one_bad_day_is_one_incident_however_much_happened() -> None:
    storm = [event("n1", 3 - n / 100, "xid", f"79 {n}") for n in range(50)]
    (node,) = ranked([*storm, event("n1", 2.4, "drain")], NOW)

    assert (len(node.incidents), node.is_lemon) == (1, False)
    assert node.incidents[0].weight == WEIGHTS["drain"]
    assert node.counts == {"xid": 50, "drain": 1}


def test_drained_again_after_a_week_is_a_lemon() -> None:
    assert lemons(event("n1", 9), event("n1", 2), event("n2", 2)) == ["n1"]


def test_events_that_go_on_for_days_are_more_than_one_incident() -> None:
    assert lemons(*(event("n1", n / 10, "xid") for n in range(40))) == ["n1"]


def test_an_incident_counts_half_after_the_half_life() -> None:
    fresh, old = ranked([event("n1", 0), event("n2", HALF_LIFE_S / DAY_S)], NOW)

    assert (fresh.score, old.score) == pytest.approx((WEIGHTS["drain"], WEIGHTS["drain"] / 2))


def test_what_is_long_ago_makes_no_lemon_any_more() -> None:
    assert lemons(event("n1", 80), event("n1", 60)) == []


def test_lemons_come_first_and_then_the_higher_score() -> None:
    nodes = ranked([event("a", 0), event("b", 20, "flap"), event("c", 30), event("c", 10), event("c", 5)], NOW)

    assert [node.node for node in nodes] == ["c", "a", "b"]


def test_kinds_that_nobody_knows_and_times_to_come_count_nothing() -> None:
    assert ranked([event("n1", 1, "mood"), event("n2", -5)], NOW) == []


# the command


def invoke(directory: Path, *argv: str) -> str:
    url = f"sqlite:///{directory}/campaigns.db"
    done = CliRunner().invoke(command, [*argv, "--database", url])
    assert done.exit_code == 0, done.output
    return done.output


def test_findings_of_all_campaigns_count_as_slow(tmp_path: Path) -> None:
    with campaign_book.book(tmp_path) as book:
        for n, id_ in enumerate(("aaaa", "bbbb", "cccc")):
            began = time.time() - (12 - 3 * n) * DAY_S
            fill(book, shape=Shape(nodes=3, repeats=1, id=id_, began=began))
            found = [
                finding(id_, "n01", state="confirmed", text="triad is slow"),
                finding(id_, "n02", state="cleared"),
                finding(id_, "n03", state="suspect"),
            ]
            book.set_findings(id_, found)
    document = json.loads(invoke(tmp_path, "--json"))

    (node,) = document["nodes"]
    assert (node["node"], node["is_lemon"], node["counts"]) == ("n01", True, {"slow": 3})
    assert node["incidents"][0]["details"] == ["slow: triad is slow"]


def test_the_table_says_what_happened_and_is_not_at_the_mercy_of_names(tmp_path: Path) -> None:
    now = time.time()
    with campaign_book.book(tmp_path) as book:
        book.add_events(
            [
                NodeEvent("n1", now - 5 * DAY_S, "drain", "GPU 3 fell off\nn2 yes", "slurm"),
                NodeEvent("n1", now - 1 * DAY_S, "xid", "79\x1b[2J", "kernel log"),
            ]
        )
    text = invoke(tmp_path)

    assert "1 lemon among 1 node" in text
    assert "xid: 79?[2J" in text
    assert "drain: GPU 3 fell off?n2 yes" in text
    assert "\x1b" not in text


def test_only_what_is_since_then_counts(tmp_path: Path) -> None:
    with campaign_book.book(tmp_path) as book:
        book.add_events([NodeEvent("n1", time.time() - 10 * DAY_S, "drain", "", "slurm")])

    assert "Nothing is known" in invoke(tmp_path, "--since", "1w")
    assert "n1" in invoke(tmp_path, "--since", "2w")


@pytest.mark.parametrize("word", ["90", "0d", "-1d", "d", "9y"])
def test_a_time_that_is_none_is_refused(tmp_path: Path, word: str) -> None:
    done = CliRunner().invoke(command, [f"--since={word}", "--database", f"sqlite:///{tmp_path}/x.db"])

    assert done.exit_code == 2
    assert "expected a time such as 36h, 90d or 12w" in done.output


def test_fleet_has_it_beside_its_own_commands() -> None:
    shown = CliRunner().invoke(fleet.command, ["--help"]).output

    assert "guard" in shown
    assert "lemons" in shown
    assert "half as much after each" in " ".join(CliRunner().invoke(fleet.command, ["lemons", "--help"]).output.split())
