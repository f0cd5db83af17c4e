"""`nodeproof bench` and a Slurm job do not get into each other's way."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_bench import Site, prints

GOOD = {"memory.triad": prints(value=61.24e9)}

NAMES = ("memory.triad", "--seconds", "0.01")


@pytest.fixture
def job(tmp_path: Path) -> Iterator[str]:
    """Run what looks like the slurmstepd of a job. Returns the number of the job."""
    program = tmp_path / "slurmstepd"
    shutil.copy(shutil.which("sleep") or "sleep", program)
    with subprocess.Popen(["slurmstepd: [4711.batch]", "60"], executable=program) as process:
        yield "4711"
        process.kill()


def test_nothing_is_measured_beside_a_job(tmp_path: Path, job: str) -> None:
    done = Site(tmp_path).run(GOOD, *NAMES)

    assert done.returncode == 3
    assert f"nodeproof: a job is running on this node: {job}: wait for its end, or add --beside-jobs" in done.stderr
    assert done.stdout == ""


def test_who_knows_better_measures_beside_a_job(tmp_path: Path, job: str) -> None:
    del job

    assert Site(tmp_path).run(GOOD, *NAMES, "--beside-jobs").returncode == 0


def test_a_plan_is_made_beside_a_job(tmp_path: Path, job: str) -> None:
    del job

    assert Site(tmp_path).run(GOOD, *NAMES, "--plan").returncode == 0


def test_the_job_that_measures_is_not_in_its_own_way(tmp_path: Path, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", job)
    assert Site(tmp_path).run(GOOD, *NAMES).returncode == 0

    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert Site(tmp_path).run(GOOD, *NAMES).returncode == 3
