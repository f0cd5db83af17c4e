"""What a job of a campaign does on its node: real jobs, real benchmarks, and what goes wrong around them."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from campaign_results import CAMPAIGN, ONE, book_at, free_port, lines_of, order, start
from nodeproof.controller.listening import opened_at
from nodeproof.controller.place import Listen
from nodeproof.errors import NodeproofError
from nodeproof_bench.campaign.collect.files import read
from nodeproof_bench.campaign.collect.server import ResultServer
from nodeproof_bench.campaign.collect.spool import Spool
from nodeproof_bench.campaign.collect.tokens import token
from nodeproof_bench.campaign.node.local import local_directory
from nodeproof_bench.campaign.order import NOT_TAKEN, NOT_WANTED, TOKEN_VARIABLE, VARIABLE, WorkOrder
from nodeproof_bench.runner import find_program

QUICK: dict[str, Any] = {"benchmarks": ("cpu.frequency",), "seconds": 0.02, "interval_s": 0.0}


def _is_installed() -> bool:
    try:
        return bool(find_program())
    except NodeproofError:
        return False


needs_bench = pytest.mark.skipif(not _is_installed(), reason="needs nodeproof-bench (make setup)")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "spool" / CAMPAIGN).mkdir(parents=True)
    return tmp_path / "spool"


@pytest.fixture
def jobs() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def begin(jobs: ExitStack, job: WorkOrder, **environment: str) -> "subprocess.Popen[str]":
    process = jobs.enter_context(start(job, **environment))
    jobs.callback(process.kill)
    return process


def done(process: "subprocess.Popen[str]", within_s: float = 60) -> tuple[int, str]:
    out, err = process.communicate(timeout=within_s)
    assert "Traceback" not in err
    return process.returncode, out + err


def test_an_inventory_has_verdicts_facts_and_a_class(spool: Path, jobs: ExitStack) -> None:
    code, said = done(begin(jobs, order(kind="inventory", benchmarks=(), spool=str(spool)), SLURM_JOB_ID="77"))
    assert (code, said) == (0, "")
    found = read(ONE, "bench", (spool / CAMPAIGN / "1.1.n1.jsonl").read_bytes())

    assert [line["kind"] for line in found.lines] == ["facts", "facts", "check", "history"]
    facts = found.lines[0]["facts"]
    assert facts["kernel.release"] == os.uname().release
    assert facts["hardware.class"]
    assert found.lines[1]["facts"]["limit.memory.verify.wrong_values"] == "0.0"
    assert len(found.lines[2]["report"]["results"]) > 100
    assert found.head["job_id"] == "77"


@needs_bench
def test_repeats_are_runs_of_their_own(spool: Path, jobs: ExitStack, tmp_path: Path) -> None:
    code, said = done(begin(jobs, order(**QUICK, repeats=3, spool=str(spool))))

    assert (code, said) == (0, "")
    with book_at(tmp_path) as book:
        assert [taken.outcome for taken in Spool(str(spool), CAMPAIGN).collect(book)] == ["stored"]
        assert [(s.metric, s.repeat) for s in book.samples(CAMPAIGN)] == [("cpu.frequency", n) for n in (1, 2, 3)]


@needs_bench
def test_only_what_is_in_question_is_measured(spool: Path, jobs: ExitStack, tmp_path: Path) -> None:
    some = order(benchmarks=("cpu.frequency", "cpu.flops"), seconds=0.05, spool=str(spool))
    assert done(begin(jobs, some._replace(only=("cpu.flops", "disk.latency")))) == (0, "")
    with book_at(tmp_path) as book:
        assert [taken.outcome for taken in Spool(str(spool), CAMPAIGN).collect(book)] == ["stored"]
        assert {sample.metric for sample in book.samples(CAMPAIGN)} == {"cpu.flops"}


@needs_bench
def test_a_node_that_has_nothing_of_what_is_in_question_says_so(spool: Path, jobs: ExitStack) -> None:
    said = done(begin(jobs, order(**QUICK, only=("rdma.latency",), spool=str(spool))))[1]

    assert "cpu.frequency has none of rdma.latency on this node" in said


@needs_bench
def test_two_nodes_measure_together_whichever_comes_first(spool: Path, jobs: ExitStack, tmp_path: Path) -> None:
    port = free_port()
    pair = order(
        task=2,
        phase="pairs",
        kind="pairs",
        benchmarks=("net.latency", "rdma.latency", "net.bandwidth"),
        seconds=0.05,
        spool=str(spool),
        peer_address="127.0.0.1",
        port=port,
        session="s1",
    )
    caller = begin(jobs, pair._replace(node="n2", role="connect", peer_node="n1"))
    time.sleep(0.5)
    listener = begin(jobs, pair._replace(node="n1", role="listen", peer_node="n2"))

    assert [done(job) for job in (caller, listener)] == [(0, ""), (0, "")]
    with book_at(tmp_path) as book:
        assert len(Spool(str(spool), CAMPAIGN).collect(book)) == 2
        samples = [s for s in book.samples(CAMPAIGN) if not s.metric.endswith(" p99")]
    assert {(s.node, s.peer) for s in samples} == {("n1", "n2"), ("n2", "n1")}
    metrics = {"net.latency spinning 8 B", "net.latency blocking 8 B", "net.bandwidth stream 262144 B"}
    assert {s.metric for s in samples} == metrics
    by_node = {node: {s.metric: s.value for s in samples if s.node == node} for node in ("n1", "n2")}
    assert by_node["n1"] == by_node["n2"]


@needs_bench
@pytest.mark.skipif(any(Path("/sys/class").glob("infiniband/*")), reason="needs a host without RDMA")
def test_two_nodes_without_rdma_say_so_and_have_not_failed(spool: Path, jobs: ExitStack, tmp_path: Path) -> None:
    more: dict[str, Any] = {"peer_address": "127.0.0.1", "port": free_port(), "session": "s1"}
    pair = order(task=2, phase="pairs", kind="pairs", benchmarks=("rdma.latency",), spool=str(spool), **more)
    listener = begin(jobs, pair._replace(role="listen", peer_node="n2"))
    caller = begin(jobs, pair._replace(node="n2", role="connect", peer_node="n1"))

    why = "not available: {} has no active RDMA port"
    for job, node in ((listener, "n1"), (caller, "n2")):
        assert done(job) == (0, f"nodeproof: rdma.latency: {why.format(node)}\n")
    with book_at(tmp_path) as book:
        taken = Spool(str(spool), CAMPAIGN).collect(book)
        results, verdicts = book.results(CAMPAIGN), book.verdicts(CAMPAIGN)
        assert [one.outcome for one in taken] == ["stored", "stored"]
        assert all(map(book.is_useful, results))  # so that it is not tried again
    assert {(v.node, v.check_id, v.status, v.summary) for v in verdicts} == {
        (node, "rdma.latency", "skip", why.format(node)) for node in ("n1", "n2")
    }


@needs_bench
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_when_one_of_two_dies_the_other_does_not_hang(spool: Path, jobs: ExitStack, number: int) -> None:
    pair = order(
        kind="pairs",
        benchmarks=("net.latency",),
        seconds=20.0,
        spool=str(spool),
        peer_address="127.0.0.1",
        port=free_port(),
        session="s1",
    )
    listener = begin(jobs, pair._replace(role="listen", peer_node="n2"))
    caller = begin(jobs, pair._replace(node="n2", task=2, role="connect", peer_node="n1"))
    for job in (listener, caller):
        measuring(job, "net.latency")
    time.sleep(0.2)
    caller.send_signal(number)
    code, said = done(listener, within_s=10)

    assert code == 0
    assert "n2 went away" in said


@needs_bench
@pytest.mark.parametrize("role", ["listen", "connect"])
def test_a_node_whose_peer_does_not_come_says_so_in_time(spool: Path, jobs: ExitStack, role: str) -> None:
    job = order(
        kind="pairs",
        benchmarks=("net.latency",),
        role=role,
        peer_node="n2",
        peer_address="127.0.0.1",
        port=free_port(),
        session="s1",
        meet_s=0.5,
        spool=str(spool),
    )
    code, said = done(begin(jobs, job))

    assert code == 0
    assert "n2 " in said
    assert [line["kind"] for line in lines_of(spool)[1:]] == ["problem", "end"]


@needs_bench
def test_strangers_at_the_port_are_not_taken_for_the_peer(spool: Path, jobs: ExitStack) -> None:
    port = free_port()
    pair = order(
        kind="pairs", benchmarks=("net.latency",), port=port, peer_address="127.0.0.1", meet_s=1.0, spool=str(spool)
    )
    listener = begin(jobs, pair._replace(role="listen", peer_node="n2", session="right"))
    stranger = begin(jobs, pair._replace(node="n2", task=2, role="connect", peer_node="n1", session="wrong"))

    assert "n2 did not come" in done(listener)[1]
    assert "n1 was not found" in done(stranger)[1]


def measuring(job: "subprocess.Popen[str]", name: str, within_s: float = 20) -> int:
    """Wait until the job runs this benchmark. Returns the process of it."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        for child in Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):
                if name.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                    return int(child)
        time.sleep(0.01)
    raise AssertionError(f"{name} was never begun")


@needs_bench
def test_sigterm_in_the_middle_delivers_what_there_is(spool: Path, jobs: ExitStack) -> None:
    job = begin(
        jobs, order(**{**QUICK, "benchmarks": ("cpu.frequency", "cpu.verify"), "seconds": 30.0}, spool=str(spool))
    )
    child = measuring(job, "cpu.frequency")
    time.sleep(0.1)
    job.send_signal(signal.SIGTERM)
    code, said = done(job)

    assert (code, said) == (0, "nodeproof: stopped by a signal before the work was done\n")
    assert not Path(f"/proc/{child}").exists()
    assert lines_of(spool)[-2] == {"kind": "problem", "text": "stopped by a signal before the work was done"}


@needs_bench
def test_the_limit_ends_the_work_and_what_was_measured_stays(spool: Path, jobs: ExitStack) -> None:
    code, said = done(begin(jobs, order(**{**QUICK, "interval_s": 60.0}, repeats=9, limit_s=2.0, spool=str(spool))))

    assert code == 0
    assert "the limit of 2 s was over" in said
    assert [line["kind"] for line in lines_of(spool)[1:]] == ["bench", "problem", "end"]


def test_a_spool_that_is_missing_is_said_and_tried_again(spool: Path, jobs: ExitStack) -> None:
    away = spool / CAMPAIGN
    away.rename(spool / "away")
    job = begin(jobs, order(kind="inventory", benchmarks=(), spool=str(spool)))
    assert job.stdout is not None
    assert "cannot be written: No such file or directory (trying again)" in job.stdout.readline()
    (spool / "away").rename(away)

    assert done(job) == (0, "")
    assert lines_of(spool)


def test_a_result_that_cannot_be_delivered_is_kept_and_the_job_fails(tmp_path: Path, jobs: ExitStack) -> None:
    away = {"spool": str(tmp_path / "none"), "path": str(tmp_path)}
    job = begin(jobs, order(kind="inventory", benchmarks=(), **away))
    assert job.stdout is not None
    assert "trying again" in job.stdout.readline()
    job.send_signal(signal.SIGTERM)
    code, said = done(job)

    kept = tmp_path / f"{CAMPAIGN}.1.1.n1.jsonl"
    assert code == NOT_TAKEN
    assert f"kept on this node in {kept}" in said
    assert "stopped by a signal before the result was delivered" in said
    assert read(ONE, "bench", kept.read_bytes())


def test_a_job_posts_with_its_token_and_one_with_anothers_keeps_its_result(tmp_path: Path, jobs: ExitStack) -> None:
    spool = Spool(str(tmp_path / "spool"), CAMPAIGN)
    spool.prepare()
    port, secret = free_port(), b"5" * 64
    job = order(kind="inventory", benchmarks=(), spool="", post=f"http://127.0.0.1:{port}", path=str(tmp_path))
    other = token(secret, ONE._replace(node="n2"))
    with ResultServer(
        spool.directory.removesuffix(f"/{CAMPAIGN}"), CAMPAIGN, secret, opened_at(Listen("", port), 9), None
    ):
        refused = done(begin(jobs, job, **{TOKEN_VARIABLE: other}))
        taken = done(begin(jobs, job, **{TOKEN_VARIABLE: token(secret, ONE)}))

    assert refused[0] == NOT_WANTED
    assert "refused (HTTP 401)" in refused[1]
    assert other not in refused[1]
    assert (tmp_path / f"{CAMPAIGN}.1.1.n1.jsonl").exists()
    assert taken == (0, "")
    assert os.listdir(spool.directory) == ["1.1.n1.jsonl"]


def test_a_directory_that_others_may_write_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)  # whose directory it would be
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "nodeproof-12345").mkdir()
    with pytest.raises(NodeproofError, match="others may write there"):
        local_directory(order())


@pytest.mark.root
def test_a_full_spool_is_said_and_leaves_no_half_a_file(spool: Path, jobs: ExitStack) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", spool / CAMPAIGN], check=True)
    jobs.callback(lambda: subprocess.run(["umount", spool / CAMPAIGN], check=True))
    job = begin(jobs, order(kind="inventory", benchmarks=(), spool=str(spool)))
    assert job.stdout is not None

    assert "cannot be written: No space left on device (trying again)" in job.stdout.readline()
    assert os.listdir(spool / CAMPAIGN) == []
    subprocess.run(["mount", "-o", "remount,size=1m", spool / CAMPAIGN], check=True)
    assert done(job) == (0, "")
    assert lines_of(spool)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({VARIABLE: ""}, "NODEPROOF_CAMPAIGN: expected JSON"),
        ({VARIABLE: "{}"}, "NODEPROOF_CAMPAIGN: campaign is missing"),
        ({VARIABLE: '{"campaign": "\\u001b[2J"}'}, "NODEPROOF_CAMPAIGN: campaign is '\\x1b[2J', expected the id"),
    ],
)
def test_a_wrong_order_is_exit_2(jobs: ExitStack, environment: dict[str, str], says: str) -> None:
    code, said = done(begin(jobs, order(), **environment))

    assert code == 2
    assert says in said


def test_a_result_that_is_to_be_posted_needs_a_token(jobs: ExitStack) -> None:
    code, said = done(begin(jobs, order(spool="", post="https://127.0.0.1:1")))

    assert code == 2
    assert f"{TOKEN_VARIABLE} is not set" in said


def test_a_job_loads_neither_database_nor_report() -> None:
    words = "import sys, nodeproof_bench.campaign.cli; from nodeproof_bench.campaign.node import cli, post, work"
    heavy = "print({'sqlalchemy', 'pydantic', 'jinja2', 'numpy', 'httpx'} & sys.modules.keys())"
    argv = [sys.executable, "-I", "-c", f"{words}; {heavy}"]

    assert subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout == "set()\n"
