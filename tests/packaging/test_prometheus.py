"""Alert rules and dashboard: they name only what the agent offers, and Prometheus' own tool agrees with them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeproof.daemon.metric_families import families
from nodeproof.daemon.metrics import render
from planted_snapshot import SNAPSHOT

PACKAGING = Path(__file__).parents[2] / "packaging"
RULES = PACKAGING / "prometheus" / "nodeproof.rules.yml"
RULE_TESTS = PACKAGING / "prometheus" / "nodeproof.rules.test.yml"
DASHBOARD = PACKAGING / "grafana" / "nodeproof.json"

#: What a scrape adds to each series, what `by` leaves, and what a table of ours joins.
SCRAPED = {"instance", "job"}

ALERT = re.compile(r"^      - alert: (\w+)\n(.*?)(?=^      - |^  - |\Z)", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"\b[a-z]*:?nodeproof[:_][a-z0-9_:]+")

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here (Debian: apt-get install prometheus)"
)


def offered() -> dict[str, set[str]]:
    """Return the labels of each series that the agent offers or that our rules record, by its name."""
    suffix = {"counter": "_total", "info": "_info", "gauge": ""}
    made = {f.name + suffix[f.kind]: set(f.labels) for f in families(SNAPSHOT)}
    for name, expression in re.findall(r"- record: (\S+)\n\s+expr: (.*)", RULES.read_text()):
        by = re.search(r"by \(([^)]*)\)", expression)
        made[name] = set(re.split(r",\s*", by[1])) if by else set()
    return made


def dashboard_texts() -> Iterator[str]:
    """Yield every expression and query of the dashboard."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key in {"expr", "query"} and isinstance(value, str):
                    yield value
                else:
                    yield from walk(value)
        elif isinstance(node, list):
            for item in node:
                yield from walk(item)

    return walk(json.loads(DASHBOARD.read_text()))


def expressions() -> list[str]:
    found = re.findall(r"^\s+expr: (.*)$", RULES.read_text(), re.MULTILINE) + list(dashboard_texts())
    assert len(found) > 40
    return found


def test_rules_and_dashboard_name_only_what_there_is() -> None:
    names = {name for expression in expressions() for name in NAME.findall(re.sub(r'"[^"]*"', "", expression))}
    assert len(names) > 20
    assert names <= offered().keys()


def test_selectors_use_only_labels_that_there_are() -> None:
    found = [pair for e in expressions() for pair in re.findall(r"([a-z_:]*nodeproof[a-z0-9_:]*)\{([^}]*)\}", e)]
    assert len(found) > 10
    for name, selector in found:
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= offered()[name] | SCRAPED, (name, selector)


def test_every_alert_says_how_bad_what_and_where_to_look() -> None:
    alerts = ALERT.findall(RULES.read_text())
    assert len(alerts) >= 11
    for name, body in alerts:
        assert re.search(r"^          severity: (critical|warning|info)$", body, re.MULTILINE), name
        for key in ("summary", "description", "runbook"):
            said = re.search(rf'^          {key}: "(.+)"$', body, re.MULTILINE)
            assert said is not None, (name, key)
            assert len(said[1]) > 10, (name, key)


def test_every_alert_is_tested_firing_and_not_firing() -> None:
    tests = RULE_TESTS.read_text()
    for name, _ in ALERT.findall(RULES.read_text()):
        assert re.search(rf"alertname: {name}\n\s+exp_alerts:\n", tests), name
        assert re.search(rf"alertname: {name}\n\s+exp_alerts: \[\]", tests), name


def test_panels_lie_side_by_side_and_each_has_an_expression() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or all(target["expr"] for target in panel["targets"])


def tool(*arguments: str, given: bytes = b"") -> None:
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert b"deprecat" not in done.stderr.lower()


@promtool
def test_promtool_finds_nothing_to_say_of_the_page() -> None:
    tool("check", "metrics", given=render(SNAPSHOT, is_openmetrics=False))


@promtool
def test_promtool_takes_the_rules() -> None:
    tool("check", "rules", str(RULES))


@promtool
def test_promtool_sees_each_alert_fire_when_it_should() -> None:
    tool("test", "rules", str(RULE_TESTS))


@promtool
def test_promtool_understands_the_dashboard(tmp_path: Path) -> None:
    panels = [
        target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel.get("targets", [])
    ]
    rules = [{"record": f"panel:{i}", "expr": expr.replace("$instance", "n1")} for i, expr in enumerate(panels)]
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # YAML holds JSON
    tool("check", "rules", str(file))
