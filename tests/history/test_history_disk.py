"""The history on disks that are full, read-only, locked or damaged."""

import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodeproof.events import Event
from nodeproof.events.ledger import CounterSeries
from nodeproof.history import History, Position, Standing
from nodeproof.history.place import FILE
from nodeproof.history.store import MOST_BYTES_IN_MEMORY

BOOT = "11111111-2222-3333-4444-555555555555"
SERIES = (CounterSeries("nic.rx_crc_errors", "nic:eth0", 10.0, 50.0, 5),)
FAILS = {"fs.full": Standing("fail", "/ is full", 100.0)}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def event(sequence: int, text: str = "x" * 200) -> Event:
    return Event("event.xid", 1000.0 + sequence, BOOT, "kmsg", text, sequence=sequence)


def filled(directory: Path, events: int = 3) -> None:
    """Leave a history with some of everything, closed."""
    history = History(str(directory))
    history.add_events([event(n) for n in range(1, events + 1)], Position(BOOT, events))
    history.add_verdicts(100.0, [("fs.full", "fail", "/ is full", {})])
    history.save_counters(BOOT, SERIES)
    history.close()


def rows(directory: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / FILE)) as database:
        database.execute("PRAGMA synchronous = OFF")  # no test cuts the power
        return database.execute(question).fetchall()


def sequences(directory: Path) -> list[int]:
    return [n for (n,) in rows(directory, "SELECT sequence FROM events ORDER BY id")]


def is_fresh(history: History) -> bool:
    return (history.position(), history.standings(), history.counters(BOOT), history.series(0.0)) == (None, {}, (), ())


def knows(history: History) -> bool:
    known = (history.position(), history.standings(), history.counters(BOOT))
    return known == (Position(BOOT, 3), FAILS, SERIES) and sum(s.since(0.0) for s in history.series(0.0)) == 3


# -- files that are no use


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_garbage_is_set_aside_and_a_fresh_history_begun(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)

    history = History(str(tmp_path))

    assert history.is_kept
    assert history.problem.startswith(f"{tmp_path}/{FILE} is not usable and set aside as {FILE}.bad: ")
    assert is_fresh(history)
    assert (tmp_path / f"{FILE}.bad").read_bytes() == content
    history.add_events([event(1)], Position(BOOT, 1))
    history.close()
    assert History(str(tmp_path)).problem == ""


@pytest.mark.parametrize("kept_share", [0.01, 0.3, 0.9])
def test_a_file_that_lost_its_end_is_set_aside(tmp_path: Path, kept_share: float) -> None:
    filled(tmp_path, 2000)
    os.truncate(tmp_path / FILE, int((tmp_path / FILE).stat().st_size * kept_share))

    history = History(str(tmp_path))

    assert history.is_kept
    assert "set aside" in history.problem
    assert is_fresh(history)


def test_a_page_of_garbage_is_noticed_at_the_start(tmp_path: Path) -> None:
    filled(tmp_path, 2000)
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(20 * 4096)
        file.write(b"\xa5" * 4096)

    history = History(str(tmp_path))

    assert "set aside" in history.problem
    assert is_fresh(history)


def test_damage_while_it_is_open_loses_what_was_and_not_what_is(tmp_path: Path) -> None:
    filled(tmp_path, 5000)
    history = History(str(tmp_path))
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * ((tmp_path / FILE).stat().st_size - 4096))

    fresh = [event(n) for n in range(6000, 6100)]
    assert history.add_events(fresh, Position(BOOT, 6099)) == fresh

    assert history.is_kept
    assert "set aside" in history.problem
    assert (tmp_path / f"{FILE}.bad").exists()
    history.close()
    again = History(str(tmp_path))
    assert (again.position(), again.standings(), again.counters(BOOT)) == (Position(BOOT, 6099), FAILS, SERIES)
    assert sequences(tmp_path) == list(range(6000, 6100))


@pytest.mark.parametrize(
    "change", ["PRAGMA user_version = 2", "PRAGMA application_id = 0", "DROP TABLE standings", "DROP TABLE events"]
)
def test_what_another_version_or_program_made_is_set_aside(tmp_path: Path, change: str) -> None:
    filled(tmp_path)
    rows(tmp_path, change)

    history = History(str(tmp_path))

    assert "set aside" in history.problem
    assert is_fresh(history)
    with closing(sqlite3.connect(tmp_path / f"{FILE}.bad")) as bad:
        assert bad.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_is_set_aside_is_kept_though_it_happens_again(tmp_path: Path) -> None:
    for content in (b"first", b"second", b"third"):
        (tmp_path / FILE).write_bytes(content)
        History(str(tmp_path)).close()

    names = (f"{FILE}.bad", f"{FILE}.bad.2", f"{FILE}.bad.3")
    assert [(tmp_path / name).read_bytes() for name in names] == [b"first", b"second", b"third"]


def test_a_link_a_fifo_or_a_file_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    filled(tmp_path / "elsewhere")
    for n, plant in enumerate((link_to_elsewhere, os.mkfifo, open_to_others)):
        directory = tmp_path / str(n)
        directory.mkdir(mode=0o700)
        plant(directory / FILE)
        history = History(str(directory))
        assert history.is_kept
        assert "set aside" in history.problem
        assert is_fresh(history)
        assert not (directory / FILE).is_symlink()


def link_to_elsewhere(path: Path) -> None:
    path.symlink_to(path.parent.parent / "elsewhere" / FILE)


def open_to_others(path: Path) -> None:
    filled(path.parent)
    path.chmod(0o666)


def test_a_directory_that_others_may_write_is_neither_written_nor_believed(tmp_path: Path) -> None:
    filled(tmp_path)
    tmp_path.chmod(0o777)

    history = History(str(tmp_path))

    assert not history.is_kept
    assert history.problem == (
        f"the history is kept in memory only: {tmp_path}/{FILE}: "
        "others may write there (expected an own directory, 0700)"
    )
    assert is_fresh(history)
    assert history.add_events([event(1)], Position(BOOT, 1)) == [event(1)]


def test_no_directory_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert "File exists" in History(str(tmp_path / "file")).problem
    assert "expected an absolute path" in History("relative").problem


def test_a_file_that_is_taken_away_is_begun_anew(tmp_path: Path) -> None:
    filled(tmp_path)
    history = History(str(tmp_path))
    for file in tmp_path.iterdir():
        file.unlink()

    history.trim(1e12, 1 << 30)
    history.add_events([event(4)], Position(BOOT, 4))

    assert (history.is_kept, history.problem) == (True, "")
    history.close()
    again = History(str(tmp_path))
    assert (again.position(), again.standings(), again.counters(BOOT)) == (Position(BOOT, 4), FAILS, SERIES)


# -- disks that cannot be written


@contextmanager
def no_room() -> Iterator[None]:
    """Let no file of this process grow any more: to SQLite as a full disk is."""
    before, keeps_no_bytecode = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # Python would leave half a file for what is imported meanwhile
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = keeps_no_bytecode


def test_a_disk_that_takes_nothing_more_is_borne_and_made_up_for(tmp_path: Path) -> None:
    filled(tmp_path)
    history = History(str(tmp_path), retry_s=0.0)
    with no_room():
        assert history.add_events([event(n) for n in (3, 4)], Position(BOOT, 4))[-1] == event(4)
        assert history.add_verdicts(200.0, [("fs.full", "ok", "fine", {}), ("cpu.smt", "fail", "off", {})]) == [
            ("fs.full", "ok"),
            ("cpu.smt", "fail"),
        ]
        assert history.add_verdicts(300.0, [("cpu.smt", "fail", "off", {})]) == []
        history.add_action(250.0, {"result": "drained"})
        history.add_job(260.0, {"job_id": 17})
        history.save_counters(BOOT, [SERIES[0]._replace(value=6)])
        history.trim(1e12, 1 << 30)
        is_kept, problem = history.is_kept, history.problem
        assert sum(s.since(0.0) for s in history.series(0.0)) >= 4

    assert not is_kept
    assert problem.startswith(f"the history is kept in memory only: {tmp_path}/{FILE}: ")
    history.add_events([event(5)], Position(BOOT, 5))
    assert (history.is_kept, history.problem) == (True, "")
    history.close()
    again = History(str(tmp_path))
    assert sequences(tmp_path) == [1, 2, 3, 4, 5]
    assert again.position() == Position(BOOT, 5)
    assert again.standings() == {"cpu.smt": Standing("fail", "off", 200.0), "fs.full": Standing("ok", "fine", 200.0)}
    assert again.counters(BOOT) == (SERIES[0]._replace(value=6),)
    assert rows(tmp_path, "SELECT at, content FROM actions") == [(250.0, '{"result":"drained"}')]
    assert rows(tmp_path, "SELECT at, content FROM jobs") == [(260.0, '{"job_id":17}')]


def test_what_is_kept_in_memory_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = History(str(tmp_path / "file"))

    for start in range(0, 25_000, 1000):
        history.add_events([event(n) for n in range(start, start + 1000)], Position(BOOT, start + 1000))

    assert history.size_bytes() < MOST_BYTES_IN_MEMORY + 1_000_000
    assert max(s.points[-1][0] for s in history.series(0.0)) == 1000.0 + 24_999


def test_a_disk_that_fails_is_not_tried_at_every_turn(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = History(str(tmp_path / "file"), retry_s=3600.0)
    (tmp_path / "file").unlink()

    history.add_action(1.0, {})
    assert not history.is_kept
    history.close()  # the last chance
    assert rows(tmp_path / "file", "SELECT count(*) FROM actions") == [(1,)]


def test_a_lock_of_another_program_holds_the_agent_up_for_a_moment_only(tmp_path: Path) -> None:
    filled(tmp_path)
    history = History(str(tmp_path), retry_s=0.0)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began_s = time.monotonic()
        assert history.add_events([event(4)], Position(BOOT, 4)) == [event(4)]
        assert time.monotonic() - began_s < 2.0
        is_kept, problem = history.is_kept, history.problem
        other.execute("ROLLBACK")

    assert (is_kept, problem.endswith("database is locked")) == (False, True)
    history.add_events([event(5)], Position(BOOT, 5))
    assert history.is_kept
    assert sequences(tmp_path) == [1, 2, 3, 4, 5]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k,mode=700", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.root
@needs_root
def test_a_full_disk_loses_nothing_once_there_is_room_again(small_disk: Path) -> None:
    filled(small_disk)
    history = History(str(small_disk), retry_s=0.0)
    with pytest.raises(OSError, match="No space"):
        (small_disk / "fill").write_bytes(bytes(1 << 20))
    last = 3
    is_kept = True
    while is_kept:
        last += 1
        assert history.add_events([event(last)], Position(BOOT, last)) == [event(last)]
        assert last < 10_000
        is_kept = history.is_kept
    assert "full" in history.problem or "disk" in history.problem
    for n in range(last + 1, last + 100):
        history.add_events([event(n)], Position(BOOT, n))

    (small_disk / "fill").unlink()
    history.add_events([event(last + 100)], Position(BOOT, last + 100))

    assert history.is_kept
    history.close()
    assert sequences(small_disk) == list(range(1, last + 101))
    assert rows(small_disk, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.root
@needs_root
def test_a_full_disk_at_the_start_is_read_and_not_written(small_disk: Path) -> None:
    filled(small_disk)
    with pytest.raises(OSError, match="No space"):
        (small_disk / "fill").write_bytes(bytes(1 << 20))

    history = History(str(small_disk), retry_s=0.0)
    assert knows(history)
    history.add_events([event(4)], Position(BOOT, 4))
    assert not history.is_kept

    (small_disk / "fill").unlink()
    history.close()
    assert sequences(small_disk) == [1, 2, 3, 4]


@pytest.mark.root
@needs_root
def test_a_read_only_disk_is_read_and_not_written(small_disk: Path) -> None:
    filled(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    history = History(str(small_disk), retry_s=0.0)

    assert not history.is_kept
    assert "Read-only file system" in history.problem
    assert knows(history)
    history.add_events([event(4)], Position(BOOT, 4))
    assert sum(s.since(0.0) for s in history.series(0.0)) == 4
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    history.close()
    assert sequences(small_disk) == [1, 2, 3, 4]


@pytest.mark.root
@needs_root
def test_a_database_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    filled(tmp_path)
    os.chown(tmp_path / FILE, 12345, -1)

    history = History(str(tmp_path))

    assert "owner 12345" in history.problem
    assert is_fresh(history)
