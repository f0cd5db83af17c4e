"""`nodeproof slurm doctor` on a node of a real Slurm, that is wired well, and wired wrong in each way."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

import hooked_slurm
from hooked_slurm import Hooked
from nodeproof.doctor.web_token import claims_of

pytestmark = pytest.mark.slurm

FAILED, OK = 1, 0


@pytest.fixture
def lab(hooked: Hooked) -> Iterator[Hooked]:
    yield hooked
    hooked.set()


def examined(lab: Hooked, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code, and the findings by name."""
    done = lab.nodeproof("n1", "slurm", "doctor", "--json", *words)
    assert done.stderr == "", done.stderr
    return done.returncode, {f["id"]: f for f in json.loads(done.stdout)["findings"]}


def unwell(findings: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: f["status"] for name, f in findings.items() if f["status"] not in {"ok", "skip"}}


def test_all_is_wired(lab: Hooked) -> None:
    code, findings = examined(lab)

    assert unwell(findings) == {}
    assert code == OK
    assert findings["slurm.api"]["evidence"]["release"].startswith(lab.slurm.release)
    assert findings["slurm.privileges"]["summary"].endswith(", as slurm")
    assert findings["hooks.healthcheck"]["summary"] == f"HealthCheckProgram is {hooked_slurm.PROGRAMS}/healthcheck"
    assert "2 nodes are out of service" in findings["guard.budget"]["summary"]


def test_the_rights_are_tried_without_a_change(lab: Hooked) -> None:
    lab.slurm.update("n1", 'extra={"rack": 7}')
    before = lab.slurm.node("n1")
    examined(lab)
    after = lab.slurm.node("n1")
    lab.slurm.update("n1", "extra=")

    assert after["extra"] == before["extra"] == '{"rack": 7}'
    assert after["state"] == before["state"]
    assert after["reason"] == before["reason"]


def test_slurmctld_is_stopped(lab: Hooked) -> None:
    with lab.slurm.stopped("slurmctld"):
        code, findings = examined(lab)

    assert code == FAILED
    assert set(unwell(findings)) == {"slurm.controller"}
    lab.wait_for_peace("n1")


def test_slurmrestd_is_dead(lab: Hooked) -> None:
    with lab.slurm.stopped("slurmrestd-tcp"):
        code, findings = examined(lab)

    assert code == FAILED
    assert set(unwell(findings)) == {"slurm.connect"}
    assert "Connection refused" in findings["slurm.connect"]["summary"]


def test_the_token_has_ended(lab: Hooked) -> None:
    token = lab.slurm.token("slurm", 1)
    lab.token(token)
    ends_at = claims_of(token).ends_at
    assert ends_at is not None
    time.sleep(max(0.0, ends_at + 1 - time.time()))  # the condition is a time

    code, findings = examined(lab)

    assert code == FAILED
    assert unwell(findings) == {"token.expiry": "fail", "slurm.authentication": "fail"}


def test_the_token_is_of_a_user_without_rights(lab: Hooked) -> None:
    lab.token(lab.slurm.token("alice"))
    code, findings = examined(lab)
    assert code == FAILED
    assert unwell(findings)["token.user"] == "fail"

    lab.set(more='[slurm]\nuser_name = "alice"\n', user="alice")
    code, findings = examined(lab)

    assert code == FAILED
    assert unwell(findings) == {"slurm.privileges": "fail"}
    assert "Invalid user id" in findings["slurm.privileges"]["summary"]
    assert "adminlevel=admin" in findings["slurm.privileges"]["remedy"]


def test_others_may_read_the_token(lab: Hooked) -> None:
    lab.token(lab.slurm.token("slurm"), mode=0o644)

    code, findings = examined(lab)

    assert code == FAILED
    assert unwell(findings) == {"token.file": "fail"}


def test_hooks_are_not_configured(lab: Hooked) -> None:
    lab.slurm.at(
        "n1", "sh", "-c", "grep -viE '^(HealthCheck|Prolog|Epilog)' /etc/slurm/slurm.conf >/run/nodeproof/conf"
    )
    done = lab.slurm.run_at(
        "n1", "env", "SLURM_CONF=/run/nodeproof/conf", *hooked_slurm.PYTHON, "slurm", "doctor", "--json"
    )

    findings = {f["id"]: f for f in json.loads(done.stdout)["findings"]}
    assert done.returncode == FAILED
    assert unwell(findings) == {"hooks.healthcheck": "fail", "hooks.prolog": "warn", "hooks.epilog": "warn"}


def test_slurm_knows_this_node_by_another_name(lab: Hooked) -> None:
    code, findings = examined(lab, "--node", "n17")

    assert code == FAILED
    assert unwell(findings) == {"slurm.node": "fail"}
    assert "Slurm knows no node n17" in findings["slurm.node"]["summary"]
