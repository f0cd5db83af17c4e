"""Hooks as slurmd runs them: no environment, whole processes, exit codes that Slurm acts on."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeproof.check import registry
from nodeproof.hooks.judge import HEALTHCHECK_S, WAIT_S, limits, node_name
from nodeproof.hooks.loud import to_system_log
from nodeproof.hooks.occasion import occasion_of
from nodeproof.hooks.turn import only_one
from nodeproof.policy.settings import Settings, SlurmSettings

PACKAGING = Path(__file__).parent.parent.parent / "packaging/slurm"

Run = Callable[..., subprocess.CompletedProcess[str]]


# What the environment says


@pytest.mark.parametrize(
    ("environment", "job_id", "node", "warned"),
    [
        ({}, 0, "", []),
        ({"SLURM_JOB_ID": "4711", "SLURMD_NODENAME": "gpu007.c-1_x"}, 4711, "gpu007.c-1_x", []),
        ({"SLURM_JOB_ID": "1\nnodeproof prolog: drained n2"}, 0, "", ["SLURM_JOB_ID"]),
        ({"SLURM_JOB_ID": "٣"}, 0, "", ["SLURM_JOB_ID"]),
        ({"SLURM_JOB_ID": "9" * 11}, 0, "", ["SLURM_JOB_ID"]),
        ({"SLURMD_NODENAME": "n[1-3]"}, 0, "", ["SLURMD_NODENAME"]),
        ({"SLURMD_NODENAME": "../../etc"}, 0, "", ["SLURMD_NODENAME"]),
    ],
)
def test_nothing_in_the_environment_is_believed_blindly(
    environment: dict[str, str], job_id: int, node: str, warned: list[str]
) -> None:
    occasion, warnings = occasion_of("prolog", environment)

    assert (occasion.job_id, occasion.node_name) == (job_id, node)
    assert [w.split()[1] for w in warnings] == warned
    assert all("\n" not in w for w in warnings)


def test_the_clock_runs_since_the_process_was_made() -> None:
    script = """
import time
time.sleep(0.3)
from nodeproof.hooks.occasion import occasion_of
print(time.monotonic() - occasion_of("prolog", {})[0].began_s)
"""
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)

    assert 0.28 < float(done.stdout) < 5


def test_slurmd_knows_best_what_a_node_is_called() -> None:
    settings = Settings(slurm=SlurmSettings(node_name="of-policy"))

    assert node_name("of-slurmd", settings, "host.example.org") == "of-slurmd"
    assert node_name("", settings, "host.example.org") == "of-policy"
    assert node_name("", Settings(), "host.example.org") == "host"


# Time


@pytest.mark.parametrize(
    ("kind", "settings", "pass_s", "slurm_s", "total_s"),
    [
        ("healthcheck", Settings(), HEALTHCHECK_S - 20 - WAIT_S, 20, HEALTHCHECK_S),
        ("healthcheck", Settings(budget_s=3600, slurm=SlurmSettings(timeout_s=600)), 26, 20, HEALTHCHECK_S),
        ("healthcheck", Settings(budget_s=5, slurm=SlurmSettings(timeout_s=3)), 5, 3, HEALTHCHECK_S),
        ("prolog", Settings(), 30, 5, 37),
        ("epilog", Settings(budget_s=10, slurm=SlurmSettings(prolog_timeout_s=3)), 10, 3, 15),
    ],
)
def test_all_parts_of_a_hook_share_one_deadline(
    kind: str, settings: Settings, pass_s: float, slurm_s: float, total_s: float
) -> None:
    assert limits(kind, settings) == (pass_s, slurm_s, total_s)
    assert HEALTHCHECK_S < 50


def test_what_slurmd_hides_goes_to_the_system_log(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        to_system_log(["prolog of job 4711: would drain n1: µ\udcff"], str(tmp_path / "log"))

        assert re.fullmatch(rb"<28>nodeproof\[\d+\]: prolog of job 4711: would drain n1: \xc2\xb5.*", log.recv(1000))


def test_a_system_log_that_takes_nothing_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        to_system_log(["line"] * 5000, str(tmp_path / "log"))
    to_system_log(["line"], str(tmp_path / "none"))


# One at a time


HOLDER = """
import os, sys, time
from nodeproof.hooks.turn import only_one
with only_one(sys.argv[1]) as is_ours:
    print(is_ours, flush=True)
    child = os.fork()
    if child == 0:
        os.close(1)
        time.sleep(60)
    print(child, flush=True)
    time.sleep(60)
"""


def test_one_has_the_turn_until_it_ends_however_it_ends_and_whatever_it_leaves_behind(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-I", "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        left_behind = int(holder.stdout.readline())
        with only_one(str(tmp_path)) as is_ours:
            assert not is_ours
        holder.kill()
        holder.wait()
    try:
        with only_one(str(tmp_path)) as is_ours:
            assert is_ours, "a worker in D state keeps nothing"
    finally:
        os.kill(left_behind, 9)


@pytest.mark.parametrize("name", ["relative", "/dev/null/none"])
def test_without_a_place_for_a_lock_it_is_everybodys_turn(name: str) -> None:
    with only_one(name) as first, only_one(name) as second:
        assert first
        assert second


def test_leaving_imports_nothing_heavy(tmp_path: Path) -> None:
    script = """
import sys
from nodeproof import hooks
code = hooks.run("healthcheck", None, sys.argv[1])
heavy = {"click", "httpx", "json", "socket", "nodeproof.check", "nodeproof.engine", "nodeproof.slurm", "nodeproof.act"}
print(code, sorted(heavy & set(sys.modules)))
"""
    with subprocess.Popen([sys.executable, "-I", "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        left_behind = int(holder.stdout.readline())
        done = subprocess.run(
            [sys.executable, "-I", "-c", script, tmp_path], capture_output=True, text=True, check=False
        )
        os.kill(left_behind, 9)
        holder.kill()

    assert done.stdout.splitlines() == [
        "nodeproof healthcheck: another health check of this node is still running: this one leaves",
        "0 []",
    ]


# Whole processes


@pytest.fixture
def hook(tmp_path: Path) -> Run:
    """Run a hook as slurmd does, with nothing but `fs.mounted` in policy, which misses a mount at `scratch`."""

    def run(
        kind: str, *, mode: str = "enforce", more: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        directory = tmp_path / "policy.d"
        directory.mkdir(mode=0o755, exist_ok=True)
        silent = [f'[check.{i}]\non_fail = "ignore"' for i in registry() if i != "fs.mounted"]
        text = (
            f'mode = "{mode}"\n[slurm]\nurl = "http://127.0.0.1:1"\njitter_s = 0\nprolog_timeout_s = 0.5\n'
            + "\n".join(silent)
            + "\n"
            + more
        )
        (directory / "10.toml").write_text(text)
        (directory / "10.toml").chmod(0o644)
        options = ["--policy", str(directory), "--state-dir", str(tmp_path / "state")]
        command = [sys.executable, "-I", "-m", "nodeproof", "hook", kind, *options]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd="/", stdin=subprocess.DEVNULL
        )

    return run


@pytest.fixture
def sick(tmp_path: Path) -> str:
    return f'[claims.fs]\n"{tmp_path}/scratch" = "tmpfs"\n'


def state(tmp_path: Path) -> dict[str, object]:
    return dict(json.loads((tmp_path / "state/state.json").read_text()))


@pytest.mark.parametrize("kind", ["healthcheck", "prolog", "epilog"])
def test_a_well_node_is_silent_without_any_request(hook: Run, kind: str) -> None:
    done = hook(kind, SLURMD_NODENAME="n1", SLURM_JOB_ID="4711")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_prolog_that_cannot_ask_slurm_fails_and_remembers_when(hook: Run, sick: str, tmp_path: Path) -> None:
    done = hook("prolog", more=sick, SLURMD_NODENAME="n1", SLURM_JOB_ID="4711")

    first, last = done.stdout.splitlines()
    assert done.returncode == 1
    assert first.startswith("nodeproof prolog of job 4711: cannot drain n1 (fs.mounted failed: ")
    assert last == "nodeproof prolog of job 4711: job 4711 does not start on n1"
    assert state(tmp_path)["prolog_failed_at"]
    assert state(tmp_path)["wanted"]


def test_an_epilog_that_cannot_ask_slurm_leaves_a_wish(hook: Run, sick: str, tmp_path: Path) -> None:
    done = hook("epilog", more=sick, SLURMD_NODENAME="n1", SLURM_JOB_ID="4711")

    assert done.returncode == 0
    assert "nodeproof epilog of job 4711: cannot drain n1" in done.stdout
    assert "prolog_failed_at" not in state(tmp_path)
    assert state(tmp_path)["wanted"]


def test_a_health_check_that_observes_says_what_it_would_do(hook: Run, sick: str) -> None:
    done = hook("healthcheck", mode="observe", more=sick, SLURMD_NODENAME="n1")

    assert done.returncode == 1
    assert done.stdout.startswith("nodeproof healthcheck: would drain n1: nodeproof[")


@pytest.mark.parametrize("kind", ["healthcheck", "prolog", "epilog"])
def test_a_broken_policy_drains_nothing_and_is_loud(hook: Run, kind: str) -> None:
    done = hook(kind, mode="enfroce")

    assert (done.returncode, done.stderr) == (3 if kind == "healthcheck" else 0, "")
    assert "this node is not judged: " in done.stdout
    assert "10.toml:1: mode: " in done.stdout


def test_a_policy_that_broke_leaves_the_last_good_one(hook: Run, sick: str, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert hook("prolog", mode="observe", more=sick, **home).returncode == 0

    done = hook("prolog", mode="enfroce", more=sick, **home)

    assert done.returncode == 0
    if os.geteuid() != 0:  # root's plans are kept in /var/cache
        assert "the last good policy stays" in done.stdout
        assert "would drain" in done.stdout


def test_a_misspelt_line_in_slurm_conf_keeps_no_job_off() -> None:
    for words in (["prolgo"], ["prolog", "--polcy", "x"], []):
        done = subprocess.run(
            [sys.executable, "-I", "-m", "nodeproof", "hook", *words], capture_output=True, check=False
        )
        assert (done.returncode, b"Usage" in done.stderr) == (0, True)


def test_that_nobody_reads_the_lines_changes_no_exit_code(hook: Run, sick: str, tmp_path: Path) -> None:
    hook("prolog", more=sick)  # leaves the policy
    options = ["--policy", str(tmp_path / "policy.d"), "--state-dir", str(tmp_path / "state")]
    read_end, write_end = os.pipe()
    os.close(read_end)

    done = subprocess.run(
        [sys.executable, "-I", "-m", "nodeproof", "hook", "prolog", *options],
        stdout=write_end, check=False, env={},
    )  # fmt: skip
    os.close(write_end)

    assert done.returncode == 1


@pytest.mark.parametrize("kind", ["healthcheck", "prolog", "epilog"])
def test_what_slurmd_runs_has_absolute_paths_and_asks_the_gate_where_there_is_one(kind: str) -> None:
    file = PACKAGING / kind

    assert [line for line in file.read_text().splitlines() if not line.startswith("#")] == [
        "gate=/opt/nodeproof/bin/nodeproof-gate",
        f"[ ! -x $gate ] || exec $gate {kind}",
        f"exec /opt/nodeproof/bin/python -I -m nodeproof hook {kind}",
    ]
    assert file.stat().st_mode & 0o777 == 0o755
