"""What happened, kept over restarts."""

import json
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from nodeproof.events import Event
from nodeproof.events.ledger import CounterSeries, folded
from nodeproof.history import History, Position, Standing
from nodeproof.history.place import FILE

BOOT = "11111111-2222-3333-4444-555555555555"


def event(sequence: int | None = None, at: float = 1000.0, **keys: Any) -> Event:
    of = {"rule": "event.xid", "text": "GPU has fallen off the bus", "part": "pci:0000:3b:00.0", "variant": "79"} | keys
    return Event(at=at, boot_id=BOOT, source="kmsg", sequence=sequence, **of)


def rows(directory: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / FILE)) as database:
        database.execute("PRAGMA synchronous = OFF")  # no test cuts the power
        return database.execute(question).fetchall()


def test_events_are_kept_once_and_with_them_how_far_the_log_was_read(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    first, second = event(7, fields={"code": "79"}, count=3), event(8)

    assert history.position() is None
    assert history.add_events([first, second], Position(BOOT, 9)) == [first, second]
    assert history.add_events([second, event(10)], Position(BOOT, 10)) == [event(10)]
    history.close()

    again = History(str(tmp_path))
    assert again.position() == Position(BOOT, 10)
    assert again.add_events([first], None) == []
    assert again.position() == Position(BOOT, 10)
    assert again.add_events([first._replace(boot_id="another")], None) != []
    again.close()
    assert rows(tmp_path, "SELECT sequence, count, fields FROM events ORDER BY id")[:2] == [
        (7, 3, '{"code":"79"}'),
        (8, 1, "{}"),
    ]


def test_events_without_a_number_are_kept_as_they_come(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    told = [event(), event()]

    assert history.add_events(told, None) == told
    assert history.add_events(told, None) == told


def test_the_ledger_is_made_again_as_it_was(tmp_path: Path) -> None:
    chance = random.Random(3)
    events = [
        event(
            n,
            at=1000.0 + chance.random() * 3000,
            variant=str(n % 3),
            text=f"line {n}",
            fields={"n": str(n)},
            count=n % 4 + 1,
        )
        for n in range(2500)
    ]
    events.sort(key=lambda e: e.at)
    history = History(str(tmp_path))
    history.add_events(events, None)
    history.close()

    again = History(str(tmp_path))
    assert again.series(0.0) == folded((), events)
    recent = again.series(3000.0)
    assert {s.variant: s.since(0.0) for s in recent} == {
        v: sum(e.count for e in events if e.variant == v and e.at >= 3000.0) for v in ("0", "1", "2")
    }


def test_only_a_new_status_is_news_and_its_time_survives(tmp_path: Path) -> None:
    history = History(str(tmp_path))

    assert history.add_verdicts(
        100.0, [("cpu.smt", "ok", "on", {}), ("fs.full", "fail", "/ is full", {"used": 99})]
    ) == [("fs.full", "fail")]
    assert history.add_verdicts(200.0, [("cpu.smt", "ok", "on", {}), ("fs.full", "fail", "/ is full: 98 %", {})]) == []
    assert history.add_verdicts(300.0, [("cpu.smt", "warn", "off", {})]) == [("cpu.smt", "warn")]
    history.close()

    again = History(str(tmp_path))
    assert again.standings() == {
        "cpu.smt": Standing("warn", "off", 300.0),
        "fs.full": Standing("fail", "/ is full", 100.0),
    }
    assert again.add_verdicts(400.0, [("cpu.smt", "warn", "off", {}), ("fs.full", "ok", "fine", {})]) == [
        ("fs.full", "ok")
    ]
    assert again.standings()["fs.full"].since == 400.0
    again.close()
    assert rows(tmp_path, "SELECT at, check_id, status, evidence FROM verdicts ORDER BY id") == [
        (100.0, "fs.full", "fail", '{"used":99}'),
        (300.0, "cpu.smt", "warn", "{}"),
        (400.0, "fs.full", "ok", "{}"),
    ]


def test_evidence_of_any_kind_and_size_is_kept_or_said_to_be_left_out(tmp_path: Path) -> None:
    odd: dict[Any, object] = {"set": {"y", "x"}, "error": OSError("no"), (1, 2): 3}
    history = History(str(tmp_path))
    history.add_verdicts(1.0, [("a.b", "fail", "bad \ud800 name", odd)])
    history.add_verdicts(2.0, [("a.c", "fail", "much", {"pages": list(range(100_000))})])
    history.close()

    assert rows(tmp_path, "SELECT summary, evidence FROM verdicts") == [
        ("bad ? name", '{"set":["x","y"],"error":"no"}'),
        ("much", '{"left_out_bytes":588901}'),
    ]


def counter(part: str, value: int, read_at: float = 50.0, **keys: Any) -> CounterSeries:
    return CounterSeries("nic.rx_crc_errors", part, 10.0, read_at, value, **keys)


def test_counters_keep_their_baselines_within_a_boot(tmp_path: Path) -> None:
    series = (counter("nic:eth0", 1 << 64, points=((20.0, 2), (30.0, 1))), counter("nic:eth1", 5, is_saturated=True))
    history = History(str(tmp_path))
    history.save_counters(BOOT, series)
    history.close()

    again = History(str(tmp_path))
    assert again.counters(BOOT) == series
    assert again.counters("another") == ()
    again.save_counters("another", series[:1])
    assert (again.counters(BOOT), again.counters("another")) == ((), series[:1])
    again.close()
    assert rows(tmp_path, "SELECT part, boot_id FROM counters") == [("nic:eth0", "another")]


def test_only_counters_that_changed_are_written(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.save_counters(BOOT, [counter(f"nic:eth{n}", n) for n in range(300)])
    written = written_rows(history)

    history.save_counters(BOOT, [counter(f"nic:eth{n}", n, read_at=99.0) for n in range(300)])
    assert written_rows(history) == written
    history.save_counters(BOOT, [counter(f"nic:eth{n}", n + (n == 7), read_at=99.0) for n in range(299)])
    assert written_rows(history) == written + 2  # one that changed, and one that is gone
    assert {s.part: s.value for s in history.counters(BOOT)}["nic:eth7"] == 8


def written_rows(history: History) -> int:
    return history._kept.database.total_changes


def test_actions_and_jobs_are_kept(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.add_action(10.0, {"result": "drained", "warnings": [], "checks": {"a.b"}})
    history.add_job(20.0, {"job_id": 17, "name": "nic.rx_crc_errors", "others": (18,)})
    history.close()

    assert rows(tmp_path, "SELECT at, content FROM actions") == [
        (10.0, '{"result":"drained","warnings":[],"checks":["a.b"]}')
    ]
    assert rows(tmp_path, "SELECT at, content FROM jobs") == [
        (20.0, '{"job_id":17,"name":"nic.rx_crc_errors","others":[18]}')
    ]


def test_a_log_without_events_is_not_written_down_line_by_line(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.add_events([], Position(BOOT, 1))
    written = written_rows(history)
    for sequence in range(2, 200):
        history.add_events([], Position(BOOT, sequence))

    assert written_rows(history) == written
    assert history.position() == Position(BOOT, 199)
    history.close()
    assert History(str(tmp_path)).position() == Position(BOOT, 199)


def test_what_is_old_goes_and_what_is_so_now_stays(tmp_path: Path) -> None:
    history = History(str(tmp_path), clock=lambda: 10_000.0)
    history.add_events([event(n, at=float(n)) for n in range(3000)], Position(BOOT, 3000))
    history.add_verdicts(5.0, [("fs.full", "fail", "/ is full", {})])
    history.add_action(6.0, {})
    history.add_job(9_500.0, {})

    while rows(tmp_path, "SELECT count(*) FROM events WHERE at < 1000") != [(0,)]:
        history.trim(9000.0, 1 << 30)

    assert rows(tmp_path, "SELECT count(*), min(at) FROM events") == [(2000, 1000.0)]
    assert rows(
        tmp_path, "SELECT (SELECT count(*) FROM verdicts), (SELECT count(*) FROM actions), count(*) FROM jobs"
    ) == [(0, 0, 1)]
    assert history.standings() == {"fs.full": Standing("fail", "/ is full", 5.0)}
    history.close()
    assert History(str(tmp_path)).standings() == {"fs.full": Standing("fail", "/ is full", 5.0)}


def test_too_much_goes_oldest_first_and_the_file_becomes_smaller(tmp_path: Path) -> None:
    history = History(str(tmp_path), clock=lambda: 0.0)
    history.add_action(4999.0, {"result": "drained"})
    history.add_events([event(n, at=float(n), text="x" * 200) for n in range(10_000)], None)
    before = history.size_bytes()

    for _ in range(200):
        history.trim(1e9, 1_000_000)

    ((count, oldest, newest),) = rows(tmp_path, "SELECT count(*), min(at), max(at) FROM events")
    assert newest == 9999.0
    assert count == 10_000 - oldest  # none is missing between
    assert 1000 < count < 5000
    assert rows(tmp_path, "SELECT count(*) FROM actions") == [(0,)]
    history.close()
    assert history.size_bytes() < 1_100_000 < before


def test_a_flood_between_two_trims_does_not_fill_the_disk(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.trim(1e9, 1_000_000)

    for start in range(0, 15_000, 500):
        history.add_events([event(n, at=float(n), text="x" * 200) for n in range(start, start + 500)], None)

    assert history.size_bytes() < 3_000_000
    assert rows(tmp_path, "SELECT max(at) FROM events") == [(14_999.0,)]


def test_the_last_of_few_large_rows_goes_too(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    for n in range(20):
        history.add_action(float(n), {"summary": "x" * 100_000})

    for _ in range(100):
        history.trim(1e12, 500_000)

    ((count, newest),) = rows(tmp_path, "SELECT count(*), max(at) FROM actions")
    assert 1 <= count <= 5
    assert newest == 19.0


def test_whenever_it_is_killed_events_and_position_agree(tmp_path: Path) -> None:
    chance, done = random.Random(7), 0
    for turn in range(100):
        started, tell = os.pipe()
        child = os.fork()
        if child == 0:
            add_for_ever(tmp_path, tell)
        os.close(tell)
        if turn % 4:  # else it may be killed while it opens the file, or makes it
            os.read(started, 1)
        time.sleep(chance.random() * 0.004)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(started)
        if (tmp_path / FILE).exists():
            before, done = done, kept(tmp_path)
            assert done >= before

    assert done > 100
    assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    assert not list(tmp_path.glob("*.bad*"))


def add_for_ever(directory: Path, tell: int) -> None:
    """Be an agent that reads the log on from where the last one was killed: each line is an event, some told twice."""
    try:
        history = History(str(directory))
        position = history.position()
        n, is_told = position.sequence if position is not None else 0, False
        while True:
            fresh = history.add_events([event(k) for k in range(max(1, n - 1), n + 3)], Position(BOOT, n + 2))
            if [e.sequence for e in fresh] != [n + 1, n + 2]:
                history.add_events([event(1_000_000)], None)  # seen by the parent
            if not is_told:
                is_told = os.write(tell, b".") == 1
            n += 2
            if n % 100 == 0:
                history.trim(1e12, 1 << 30)
    finally:
        os._exit(1)


def kept(directory: Path) -> int:
    """Return how many events there are, after it was seen that they are all up to the position."""
    if not rows(directory, "SELECT name FROM sqlite_master WHERE name = 'meta'"):
        return 0
    position = rows(directory, "SELECT value FROM meta WHERE key = 'position'")
    ((count, newest),) = rows(directory, "SELECT count(*), max(sequence) FROM events")
    assert (count, newest) == ((n := json.loads(position[0][0])[1], n) if position else (0, None))
    return int(count)


def test_it_takes_little_memory(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    before = resident_bytes()
    for start in range(0, 20_000, 100):
        history.add_events([event(n, at=float(n), text="x" * 200) for n in range(start, start + 100)], None)

    assert resident_bytes() - before < 8 << 20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_nobody_else_may_look(tmp_path: Path) -> None:
    history = History(str(tmp_path / "d"))
    history.add_action(1.0, {})

    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700
    modes = {f.name: f.stat().st_mode & 0o777 for f in (tmp_path / "d").iterdir()}
    assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


def test_a_child_that_ends_leaves_the_history_of_its_parent_alone(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.add_action(1.0, {})
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

    history.add_action(2.0, {})
    assert history.is_kept
    assert rows(tmp_path, "SELECT count(*) FROM actions") == [(2,)]
