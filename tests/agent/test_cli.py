"""The command line as a user meets it: whole processes, real exit codes, text that ends up on a terminal."""

import json
import os
import pty
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from nodeproof.check import registry
from nodeproof.cli import check
from nodeproof.report import document
from support import as_nobody

SCHEMA = json.loads((Path(document.__file__).parent / "report.schema.json").read_text())

CPU = "sys/devices/system/cpu"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def nodeproof(tmp_path: Path) -> Run:
    """Run `python -I -m nodeproof …` with a cache of its own."""

    def run(*argv: object, **more: Any) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, "-I", "-m", "nodeproof", *map(str, argv)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60, **more)

    return run


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Plant a small tree that mirrors /, as `cp -r` would make it: two CPUs, one of them in powersave."""
    root = tmp_path / "node"
    for cpu, governor in enumerate(["performance", "powersave"]):
        d = root / CPU / f"cpu{cpu}/cpufreq"
        d.mkdir(parents=True)
        (d / "scaling_governor").write_text(f"{governor}\n")
        (d / "scaling_driver").write_text("acpi-cpufreq\n")
        (d / "scaling_max_freq").write_text("2000000\n")
        (d / "cpuinfo_max_freq").write_text("2000000\n")
    return root


def status_of(report: str, check_id: str) -> str:
    return str(next(r["status"] for r in json.loads(report)["results"] if r["id"] == check_id))


def test_a_finding_is_one_line_with_its_remedy_and_exit_1(nodeproof: Run, node: Path) -> None:
    done = nodeproof("check", "--root", node, "cpu.governor")

    assert done.returncode == 1
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("fail     cpu.governor                 1 of 2 CPUs use governor powersave")
    assert second.strip().startswith("→ Run `cpupower frequency-set -g performance`")
    assert "not fit to work: 1 failed" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_terminal_gets_colour(node: Path) -> None:
    parent, child = pty.openpty()
    command = [sys.executable, "-I", "-m", "nodeproof", "check", "--root", str(node), "cpu.governor"]
    done = subprocess.run(command, stdout=child, env={"TERM": "xterm-256color", "HOME": "/"}, check=False, timeout=60)
    os.close(child)
    shown = os.read(parent, 1 << 16).decode()
    os.close(parent)

    assert done.returncode == 1
    assert "\x1b[1;31mfail" in shown


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["cpu.governor", "-p", "cpu.governor.required=powersave"], 1),
        (["cpu.clocksource"], 0),
        (["cpu.frequency_limits"], 0),
        (["kernel.sysctl"], 0),
    ],
)
def test_exit_codes(nodeproof: Run, node: Path, argv: list[str], code: int) -> None:
    assert nodeproof("check", "--root", node, *argv).returncode == code


def test_unknown_is_exit_3(nodeproof: Run, node: Path) -> None:
    (node / CPU / "cpu1/cpufreq/scaling_max_freq").write_text("fast")

    done = nodeproof("check", "--root", node, "cpu.governor")

    assert done.returncode == 3
    assert done.stdout.startswith("unknown  cpu.governor")


def test_json_follows_its_published_schema(nodeproof: Run, node: Path) -> None:
    done = nodeproof("check", "--root", node, "--json")

    report = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA)
    assert report["exit_code"] == done.returncode == 1
    assert status_of(done.stdout, "cpu.governor") == "fail"


@pytest.mark.parametrize("name", ["recording", "recording.tar.gz"])
def test_a_recording_of_this_machine_gives_the_same_report_byte_for_byte(
    nodeproof: Run, tmp_path: Path, name: str
) -> None:
    recorded = nodeproof("record", tmp_path / name)
    first = nodeproof("check", "--root", tmp_path / name, "--json")
    again = nodeproof("record", tmp_path / "again.tar.gz", "--root", tmp_path / name)
    second = nodeproof("check", "--root", tmp_path / "again.tar.gz", "--json")
    live = nodeproof("check", "--json")

    assert recorded.returncode == again.returncode == 0
    assert first.stdout == second.stdout
    assert statuses(first.stdout) == statuses(live.stdout)


def statuses(report: str) -> dict[str, str]:
    return {r["id"]: r["status"] for r in json.loads(report)["results"]}


def test_a_scrubbed_recording_comes_to_the_same_verdicts(nodeproof: Run, tmp_path: Path) -> None:
    nodeproof("record", tmp_path / "plain")
    scrubbed = nodeproof("record", tmp_path / "scrubbed", "--root", tmp_path / "plain", "--scrub")

    assert scrubbed.returncode == 0
    plain = nodeproof("check", "--root", tmp_path / "plain", "--json")
    assert statuses(plain.stdout) == statuses(nodeproof("check", "--root", tmp_path / "scrubbed", "--json").stdout)


def test_an_ordinary_user_is_told_what_they_may_not_read(tmp_path: Path, node: Path) -> None:
    (node / CPU / "cpu0/cpufreq/scaling_governor").chmod(0)
    for directory in (tmp_path, *(p for p in tmp_path.parents if p.name.startswith(("pytest-", "popen-")))):
        directory.chmod(0o755)
    registry()

    with as_nobody():
        done = CliRunner().invoke(check.command, ["--root", str(node), "cpu.governor"], standalone_mode=False)

    assert done.return_value == 3
    assert f"{CPU}/cpu0/cpufreq/scaling_governor: permission denied" in done.output


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["check", "--root", "/no/such"], "nodeproof: /no/such: no such recording"),
        (["check", "cpu.governer"], "no check matches 'cpu.governer'"),
        (["check", "--act", "--root", "."], "--act works on this node only"),
        (["check", "-p", "cpu.governor.require=x"], "required"),
        (["check", "--policy", "/no/such"], "/no/such: no such directory"),
        (["explain", "cpu.governer"], "did you mean 'cpu.governor'?"),
        (["record", "/no/such/out.tar.gz"], "/no/such/out.tar.gz: cannot write"),
        (["chekc"], "No such command 'chekc'"),
    ],
)
def test_wrong_use_is_one_clear_error_and_exit_2(nodeproof: Run, argv: list[str], expected: str) -> None:
    done = nodeproof(*argv)

    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_policy_key_is_one_line_with_the_right_name(nodeproof: Run, tmp_path: Path) -> None:
    directory = tmp_path / "policy.d"
    directory.mkdir(mode=0o755)
    (directory / "10-site.toml").write_text('mode = "observe"\n\n[check.cpu.governor]\nrequierd = "performance"\n')

    for command in (["policy", "check", directory], ["check", "--policy", directory]):
        done = nodeproof(*command)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "10-site.toml:4: check.cpu.governor.requierd" in line
        assert '"required"' in line


def test_profiles_select_by_tag(nodeproof: Run, node: Path) -> None:
    prolog, boot = (nodeproof("check", "--root", node, "--profile", p, "--json").stdout for p in ("prolog", "boot"))

    assert set(statuses(prolog)) < set(statuses(boot))
    assert "memory.triad" not in statuses(nodeproof("check", "--root", node, "--json").stdout)
    assert "memory.triad" in statuses(boot)


def test_trace_says_where_the_time_went(nodeproof: Run, node: Path) -> None:
    trace = nodeproof("check", "--root", node, "cpu.governor", "--trace").stderr

    for word in ("stage  probes and checks", "stage  imports", "fact   CpuFrequency", "check  cpu.governor"):
        assert word in trace


def test_the_fast_path_stays_light(node: Path) -> None:
    code = (
        "import sys; sys.argv[1:] = ['check', '--json', '--root', sys.argv[1]]\n"
        "from nodeproof.cli import run\n"
        "run()\n"
        "heavy = {'pydantic', 'httpx', 'numpy', 'rich', 'ClusterShell', 'pynvml', 'psutil', 'tomllib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(node)], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stderr == "[]\n"


def test_a_request_does_without_the_command_line_of_httpx(tmp_path: Path) -> None:
    token, policy = tmp_path / "token", tmp_path / "policy.d"
    policy.mkdir()
    token.touch(0o600)
    token.write_text("e30.e30.e30")
    policy.joinpath("10.toml").write_text(f'[slurm]\nurl = "http://127.0.0.1:1"\ntoken_file = "{token}"\n')
    command = ["-I", "-X", "importtime", "-m", "nodeproof", "fleet", "guard", "--policy", str(policy)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=60)

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "httpx._client" in loaded
    assert not {"rich", "pygments"} & loaded


def test_a_full_disk_is_one_error(nodeproof: Run) -> None:
    command = [sys.executable, "-I", "-m", "nodeproof", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)

    assert done.returncode == 3
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["out.tar.gz", "out"])
def test_a_recording_that_finds_no_room_leaves_nothing_behind(nodeproof: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "into").mkdir()
    nodeproof("record", tmp_path / "before")  # leaves bytecode: half a file of that would be found by all that follows

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = nodeproof("record", tmp_path / "into" / name, preexec_fn=no_room)

    assert done.returncode == 2
    assert f"{name}: cannot write: File too large" in done.stderr
    assert list((tmp_path / "into").iterdir()) == []


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-", ">&-"])
def test_closed_streams_change_no_verdict(node: Path, closed: str) -> None:
    command = (
        f"exec {sys.executable} -I -m nodeproof check --root {node} cpu.governor -p cpu.governor.required=none {closed}"
    )

    assert subprocess.run(["sh", "-c", command], check=False, capture_output=True, timeout=60).returncode == 1


@pytest.mark.parametrize("full", [">/dev/full", ">/dev/full 2>/dev/full"])
def test_a_report_that_cannot_be_written_is_unknown(node: Path, full: str) -> None:
    command = f"exec {sys.executable} -I -m nodeproof check --root {node} cpu.governor {full}"

    assert subprocess.run(["sh", "-c", command], check=False, capture_output=True, timeout=60).returncode == 3


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_an_old_locale_costs_an_arrow_and_no_verdict(node: Path, encoding: str) -> None:
    command = [sys.executable, "-m", "nodeproof", "check", "--root", str(node), "cpu.governor"]
    done = subprocess.run(
        command, check=False, capture_output=True, timeout=60, env={"PYTHONIOENCODING": encoding, "HOME": "/"}
    )

    assert done.returncode == 1
    assert b"cpupower" in done.stdout


def test_hostile_names_do_not_reach_the_terminal(nodeproof: Run, node: Path) -> None:
    (node / "proc/sys/kernel").mkdir(parents=True)
    (node / "proc/sys/kernel/hostname").write_text("x\x1b[2J\u202e: fit to work\n")

    for form in ([], ["--json"]):
        shown = nodeproof("check", "--root", node, "cpu.governor", "-p", "cpu.governor.required=\x1b[2Jx", *form).stdout
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_a_reader_that_has_seen_enough_costs_no_traceback(node: Path) -> None:
    command = f"{sys.executable} -I -m nodeproof check --root {node} -v | exec head -n 0"
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"], check=False, capture_output=True, text=True
    )

    assert done.stderr == ""
    assert done.stdout in {"141\n", "1\n"}  # 1: it was done before the reader had gone


def test_a_policy_file_that_is_a_pipe_hangs_nobody(nodeproof: Run, tmp_path: Path) -> None:
    directory = tmp_path / "policy.d"
    directory.mkdir(mode=0o755)
    os.mkfifo(directory / "10-site.toml", 0o600)

    for command in (["policy", "check", directory], ["check", "--policy", directory]):
        done = nodeproof(*command)
        assert done.returncode == 2
        assert "10-site.toml: expected a file, found not a regular file" in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('mode = "enforce"\n', "10-site.toml:1: mode: enforce needs slurm.url or controller.url, which no file sets"),
        ('[slurm]\nurl = "ftp://x"\n', "10-site.toml:2: slurm.url: expected str (slurmrestd: http://host:port"),
        ("[check.fs.space]\nmax_used_percent = -5\n", "10-site.toml:2: check.fs.space.max_used_percent: expected "),
    ],
)
def test_a_policy_that_could_never_act_is_not_good(nodeproof: Run, tmp_path: Path, text: str, expected: str) -> None:
    directory = tmp_path / "policy.d"
    directory.mkdir(mode=0o755)
    (directory / "10-site.toml").write_text(text)

    done = nodeproof("policy", "check", directory)

    assert done.returncode == 2
    assert expected in done.stderr


def test_nothing_judged_is_not_called_fit(nodeproof: Run, node: Path) -> None:
    shown = nodeproof("check", "--root", node, "kernel.sysctl").stdout

    assert "(no name): nothing judged: 1 skipped" in shown
    assert "fit to work" not in shown
