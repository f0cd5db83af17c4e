"""nodeproof as it is installed on a node: a virtual environment for the Python of a chroot, seen in /opt/nodeproof.

Made once for each state of the tree, beside the chroots. It has two things more than on a real node: checks that
find the faults which tests plant (`lab_checks`), and an ear that tells what is opened (`lab_audit`).
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path

from vm_lab import GUEST_PLATFORMS, REPOSITORY

_EXTRAS = Path(__file__).parent / "labs" / "on_node"

_PYTHON = ("agent/nodeproof", "checks/nodeproof_checks", "bench/nodeproof_bench")

_COMPILED = shutil.ignore_patterns("__pycache__")

#: An environment may be in use by another run of tests, in seconds since it was made.
_IN_USE_S = 3600

_PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def site_for(root: Path) -> Path:
    """Return the environment for the Python of a chroot."""
    python = (root / "usr/bin/python3").readlink().name.removeprefix("python")
    base = root.parent.parent / "sites"
    base.mkdir(exist_ok=True)
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = base / f"{python}-{_digest(_sources())}"
        if not made.exists():
            for old in base.glob(f"{python}-*"):
                if old.stat().st_mtime < time.time() - _IN_USE_S:
                    shutil.rmtree(old)
            _make(base, python, made)
        return made


def _make(base: Path, python: str, made: Path) -> None:
    part = made.with_name(f".{made.name}")
    shutil.rmtree(part, ignore_errors=True)
    packages = part / f"lib/python{python}/site-packages"
    shutil.copytree(_dependencies(base, python), packages, copy_function=os.link)
    _install(python, packages, "--no-deps", str(_wheel(base)))
    for folder in _PYTHON:  # the wheel may be older, if nothing but Python has changed since
        shutil.copytree(REPOSITORY / folder, packages / Path(folder).name, dirs_exist_ok=True, ignore=_COMPILED)
    shutil.copytree(_EXTRAS, packages, dirs_exist_ok=True)
    (part / "bin").mkdir()
    (part / "bin/python").symlink_to("/usr/bin/python3")
    (part / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    for program in (packages / "bin").glob("nodeproof-*"):  # pip leaves a target's programs there
        program.rename(part / "bin" / program.name)
    launcher = part / "bin/nodeproof"
    launcher.write_text('#!/bin/sh\nexec /opt/nodeproof/bin/python -I -m nodeproof "$@"\n')
    launcher.chmod(0o755)
    part.rename(made)


def _dependencies(base: Path, python: str) -> Path:
    """Return what nodeproof needs, for that Python: as good as never new."""
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    made = base / f"needs-{python}-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:12]}"
    if not made.exists():
        part = made.with_name(f".{made.name}")
        shutil.rmtree(part, ignore_errors=True)
        _install(python, part, *wanted)
        shutil.rmtree(part / "bin")
        part.rename(made)
    return made


def _install(python: str, target: Path, *what: str) -> None:
    platforms = [word for p in GUEST_PLATFORMS for word in ("--platform", p)]
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
