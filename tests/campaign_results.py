"""Result files as jobs of a campaign write them, a book that expects them, and jobs that are really run."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from fake_bench import result as bench_result
from fake_bench import run as bench_run
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign, Job, NodeRow, Task
from nodeproof_bench.campaign.collect.files import SCHEMA, written
from nodeproof_bench.campaign.order import VARIABLE, Key, WorkOrder, to_json

CAMPAIGN = "rack-a1b2c3"

ONE = Key(CAMPAIGN, 1, 1, "n1")

#: The job of the first task, which is on n1; a pair of n1 and n2 is the second.
TASKS = (
    Task(CAMPAIGN, 1, "bench", "bench", "quick", 1, 0, ("n1",)),
    Task(CAMPAIGN, 2, "pairs", "pairs", "net.latency", 1, 1, ("n1", "n2")),
)


def book_at(directory: Path) -> Book:
    """Return a book in which each task has been submitted once."""
    book = Book(f"sqlite:///{directory}/book/campaigns.db")
    nodes = [NodeRow(CAMPAIGN, name) for name in ("n1", "n2")]
    book.add_campaign(Campaign(CAMPAIGN, "rack", 1e9), nodes, TASKS)
    for task in TASKS:
        jobs = [Job(CAMPAIGN, task.task, 1, node, f"np-{task.task}-{node}") for node in task.nodes]
        assert book.begin_attempt(task._replace(state="queued", attempts=1), jobs)
    return book


def head(key: Key = ONE, phase: str = "bench", **changes: Any) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        **key._asdict(),
        "job_id": "77",
        "phase": phase,
        "kind": phase,
        "host": key.node,
        "boot_id": "b",
        "began_at": 1.8e9,
        **changes,
    }


def result_file(*lines: dict[str, Any], key: Key = ONE, phase: str = "bench", **changes: Any) -> bytes:
    return written(head(key, phase, **changes), lines or [bench_line()], 1.8e9 + 60)


def bench_line(value: float = 5e10, repeat: int = 1, **changes: Any) -> dict[str, Any]:
    return {"kind": "bench", "repeat": repeat, "document": bench_run(bench_result(value=value, **changes))}


def order(**changes: Any) -> WorkOrder:
    made = WorkOrder(CAMPAIGN, 1, 1, "n1", "bench", "bench", 60.0, benchmarks=("memory.triad",), spool="/shared")
    return made._replace(**changes)


def start(job: WorkOrder, **environment: str) -> "subprocess.Popen[str]":
    """Run a job as its batch script does."""
    # as slurmd does: a signal that pytest ignores must not be ignored by the job
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "nodeproof", "campaign", "work"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", VARIABLE: to_json(job), **environment},
    )


def lines_of(spool: Path, key: Key = ONE) -> list[dict[str, Any]]:
    file = spool / key.campaign / f"{key.name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
