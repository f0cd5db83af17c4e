"""Plans of campaigns: what a file may say, and what it comes down to."""

from pathlib import Path

import pytest

from nodeproof.errors import NodeproofError, PolicyErrors
from nodeproof.slurm.node import Node
from nodeproof.slurm.placed import Placed
from nodeproof_bench.campaign.begin import draft, node_names
from nodeproof_bench.campaign.phases import estimates, limit_s, nodes_at_once, task_s, tasks_of
from nodeproof_bench.campaign.plan import Plan
from nodeproof_bench.campaign.plan_file import load_plan, plan_from_json
from nodeproof_bench.campaign.times import seconds_of, shown, window_of

FIVE_LINES = """
name = "rack-12"
nodes = "n[1-4]"
[results]
spool = "/shared/nodeproof"
"""


def write(tmp_path: Path, text: str) -> str:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    file.chmod(0o644)
    return str(file)


def plan_of(tmp_path: Path, text: str = FIVE_LINES) -> Plan:
    return load_plan(write(tmp_path, text))


def placed(name: str, state: str = "IDLE", flags: str = "", partitions: tuple[str, ...] = ("batch",)) -> Placed:
    node = Node(name, state, frozenset(flags.split()), "", "", 0, "", partitions)
    return Placed(node, f"10.0.0.{name[1:]}", cpus=4, sockets=1, cores_per_socket=4, memory_mib=2048)


def fleet(*names: str) -> dict[str, Placed]:
    return {name: placed(name) for name in names}


def test_a_plan_of_five_lines_is_enough(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)

    assert [phase.kind for phase in plan.named_phases()] == ["inventory", "bench", "pairs", "stress", "repeat"]
    assert (plan.submit.nodes_at_once, plan.submit.requests_per_s, plan.act.findings) == (32, 5.0, "report")


def test_the_book_gives_back_the_plan_that_was_read(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)

    assert plan_from_json(plan.model_dump_json(exclude_none=True)) == plan


def test_so_it_does_where_phases_have_no_names(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, FIVE_LINES + '[[phases]]\nkind = "inventory"\n[[phases]]\nkind = "inventory"\n')

    again = plan_from_json(plan.model_dump_json(exclude_none=True))

    assert [phase.name for phase in again.named_phases()] == ["inventory", "inventory-2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[submitt]", ':5: submitt: unknown key, did you mean "submit"?'),
        ('databases = "x"', ':5: results.databases: unknown key, did you mean "database"?'),
        ("[submit]\nnodes_at_once = 0", ":6: submit.nodes_at_once: expected a whole number above 0, found 0"),
        ('[submit]\nwindow = "22-6"', ":6: submit.window: expected a time of day such as 22:00-06:00, found '22-6'"),
        ('[act]\nfindings = "kill"', ':6: act.findings: expected "report" or "drain", found \'kill\''),
        ('[[phases]]\nkind = "pears"', ':6: phases[0].kind: expected "inventory", "bench"'),
        ('[[phases]]\nkind = "stress"\nduration = "4x"', ":7: phases[0].duration: expected a time such as 90s"),
        (
            '[[phases]]\nkind = "pairs"\nsuite = "quick"',
            ":5: phases[0]: suite means nothing to a phase of kind 'pairs'",
        ),
        ('[[phases]]\nkind = "bench"\nbenchmarks = ["memory.tried"]', 'did you mean "memory.triad"?'),
        ('[[phases]]\nkind = "bench"\nname = "a"\n[[phases]]\nkind = "bench"\nname = "a"', "found 'a' twice"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_key_and_what_was_expected(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PolicyErrors) as raised:
        plan_of(tmp_path, FIVE_LINES.lstrip() + text + "\n")

    assert said in str(raised.value)
    assert str(tmp_path / "plan.toml") in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\n[results]\nspool = "/s"', "expected exactly one of nodes, partition and reservation"),
        ('name = "x"\nnodes = "n1"\npartition = "p"\n[results]\nspool = "/s"', "expected exactly one of nodes"),
        ('name = "x"\nnodes = "n1"\n[results]', "results: expected exactly one of spool and post"),
        ('name = "x"\nnodes = "n1"\n[results]\nspool = "s"', "results.spool: expected an absolute path, found 's'"),
        ('name = "x"\nnodes = "n[1-9999999999]"\n[results]\nspool = "/s"', "nodes: expected at most 100000 nodes"),
        ('name = "x"\nnodes = "n[1-200000]"\n[results]\nspool = "/s"', "nodes: expected at most 100000 nodes"),
        ('nodes = "n1"\n[results]\nspool = "/s"', "name: missing, expected"),
        (
            'name = "x"\nnodes = "n1"\n[results]\nspool = "/s"\n[act]\neffort = "thorough"\nconfirmations = 0',
            "act: expected confirmations above 0",
        ),
    ],
)
def test_a_plan_needs_nodes_and_a_way_for_results(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PolicyErrors) as raised:
        plan_of(tmp_path, text)

    assert said in str(raised.value)


def test_a_plan_that_others_could_have_written_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, FIVE_LINES)
    Path(file).chmod(0o666)

    with pytest.raises(NodeproofError, match="writable by its owner alone"):
        load_plan(file)


def test_every_node_has_its_part_in_every_phase(tmp_path: Path) -> None:
    tasks = tasks_of("c", plan_of(tmp_path), ["n1", "n2", "n3", "n4"], {})

    by_phase = {name: [t for t in tasks if t.phase == name] for name in ("inventory", "bench", "pairs", "repeat")}
    assert [t.nodes for t in by_phase["inventory"]] == [("n1",), ("n2",), ("n3",), ("n4",)]
    assert {frozenset(t.nodes) for t in by_phase["pairs"]} == {
        frozenset({f"n{a}", f"n{b}"}) for a in range(1, 5) for b in range(a + 1, 5)
    }
    assert {t.round for t in by_phase["pairs"]} == {1, 2, 3}
    assert [t.task for t in tasks] == list(range(1, len(tasks) + 1))


def test_pairs_know_what_is_between_them(tmp_path: Path) -> None:
    switches = {"n1": "a", "n2": "a", "n3": "b", "n4": "b"}

    tasks = [t for t in tasks_of("c", plan_of(tmp_path), list(switches), switches) if t.kind == "pairs"]

    assert {t.path for t in tasks if set(t.nodes) == {"n1", "n2"}} == {"within a"}
    assert {t.path for t in tasks if set(t.nodes) == {"n1", "n3"}} == {"a - b"}


def test_many_nodes_are_paired_in_a_few_rounds(tmp_path: Path) -> None:
    nodes = [f"n{n}" for n in range(1, 101)]

    tasks = [t for t in tasks_of("c", plan_of(tmp_path), nodes, {}) if t.kind == "pairs"]

    assert max(t.round for t in tasks) == 8
    assert len(tasks) == 8 * 50


def test_nodes_out_of_service_are_skipped_and_named(tmp_path: Path) -> None:
    nodes = fleet("n1", "n2") | {"n3": placed("n3", "IDLE", "DRAIN")}

    made = draft(plan_of(tmp_path), nodes, "here")

    assert node_names(made.nodes) == ["n1", "n2"]
    assert {row.node: row.why for row in made.nodes if row.state == "skipped"} == {
        "n3": "IDLE+DRAIN",
        "n4": "Slurm knows no such node",
    }
    assert {node for task in made.tasks for node in task.nodes} == {"n1", "n2"}


def test_nodes_out_of_service_take_part_where_the_plan_says_so(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'out_of_service = "include"' + FIVE_LINES)

    made = draft(plan, fleet("n1", "n2", "n4") | {"n3": placed("n3", "IDLE", "DRAIN")}, "here")

    assert node_names(made.nodes) == ["n1", "n2", "n3", "n4"]


def test_a_partition_names_its_nodes(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'name = "x"\npartition = "gpu"\n[results]\nspool = "/s"\n')
    nodes = fleet("n1") | {name: placed(name, partitions=("gpu",)) for name in ("n10", "n2")}

    assert node_names(draft(plan, nodes, "here").nodes) == ["n2", "n10"]
    assert plan.job_partition == "gpu"


def test_a_campaign_without_a_node_is_none(tmp_path: Path) -> None:
    with pytest.raises(NodeproofError, match=r"no node is left .*n1 \(Slurm knows no such node\)"):
        draft(plan_of(tmp_path), {}, "here")


def test_node_hours_are_jobs_times_what_each_takes(tmp_path: Path) -> None:
    plan, nodes = plan_of(tmp_path), fleet("n1", "n2", "n3", "n4")

    found = {e.phase.name: e for e in estimates(plan, tasks_of("c", plan, list(nodes), {}), nodes)}

    stress = found["stress"]
    assert (stress.tasks, stress.jobs) == (4, 4)
    assert stress.node_hours == pytest.approx(4 * (600 + 15) / 3600)
    assert stress.seconds == pytest.approx(2 * (600 + 15))  # half of the partition at once
    assert found["pairs"].jobs == 2 * 6


def test_no_more_nodes_than_the_share_of_their_partition_are_at_work(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)

    assert nodes_at_once(plan, fleet(*(f"n{n}" for n in range(1, 11)))) == 5
    assert nodes_at_once(plan, fleet(*(f"n{n}" for n in range(1, 101)))) == 32
    assert nodes_at_once(plan, fleet("n1", "n2", "n3")) == 2  # a pair is the least


def test_a_sick_node_has_time_to_tell_that_it_is_slow(tmp_path: Path) -> None:
    for phase in plan_of(tmp_path).named_phases():
        assert limit_s(phase, placed("n1")) > 2 * task_s(phase, placed("n1"))


@pytest.mark.parametrize(("words", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2h", 7200)])
def test_times_are_written_as_for_a_burn_in(words: str, seconds: float) -> None:
    assert seconds_of(words) == seconds


@pytest.mark.parametrize("words", ["", "0s", "90", "1.5h", "-1s", "1h 30m", "٣s"])
def test_what_is_no_time_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as 90s, 30m or 1h30m"):
        seconds_of(words)


@pytest.mark.parametrize(("hour", "wait_s"), [(23, 0), (5, 0), (6, 16 * 3600), (21, 3600)])
def test_a_window_may_run_over_midnight(hour: int, wait_s: float) -> None:
    import datetime as dt

    at = dt.datetime(2026, 3, 2, hour).astimezone().timestamp()

    assert window_of("22:00-06:00").wait_s(at) == wait_s


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (150, "2 min"), (5400, "1.5 h"), (200000, "2.3 d")])
def test_times_are_shown_in_one_unit(seconds: float, words: str) -> None:
    assert shown(seconds) == words
