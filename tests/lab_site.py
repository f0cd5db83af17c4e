"""nodeproof as it is installed on a node, made once for each state of the tree, whoever asks for it.

In a chroot it is a virtual environment for its Python, seen in /opt/nodeproof. That has two things more than on a real
node: checks that find the faults which tests plant (`lab_checks`), and an ear that tells what is opened (`lab_audit`).
A virtual machine has the packages alone.
"""

import compileall
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

#: What the Python of a chroot or a guest can load, whatever runs these tests.
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64", "linux_x86_64")

_EXTRAS = Path(__file__).parent / "labs" / "on_node"

_PYTHON = ("agent/nodeproof", "checks/nodeproof_checks", "bench/nodeproof_bench")

_COMPILED = shutil.ignore_patterns("__pycache__")

#: An environment may be in use by another run of tests, in seconds since it was made.
_IN_USE_S = 3600

_PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def site_for(root: Path) -> Path:
    """Return the environment for the Python of a chroot."""
    python = (root / "usr/bin/python3").readlink().name.removeprefix("python")
    return _made(root.parent.parent / "sites", python, f"{python}-", _make_environment)


def packages_for(base: Path, python: str) -> Path:
    """Return a directory of packages for a version of Python, made below `base`."""
    return _made(base, python, f"packages-{python}-", _make_packages)


def _made(base: Path, python: str, prefix: str, make: Callable[[Path, str, Path], None]) -> Path:
    base.mkdir(exist_ok=True)
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = base / f"{prefix}{_digest(_sources())}"
        if not made.exists():
            for old in base.glob(f"{prefix}*"):
                if old.stat().st_mtime < time.time() - _IN_USE_S:
                    shutil.rmtree(old)
            part = made.with_name(f".{made.name}")
            shutil.rmtree(part, ignore_errors=True)
            make(base, python, part)
            part.rename(made)
        return made


def _make_packages(base: Path, python: str, packages: Path) -> None:
    shutil.copytree(_dependencies(base, python), packages, copy_function=os.link)
    _install(python, packages, "--no-deps", str(_wheel(base)))
    for folder in _PYTHON:  # the wheel may be older, if nothing but Python has changed since
        shutil.rmtree(packages / Path(folder).name)
        shutil.copytree(REPOSITORY / folder, packages / Path(folder).name, ignore=_COMPILED)
    _compile(python, packages)


def _make_environment(base: Path, python: str, made: Path) -> None:
    packages = made / f"lib/python{python}/site-packages"
    _make_packages(base, python, packages)
    shutil.copytree(_EXTRAS, packages, dirs_exist_ok=True)
    (made / "bin").mkdir()
    (made / "bin/python").symlink_to("/usr/bin/python3")
    (made / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    for program in (packages / "bin").glob("nodeproof-*"):  # pip leaves a target's programs there
        program.rename(made / "bin" / program.name)
    launcher = made / "bin/nodeproof"
    launcher.write_text('#!/bin/sh\nexec /opt/nodeproof/bin/python -I -m nodeproof "$@"\n')
    launcher.chmod(0o755)


def _dependencies(base: Path, python: str) -> Path:
    """Return what nodeproof needs, for that Python: as good as never new."""
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    made = base / f"needs-{python}-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:12]}"
    if not made.exists():
        part = made.with_name(f".{made.name}")
        shutil.rmtree(part, ignore_errors=True)
        _install(python, part, *wanted)
        shutil.rmtree(part / "bin")
        _compile(python, part)
        part.rename(made)
    return made


def _compile(python: str, packages: Path) -> None:
    """Compile for a Python like ours, which a machine sees read-only; any other compiles what it uses, once."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        compileall.compile_dir(packages, quiet=2)


def _install(python: str, target: Path, *what: str) -> None:
    platforms = [word for p in _PLATFORMS for word in ("--platform", p)]
    options = ["--python-version", python, "--only-binary=:all:", *platforms, "--no-compile", "--target", str(target)]
    subprocess.run([*_PIP, "install", *options, *what], check=True)


def _wheel(base: Path) -> Path:
    """Return the wheel of this tree, or one that differs in nothing but Python code: C takes its time."""
    made = base / f"wheel-{_digest(_sources(()))}"
    if not made.exists():
        for old in base.glob("wheel-*"):
            shutil.rmtree(old)
        part = made.with_name(f".{made.name}")
        shutil.rmtree(part, ignore_errors=True)
        subprocess.run([*_PIP, "wheel", "--no-deps", "--wheel-dir", str(part), str(REPOSITORY)], check=True)
        part.rename(made)
    (wheel,) = made.iterdir()
    return wheel


def _sources(folders: tuple[str, ...] = (*_PYTHON, "tests/labs/on_node")) -> Iterable[Path]:
    for folder in (*folders, "native"):
        files = (REPOSITORY / folder).rglob("*")
        yield from sorted(f for f in files if f.is_file() and not {"__pycache__", "build"} & set(f.parts))
    yield REPOSITORY / "pyproject.toml"


def _digest(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(REPOSITORY)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:12]
