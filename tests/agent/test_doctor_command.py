"""`nodeproof slurm doctor` as a whole process, against a played slurmrestd."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slurm_replay import Answer, Slurmrestd, said
from web_tokens import web_token

V = "/slurm/v0.0.42"

Examine = Callable[..., "Examined"]


class Examined:
    """What one run found."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.stderr == ""
        self.exit_code = done.returncode
        self.document: dict[str, Any] = json.loads(done.stdout)
        assert self.document["exit_code"] == done.returncode

    def __getitem__(self, name: str) -> str:
        """Return `status: summary` of a finding."""
        return next(f"{f['status']}: {f['summary']}" for f in self.document["findings"] if f["id"] == name)


@pytest.fixture
def slurm(server: Slurmrestd) -> Slurmrestd:
    """Play a slurmrestd at which all is well."""
    server.on("GET", f"{V}/node/n1", said("v0.0.42-node"))
    server.on("GET", f"{V}/nodes/", said("24.11/v0.0.42-nodes"))
    server.on("POST", f"{V}/node/n1", said("v0.0.42-update-drain"))
    server.on("GET", f"{V}/diag/", Answer(200, {"statistics": {"req_time": int(time.time())}, "errors": []}))
    return server


@pytest.fixture
def examine(tmp_path: Path, slurm: Slurmrestd) -> Examine:
    """Run the doctor with a policy, a token, and a slurm.conf that does not exist."""
    policy, file = tmp_path / "policy.d", tmp_path / "token"
    policy.mkdir(mode=0o755)
    claims = {"sun": "slurm", "iat": time.time() - 5, "exp": time.time() + 86400}

    def run(*words: str, token: str = web_token(claims), mode: int = 0o600, text: str = "") -> Examined:
        file.touch()
        file.chmod(0o600)
        file.write_text(token)
        file.chmod(mode)
        lines = f'url = "{slurm.url}"\ntoken_file = "{file}"\nuser_name = "slurm"\nnode_name = "n1"\n'
        (policy / "10.toml").write_text(text or f'mode = "enforce"\n[slurm]\n{lines}')
        (policy / "10.toml").chmod(0o644)
        options = ["--policy", str(policy), "--state-dir", str(tmp_path / "state"), "--json"]
        environment = {"SLURM_CONF": str(tmp_path / "slurm.conf")}
        command = [sys.executable, "-I", "-m", "nodeproof", "slurm", "doctor", *options, *words]
        return Examined(subprocess.run(command, capture_output=True, text=True, check=False, env=environment))

    return run


def test_all_is_well_but_for_the_slurm_conf_that_is_not_there(examine: Examine, slurm: Slurmrestd) -> None:
    found = examine()

    unwell = {f["id"]: f["status"] for f in found.document["findings"] if f["status"] != "ok"}
    assert unwell == {"hooks.slurm_conf": "unknown"}
    assert found.exit_code == 3
    assert found["slurm.api"] == "ok: Slurm 24.11.5 offers v0.0.42"
    assert found["slurm.node"] == "ok: Slurm knows n1: it is IDLE"
    assert found["slurm.privileges"].endswith("`extra` of n1 was written back unchanged, as slurm")
    assert slurm.writes() == [{"extra": ""}]


def test_what_stands_in_extra_is_written_back_as_it_is(examine: Examine, slurm: Slurmrestd) -> None:
    slurm.on("GET", f"{V}/node/n1", said("v0.0.42-node").with_node(extra='{"rack": 7}'))

    examine()

    assert slurm.writes() == [{"extra": '{"rack": 7}'}]


def test_read_only_writes_nothing(examine: Examine, slurm: Slurmrestd) -> None:
    found = examine("--read-only")

    assert found["slurm.privileges"] == "skip: not looked at: --read-only"
    assert slurm.writes() == []


def test_no_rights(examine: Examine, slurm: Slurmrestd) -> None:
    slurm.on("POST", f"{V}/node/n1", said("v0.0.42-perm-alice-update"))

    found = examine()

    assert found.exit_code == 1
    assert found["slurm.privileges"].startswith("fail: we may not change nodes: ")


def test_a_slurmctld_that_is_down_is_no_matter_of_the_token(examine: Examine, slurm: Slurmrestd) -> None:
    slurm.on("GET", f"{V}/ping/", said("v0.0.42-ctld-down-ping"))
    slurm.on("GET", f"{V}/node/n1", said("24.11/v0.0.42-ctld-down-node"))

    found = examine()

    assert found["slurm.controller"] == "fail: slurmctld on mini-slurm does not answer"
    assert found["slurm.node"].startswith("skip: ")
    assert slurm.writes() == []


def test_a_node_that_slurm_does_not_know(examine: Examine, slurm: Slurmrestd) -> None:
    slurm.on("GET", f"{V}/node/n1", said("v0.0.42-node-unknown-get"))

    found = examine()

    assert found["slurm.node"].startswith("fail: Slurm knows no node n1")
    assert slurm.writes() == []


@pytest.mark.parametrize(("apart_s", "status"), [(0, "ok"), (30, "warn"), (-90, "fail")])
def test_clocks_that_are_apart(examine: Examine, slurm: Slurmrestd, apart_s: int, status: str) -> None:
    slurm.on("GET", f"{V}/diag/", Answer(200, {"statistics": {"req_time": int(time.time()) - apart_s}}))

    assert examine()["slurm.clock"].startswith(f"{status}: ")


def test_a_token_that_others_may_read(examine: Examine, slurm: Slurmrestd) -> None:
    found = examine(mode=0o644)

    assert "has mode 0644, expected 0600" in found["token.file"]
    assert found["slurm.api"].startswith("skip: ")
    assert slurm.requests == []


def test_a_token_that_has_ended(examine: Examine, slurm: Slurmrestd) -> None:
    refused = said("24.11/v0.0.42-auth-expired-token")
    for path in ("node/n1", "nodes/"):
        slurm.on("GET", f"{V}/{path}", refused)
    slurm.on("GET", f"{V}/ping/", said("v0.0.42-ctld-down-ping"))  # that is what it says

    found = examine(token=web_token({"sun": "slurm", "iat": 5, "exp": 65}))

    assert found["token.expiry"].startswith("fail: the token ended ")
    assert "Protocol authentication error" in found["slurm.authentication"]
    assert found["slurm.controller"].startswith("skip: ")
    assert found.exit_code == 1


def test_what_is_no_token_is_not_sent(examine: Examine, slurm: Slurmrestd) -> None:
    found = examine(token="secret-but-no-token")  # no secret of anybody

    assert "no JSON web token" in found["token.file"]
    assert "secret-but-no-token" not in json.dumps(found.document)
    assert slurm.requests == []


def test_a_slurmrestd_that_is_not_there(examine: Examine) -> None:
    found = examine(text='[slurm]\nurl = "http://127.0.0.1:1"\n')

    assert found["slurm.connect"] == "fail: 127.0.0.1 port 1: Connection refused"
    assert found["token.file"] == "fail: policy sets no slurm.token_file"


def test_a_policy_that_is_broken(examine: Examine, slurm: Slurmrestd) -> None:
    found = examine(text='mode = "enfroce"\n')

    assert found.exit_code == 1
    assert "10.toml:1: mode: " in found["policy.readable"]
    assert slurm.requests == []


def test_a_policy_that_leads_nowhere(examine: Examine) -> None:
    assert examine(text="budget_s = 20\n")["slurm.url"] == "fail: policy sets neither slurm.url nor controller.url"


def test_a_controller_that_is_not_there(examine: Examine, tmp_path: Path) -> None:
    text = f'[controller]\nurl = "http://127.0.0.1:1"\ncredential_file = "{tmp_path}/token"\n'

    found = examine(text=text)

    assert found["controller.answer"].startswith("fail: no answer from the controller at 127.0.0.1:1")
    found = examine(text=text, mode=0o644)
    assert "has mode 0644" in found["controller.credential"]


def test_people_get_what_is_broken_with_what_to_do(examine: Examine, tmp_path: Path) -> None:
    examine(text='[slurm]\nurl = "http://127.0.0.1:1"\n')
    options = ["--policy", str(tmp_path / "policy.d"), "--state-dir", str(tmp_path / "state")]
    command = [sys.executable, "-I", "-m", "nodeproof", "slurm", "doctor", *options]

    shown = subprocess.run(command, capture_output=True, text=True, check=False, env={}).stdout

    assert (
        "fail     slurm.connect                127.0.0.1 port 1: Connection refused\n         → Is slurmrestd" in shown
    )
    assert "not looked at" in shown
    assert shown.splitlines()[-1].startswith("something is broken: ")
