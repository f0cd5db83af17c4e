"""Which checks there are, from what an earlier run kept of them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nodeproof.check import registry
from nodeproof.policy.known import Known, all_of, parameters_of
from nodeproof.policy.plan import compile_plan

CHECK = """
from nodeproof.check import check
from nodeproof.verdict import ok

@check("{id}", remedy="Nothing.", tags="{tags}")
def condition():
    "A condition."
    return ok("fine")
"""

ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from nodeproof.check import broken_packages
from nodeproof.policy.known import known_checks
known = known_checks(sys.argv[2])
chosen = [spec.id for spec in known.of(sys.argv[3:])]
tags = {id_: sorted(words) for id_, words in known.tags.items()}
imported = [name for name in sys.modules if name.startswith(("nodeproof_checks.", "nodeproof_bench.", "acme"))]
print(json.dumps([known.modules, tags, known.parameters, chosen, imported, broken_packages()]))
"""


class Answer(NamedTuple):
    """What a process of its own knows of checks, which it was asked for, and what it imported to tell."""

    modules: dict[str, str]
    tags: dict[str, list[str]]
    parameters: int
    chosen: list[str]
    imported: list[str]
    broken: dict[str, str]


class Site:
    """A directory of installed packages, of which `acme` has checks, and where runs keep what they know."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.acme = directory / "acme"
        self.acme.mkdir(mode=0o755)
        self.write("__init__", "")
        self.write("a", CHECK.format(id="acme.a", tags="prolog"))
        (directory / "acme-1.dist-info").mkdir()
        (directory / "acme-1.dist-info/entry_points.txt").write_text("[nodeproof.checks]\nacme = acme\n")

    def write(self, module: str, text: str) -> None:
        (self.acme / f"{module}.py").write_text(text)
        (self.acme / f"{module}.py").chmod(0o644)

    def ask(self, *ids: str) -> Answer:
        """Run with no byte code written: a directory that changes while it is read is not believed."""
        command = [sys.executable, "-I", "-B", "-c", ASK, str(self.directory), str(self.directory / "cache"), *ids]
        answer: Any = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return Answer(*answer)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    registry()  # leaves byte code beside all that is imported
    return Site(tmp_path)


def test_the_second_run_imports_what_it_needs_and_knows_as_much(site: Site) -> None:
    first, second = site.ask("fs.mounted", "no.such"), site.ask("fs.mounted", "no.such")

    assert {"nodeproof_checks.cpu", "acme.a"} < set(first.imported)
    assert second.imported == ["nodeproof_checks.fs"]
    assert second[:4] == first[:4]
    assert second.chosen == ["fs.mounted"]
    specs = {id_: spec for id_, spec in registry().items() if id_ != "acme.a"}
    assert second.modules == {id_: s.function.__module__ for id_, s in specs.items()} | {"acme.a": "acme.a"}
    assert second.tags == {id_: sorted(s.tags) for id_, s in specs.items()} | {"acme.a": ["prolog"]}


def test_the_checksum_is_that_of_all_parameters(site: Site) -> None:
    (site.directory / "acme-1.dist-info/entry_points.txt").unlink()

    assert {site.ask().parameters, site.ask("fs.mounted").parameters} == {parameters_of(registry())}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda site: site.write("b", CHECK.format(id="acme.b", tags="boot")), {"acme.a", "acme.b"}),
        (lambda site: site.write("a", CHECK.format(id="acme.c", tags="prolog")), {"acme.c"}),
        (lambda site: site.acme.joinpath("a.py").unlink(), set()),
        (lambda site: site.acme.joinpath("a.py").chmod(0o666), set()),
        (lambda site: site.directory.joinpath("acme-1.dist-info/entry_points.txt").unlink(), set()),
    ],
    ids=["new module", "changed module", "module gone", "others may write", "package gone"],
)
def test_a_change_is_seen_at_once(site: Site, change: Callable[[Site], None], found: set[str]) -> None:
    site.ask()
    assert site.ask().imported == []

    change(site)

    assert {id_ for id_ in site.ask().modules if id_.startswith("acme.")} == found


def test_a_change_where_a_check_is_declared_is_seen_although_another_package_brings_it(site: Site) -> None:
    common = site.directory / "acme_common.py"
    common.write_text(CHECK.format(id="acme.a", tags="prolog"))
    common.chmod(0o644)
    site.write("a", "import acme_common")
    site.ask()
    assert site.ask("acme.a").tags["acme.a"] == ["prolog"]

    common.write_text(CHECK.format(id="acme.a", tags="boot"))

    assert site.ask("acme.a").tags["acme.a"] == ["boot"]


def test_a_broken_package_is_told_by_each_run(site: Site) -> None:
    site.write("b", "import no_such_library")

    for _ in range(2):
        answer = site.ask("acme.a", "fs.mounted")
        assert list(answer.broken) == ["acme"]
        assert answer.chosen == ["fs.mounted"]


def test_a_package_that_breaks_later_breaks_itself_alone(site: Site) -> None:
    """What it needs of others is not looked at before it is imported."""
    helper = site.directory / "helper.py"
    helper.touch(mode=0o644)
    site.write("a", "import helper\n" + CHECK.format(id="acme.a", tags="prolog"))
    assert site.ask("acme.a").chosen == ["acme.a"]
    helper.unlink()

    assert site.ask("fs.mounted").broken == {}
    answer = site.ask("acme.a", "fs.mounted")

    assert answer.chosen == ["fs.mounted"]
    assert answer.broken == {"acme": "ModuleNotFoundError: No module named 'helper'"}


def test_policy_is_compiled_without_a_check_that_is_gone(tmp_path: Path) -> None:
    """Its claim is that of other checks, too; a node that cannot judge anything any more would never say so."""
    modules = {id_: spec.function.__module__ for id_, spec in registry().items()} | {"fs.acme": "no_such_package.fs"}
    known = Known(modules, dict.fromkeys(modules, frozenset()), 0)
    file = tmp_path / "10-site.toml"
    file.write_text('[claims.fs]\n"/scratch" = "tmpfs"\n')
    file.chmod(0o644)

    (layer,) = compile_plan([str(file)], all_of(known), "n1")["layers"]

    assert "check.fs.mounted.claimed" in layer["values"]
    assert "check.fs.acme.claimed" not in layer["values"]
