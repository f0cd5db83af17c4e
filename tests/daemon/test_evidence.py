"""What a drain leaves behind, and that it replays."""

import json
import os
import re
import resource
import socket
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nodeproof.check import registry
from nodeproof.cli import check
from nodeproof.daemon.evidence import MOST_BUNDLES, kernel_log, make_room, window, write_bundle
from nodeproof.engine import Result, run
from nodeproof.engine.identity import read_identity
from nodeproof.events import Event
from nodeproof.events.ledger import Ledger, folded, to_json
from nodeproof.host import Host
from nodeproof.host.clock import wall_clock_s
from nodeproof.host.record import Notes, Recorder
from nodeproof.policy.resolve import load_settings
from nodeproof.policy.settings import Settings
from nodeproof.verdict import Status
from support import Machine

CPU = "/sys/devices/system/cpu"
XID = Event("event.xid", 1990.0, "b", "kmsg", "NVRM: Xid 79, off the bus", "pci:0000:3b:00.0", "79", 7, {"code": "79"})
LEDGER = Ledger("b", 1000.0, 2000.0, events=folded((), [XID]))
FILES = {
    "/proc/sys/kernel/hostname": "n1\n",
    "/proc/cpuinfo": "model name : X\n",
    "/proc/sys/kernel/random/boot_id": "b\n",
    "/run/nodeproof/ledger.json": to_json(LEDGER).decode(),
} | {
    f"{CPU}/cpu{n}/cpufreq/{name}": value
    for n, governor in enumerate(("performance", "powersave"))
    for name, value in {
        "scaling_governor": governor,
        "scaling_driver": "acpi-cpufreq",
        "scaling_max_freq": "2000000",
        "cpuinfo_max_freq": "2000000",
    }.items()
}
POLICY = '[[class]]\nname = "all"\nmatch = { hosts = "n[1-9]" }\n[class.check.cpu.governor]\nafter = 1\n'
ACTION: dict[str, object] = {"result": "drained", "reason": "nodeproof[00c0ffee]: cpu.governor: bad", "warnings": []}
NO_SETTINGS = Settings()


@pytest.fixture
def policy(tmp_path: Path) -> str:
    directory = tmp_path / "policy.d"
    directory.mkdir()
    (directory / "10-site.toml").write_text(POLICY)
    return str(directory)


@pytest.fixture
def state_dir(tmp_path: Path) -> str:
    (tmp_path / "state").mkdir(mode=0o700)
    return str(tmp_path / "state")


def judged(machine: Machine, policy: str) -> tuple[Notes, tuple[Result, ...], Settings]:
    """Have the checks of a CPU judged on a planted node, as the agent does."""
    specs = {id_: spec for id_, spec in registry().items() if id_.startswith(("cpu.", "kernel.", "event."))}
    with Host(Recorder(machine(FILES, calls={(wall_clock_s,): 2000.5}).machine)) as host:
        settings, _ = load_settings(policy, host, registry(), cache="", identify=read_identity)
        outcome = run(host, specs.values(), settings)
        assert isinstance(host.machine, Recorder)
        return host.machine.notes, outcome.results, settings


def members(bundle: str) -> dict[str, bytes]:
    with tarfile.open(bundle) as tar:
        found = {m.name: tar.extractfile(m) for m in tar.getmembers()}
        return {name: file.read() for name, file in found.items() if file is not None}


def test_a_bundle_replays_to_the_same_verdicts(machine: Machine, policy: str, state_dir: str) -> None:
    notes, results, settings = judged(machine, policy)

    bundle, warning = write_bundle(state_dir, notes, results, settings, ACTION)

    assert warning == ""
    assert re.fullmatch(rf"{state_dir}/evidence/\d{{8}}T\d{{6}}Z-00c0ffee\.tar\.gz", bundle)
    ids = [r.spec.id for r in results]
    shown = CliRunner().invoke(check.command, ["--root", bundle, "--policy", policy, "--json", *ids])
    replayed = json.loads(shown.output)
    assert {r["id"]: (r["status"], r["summary"]) for r in replayed["results"]} == {
        r.spec.id: (r.verdict.status.word, r.verdict.summary) for r in results
    }
    assert {r.verdict.status for r in results} >= {Status.FAIL, Status.SKIP}
    assert {r.spec.id for r in results if r.verdict.status is Status.FAIL} >= {"event.xid", "cpu.governor"}
    assert replayed["host_name"] == "n1"
    assert replayed["classes"] == ["all"]


def test_it_says_what_was_found_by_which_thresholds_and_what_was_done(
    machine: Machine, policy: str, state_dir: str
) -> None:
    notes, results, settings = judged(machine, policy)

    content = json.loads(members(write_bundle(state_dir, notes, results, settings, ACTION)[0])["evidence.json"])

    assert content["schema"] == "nodeproof.evidence/1"
    assert content["action"] == ACTION
    assert abs(content["at"] - time.time()) < 60
    verdict = next(v for v in content["verdicts"] if v["id"] == "cpu.governor")
    assert (verdict["status"], verdict["remedy"] != "") == ("fail", True)
    assert content["incidents"][0] == {"cause": "event.xid", "part": "pci:0000:3b:00.0", "members": []}
    governor = content["policy"]["checks"]["cpu.governor"]
    assert governor["after"] == {"value": 1, "origin": f"{policy}/10-site.toml:5"}
    assert governor["clear_after"] == {"value": 3, "origin": "default"}
    assert re.fullmatch("[0-9a-f]{12}", content["policy_digest"])
    assert {"nodeproof", "kernel", "python", "since_boot_s"} <= content.keys()


def test_a_bundle_is_for_its_owner_alone(state_dir: str) -> None:
    bundle, _ = write_bundle(state_dir, Notes(), (), NO_SETTINGS, ACTION)

    assert os.stat(bundle).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(bundle)).st_mode & 0o777 == 0o700


def test_a_pass_that_did_not_ask_which_node_it_is_on_says_so_yet(state_dir: str) -> None:
    bundle, _ = write_bundle(state_dir, Notes(), (), NO_SETTINGS, ACTION)

    assert members(bundle)["proc/sys/kernel/hostname"] == Path("/proc/sys/kernel/hostname").read_bytes()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/kmsg"), reason="needs root and a kernel log")
def test_the_kernel_log_goes_along(state_dir: str) -> None:
    word = f"nodeproof-test {os.urandom(8).hex()}"
    Path("/dev/kmsg").write_text(f"<6>{word} \x1b[2J\n")

    lines = members(write_bundle(state_dir, Notes(), (), NO_SETTINGS, ACTION)[0])["kmsg.txt"].decode().splitlines()

    (line,) = (line for line in lines if word in line)
    assert re.fullmatch(rf"\[ *\d+\.\d{{6}}\] <6> {word} .*", line)
    assert "\x1b" not in line
    assert len(lines) <= 2000


@pytest.fixture
def log() -> Any:
    """Two ends of what hands on one record for each read, as the kernel log does."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    its.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    yield ours, its.fileno()
    ours.close()
    its.close()


def test_the_last_minutes_of_the_log_are_kept(log: Any) -> None:
    ours, fd = log
    for at_s, text in ((100, "too old"), (1000, "old"), (1899, "new\n SUBSYSTEM=pci\n DEVICE=+pci:0000:3b:00.0")):
        ours.send(f"3,{at_s},{at_s}000000,-;{text}\n".encode())
    ours.send(b"not a record")
    ours.send(b"11,9,1900000000,-,caller=T1;last \xff\n")

    assert window(fd).splitlines() == [
        "[ 1000.000000] <3> old",
        "[ 1899.000000] <3> new",
        "[ 1900.000000] <3> last \ufffd",
    ]


def test_of_a_flood_the_last_lines_are_kept(log: Any) -> None:
    ours, fd = log
    ours.setblocking(False)
    n = 0
    try:
        while n < 5000:
            ours.send(f"6,{n},{n},-;line {n}\n".encode())
            n += 1
    except BlockingIOError:
        pass

    lines = window(fd).splitlines()
    assert lines[-1].endswith(f"line {n - 1}")
    assert len(lines) == min(n, 2000)


def test_a_log_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    assert kernel_log(str(tmp_path / "kmsg")) == f"{tmp_path}/kmsg cannot be read: No such file or directory\n"


def test_the_oldest_bundles_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"202611{day:02}T120000Z-{n:08x}.tar.gz" for n, day in enumerate(range(1, 31))]
    names += [f"202612{day:02}T120000Z-{day:08x}.tar.gz" for day in range(1, 31)]
    for name in names:
        (tmp_path / name).write_bytes(b"x" * 100)
    (tmp_path / "notes.txt").write_text("of an administrator")

    make_room(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [*names[-MOST_BUNDLES + 1 :], "notes.txt"]

    monkeypatch.setattr("nodeproof.daemon.evidence.MOST_BYTES", 1000)
    make_room(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [*names[-10:], "notes.txt"]


def test_a_full_disk_costs_the_bundle_and_nothing_else(
    machine: Machine, policy: str, state_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would leave half a file for what is imported meanwhile
    notes, results, settings = judged(machine, policy)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        made = write_bundle(state_dir, notes, results, settings, ACTION)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert made[0] == ""
    assert made[1].startswith("no evidence of this drain is kept: ")
    assert "File too large" in made[1]
    assert os.listdir(os.path.join(state_dir, "evidence")) == []


def test_a_directory_that_others_may_write_is_not_used(state_dir: str) -> None:
    os.chmod(state_dir, 0o777)

    assert write_bundle(state_dir, Notes(), (), NO_SETTINGS, ACTION) == (
        "",
        f"no evidence of this drain is kept: {state_dir}: others may write there (expected an own directory, 0700)",
    )
    assert "Not a directory" in write_bundle("/dev/null", Notes(), (), NO_SETTINGS, ACTION)[1]


def test_an_action_without_a_reason_of_ours_has_a_bundle_too(state_dir: str) -> None:
    bundle, _ = write_bundle(state_dir, Notes(), (), NO_SETTINGS, {"reason": "../../etc/passwd"})

    assert re.fullmatch(r"\d{8}T\d{6}Z-drain\.tar\.gz", os.path.basename(bundle))
