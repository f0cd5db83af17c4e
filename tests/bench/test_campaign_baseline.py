"""What healthy nodes of a campaign reached, as limits that policy accepts and that find what is slow."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import campaign_book
from campaign_book import METRICS, PAIR_METRICS, Planted, Shape, change_samples, fill, finding
from nodeproof.check import registry
from nodeproof.cli import policy
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.limits import target_of
from nodeproof_bench.campaign.report.baseline_cli import command

TRIADS = ("memory.triad --node 0", "memory.triad --node 1")


def learned(book: Book) -> str:
    done = CliRunner().invoke(command, ["learn", "last", "--database", book.place])
    assert done.exit_code == 0, done.output
    return done.output


def limits(book: Book) -> dict[str, Any]:
    (of_class,) = tomllib.loads(learned(book))["class"]
    checks: dict[str, Any] = of_class["check"]
    return checks


def test_limits_lie_between_what_healthy_nodes_reach_and_what_is_a_fault(book: Book) -> None:
    id_ = fill(book)
    checks = limits(book)
    values = [s.value for s in book.samples(id_) if s.metric in TRIADS]

    assert 0.95 * 204e9 < checks["memory"]["triad"]["min_bytes_per_s"] < min(values)
    assert 1.0 * 104e-9 < checks["memory"]["latency"]["max_latency_s"] < 1.10 * 104e-9
    assert 0.95 * 3.07e12 < checks["cpu"]["flops"]["min_flops_per_s"] < 0.985 * 3.07e12
    assert checks["memory"]["peak_share"]["usual_bytes_per_s"] == pytest.approx(204.5e9, rel=0.01)


def test_what_spreads_more_gets_more_room(book: Book) -> None:
    fill(book)
    checks = limits(book)
    of_disk = checks["disk"]["bandwidth"]["min_bytes_per_s"] / METRICS["disk.bandwidth"].usual
    of_cpu = checks["cpu"]["flops"]["min_flops_per_s"] / METRICS["cpu.flops"].usual

    assert of_disk < of_cpu - 0.05


def test_policy_accepts_what_was_learned(book: Book, tmp_path: Path) -> None:
    fill(book)
    directory = tmp_path / "policy.d"
    directory.mkdir()
    (directory / "60-baseline.toml").write_text(learned(book))
    done = CliRunner().invoke(policy.command, ["check", str(directory)])

    assert done.exit_code == 0, done.output
    assert "good: 1 file, 1 class" in done.output


def test_every_target_is_a_parameter_of_its_check() -> None:
    specs = registry()
    singles = [target_of(metric, is_pair=False) for metric in METRICS]
    pairs = [
        target_of(metric, is_pair=True) for metric in (*PAIR_METRICS, "rdma.latency write 2 B", "net.latency x p99")
    ]

    for target in (*singles, *pairs):
        assert target is not None
        assert target.parameter in specs[target.check].parameters


def test_nodes_that_are_not_healthy_move_no_limit(book: Book) -> None:
    fill(book, shape=Shape(id="aaaa"))
    usual = limits(book)["memory"]["triad"]
    slow = {f"n{n:02d}": dict.fromkeys(TRIADS, 0.7) for n in (2, 5)}
    id_ = fill(book, Planted(factors=slow), Shape(id="bbbb", began=campaign_book.BEGAN + 1))
    book.set_findings(id_, [finding(id_, "n02", state="confirmed"), finding(id_, "n05")])

    assert limits(book)["memory"]["triad"]["min_bytes_per_s"] == pytest.approx(usual["min_bytes_per_s"], rel=0.01)


def test_pairs_on_a_bad_path_move_no_limit(book: Book) -> None:
    id_ = fill(book, Planted(pair_factors={"leaf1 - leaf2": 1.2}), Shape(pair_rounds=11))
    with_it = limits(book)["net"]["bandwidth"]["min_bytes_per_s"]["any"]
    book.set_findings(id_, [finding(id_, path="leaf1 - leaf2", state="confirmed")])

    assert with_it < 0.84 * 11.2e9
    assert 0.9 * 11.2e9 < limits(book)["net"]["bandwidth"]["min_bytes_per_s"]["any"] < 0.98 * 11.2e9


def test_what_is_slower_under_stress_is_no_measure(book: Book) -> None:
    id_ = fill(book)
    usual = limits(book)["cpu"]["flops"]
    change_samples(book, id_, lambda s: s._replace(value=s.value / 2) if s.phase == "repeat" else s)
    with book.engine.begin() as database:
        database.exec_driver_sql("UPDATE tasks SET kind = 'stress' WHERE phase = 'repeat'")

    assert limits(book)["cpu"]["flops"]["min_flops_per_s"] == pytest.approx(usual["min_flops_per_s"], rel=0.01)


def test_no_healthy_node_is_beyond_a_limit(book: Book) -> None:
    fill(book, Planted(factors={"n02": dict.fromkeys(TRIADS, 0.9)}))
    least = limits(book)["memory"]["triad"]["min_bytes_per_s"]

    assert least < 0.9 * 204e9


def test_where_healthy_nodes_differ_too_much_there_is_no_limit_and_the_file_says_so(book: Book) -> None:
    wild = {f"n{n:02d}": {"cpu.flops": 0.4 + 0.1 * n} for n in range(1, 13)}
    fill(book, Planted(factors=wild))
    text = learned(book)

    assert "# Not learned: cpu.flops: healthy nodes differ too much" in text
    assert "flops" not in limits(book)["cpu"]


def test_few_nodes_get_the_room_that_one_node_gets(book: Book) -> None:
    fill(book, shape=Shape(nodes=3))

    assert limits(book)["cpu"]["flops"]["min_flops_per_s"] <= 0.95 * 3.09e12


def test_each_class_is_learned_by_itself_and_matches_its_own_nodes(book: Book) -> None:
    fast = {f"n{n:02d}": {"cpu.flops": 2.0} for n in range(7, 13)}
    fill(book, Planted(factors=fast))
    with book.engine.begin() as database:
        database.exec_driver_sql("UPDATE nodes SET hardware_class = 'new \"ones\"' WHERE node > 'n06'")
    classes = {c["name"]: c for c in tomllib.loads(learned(book))["class"]}

    assert classes["HPC-9000"]["match"]["hosts"] == "n[01-06]"
    assert classes['new "ones"']["match"]["hosts"] == "n[07-12]"
    rates = [c["check"]["cpu"]["flops"]["min_flops_per_s"] for c in classes.values()]
    assert rates[1] == pytest.approx(2 * rates[0], rel=0.02)


def test_where_nobody_is_healthy_nothing_is_learned(book: Book, tmp_path: Path) -> None:
    id_ = fill(book)
    book.set_findings(id_, [finding(id_, node) for node in campaign_book.names(Shape())])
    argv = ["learn", "last", "--database", book.place, "--output", str(tmp_path / "x.toml")]
    done = CliRunner().invoke(command, argv)

    assert "nothing to learn limits from: 0 of 12 nodes are healthy" in str(done.exception)
    assert not (tmp_path / "x.toml").exists()


def test_hostile_names_stay_comments_and_text(book: Book) -> None:
    id_ = fill(book, shape=Shape(name='x\n[check.cpu.smt]\nstate = "on"'))
    with book.engine.begin() as database:
        database.exec_driver_sql("UPDATE nodes SET hardware_class = ?", ('a"\n[evil]\n',))
    document = tomllib.loads(learned(book))

    assert list(document) == ["class"]
    assert document["class"][0]["name"] == 'a"\n[evil]\n'
    assert id_


def test_latency_between_ends_that_sleep_is_no_limit() -> None:
    assert target_of("net.latency blocking 1 B", is_pair=True) is None
    assert target_of("memory.copy --node 0", is_pair=False) is None
