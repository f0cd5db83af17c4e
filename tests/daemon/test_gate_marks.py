"""Marks of jobs, from the gate that leaves them to the agent that reads them."""

import fcntl
import os
import select
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from gate_run import FELL_BACK, Gated, boot_id, in_seconds, well
from nodeproof.daemon import marks as marks_module
from nodeproof.daemon.gate import Answer
from nodeproof.daemon.marks import Marks, wake_socket


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    gated = Gated(tmp_path)
    gated.leave(well())
    return gated


def marks_of(gated: Gated) -> Marks:
    return Marks(str(gated.run_dir))


def test_a_prolog_and_an_epilog_leave_a_mark(gated: Gated) -> None:
    marks, began_ns = marks_of(gated), in_seconds(0)
    assert marks.read_new() == []

    gated.run("prolog", SLURM_JOB_ID="4711")
    gated.run("epilog", SLURM_JOB_ID="4294967295")
    gated.run("healthcheck", SLURM_JOB_ID="3")
    gated.run("prolog")

    first, second = marks.read_new()
    assert (first.kind, first.job_id, first.boot_id) == ("prolog", 4711, boot_id())
    assert (second.kind, second.job_id, second.boot_id) == ("epilog", 4294967295, boot_id())
    assert began_ns < first.boottime_ns < second.boottime_ns < in_seconds(0)
    assert marks.read_new() == []
    assert stat.S_IMODE((gated.run_dir / "marks").stat().st_mode) == 0o600


def test_the_mark_is_left_whatever_the_answer_is(gated: Gated) -> None:
    marks = marks_of(gated)
    gated.leave(well()._replace(prolog=Answer(1, ("x",))))
    assert gated.run("prolog", SLURM_JOB_ID="1").returncode == 1
    gated.file.unlink()
    assert gated.run("prolog", SLURM_JOB_ID="2").stdout.startswith(FELL_BACK)

    assert [m.job_id for m in marks.read_new()] == [1, 2]


@pytest.mark.parametrize("job_id", ["1\nepilog 2", "12345678901", "-1", "1 ", "٣", "0x1", ""])
def test_what_is_no_number_of_a_job_leaves_none(gated: Gated, job_id: str) -> None:
    done = gated.run("prolog", SLURM_JOB_ID=job_id)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == ("nodeproof prolog: warning: SLURM_JOB_ID is not what Slurm sets\n" if job_id else "")
    assert not (gated.run_dir / "marks").exists()


def test_two_hundred_jobs_that_begin_at_once_leave_two_hundred_marks(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks_module, "_MOST_BYTES", 300)  # the file is emptied all the time
    marks, found = marks_of(gated), []
    running = [
        subprocess.Popen(gated.argv("prolog"), env={"SLURM_JOB_ID": str(number)}, stderr=subprocess.PIPE)
        for number in range(1, 201)
    ]
    while any(gate.poll() is None for gate in running):
        found += marks.read_new()
    found += marks.read_new()

    assert [gate.communicate()[1] for gate in running] == [b""] * 200
    assert {gate.returncode for gate in running} == {0}
    assert sorted(m.job_id for m in found) == list(range(1, 201))


# The file of marks, whatever is the matter with it


def line(kind: str, number: int) -> bytes:
    return f"{kind} {number} {in_seconds(0)} {boot_id()}\n".encode()


def append(gated: Gated, raw: bytes) -> None:
    with (gated.run_dir / "marks").open("ab") as file:
        file.write(raw)
    (gated.run_dir / "marks").chmod(0o600)


def test_half_a_line_waits_for_its_rest(gated: Gated) -> None:
    marks, raw = marks_of(gated), line("prolog", 7)
    append(gated, line("prolog", 6) + raw[:20])
    assert [m.job_id for m in marks.read_new()] == [6]
    append(gated, raw[20:])
    assert [m.job_id for m in marks.read_new()] == [7]


def test_half_a_line_that_stays_half_costs_no_other_mark(gated: Gated) -> None:
    append(gated, line("prolog", 6)[:20] + line("epilog", 7) + b"\0\xff\nprolog x\n" + line("prolog", 8))

    assert [(m.kind, m.job_id) for m in marks_of(gated).read_new()] == [("epilog", 7), ("prolog", 8)]


def test_the_file_is_emptied_when_all_of_it_was_read(gated: Gated) -> None:
    marks = marks_of(gated)
    append(gated, line("prolog", 1) * 2000)
    assert len(marks.read_new()) == 2000
    assert (gated.run_dir / "marks").stat().st_size == 0
    gated.run("prolog", SLURM_JOB_ID="2")
    assert [m.job_id for m in marks.read_new()] == [2]
    assert (gated.run_dir / "marks").stat().st_size < 200


def test_a_gate_that_is_writing_is_waited_for(gated: Gated) -> None:
    marks = marks_of(gated)
    append(gated, line("prolog", 1) * 2000)
    with (gated.run_dir / "marks").open("ab") as writing:
        fcntl.flock(writing, fcntl.LOCK_SH)
        assert len(marks.read_new()) == 2000
        writing.write(line("prolog", 2))
    assert [m.job_id for m in marks.read_new()] == [2]
    assert (gated.run_dir / "marks").stat().st_size == 0


def test_an_agent_that_hangs_while_it_empties_the_file_holds_no_job_up(gated: Gated) -> None:
    append(gated, b"")
    with (gated.run_dir / "marks").open("ab") as emptying:
        fcntl.flock(emptying, fcntl.LOCK_EX)
        began_s = time.monotonic()
        done = gated.run("prolog", SLURM_JOB_ID="1")
        assert time.monotonic() - began_s < 10

    assert (done.returncode, done.stdout) == (0, "")
    assert "the file of job marks is locked" in done.stderr


def test_without_an_agent_the_file_does_not_grow_for_ever(gated: Gated) -> None:
    append(gated, b"x" * (1 << 20) + b"\n")

    done = gated.run("prolog", SLURM_JOB_ID="1")

    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "is full" in done.stderr
    assert (gated.run_dir / "marks").stat().st_size == (1 << 20) + 1
    assert marks_of(gated).read_new() == []
    assert (gated.run_dir / "marks").stat().st_size == 0


def test_a_new_file_is_read_from_its_beginning(gated: Gated) -> None:
    marks = marks_of(gated)
    append(gated, line("prolog", 1))
    marks.read_new()
    (gated.run_dir / "marks").rename(gated.folder / "old")
    append(gated, line("prolog", 2) + line("prolog", 3))

    assert [m.job_id for m in marks.read_new()] == [2, 3]


def test_what_is_no_file_of_ours_is_neither_written_nor_read(gated: Gated) -> None:
    path, elsewhere = gated.run_dir / "marks", gated.folder / "elsewhere"
    elsewhere.write_bytes(line("prolog", 1))
    path.symlink_to(elsewhere)
    told = [gated.run("prolog", SLURM_JOB_ID="1")]
    read = marks_of(gated).read_new()
    path.unlink()
    os.mkfifo(path, 0o600)
    told.append(gated.run("prolog", SLURM_JOB_ID="1"))
    read += marks_of(gated).read_new()
    path.unlink()
    append(gated, line("prolog", 1))
    path.chmod(0o666)
    told.append(gated.run("prolog", SLURM_JOB_ID="1"))
    read += marks_of(gated).read_new()

    assert read == []
    assert elsewhere.read_bytes().count(b"\n") == path.read_bytes().count(b"\n") == 1
    assert [(d.returncode, d.stdout, d.stderr.count("\n")) for d in told] == [(0, "", 1)] * 3


def test_no_mark_is_left_where_others_could_write(gated: Gated) -> None:
    gated.run_dir.chmod(0o777)

    gated.run("prolog", SLURM_JOB_ID="1")

    assert not (gated.run_dir / "marks").exists()


# The socket


def is_woken(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_a_mark_wakes_the_agent(gated: Gated) -> None:
    wake, marks = wake_socket(str(gated.run_dir)), marks_of(gated)
    assert not is_woken(wake.fileno())
    assert stat.S_IMODE((gated.run_dir / "wake").stat().st_mode) == 0o600
    for number in range(1, 31):  # more than the kernel keeps datagrams
        gated.run("prolog", SLURM_JOB_ID=str(number))

    assert is_woken(wake.fileno())
    wake.drain()
    assert not is_woken(wake.fileno())
    assert [m.job_id for m in marks.read_new()] == list(range(1, 31))
    wake.drain()
    wake.close()
    assert not (gated.run_dir / "wake").exists()


def test_a_socket_that_an_agent_left_behind_is_replaced(gated: Gated) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(gated.run_dir / "wake"))
    gated.run("prolog", SLURM_JOB_ID="1")
    wake = wake_socket(str(gated.run_dir))
    gated.run("prolog", SLURM_JOB_ID="2")

    assert is_woken(wake.fileno())
    assert [m.job_id for m in marks_of(gated).read_new()] == [1, 2]
    wake.close()


def test_what_is_no_socket_is_left_where_it_is(gated: Gated) -> None:
    (gated.run_dir / "wake").write_text("x")

    with pytest.raises(FileExistsError):
        wake_socket(str(gated.run_dir))


def test_a_path_may_be_longer_than_an_address(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 150)
    folder.mkdir()
    gated = Gated(folder)
    gated.leave(well())
    wake = wake_socket(str(gated.run_dir))

    gated.run("prolog", SLURM_JOB_ID="1")

    assert is_woken(wake.fileno())
    wake.close()
