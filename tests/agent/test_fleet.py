"""`nodeproof fleet guard`: what of the guard's limits is used, as values and on the command line."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_slurm import FakeSlurm, fake_slurm
from nodeproof.cli.fleet import command
from nodeproof.errors import PolicyError, SlurmUnreachable
from nodeproof.policy.settings import GuardSettings
from nodeproof.slurm import Node
from nodeproof.slurm.budget import budget_of
from nodeproof.slurm.guard import Fleet
from planted_policy import Write
from slurm_replay import Answer, Slurmrestd

NOW = 1_800_000_000


def node(name: str, *partitions: str, reason: str = "", age_s: int = 0, base: str = "IDLE", flags: str = "") -> Node:
    return Node(name, base, frozenset(flags.split()), reason, "nodeproof", NOW - age_s, "", partitions)


def fleet(*nodes: Node) -> Fleet:
    return Fleet({n.name: n for n in nodes}, NOW)


def ours(name: str, *partitions: str, check: str = "fs.mounted", age_s: int = 60, flags: str = "DRAIN") -> Node:
    return node(name, *partitions, reason=f"nodeproof[00c0ffee]: {check}: x", age_s=age_s, flags=flags)


def idle(count: int, *partitions: str) -> list[Node]:
    return [node(f"{'-'.join(partitions)}{k}", *partitions) for k in range(count)]


# Values


def test_all_nodes_and_each_partition_have_a_budget_of_their_own() -> None:
    budget = budget_of(fleet(*idle(97, "batch"), *(node(f"g{k}", "gpu", flags="DRAIN") for k in range(3))), DEFAULT)

    assert [(s.partition, *s.usage, s.why_not) for s in budget.shares] == [
        ("", 100, 3, 5, ""),
        ("batch", 97, 0, 4, ""),
        ("gpu", 3, 3, 2, "no node is in service"),
    ]


DEFAULT = GuardSettings()


def test_a_partition_that_is_full_does_not_stand_for_another() -> None:
    down = [node(f"d{k}", "gpu", base="DOWN") for k in range(2)]
    budget = budget_of(fleet(*idle(96, "batch"), *idle(2, "batch", "gpu"), *down), DEFAULT)

    assert [(s.partition, s.why_not) for s in budget.shares] == [
        ("", ""),
        ("batch", ""),
        ("gpu", "2 of 4 nodes of partition gpu are out of service, the limit is 2"),
    ]


def test_the_drains_of_the_window_count_whatever_became_of_them() -> None:
    nodes = [ours(f"n{k}", "batch", check=f"a.c{k % 2}", flags="DRAIN" if k < 2 else "") for k in range(10)]
    budget = budget_of(fleet(*idle(100, "batch"), *nodes, ours("old", "batch", age_s=601)), DEFAULT)

    assert budget.drains == 10
    assert budget.checks == {"a.c0": 5, "a.c1": 5}
    assert budget.shares[0].why_not == "10 nodes drained within 10 minutes, the limit is 10"
    assert [n.name for n in budget.drained] == ["n0", "n1", "old"]


def test_drains_of_others_are_not_among_ours() -> None:
    budget = budget_of(fleet(node("n1", reason="bad fan", flags="DRAIN"), ours("n2", age_s=5), *idle(9)), DEFAULT)

    assert [n.name for n in budget.drained] == ["n2"]
    assert budget.drains == 1
    assert budget.shares[0].usage.out == 2


def test_a_fleet_without_nodes_has_nothing_to_drain() -> None:
    budget = budget_of(fleet(), DEFAULT)

    assert [(s.partition, s.why_not) for s in budget.shares] == [("", "no node is in service")]


# The command line


@pytest.fixture
def slurm() -> Iterator[FakeSlurm]:
    with fake_slurm() as fake:
        fake.add(*(f"n{k}" for k in range(1, 41)))
        fake.add("g1", "g2", partitions=("gpu", "batch"))
        yield fake


def drain(slurm: FakeSlurm, name: str, age_s: int = 150, check: str = "fs.mounted", words: str = "gone") -> None:
    reason = f"nodeproof[00c0ffee]: {check}: {words}"
    slurm.admin(name, "nodeproof", int(time.time()) - age_s, state=["DRAIN"], reason=reason)


def guard(directory: str, *words: str) -> Result:
    return CliRunner().invoke(command, ["guard", "--policy", directory, *words])


@pytest.fixture
def directory(policy: Write, slurm: FakeSlurm) -> str:
    return policy(f'[slurm]\nurl = "{slurm.url}"\napi_version = "v0.0.42"\n')


def test_the_budget_is_shown_as_tables(directory: str, slurm: FakeSlurm) -> None:
    drain(slurm, "n1")
    drain(slurm, "n2", age_s=7300, check="gpu.count")
    slurm.admin("g1", state=["DOWN"], reason="bad fan")

    result = guard(directory)

    assert result.output.splitlines() == [
        "NODES OF         IN ALL  OUT  LIMIT  ONE MORE DRAIN",
        "all                  42    3      2  refused: 3 of 42 nodes are out of service, the limit is 2",
        "partition batch      42    3      2  refused: 3 of 42 nodes are out of service, the limit is 2",
        "partition gpu         2    1      2  refused: 3 of 42 nodes are out of service, the limit is 2",
        "",
        "Drained within 10 min: 1, the limit is 10.",
        "  for fs.mounted: 1, the limit is 5",
        f"Counted from slurmrestd at {slurm.url}, v0.0.42.",
        "",
        "DRAINED BY NODEPROOF  STATE         SINCE  REASON",
        "n1                    IDLE+DRAIN  2.5 min  nodeproof[00c0ffee]: fs.mounted: gone",
        "n2                    IDLE+DRAIN      2 h  nodeproof[00c0ffee]: gpu.count: gone",
    ]
    assert slurm.requests == [("GET", "/slurm/v0.0.42/nodes/")]
    assert slurm.writes == []


def test_a_fleet_that_is_well_is_said_so(directory: str) -> None:
    result = guard(directory)

    assert "all                  42    0      2  let through" in result.output
    assert result.output.endswith("nodeproof holds no node drained.\n")


def test_the_budget_as_json(directory: str, slurm: FakeSlurm) -> None:
    drain(slurm, "n1")

    document = json.loads(guard(directory, "--json").output)

    assert document["schema"] == "nodeproof.guard/1"
    assert document["source"] == f"slurmrestd at {slurm.url}, v0.0.42"
    assert document["shares"][0] == {"partition": None, "total": 42, "out": 1, "limit": 2, "why_not": None}
    assert document["drains"] == {"count": 1, "limit": 10, "window_s": 600}
    assert document["checks"] == {"counts": {"fs.mounted": 1}, "limit": 5}
    (drained,) = document["drained"]
    assert drained["node"] == "n1"
    assert 150 <= drained["age_s"] < 240
    assert document["metrics"] is None


def test_a_hostile_reason_is_one_line(directory: str, slurm: FakeSlurm) -> None:
    drain(slurm, "n1", words="\x1b[2Jgone\rall 0 0 0")

    lines = guard(directory).output.splitlines()

    assert lines[-1].endswith("nodeproof[00c0ffee]: fs.mounted: ?[2Jgone?all 0 0 0")


METRICS = "slurm_nodes 42\nslurm_nodes_down 1\nslurm_nodes_drain {}\nslurm_nodes_fail 0\n"


def with_metrics(policy: Write, slurm: FakeSlurm, url: str) -> str:
    return policy(f'[slurm]\nurl = "{slurm.url}"\napi_version = "v0.0.42"\nmetrics_url = "{url}"\n')


@pytest.mark.parametrize(
    ("drained", "verdict"),
    [
        (1, "refuses nothing"),
        (2, "refuses: at least 2 of 42 nodes are out of service, the limit is 2"),
    ],
)
def test_slurmctlds_own_count_is_shown(
    policy: Write, slurm: FakeSlurm, server: Slurmrestd, drained: int, verdict: str
) -> None:
    server.on("GET", "/metrics/nodes", Answer(200, METRICS.format(drained)))
    directory = with_metrics(policy, slurm, server.url)

    expected = (
        f"slurmctld's own count at {server.url}: 42 nodes, 1 down, {drained} drain, 0 fail; that alone {verdict}."
    )
    assert expected in guard(directory).output.splitlines()
    metrics: dict[str, Any] = json.loads(guard(directory, "--json").output)["metrics"]
    assert (metrics["total"], metrics["drain"]) == (42, drained)


def test_metrics_that_are_not_there_are_told(policy: Write, slurm: FakeSlurm) -> None:
    result = guard(with_metrics(policy, slurm, "http://127.0.0.1:1"))

    assert result.exit_code == 0
    assert "slurmctld's own count is not to be had: no metrics from http://127.0.0.1:1: ConnectError" in result.output


def test_without_slurmrestd_there_is_no_guard_to_ask(policy: Write) -> None:
    assert isinstance(guard(policy("")).exception, PolicyError)
    away = policy('[slurm]\nurl = "http://127.0.0.1:1"\n')
    assert isinstance(guard(away).exception, SlurmUnreachable)
