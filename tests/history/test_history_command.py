"""`nodeproof history` beside a running agent, and for copies."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nodeproof.cli.history import command
from nodeproof.events import Event
from nodeproof.history import History, Position
from nodeproof.history.place import FILE
from support import as_nobody

NOON = 1795694400.0  # 2026-11-26 12:00 UTC
XID = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[History]:
    """A history that is open and was just written, as a running agent has it."""
    history = History(str(tmp_path))
    history.add_verdicts(NOON, [("fs.full", "fail", "/scratch is full", {"used": 99}), ("cpu.smt", "ok", "on", {})])
    xid = Event("event.xid", NOON + 60, "b", "kmsg", XID, "pci:0000:3b:00.0", "79", 7, {"code": "79"}, 3)
    history.add_events([xid], Position("b", 7))
    history.add_verdicts(
        NOON + 61, [("event.xid", "fail", "a GPU fell off the bus", {}), ("cpu.smt", "warn", "off", {})]
    )
    history.add_action(NOON + 62, {"result": "drained", "summary": "drained n1: event.xid", "evidence": "/e/1.tar.gz"})
    share = {"job_id": 17, "name": "nic.rx_crc_errors", "part": "nic:eth0", "delta": 3, "others": [18, 19]}
    history.add_job(NOON + 3600, share)
    yield history
    history.close()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def document(*arguments: object) -> dict[str, Any]:
    shown = run(*arguments, "--json")
    assert shown.exit_code == 0, shown.output
    made: dict[str, Any] = json.loads(shown.output)
    return made


def test_everything_is_shown_the_latest_last(agent: History) -> None:
    shown = run("--state-dir", agent.directory)

    assert shown.output.splitlines() == [
        "2026-11-26 13:00:00 UTC  fail    fs.full                      /scratch is full",
        f"2026-11-26 13:01:00 UTC  event   event.xid                    pci:0000:3b:00.0: {XID} (3 times)",
        "2026-11-26 13:01:01 UTC  fail    event.xid                    a GPU fell off the bus",
        "2026-11-26 13:01:01 UTC  warn    cpu.smt                      off",
        "2026-11-26 13:01:02 UTC  action  drained                      drained n1: event.xid [/e/1.tar.gz]",
        f"2026-11-26 14:00:00 UTC  job     {'17':<28} nic.rx_crc_errors of nic:eth0 rose by 3 (beside job 18, 19)",
    ]
    assert shown.exit_code == 0


def test_json_is_one_document(agent: History) -> None:
    made = document("--state-dir", agent.directory)

    assert made["schema"] == "nodeproof.history/1"
    assert made["database"] == f"{agent.directory}/{FILE}"
    assert made["is_complete"] is True
    assert [e["kind"] for e in made["entries"]] == ["verdict", "event", "verdict", "verdict", "action", "job"]
    assert made["entries"][1] == {
        "at": NOON + 60,
        "kind": "event",
        "rule": "event.xid",
        "boot_id": "b",
        "source": "kmsg",
        "text": XID,
        "part": "pci:0000:3b:00.0",
        "variant": "79",
        "sequence": 7,
        "fields": {"code": "79"},
        "count": 3,
    }


def kinds(*arguments: object) -> list[str]:
    return [e["kind"] for e in document(*arguments)["entries"]]


def test_what_is_shown_can_be_chosen(agent: History) -> None:
    there = ("--state-dir", agent.directory)

    assert kinds(*there, "--kind", "event", "--kind", "job") == ["event", "job"]
    assert kinds(*there, "--check", "event.*") == ["event", "verdict"]
    assert kinds(*there, "--check", "event.*", "--kind", "action") == []
    assert kinds(*there, "--since", "2026-11-26T13:01:01") == ["verdict", "verdict", "action", "job"]
    assert kinds(*there, "--since", "2026-11-26T12:01:01+00:00") == ["verdict", "verdict", "action", "job"]
    assert kinds(*there, "--until", "2026-11-26 13:01:00") == ["verdict", "event"]
    assert kinds(*there, "--limit", 2) == ["action", "job"]
    assert document(*there, "--limit", 2)["is_complete"] is False
    assert "the latest 2 (--limit)" in run(*there, "--limit", 2).output


def test_durations_count_back_from_now(agent: History) -> None:
    agent.add_action(time.time() - 3000, {"result": "resumed"})
    there = ("--state-dir", agent.directory, "--kind", "action")

    assert kinds(*there, "--since", "1h") == ["action"]
    assert kinds(*there, "--since", "40min") == []
    assert run(*there, "--since", "40min").output == "nothing happened that is asked for\n"
    for wrong in ("yesterday", "2 fortnights", "-1h", ""):
        assert run(*there, "--since", wrong).exit_code == 2


def test_a_copy_is_read_where_nothing_can_be_written(agent: History, tmp_path: Path) -> None:
    agent.close()
    copy = tmp_path / "copy ?%20#.db"
    copy.write_bytes((tmp_path / FILE).read_bytes())
    there = sorted(os.listdir(tmp_path))

    assert len(document("--database", copy)["entries"]) == 6
    assert sorted(os.listdir(tmp_path)) == there


def test_a_history_of_an_agent_that_was_killed_is_whole(agent: History, tmp_path: Path) -> None:
    for end in ("", "-wal"):
        (tmp_path / f"copy.db{end}").write_bytes((tmp_path / f"{FILE}{end}").read_bytes())

    assert len(document("--database", tmp_path / "copy.db")["entries"]) == 6


def failure(*arguments: object) -> str:
    from nodeproof.errors import NodeproofError

    shown = run(*arguments)
    assert isinstance(shown.exception, NodeproofError), shown.output
    return str(shown.exception)


def test_what_cannot_be_read_is_said(agent: History, tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(b"x" * 10_000)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t (x)")

    assert "no history yet: no agent has run here" in failure("--state-dir", tmp_path / "nowhere")
    assert "file is not a database" in failure("--database", tmp_path / "garbage")
    assert "it is no history of nodeproof" in failure("--database", tmp_path / "other.db")
    tmp_path.chmod(0o755)
    (tmp_path / FILE).chmod(0o000)
    if os.geteuid() == 0:
        with as_nobody():
            assert "Permission denied" in failure("--state-dir", tmp_path)


def test_hostile_text_does_no_harm(agent: History) -> None:
    agent.add_action(NOON, {"result": "x\x1b[2J", "summary": "two\nlines"})
    agent.add_action(1e30, {"result": "far"})

    shown = run("--state-dir", agent.directory, "--kind", "action").output
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 3
