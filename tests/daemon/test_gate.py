"""What slurmd is told by `nodeproof-gate`, and that nothing but a fresh file of the agent's decides it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gate_run import KINDS, WELL, Gated, in_seconds, is_static, well
from nodeproof.daemon.gate import Answer, Gate, read


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


def answering(kind: str, answer: Answer) -> Gate:
    return well()._replace(**{kind: answer})  # type: ignore[arg-type]


# Answers


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_well_node_nothing_is_said(gated: Gated, kind: str) -> None:
    gated.leave(well())

    done = gated.run(kind, SLURM_JOB_ID="4711")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("kind", "code"), [("healthcheck", 1), ("healthcheck", 3), ("prolog", 1), ("epilog", 1)])
def test_each_hook_has_its_own_answer(gated: Gated, kind: str, code: int) -> None:
    gated.leave(answering(kind, Answer(code, ("gpu.count: 7 GPUs, expected 8", "no µ job starts here"))))

    told = {k: gated.run(k, SLURM_JOB_ID="4711") for k in KINDS}

    assert told[kind].stdout == (
        f"nodeproof {kind} of job 4711: gpu.count: 7 GPUs, expected 8\n"
        f"nodeproof {kind} of job 4711: no µ job starts here\n"
    )
    assert {k: done.returncode for k, done in told.items()} == {k: code if k == kind else 0 for k in KINDS}
    assert {k for k, done in told.items() if done.stdout or done.stderr} == {kind}


def test_without_a_job_none_is_named(gated: Gated) -> None:
    gated.leave(answering("healthcheck", Answer(1, ("x",))))

    assert gated.run("healthcheck").stdout == "nodeproof healthcheck: x\n"
    assert gated.run("healthcheck", SLURM_JOB_ID="0").stdout == "nodeproof healthcheck: x\n"


# No agent, or one that has stopped


@pytest.mark.parametrize("kind", KINDS)
def test_without_an_agent_python_judges_and_nothing_is_said_about_it(gated: Gated, kind: str) -> None:
    assert gated.fell_back(kind) == ""
    gated.run_dir.rmdir()
    assert gated.fell_back(kind) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"until_ns": in_seconds(-5)}, "is stale, for "),
        ({"until_ns": 0}, "is stale, for "),
        ({"until_ns": in_seconds(2 * 86400)}, "s ahead"),
        ({"until_ns": 10**19 - 1}, "s ahead"),
        ({"boot_id": "01234567-89ab-cdef-0123-456789abcdef"}, "is of another boot"),
    ],
)
def test_an_answer_of_another_time_is_none(gated: Gated, changes: dict[str, object], why: str) -> None:
    gated.leave(well()._replace(**changes))  # type: ignore[arg-type]

    told = gated.fell_back("prolog", SLURM_JOB_ID="12")

    assert told.startswith("nodeproof prolog of job 12: the gate file ")
    assert why in told
    assert told.count("\n") == 1


def test_an_answer_that_is_good_for_a_day_is_one(gated: Gated) -> None:
    gated.leave(well()._replace(until_ns=in_seconds(86390)))

    assert gated.run("prolog").stdout == ""


# Who could have written it


def world_writable(gated: Gated) -> None:
    gated.file.chmod(0o646)


def group_writable(gated: Gated) -> None:
    gated.file.chmod(0o664)


def group_writable_directory(gated: Gated) -> None:
    gated.run_dir.chmod(0o775)


def sticky_directory(gated: Gated) -> None:
    gated.run_dir.chmod(0o1777)


def writable_directory_above(gated: Gated) -> None:
    gated.folder.chmod(0o777)


def link(gated: Gated) -> None:
    gated.file.rename(gated.folder / "elsewhere")
    gated.file.symlink_to(gated.folder / "elsewhere")


def link_to_directory(gated: Gated) -> None:
    gated.run_dir.rename(gated.folder / "elsewhere")
    gated.run_dir.symlink_to(gated.folder / "elsewhere")


def second_name(gated: Gated) -> None:
    (gated.folder / "second").hardlink_to(gated.file)


def pipe(gated: Gated) -> None:
    gated.file.unlink()
    os.mkfifo(gated.file, 0o600)


def directory(gated: Gated) -> None:
    gated.file.unlink()
    gated.file.mkdir()


def huge(gated: Gated) -> None:
    os.truncate(gated.file, 1 << 30)


TRICKS = [
    (world_writable, "the gate file can be written by others (mode 0646)"),
    (group_writable, "the gate file can be written by others (mode 0664)"),
    (group_writable_directory, "/run can be written by others (mode 0775)"),
    (sticky_directory, "/run can be written by others (mode 1777)"),
    (writable_directory_above, "/run a directory above it can be written by others (mode 0777)"),
    (link, "the gate file cannot be opened: "),
    (link_to_directory, "/run cannot be opened: "),
    (second_name, "the gate file has 2 names"),
    (pipe, "the gate file is no regular file"),
    (directory, "the gate file is no regular file"),
    (huge, "the gate file is larger than 65536 bytes"),
]


@pytest.mark.parametrize(("trick", "why"), TRICKS)
def test_what_others_could_have_made_is_not_believed(gated: Gated, trick: Callable[[Gated], None], why: str) -> None:
    gated.leave(well())
    assert read(str(gated.run_dir)).prolog == WELL
    trick(gated)

    told = gated.fell_back("prolog")
    assert why in told
    assert told.count("\n") == 1
    with pytest.raises((ValueError, OSError)):
        read(str(gated.run_dir))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("name", ["run", "run/gate", "."])
def test_what_belongs_to_a_user_is_not_believed(gated: Gated, name: str) -> None:
    gated.leave(well())
    os.chown(gated.folder / name, 65534, 0)

    assert "belongs to user 65534" in gated.fell_back("prolog")
    with pytest.raises(ValueError, match="user 65534"):
        read(str(gated.run_dir))


def test_a_private_file_will_do(gated: Gated) -> None:
    gated.leave(well())
    gated.file.chmod(0o600)
    gated.run_dir.chmod(0o700)

    assert gated.run("prolog").stdout == ""


# How it is called


def test_the_environment_changes_no_answer(gated: Gated) -> None:
    gated.leave(answering("prolog", Answer(1, ("x",))))
    hostile = {
        "LD_PRELOAD": "/nonexistent.so",
        "POSIXLY_CORRECT": "1",
        "SLURM_JOB_ID": "1\nnodeproof prolog: all is well",
        "NODEPROOF_RUN_DIR": "/tmp",
    }

    done = gated.run("prolog", **hostile)

    assert (done.returncode, done.stdout) == (1, "nodeproof prolog: x\n")
    assert "warning: SLURM_JOB_ID is not what Slurm sets\n" in done.stderr


def test_a_link_is_the_hook_that_it_is_named_after(gated: Gated) -> None:
    gated.leave(answering("epilog", Answer(1, ("x",))))
    (gated.folder / "epilog").symlink_to(gated.program)

    argv = [str(gated.folder / "epilog"), f"--run-dir={gated.run_dir}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={})
    other = subprocess.run([*argv, "prolog"], capture_output=True, text=True, check=False, env={})

    assert (done.returncode, done.stdout) == (1, "nodeproof epilog: x\n")
    assert (other.returncode, other.stdout) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["prolgo"],
        ["prolog", "epilog"],
        ["--run-dir", "relative", "prolog"],
        ["--run-dir", "--timeout", "5", "prolog"],
        ["--timeout", "0", "prolog"],
        ["--timeout", "1e3", "prolog"],
        ["prolog", "--timeout"],
        ["prolog", "--run-dir"],
    ],
)
def test_a_misspelt_line_keeps_no_job_off(gated: Gated, words: list[str]) -> None:
    done = subprocess.run([str(gated.program), *words], capture_output=True, text=True, check=False, env={})

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("nodeproof gate: ")
    assert "nodeproof-gate --help" in done.stderr


def test_closed_streams_become_no_files_of_ours(gated: Gated) -> None:
    gated.leave(answering("prolog", Answer(1, ("x",))))
    closed = ["/bin/sh", "-c", f"exec {' '.join(gated.argv('prolog'))} <&- >&- 2>&-"]
    assert subprocess.run(closed, check=False, env={"SLURM_JOB_ID": "5"}).returncode == 1
    assert (gated.run_dir / "marks").read_text().startswith("prolog 5 ")
    assert (gated.run_dir / "marks").read_text().count("\n") == 1

    gated.file.unlink()
    streams = gated.folder / "streams"
    gated.python(f"readlink /proc/$$/fd/0 /proc/$$/fd/2 > {streams}; echo 'nodeproof prolog: x'; exit 1")
    assert subprocess.run(closed, check=False, env={}).returncode == 1
    assert streams.read_text() == "/dev/null\n/dev/null\n"


def test_that_nobody_reads_the_lines_changes_no_exit_code(gated: Gated) -> None:
    gated.leave(answering("prolog", Answer(1, ("x",))))
    read_end, write_end = os.pipe()
    os.close(read_end)

    done = subprocess.run(gated.argv("prolog"), stdout=write_end, stderr=write_end, check=False, env={})
    os.close(write_end)

    assert done.returncode == 1


def test_help_and_version_are_printed(gated: Gated) -> None:
    assert "--fail-closed" in gated.run("prolog", "--help").stdout
    assert gated.run("prolog", "--version").stdout.startswith("nodeproof-gate ")


def test_it_stands_on_no_library_where_the_build_can_have_that() -> None:
    libc = subprocess.run(["gcc", "-print-file-name=libc.a"], capture_output=True, text=True, check=True).stdout
    assert is_static() == os.path.isabs(libc.strip())
