"""The history of benchmark results on good and bad disks, and the lock around a run."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_bench import result, run
from nodeproof_bench.store import MOST_BYTES, MOST_OLD_POINTS, MOST_RUNS, Store, content

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_runs_are_kept_oldest_first_with_modes_that_let_others_read(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "a" / "state"))
    store.save([run(result(value=1.0)), run(result(value=2.0))])
    again = Store(str(tmp_path / "a" / "state"))

    assert [r["results"][0]["value"] for r in again.load()] == [1.0, 2.0]
    assert store.warnings == again.warnings == []
    assert (tmp_path / "a/state/bench.jsonl").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "a/state").stat().st_mode & 0o777 == 0o700
    assert [f.name for f in (tmp_path / "a/state").iterdir()] == ["bench.jsonl"]


def test_only_the_newest_runs_are_kept() -> None:
    lines = content([run(result(), time_s=n) for n in range(MOST_RUNS + 20)]).splitlines()

    assert [json.loads(line)["time_s"] for line in lines] == list(range(20, MOST_RUNS + 20))


def test_matrices_are_kept_of_the_newest_run_alone() -> None:
    large, small = ([{"cpu": 0, "to_cpu": n, "value": 1e-7 / 3} for n in range(m)] for m in (MOST_OLD_POINTS + 1, 9))
    pairs, cores = result("cpu.core_to_core", points=large), result("cpu.per_core", points=small)
    old, new = (json.loads(line)["results"] for line in content([run(pairs, cores)] * 2).splitlines())

    assert [len(line.get("points", [])) for line in (*old, *new)] == [0, 9, MOST_OLD_POINTS + 1, 9]
    assert new[0]["points"][0]["value"] == 3.333333e-08


def test_histograms_are_kept_of_the_newest_results_of_a_benchmark() -> None:
    points = [{"device": "mlx5_0/1", "value": 1e-6, "histogram": [[1e-6, 9]]}]
    links, other = result("rdma.latency", points=points), result("cpu.flops")
    lines = content([run(links), run(links, other), run(other)]).splitlines()

    first, second, _ = (json.loads(line)["results"] for line in lines)
    assert first[0]["points"] == [{"device": "mlx5_0/1", "value": 1e-6}]
    assert second[0]["points"] == points


def test_the_file_stays_below_what_a_probe_reads() -> None:
    points = [{"cpu": n, "value": 1 / (n + 1)} for n in range(MOST_OLD_POINTS)]
    runs = [run(*(result(f"a.b{n}", points=points) for n in range(5)), time_s=n) for n in range(MOST_RUNS)]
    lines = content(runs).splitlines()

    assert 1 < len(lines) < MOST_RUNS
    assert sum(len(line) + 1 for line in lines) <= MOST_BYTES
    assert json.loads(lines[-1])["time_s"] == MOST_RUNS - 1


def test_a_run_too_large_to_keep_loses_its_matrices() -> None:
    points = [{"cpu": n, "to_cpu": m, "value": 1.0} for n in range(300) for m in range(300)]
    (line,) = content([run(result("cpu.core_to_core", points=points), result())]).splitlines()

    assert [len(r.get("points", [])) for r in json.loads(line)["results"]] == [0, 0]


def test_a_damaged_file_is_set_aside_and_its_good_lines_stay(tmp_path: Path) -> None:
    good = content([run(result(value=1.0)), run(result(value=2.0))]).splitlines()
    damaged = b"\n".join([good[0], good[1][:100], good[1]]) + b"\n"
    (tmp_path / "bench.jsonl").write_bytes(damaged)
    tmp_path.chmod(0o700)
    store = Store(str(tmp_path))

    assert [r["results"][0]["value"] for r in store.load()] == [1.0, 2.0]
    assert len(store.warnings) == 1
    assert f"{tmp_path}/bench.jsonl is damaged and set aside as bench.jsonl.bad: line 2: " in store.warnings[0]
    assert (tmp_path / "bench.jsonl.bad").read_bytes() == damaged


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 100_000, b"null\n"])
def test_a_file_of_anything_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bench.jsonl").write_bytes(content)
    store = Store(str(tmp_path))

    assert store.load() == []
    assert (tmp_path / "bench.jsonl.bad").read_bytes() == content


def test_a_pipe_in_its_place_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "bench.jsonl")
    store = Store(str(tmp_path))

    assert store.load() == []
    assert store.warnings == [
        f"cannot read earlier results in {tmp_path}/bench.jsonl: {tmp_path}/bench.jsonl: failed (not a regular file)"
    ]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_may_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    Store(str(tmp_path)).save([run(result())])
    tmp_path.chmod(mode)
    store = Store(str(tmp_path))

    assert store.load() == []
    store.save([])
    assert not store.is_saved
    assert len(store.warnings) == 2
    assert all("others may write there (expected an own directory, 0700)" in w for w in store.warnings)


def test_no_directory_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file"))
    with store.locked("test") as holder:
        store.save([run(result())])

    assert holder == ""
    assert store.warnings == [
        f"cannot lock {tmp_path}/file, so another run may disturb this one: File exists",
        f"cannot keep the results in {tmp_path}/file/bench.jsonl: File exists",
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.root
@needs_root
def test_a_full_disk_keeps_the_old_results(small_disk: Path) -> None:
    Store(str(small_disk)).save([run(result(value=1.0))])
    with pytest.raises(OSError, match="No space"):
        (small_disk / "fill").write_bytes(bytes(1 << 20))
    store = Store(str(small_disk))
    store.save([run(result(value=2.0))])

    assert store.warnings == [f"cannot keep the results in {small_disk}/bench.jsonl: No space left on device"]
    assert [r["results"][0]["value"] for r in store.load()] == [1.0]
    assert sorted(f.name for f in small_disk.iterdir()) == ["bench.jsonl", "fill"]


def test_the_second_run_is_told_who_is_first(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with store.locked("nodeproof bench quick") as first, Store(str(tmp_path)).locked("nodeproof bench") as second:
        assert (first, second) == ("", f"process {os.getpid()} (nodeproof bench quick)")
    with store.locked("again") as third:
        assert third == ""


def test_the_lock_of_a_run_that_was_killed_is_free(tmp_path: Path) -> None:
    script = (
        "import os, sys; from nodeproof_bench.store import Store\n"
        "with Store(sys.argv[1]).locked('x'): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60).returncode == -9

    with Store(str(tmp_path)).locked("test") as holder:
        assert holder == ""
    with open(tmp_path / "bench.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
