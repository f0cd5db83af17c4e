"""Jobs through slurmrestd: what is sent, and what each answer means."""

from collections.abc import Iterator

import pytest

from fake_jobs import FakeJobs, fake_jobs
from fake_slurm import CTLD_DOWN, TIMED_OUT
from nodeproof.errors import SlurmReadOnly, SlurmUnreachable
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm.answer import Applied
from nodeproof.slurm.jobs import (
    JobSpec,
    JobState,
    NotTaken,
    Submitted,
    Uncertain,
    cancel,
    exit_code,
    listed,
    states,
    submit,
)
from nodeproof.slurm.placed import Placed, placed_of, read_placed, switch_of
from nodeproof.slurm.rest import Client
from slurm_replay import Answer, Slurmrestd

SPEC = JobSpec("np-x-1-1-n1", "n1", "#!/bin/sh\n", {"PATH": "/bin"}, "/tmp", 7)


@pytest.fixture
def jobs() -> Iterator[FakeJobs]:
    with fake_jobs("n1", "n2") as fake:
        yield fake


@pytest.fixture
def client(jobs: FakeJobs) -> Iterator[Client]:
    with Client(SlurmSettings(jobs.slurm.url), 5.0) as made:
        yield made


def test_a_job_is_exclusive_on_its_node_and_never_requeued(jobs: FakeJobs, client: Client) -> None:
    answer = submit(client, SPEC)

    sent = jobs.jobs[0].spec
    assert answer == Submitted(jobs.jobs[0].job_id, ())
    assert (sent["required_nodes"], sent["shared"], sent["requeue"]) == (["n1"], ["none"], False)
    assert sent["time_limit"] == {"set": True, "infinite": False, "number": 7}
    assert not {"partition", "qos", "account", "reservation", "dependency", "nice"} & set(sent)


def test_what_a_plan_names_is_sent(jobs: FakeJobs, client: Client) -> None:
    submit(client, SPEC._replace(partition="burnin", qos="low", nice=5, dependency="after:7"))

    sent = jobs.jobs[0].spec
    assert (sent["partition"], sent["qos"], sent["nice"], sent["dependency"]) == ("burnin", "low", 5, "after:7")


@pytest.mark.parametrize("number", [2000, 2018, 2063, 2127])
def test_what_slurmctld_refuses_is_in_slurm_for_sure_not(jobs: FakeJobs, client: Client, number: int) -> None:
    jobs.on_submit = lambda _: (500, {"errors": [{"error_number": number, "error": "Invalid thing"}]})

    assert isinstance(submit(client, SPEC), NotTaken)


@pytest.mark.parametrize("reply", [TIMED_OUT, CTLD_DOWN, (200, {"errors": [], "warnings": []}), (503, "busy")])
def test_any_other_answer_leaves_open_whether_there_is_a_job(jobs: FakeJobs, client: Client, reply: object) -> None:
    jobs.on_submit = lambda _: reply  # type: ignore[assignment,return-value]

    assert isinstance(submit(client, SPEC), Uncertain)


def test_silence_leaves_it_open_too(server: Slurmrestd) -> None:
    server.on("POST", "/slurm/v0.0.42/job/submit", Answer(0, ""))
    with Client(SlurmSettings(server.url), 0.5) as client:
        client.version()

        assert isinstance(submit(client, SPEC), Uncertain)
    assert sum(request.method == "POST" for request in server.requests) == 1


def test_states_come_in_one_request(jobs: FakeJobs, client: Client) -> None:
    first = submit(client, SPEC)
    jobs.jobs[0].state = ["RUNNING", "CONFIGURING"]
    before = len(jobs.slurm.requests)

    found = states(client)

    assert isinstance(first, Submitted)
    assert found == {first.job_id: JobState("RUNNING", frozenset({"CONFIGURING"}))}
    assert jobs.slurm.requests[before:] == [("GET", "/slurm/v0.0.42/jobs/state/")]


def test_slurm_before_24_05_tells_states_in_the_whole_list(jobs: FakeJobs) -> None:
    jobs.slurm.version = "v0.0.40"
    with Client(SlurmSettings(jobs.slurm.url), 5.0) as client:
        submit(client, SPEC)

        assert list(states(client).values()) == [JobState("PENDING")]
    assert ("GET", "/slurm/v0.0.40/jobs/") in jobs.slurm.requests


def test_a_job_is_found_by_its_name(jobs: FakeJobs, client: Client) -> None:
    for name in ("np-x-1-1-n1", "np-xy-1-1-n1", "other"):
        submit(client, SPEC._replace(name=name))

    assert [job.name for job in listed(client, "np-x-")] == ["np-x-1-1-n1"]


def test_jobs_are_cancelled_in_one_request_where_slurm_can(jobs: FakeJobs, client: Client) -> None:
    ids = [submit(client, SPEC).job_id for _ in range(3)]  # type: ignore[union-attr]

    assert isinstance(cancel(client, ids), Applied)
    assert [job.state for job in jobs.jobs] == 3 * [["CANCELLED"]]
    assert [r for r in jobs.slurm.requests if r[0] == "DELETE"] == [("DELETE", "/slurm/v0.0.42/jobs/")]


def test_jobs_are_cancelled_one_by_one_where_slurm_cannot(jobs: FakeJobs) -> None:
    jobs.slurm.version = "v0.0.40"
    with Client(SlurmSettings(jobs.slurm.url), 5.0) as client:
        ids = [submit(client, SPEC).job_id for _ in range(2)]  # type: ignore[union-attr]
        cancel(client, ids)

    assert [job.state for job in jobs.jobs] == 2 * [["CANCELLED"]]


def test_slurm_22_05_is_refused_before_anything_is_sent(jobs: FakeJobs) -> None:
    jobs.slurm.version = "v0.0.38"
    with Client(SlurmSettings(jobs.slurm.url), 5.0) as client, pytest.raises(SlurmReadOnly, match=r"23\.02 or newer"):
        submit(client, SPEC)

    assert jobs.jobs == []


def test_a_list_that_is_none_is_no_empty_list(jobs: FakeJobs, client: Client) -> None:
    client.version()
    jobs.is_down = 200, {"errors": [], "warnings": [], "jobs": {"a": 1}}

    with pytest.raises(SlurmUnreachable, match="in a way we do not know"):
        states(client)


def test_waiting_for_a_turn_does_not_use_up_the_time_for_requests(jobs: FakeJobs) -> None:
    import time

    with Client(SlurmSettings(jobs.slurm.url), 0.4, wait_turn=lambda: time.sleep(0.15)) as client:
        for _ in range(4):
            assert isinstance(submit(client, SPEC), Submitted)


ENTRY = {"name": "n1", "state": ["IDLE"], "address": "10.0.0.1", "active_features": ["ib", "switch=s3"], "cpus": 4}


@pytest.mark.parametrize(
    ("entry", "prefix", "switch"),
    [
        (ENTRY, "switch=", "s3"),
        (ENTRY, "", ""),
        ({**ENTRY, "topology": "default:spine:s7,block:b1"}, "", "s7"),
        ({**ENTRY, "topology": "flat"}, "", ""),
    ],
)
def test_a_switch_is_named_by_a_feature_or_by_slurms_topology(entry: object, prefix: str, switch: str) -> None:
    assert switch_of(placed_of(entry), prefix) == switch


def test_nodes_are_read_with_address_and_size(jobs: FakeJobs, client: Client) -> None:
    found = read_placed(client)

    assert list(found) == ["n1", "n2"]
    assert isinstance(found["n1"], Placed)
    assert found["n1"].address == "n1"  # what Slurm does not tell is the name


def test_the_exit_code_of_a_job_is_told_while_slurm_knows_it(jobs: FakeJobs, client: Client) -> None:
    for code in (0, 75):
        submit(client, SPEC)
        jobs.jobs[-1].code = code
    first, second = (job.job_id for job in jobs.jobs)

    assert [exit_code(client, job_id) for job_id in (first, second, second + 1)] == [0, 75, None]
    jobs.is_down = CTLD_DOWN
    assert exit_code(client, first) is None
