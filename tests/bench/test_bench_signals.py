"""`nodeproof bench` that is stopped, killed, or run twice at once, and what a terminal sees of it."""

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fake_bench import Site, prints

GOOD = {"memory.triad": prints(value=61.24e9), "memory.latency": prints("memory.latency", 98.31e-9)}

NAMES = ("memory.triad", "memory.latency", "--seconds", "0.01")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def wait_for(file: Path) -> str:
    until_s = time.monotonic() + 30
    while not (file.exists() and file.read_text().endswith("\n")) and time.monotonic() < until_s:
        time.sleep(0.01)
    return file.read_text().strip()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("is_json", [False, True])
def test_a_signal_ends_the_child_and_prints_what_there_is(site: Site, name: str, is_json: bool) -> None:
    hanging = f"echo $$ > {site.directory}/pid; sleep 60"
    commands = {"memory.triad": prints(), "memory.latency": hanging}
    with site.start(commands, *NAMES, *(["--json"] if is_json else [])) as run:
        child = int(wait_for(site.directory / "pid"))
        run.send_signal(getattr(signal, name))
        out, err = run.communicate(timeout=30)

    assert run.returncode == {"SIGINT": 130, "SIGTERM": 143}[name]
    assert not is_running(child)
    assert "nodeproof: stopped by a signal: what was measured until then is not judged\n" in err
    assert "Traceback" not in err
    assert [r["is_complete"] for r in site.history()] == [False]
    assert [r["name"] for r in site.history()[0]["results"]] == ["memory.triad"]
    if is_json:
        made = json.loads(out)
        assert [r["name"] for r in made["results"]] == ["memory.triad"]
        assert (made["status"], made["exit_code"]) == ("unknown", 3)  # nobody judged it
    else:
        assert "memory.triad  node 0   50.0 GB/s" in out
        assert "fit to work" not in out
    assert sorted(f.name for f in site.state.iterdir()) == ["bench.jsonl", "bench.lock"]


def test_a_run_that_is_killed_leaves_no_half_history(site: Site) -> None:
    hanging = f"echo $$ > {site.directory}/pid; exec sleep 60"
    with site.start({"memory.triad": hanging}, "memory.triad") as run:
        child = int(wait_for(site.directory / "pid"))
        run.kill()
    os.kill(child, signal.SIGKILL)  # a shell does not know --die-with-parent

    assert [f.name for f in site.state.iterdir()] == ["bench.lock"]
    assert site.run(GOOD, *NAMES).returncode == 0


def test_a_second_run_is_refused_and_told_why(site: Site) -> None:
    hanging = f"echo $$ > {site.directory}/pid; sleep 60"
    with site.start({"memory.triad": hanging}, "memory.triad") as first:
        wait_for(site.directory / "pid")
        second = site.run(GOOD, *NAMES)
        first.terminate()
        first.communicate(timeout=30)

    assert (second.returncode, second.stdout) == (3, "")
    assert (
        second.stderr
        == f"nodeproof: process {first.pid} (nodeproof bench memory.triad) is measuring already: wait for it\n"
    )


def on_terminal(argv: list[str], *, interrupt_after: Path | None = None) -> tuple[int, str]:
    """Return exit code and standard error of a command that has a terminal there."""
    parent, child = pty.openpty()
    environment = {"TERM": "xterm-256color", "HOME": "/", "COLUMNS": "100"}
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=child, env=environment) as run:
        os.close(child)
        if interrupt_after is not None:
            wait_for(interrupt_after)
            run.send_signal(signal.SIGINT)
        shown = b""
        while chunk := read_terminal(parent):
            shown += chunk
    os.close(parent)
    return run.returncode, shown.decode()


def read_terminal(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except OSError:  # EIO: the last process at the other end has gone
        return b""


def test_a_terminal_sees_what_is_being_measured(site: Site) -> None:
    slow = f"sleep 0.8; {prints()}"
    code, shown = on_terminal(site.argv({"memory.triad": slow}, "memory.triad", "--seconds", "0.01"))

    assert code == 0
    assert "memory.triad --node 0" in shown


def test_the_bar_is_taken_away_on_ctrl_c(site: Site) -> None:
    hanging = f"sleep 0.5; echo $$ > {site.directory}/pid; sleep 60"
    argv = site.argv({"memory.triad": hanging}, "memory.triad")
    code, shown = on_terminal(argv, interrupt_after=site.directory / "pid")

    assert code == 130
    assert "\x1b[?25l" in shown  # hidden
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # and shown again
    assert "Traceback" not in shown
    assert shown.rstrip().endswith("Aborted!") or "stopped by a signal" in shown
