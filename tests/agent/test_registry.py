"""Check packages of others: whose code is run, and what a broken one may break."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodeproof import check
from nodeproof.check import refuse_foreign, registry
from nodeproof.errors import PolicyError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")

CHECK = """
from nodeproof.check import check
from nodeproof.verdict import ok

@check("{id}", remedy="Nothing.")
def condition():
    "A condition."
    return ok("fine")
"""

#: Left by code that ran: `ran()` looks for it.
TRACE = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()\n"

ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from nodeproof.check import broken_packages, registry
first = {i: s.function.__module__ for i, s in registry().items()}
assert first == {i: s.function.__module__ for i, s in registry().items()}
print(json.dumps([first, broken_packages()]))
"""

Answer = tuple[dict[str, str], dict[str, str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of installed packages; `install` adds to it."""
    return tmp_path


def install(site: Path, module: str, files: dict[str, str]) -> None:
    info = site / f"{module}-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(f"[console_scripts]\nx = y:z\n\n[nodeproof.checks]\n{module} = {module}\n")
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)


def ask(site: Path) -> Answer:
    """Return id to module of all checks, and the broken packages, as a process of its own sees them."""
    command = [sys.executable, "-I", "-c", ASK, str(site)]
    answer: Any = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer[0], answer[1]


def ran(site: Path) -> list[str]:
    return sorted(p.name for p in site.rglob("*.ran"))


def test_checks_of_others_are_found(site: Path) -> None:
    sub = {"acme/sub/__init__.py": "", "acme/sub/help.py": ""}
    install(
        site, "acme", {"acme/__init__.py": "from acme.sub import help", "acme/a.py": CHECK.format(id="acme.a"), **sub}
    )
    install(site, "single", {"single.py": CHECK.format(id="single.a")})
    install(site, "name.space", {"name/space/a.py": CHECK.format(id="space.a")})

    checks, broken = ask(site)

    assert broken == {}
    assert checks["acme.a"] == "acme.a"
    assert checks["single.a"] == "single"
    assert checks["space.a"] == "name.space.a"
    assert set(registry()) < set(checks)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("raise RuntimeError('one\\ntwo')", "RuntimeError: one two"),
        ("this is no Python", "SyntaxError: invalid syntax"),
    ],
)
def test_a_broken_package_breaks_itself_alone(site: Path, text: str, expected: str) -> None:
    install(site, "acme", {"acme/__init__.py": "", "acme/a.py": CHECK.format(id="acme.a"), "acme/b.py": text})
    install(site, "fine", {"fine.py": CHECK.format(id="fine.a")})

    checks, broken = ask(site)

    assert list(broken) == ["acme"]
    assert broken["acme"].startswith(expected)
    assert set(checks) == {*registry(), "fine.a"}


def test_a_package_that_is_gone_is_broken(site: Path) -> None:
    install(site, "acme", {})

    assert ask(site)[1] == {"acme": "ModuleNotFoundError: No module named 'acme'"}


def test_entry_points_that_are_no_text_break_nothing(site: Path) -> None:
    install(site, "acme", {})
    (site / "acme-1.dist-info/entry_points.txt").write_bytes(b"[nodeproof.checks]\na = \xff\n")

    checks, broken = ask(site)

    assert set(checks) == set(registry())
    assert len(broken) == 1


def test_a_built_in_check_keeps_its_id(site: Path) -> None:
    taken = next(iter(registry()))
    install(site, "aaa", {"aaa.py": CHECK.format(id="aaa.fine") + CHECK.format(id=taken)})

    checks, broken = ask(site)

    assert checks[taken] == registry()[taken].function.__module__
    assert "declared twice" in broken["aaa"]
    assert "aaa.fine" not in checks


@as_root
@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        ("acme", []),
        ("acme/__init__.py", []),
        ("acme/a.py", ["__init__.ran"]),
        ("acme/sub", ["__init__.ran"]),
        ("acme/sub/__init__.py", ["__init__.ran"]),
    ],
)
@pytest.mark.parametrize(
    "spoil", [lambda p: os.chown(p, 12345, 12345), lambda p: p.chmod(0o777)], ids=["owner", "mode"]
)
def test_nothing_foreign_is_run(site: Path, spoil: Callable[[Path], None], foreign: str, expected: list[str]) -> None:
    files = {"acme/__init__.py": TRACE, "acme/a.py": "import acme.sub\n" + TRACE, "acme/sub/__init__.py": TRACE}
    install(site, "acme", files)
    spoil(site / foreign)

    checks, broken = ask(site)

    assert ran(site) == expected
    assert broken["acme"].startswith(str(site / foreign))
    assert set(checks) == set(registry())


@as_root
def test_the_parent_of_a_package_is_looked_at_first(site: Path) -> None:
    install(site, "acme.checks", {"acme/__init__.py": TRACE, "acme/checks.py": TRACE})
    os.chown(site / "acme/__init__.py", 12345, 12345)

    _, broken = ask(site)

    assert ran(site) == []
    assert broken["acme.checks"].startswith(str(site / "acme/__init__.py"))


@as_root
def test_foreign_byte_code_is_not_run(site: Path) -> None:
    install(site, "acme", {"acme.py": CHECK.format(id="acme.a")})
    assert "acme.a" in ask(site)[0]
    (code,) = (site / "__pycache__").iterdir()
    os.chown(code, 12345, 12345)

    assert ask(site)[1]["acme"].startswith(str(code))


def test_a_broken_built_in_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "entry_points", lambda _: iter([("nodeproof", "nodeproof_checks")]))
    monkeypatch.setattr(check, "BUILT_IN", ("nodeproof_checks", "no_such_library"))
    registry()
    monkeypatch.setattr(check, "entry_points", lambda _: iter([("none", "no_such_library")]))
    finders = list(sys.meta_path)

    with pytest.raises(ModuleNotFoundError):
        registry()
    assert sys.meta_path == finders


@pytest.mark.parametrize("value", ["", "nobody", "-1", "²", "9" * 5000])
def test_garbage_in_the_environment_is_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SUDO_UID", value)
    refuse_foreign(str(tmp_path))


@as_root
def test_who_called_sudo_may_own_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(tmp_path, 12345, 12345)
    monkeypatch.setenv("SUDO_UID", "12345")
    refuse_foreign(str(tmp_path))
    monkeypatch.setenv("SUDO_UID", "12346")
    with pytest.raises(PolicyError, match="owner"):
        refuse_foreign(str(tmp_path))
