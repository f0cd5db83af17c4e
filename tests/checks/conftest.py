"""Fixtures of the tests that judge GPUs."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from gpu_judging import HERE, Found, built, judged_by, judging
from gpu_node import amd_files, amd_links, amd_policy, node_files, node_links, policy
from support import plant


@pytest.fixture(scope="session")
def judging_fake(fake_library: Path) -> Iterator[subprocess.Popen[str]]:
    with judging(fake_library) as started:
        yield started


@pytest.fixture
def judged(tmp_path: Path, judging_fake: subprocess.Popen[str]) -> Callable[..., Found]:
    """Judge GPU checks with the fake NVML in a given state: returns status and summary, live and replayed alike."""

    def judge(
        scenario: str,
        checks: dict[str, dict[str, object]] | None = None,
        *,
        library: Path | None = None,
        deadline_s: float = 10.0,
        files: dict[str, str | bytes] | None = None,
        links: dict[str, str] | None = None,
        job_gpus: tuple[str, ...] = (),
    ) -> Found:
        plant(tmp_path, node_files() if files is None else files, links=node_links() if links is None else links)
        wanted = policy("H100") if checks is None else checks
        with nullcontext(judging_fake) if library is None else judging(library) as program:
            return judged_by(program, scenario, tmp_path, wanted, deadline_s, job_gpus)

    return judge


@pytest.fixture(scope="session")
def judging_amd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    directory = tmp_path_factory.mktemp("fake_amdsmi")
    with judging(built(HERE / "fake_amdsmi" / "amdsmi.c", directory / "libamd_smi.so.26")) as started:
        yield started


@pytest.fixture
def judged_amd(tmp_path: Path, judging_amd: subprocess.Popen[str]) -> Callable[..., Found]:
    """Judge GPU checks of a node with eight MI300X, with the fake AMD SMI in a given state."""

    def judge(
        scenario: str,
        *,
        library: Path | None = None,
        deadline_s: float = 10.0,
        on_bus: int = 8,
        claimed: int | None = 8,
        files: dict[str, str | bytes] | None = None,
    ) -> Found:
        plant(tmp_path, amd_files(on_bus) | (files or {}), links=amd_links(on_bus))
        checks = amd_policy(claimed)
        with nullcontext(judging_amd) if library is None else judging(library) as program:
            return judged_by(program, scenario, tmp_path, checks, deadline_s)

    return judge
