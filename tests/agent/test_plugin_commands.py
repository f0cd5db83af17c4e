"""Commands that other packages bring: found by entry point, imported when used, refused when they are not ours."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from nodeproof.__main__ import main; main()"

GOOD = """
import click

@click.command("greet")
@click.argument("name")
def command(name: str) -> int:
    "Greet NAME."
    click.echo(f"hello {name}")
    return 0
"""


def install(site: Path, module: str, text: str, name: str = "greet") -> Path:
    info = site / f"{module}-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(f"[nodeproof.commands]\n{name} = {module}\n\n[other]\nx = y\n")
    file = site / f"{module}.py"
    file.write_text(text)
    return file


def nodeproof(site: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", "-c", RUN, str(site), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_command_of_another_package_is_run_and_listed(tmp_path: Path) -> None:
    install(tmp_path, "acme_greet", GOOD)

    assert nodeproof(tmp_path, "greet", "you").stdout == "hello you\n"
    assert re.search(r"greet +Greet NAME\.", nodeproof(tmp_path, "--help").stdout)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("command = 3", "expected a click command named `command`"),
        ("", "AttributeError"),
    ],
)
def test_a_broken_one_is_named_and_the_others_work(tmp_path: Path, text: str, why: str) -> None:
    install(tmp_path, "acme_greet", text)
    done = nodeproof(tmp_path, "greet", "you")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nodeproof: acme_greet brings no command: ")
    assert why in done.stderr
    assert nodeproof(tmp_path, "list").returncode == 0
    assert "acme_greet brings no command" in nodeproof(tmp_path, "--help").stdout


def test_a_built_in_command_is_not_replaced(tmp_path: Path) -> None:
    install(tmp_path, "acme_greet", f"open({str(tmp_path / 'ran')!r}, 'w')", name="list")

    assert "cpu.governor" in nodeproof(tmp_path, "list").stdout
    assert not (tmp_path / "ran").exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_file_that_others_could_have_written_is_not_run(tmp_path: Path) -> None:
    file = install(tmp_path, "acme_greet", f"open({str(tmp_path / 'ran')!r}, 'w')")
    os.chown(file, 65534, 65534)
    done = nodeproof(tmp_path, "greet", "you")

    assert done.returncode == 2
    assert "expected uid 0, found uid 65534" in done.stderr
    assert not (tmp_path / "ran").exists()
