"""The state file on real directories, good and bad."""

import fcntl
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeproof.slurm.wish import Record, Wish
from nodeproof.state import Held, LeftAlone, State, Store, default_directory

DRAIN = Record("00c0ffee", "nodeproof[00c0ffee]: fs.mounted: x", ("fs.mounted",), 1795436536, "root")
WANTED = Wish("n1", "drain", "00c0ffee", "fs.mounted: x", ("fs.mounted",), DRAIN, decided_at=1795436500)
FULL = State(
    {"fs.mounted": (2, 0), "cpu.smt": (0, 3)},
    DRAIN,
    WANTED,
    LeftAlone(("fs.mounted",), is_noted=True),
    Held(1795436999, "2 of 10 nodes are out of service, the limit is 2", "fs.mounted: x"),
    1795436530,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def save(directory: Path, state: State = FULL) -> list[str]:
    store = Store(str(directory))
    with store.locked() as is_ours:
        assert is_ours
        store.save(state)
    return store.warnings


def load(directory: Path) -> tuple[State, list[str]]:
    store = Store(str(directory))
    with store.locked():
        return store.load(), store.warnings


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert save(tmp_path / "a" / "b") == []

    assert load(tmp_path / "a" / "b") == (FULL, [])


def test_a_drain_that_an_older_nodeproof_noted_is_still_ours(tmp_path: Path) -> None:
    old = {"schema": "nodeproof.state/1", "streaks": {"fs.mounted": [2, 0]}, "drain": DRAIN._asdict()}
    (tmp_path / "state.json").write_text(json.dumps(old))
    (tmp_path / "state.json").chmod(0o600)

    assert load(tmp_path) == (State({"fs.mounted": (2, 0)}, DRAIN), [])


def test_the_first_run_knows_nothing_and_does_not_complain(tmp_path: Path) -> None:
    assert load(tmp_path / "new") == (State(), [])


def test_nobody_else_may_look(tmp_path: Path) -> None:
    save(tmp_path / "d")

    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700
    assert {f.name: f.stat().st_mode & 0o777 for f in (tmp_path / "d").iterdir()} == {
        "state.json": 0o600,
        "lock": 0o600,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "\xff\xfe",
        '{"schema": "nodeproof.state/9", "streaks": {}}',
        '{"schema": "nodeproof.state/1", "streaks": {"a.b": [1]}}',
        '{"schema": "nodeproof.state/1", "streaks": {"a.b": [true, 0]}}',
        '{"schema": "nodeproof.state/1", "streaks": {"a.b": [-1, 0]}}',
        '{"schema": "nodeproof.state/1", "streaks": {}, "drain": {"id": "x"}}',
        '{"schema": "nodeproof.state/1", "streaks": {}, "drain": null}',
        '{"schema": "nodeproof.state/2", "streaks": []}',
        '{"schema": "nodeproof.state/2", "streaks": {}, "wanted": {"node": "n1"}}',
        '{"schema": "nodeproof.state/2", "streaks": {}, "left_alone": {"checks": "a.b", "is_noted": true}}',
        '{"schema": "nodeproof.state/2", "streaks": {}, "left_alone": {"checks": ["a.b"]}}',
        '{"schema": "nodeproof.state/2", "streaks": {}, "held": {"until": 1, "why": "x"}}',
        '{"schema": "nodeproof.state/2", "streaks": {}, "held": {"until": "x", "why": "x", "text": ""}}',
        '{"schema": "nodeproof.state/2", "streaks": {}, "prolog_failed_at": -1}',
        "x" * (1 << 21),
    ],
)
def test_a_corrupt_file_is_set_aside_and_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text, encoding="latin-1")
    (tmp_path / "state.json").chmod(0o600)

    state, warnings = load(tmp_path)

    assert state == State()
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{tmp_path}/state.json is not usable and set aside as state.json.bad: ")
    assert (tmp_path / "state.json.bad").exists()
    assert save(tmp_path) == []
    assert load(tmp_path) == (FULL, [])


def test_a_link_or_a_fifo_in_place_of_the_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / "state.json").symlink_to("elsewhere")
    assert "a symbolic link" in load(tmp_path)[1][0]

    os.mkfifo(tmp_path / "state.json")
    assert "others may write it" in load(tmp_path)[1][0]


@needs_root
def test_a_file_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    save(tmp_path)
    os.chown(tmp_path / "state.json", 12345, -1)

    state, warnings = load(tmp_path)

    assert state == State()
    assert "owner 12345" in warnings[0]


def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "state.json").chmod(0o666)

    assert "mode 0666" in load(tmp_path)[1][0]


def test_a_directory_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    save(tmp_path)
    tmp_path.chmod(0o777)

    state, warnings = load(tmp_path)

    assert state == State()
    assert "others may write there" in warnings[0]
    assert save(tmp_path) == warnings


def test_no_directory_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert save(tmp_path / "file") == [f"cannot keep state in {tmp_path}/file: File exists"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.root
@needs_root
def test_a_full_disk_keeps_the_old_state(small_disk: Path) -> None:
    save(small_disk)
    with pytest.raises(OSError, match="No space"):
        (small_disk / "fill").write_bytes(bytes(1 << 20))

    warnings = save(small_disk, State({"a.b": (1, 0)}))

    assert warnings == [f"cannot write {small_disk}/state.json: No space left on device"]
    assert load(small_disk)[0] == FULL


@pytest.mark.root
@needs_root
def test_a_read_only_disk_is_read_locked_and_told(small_disk: Path) -> None:
    save(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    assert load(small_disk) == (FULL, [])
    assert save(small_disk) == [f"cannot write {small_disk}/state.json: Read-only file system"]


def test_a_second_run_is_told_at_once(tmp_path: Path) -> None:
    first, second = Store(str(tmp_path)), Store(str(tmp_path))

    with first.locked() as is_first:
        with second.locked() as is_second:
            assert (is_first, is_second) == (True, False)
        with second.locked() as is_second:
            assert not is_second
    with second.locked() as is_second:
        assert is_second


def test_a_run_may_wait_for_another_and_gives_up(tmp_path: Path) -> None:
    first, second = Store(str(tmp_path)), Store(str(tmp_path))
    with first.locked():
        began_s = time.monotonic()
        with second.locked(0.2) as is_second:
            assert not is_second
        assert 0.2 <= time.monotonic() - began_s < 5


def test_a_run_that_waits_goes_on_once_the_other_ended(tmp_path: Path) -> None:
    holds, may_end = threading.Event(), threading.Event()

    def other() -> None:
        with Store(str(tmp_path)).locked():
            holds.set()
            may_end.wait(5)

    thread = threading.Thread(target=other)
    thread.start()
    holds.wait(5)
    threading.Timer(0.1, may_end.set).start()
    with Store(str(tmp_path)).locked(5.0) as is_ours:
        assert is_ours
        assert may_end.is_set()
    thread.join()


def test_where_things_are_kept_is_known_while_it_is_held(tmp_path: Path) -> None:
    store, nowhere = Store(str(tmp_path)), Store(str(tmp_path / "x" / ".." / "x"))
    (tmp_path / "x").write_text("in the way")

    assert store.kept_in == ""
    with store.locked(), nowhere.locked():
        assert store.kept_in == str(tmp_path)
        assert nowhere.kept_in == ""


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")

    save(tmp_path)
    load(tmp_path)

    assert os.listdir("/proc/self/fd") == before


def test_a_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    save(tmp_path)
    child = os.fork()
    if child == 0:
        fcntl.flock(os.open(tmp_path / "lock", os.O_RDWR), fcntl.LOCK_EX)
        os._exit(0)
    os.waitpid(child, 0)

    assert save(tmp_path) == []


def test_the_file_says_its_schema(tmp_path: Path) -> None:
    save(tmp_path)

    assert json.loads((tmp_path / "state.json").read_text())["schema"] == "nodeproof.state/2"


def test_where_state_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("XDG_STATE_HOME", "relative is ignored")
    assert default_directory() == "/home/u/.local/state/nodeproof"

    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert default_directory() == "/s/nodeproof"

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory() == "/var/lib/nodeproof"
