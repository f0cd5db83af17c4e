"""Recorded machines and the verdicts they must come to, judged without touching this machine.

A change that alters a verdict on purpose is followed by
`nodeproof check --root tests/hosts/NAME.tar.gz --json > tests/hosts/NAME.json`, and the difference is read.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodeproof.check import registry
from nodeproof.engine.run import judge
from nodeproof.engine.worker import read_facts
from nodeproof.host import open_host
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.report.document import Context, as_json

HOSTS = sorted((Path(__file__).parent / "hosts").glob("*.tar.gz"))

#: What a judge must not do (docs.python.org/3/library/audit_events.html).
FORBIDDEN = ("open", "os.", "socket.", "subprocess.", "time.sleep", "ctypes.", "glob.", "shutil.", "tempfile.")

_watched: list[str] | None = None


def _hook(event: str, _args: object) -> None:
    if _watched is not None and event.startswith(FORBIDDEN):
        _watched.append(event)


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[str]]:
    global _watched  # noqa: PLW0603  # an audit hook cannot be removed, only told to look away
    seen: list[str] = []
    _watched = seen
    try:
        yield seen
    finally:
        _watched = None


@pytest.mark.parametrize("recording", HOSTS, ids=lambda p: p.name)
def test_a_recorded_machine_comes_to_its_verdicts(recording: Path) -> None:
    from nodeproof.cli.check import select
    from nodeproof.engine import run
    from nodeproof.probes.identity import host_name

    with open_host(recording) as host:
        outcome = run(host, select(registry(), (), set()), Settings())
        report = json.loads(as_json(outcome, Context(host_name(host), "default", Settings())))

    expected = json.loads(recording.with_name(recording.name.replace(".tar.gz", ".json")).read_text())
    # a check that is younger than the recording needs no entry: adding one touches its file and its test
    found = {r["id"]: r for r in report["results"]}
    assert expected["results"] == [found.get(r["id"]) for r in expected["results"]]


@pytest.mark.parametrize("recording", HOSTS, ids=lambda p: p.name)
def test_no_check_touches_the_machine(recording: Path) -> None:
    """Every check is judged with what it would learn from the machine, so that none is left out for want of policy."""
    specs = registry()
    facts = list(dict.fromkeys(f for s in specs.values() for f in s.facts))
    with open_host(recording) as host:
        readings = read_facts(host, facts, deadline_s=5, until_s=float("inf"))
    judged = 0
    for spec in specs.values():
        values = [readings[f].value for f in spec.facts]
        if any(isinstance(v, Exception) for v in values):
            continue
        with watched() as seen:
            learnt = dict(spec.learn(*values)) if spec.learn else {}
            judge(spec, CheckSettings(learnt), readings)
        assert seen == [], spec.id
        judged += 1
    assert judged > 30


def test_the_watch_sees_what_it_should() -> None:
    with watched() as seen:
        Path("/proc/version").read_text()

    assert seen == ["open"]
