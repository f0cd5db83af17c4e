"""Fixtures of the framework's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from planted_policy import Write
from slurm_replay import Slurmrestd, serving


@pytest.fixture
def server() -> Iterator[Slurmrestd]:
    """A slurmrestd that plays what the test scripts."""
    with serving() as fake:
        yield fake


@pytest.fixture
def policy(tmp_path: Path) -> Write:
    """Write policy files: `policy(text)` or `policy(**{"10-site": text, "20-gpu": text})`. Returns the directory."""

    def write(text: str | None = None, **files: str) -> str:
        directory = tmp_path / "policy.d"
        directory.mkdir(mode=0o755, exist_ok=True)
        for name, content in files.items() if text is None else [("10-site", text)]:
            (directory / f"{name}.toml").write_text(content)
            (directory / f"{name}.toml").chmod(0o644)
        return str(directory)

    return write


@pytest.fixture
def kept(tmp_path: Path) -> str:
    return str(tmp_path / "cache")
