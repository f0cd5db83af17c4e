"""What `nodeproof-gate` makes of a pass of Python: its verdict, and what keeps it from one."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gate_run import FELL_BACK, KINDS, Gated, is_static, pid_in, wait_until_gone, well
from nodeproof.check import registry

PACKAGING = Path(__file__).parents[2] / "packaging/slurm"


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


# Verdicts


@pytest.mark.parametrize(
    ("kind", "code"), [("healthcheck", 0), ("healthcheck", 1), ("healthcheck", 3), ("prolog", 1), ("epilog", 1)]
)
def test_a_verdict_is_passed_on_with_all_that_was_said(gated: Gated, kind: str, code: int) -> None:
    gated.python(f'echo first; echo "nodeproof $5 of job 4711: gone"; echo "to stderr" >&2; exit {code}')

    done = gated.run(kind, SLURM_JOB_ID="4711")

    assert (done.returncode, done.stderr) == (code, "to stderr\n")
    assert done.stdout == f"first\nnodeproof {kind} of job 4711: gone\n"


def test_python_is_asked_as_slurmd_would_ask_it(gated: Gated) -> None:
    gated.python("echo \"$*\"; tr '\\0' '\\n' < /proc/$$/environ; grep ^SigBlk /proc/self/status")

    done = gated.run(
        "prolog",
        SLURM_JOB_ID="4711",
        SLURMD_NODENAME="n1",
        PYTHONPATH="/tmp",
        LD_LIBRARY_PATH="/tmp",
        SSL_CERT_FILE="/tmp/x",
        SLURM_JOB_IDS="1",
    )

    assert done.stdout.splitlines() == [
        "-I -m nodeproof hook prolog",
        "SLURM_JOB_ID=4711",
        "SLURMD_NODENAME=n1",
        "SigBlk:\t0000000000000000",
    ]


def test_signals_that_slurmd_leaves_blocked_or_ignored_keep_nothing_back(gated: Gated) -> None:
    gated.python('grep ^SigBlk /proc/self/status; echo "nodeproof prolog: gone"; exit 1')
    script = f"""
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1}})
os.execve({str(gated.program)!r}, {gated.argv("prolog")!r}, {{}})
"""
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "SigBlk:\t0000000000000000\nnodeproof prolog: gone\n")


def test_the_real_hook_is_started(gated: Gated, tmp_path: Path) -> None:
    policy = tmp_path / "policy.d"
    policy.mkdir(mode=0o755)
    silent = [f'[check.{i}]\non_fail = "ignore"\n' for i in registry() if i != "fs.mounted"]
    text = 'mode = "observe"\n' + "".join(silent) + f'[claims.fs]\n"{tmp_path}/scratch" = "tmpfs"\n'
    (policy / "10.toml").write_text(text)
    (policy / "10.toml").chmod(0o644)
    gated.python(f'exec {sys.executable} "$@" --policy {policy} --state-dir {tmp_path}/state')

    done = gated.run("healthcheck", SLURMD_NODENAME="n1", XDG_CACHE_HOME=str(tmp_path / "cache"))

    assert done.returncode == 1, done
    assert done.stdout.startswith("nodeproof healthcheck: would drain n1: nodeproof[")


# No verdict


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo Traceback; exit 1", "the pass ended with 1 and no verdict"),
        ('echo "  nodeproof prolog: x"; exit 1', "the pass ended with 1 and no verdict"),
        ('echo "nodeproof $5: x"; exit 4', "the pass ended with 4 and no verdict"),
        ("exit 143", "the pass ended with 143 and no verdict"),
        ("kill -9 $$", "the pass was ended by signal 9"),
    ],
)
def test_a_pass_without_a_verdict_lets_jobs_start_unless_told_otherwise(
    gated: Gated, kind: str, script: str, why: str
) -> None:
    gated.python(script)

    opened, closed = gated.run(kind), gated.run(kind, "--fail-closed")

    assert opened.returncode == (3 if kind == "healthcheck" else 0)
    assert f"nodeproof {kind}: this node is not judged: {why} (the gate fails open)\n" in opened.stderr
    assert closed.returncode == 1
    assert "(the gate fails closed)\n" in closed.stderr


@pytest.mark.parametrize("kind", ["prolog", "epilog"])
def test_a_prolog_has_no_other_codes_than_0_and_1(gated: Gated, kind: str) -> None:
    gated.python('echo "nodeproof $5: x"; exit 3')

    assert "the pass ended with 3 and no verdict" in gated.run(kind).stderr


def test_a_python_that_is_not_there_or_cannot_be_run(gated: Gated) -> None:
    python = gated.bin / "python"
    python.chmod(0o644)
    assert "Python cannot be started: Permission denied" in gated.run("prolog").stderr
    python.unlink()
    done = gated.run("prolog")

    assert "Python cannot be started: No such file or directory" in done.stderr
    assert (done.returncode, gated.run("prolog", "--fail-closed").returncode) == (0, 1)


def test_a_fresh_answer_needs_no_python(gated: Gated) -> None:
    gated.leave(well())
    (gated.bin / "python").unlink()

    assert gated.run("prolog", "--fail-closed").returncode == 0


# What hangs


STUBBORN = 'trap "" TERM; sleep 1000 & echo $! > {0}.part; mv {0}.part {0}; while :; do wait; done'


def test_a_pass_that_hangs_is_ended_with_all_that_it_started(gated: Gated) -> None:
    child = gated.folder / "child"
    gated.python(f"echo begun; {STUBBORN.format(child)}")
    began_s = time.monotonic()

    done = gated.run("prolog", "--timeout", "1")

    assert 2.9 < time.monotonic() - began_s < 30
    assert (done.returncode, done.stdout) == (0, "begun\n")
    assert "the pass took too long and was ended" in done.stderr
    wait_until_gone(pid_in(child))


def test_a_pass_that_ends_when_told_to_is_not_waited_for_longer(gated: Gated) -> None:
    child = gated.folder / "child"
    gated.python(f"sleep 1000 & echo $! > {child}; wait")

    done = gated.run("prolog", "--timeout", "1", "--fail-closed")

    assert done.returncode == 1
    wait_until_gone(pid_in(child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_who_ends_the_gate_ends_the_pass(gated: Gated, number: signal.Signals) -> None:
    child = gated.folder / "child"
    gated.python(f"sleep 1000 & echo $! > {child}; wait")
    with subprocess.Popen(gated.argv("prolog"), env={}) as gate:
        pid = pid_in(child)
        gate.send_signal(number)
        assert gate.wait(timeout=20) == 128 + number
    wait_until_gone(pid)


def test_a_gate_that_is_killed_leaves_no_pass_behind(gated: Gated) -> None:
    child = gated.folder / "child"
    gated.python(f"echo $$ > {child}; exec sleep 1000")
    with subprocess.Popen(gated.argv("prolog"), env={}) as gate:
        pid = pid_in(child)
        gate.kill()
    wait_until_gone(pid)


# The programs that slurm.conf names


@pytest.mark.parametrize("kind", KINDS)
def test_slurmd_gets_the_gate_where_there_is_one_and_else_the_hook(gated: Gated, kind: str) -> None:
    script = gated.folder / kind
    script.write_text((PACKAGING / kind).read_text().replace("/opt/nodeproof/bin", str(gated.bin)))
    shutil.copymode(PACKAGING / kind, script)
    gated.program.write_text('#!/bin/sh\necho "gate $*"; exit 1\n')
    with_gate = subprocess.run([str(script)], capture_output=True, text=True, check=False, env={})
    gated.program.unlink()
    without = subprocess.run([str(script)], capture_output=True, text=True, check=False, env={})

    assert (with_gate.returncode, with_gate.stdout) == (1, f"gate {kind}\n")
    assert (without.returncode, without.stdout) == (0, f"{FELL_BACK}{kind}\n")


# Where it is told


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(not is_static(), reason="needs a static gate: it is alone in a chroot")
def test_what_could_not_be_judged_is_in_the_system_log(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    shutil.copy(Gated(tmp_path).program, root / "gate")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(root / "dev/log"))
        log.settimeout(10)
        argv = ["chroot", str(root), "/gate", "--run-dir", "/", "prolog"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
        told = log.recv(4096).decode()

    assert done.returncode == 0
    assert told.startswith("<28>nodeproof[")
    assert told.endswith("]: prolog: this node is not judged: /proc/self/exe: No such file or directory "
                         "(the gate fails open)")  # fmt: skip
