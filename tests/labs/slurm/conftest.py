"""Clusters of a real Slurm. Each module has some of its own, one a suite, as the tests' names say (`[hooked_trixie]`).

With pytest-xdist (`-n 8`) one worker has all tests of a cluster, so that clusters work side by side and no two tests
share one.
"""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hooked_slurm
import mini_slurm
from controlled import Controller, controlling, site_of
from hooked_slurm import Hooked
from lab_bench import Bench, ControlledBench
from mini_slurm import RELEASES, Slurm


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give all tests of a cluster to one worker, and all of any other file."""
    scheduler: Any = importlib.import_module("xdist.scheduler").LoadScopeScheduling(config, log)
    scheduler._split_scope = _scope
    return scheduler


def _scope(nodeid: str) -> str:
    cluster, file = _cluster(nodeid), nodeid.partition("::")[0]
    return f"{file}-{cluster[0]}" if cluster else file


def _cluster(nodeid: str) -> re.Match[str] | None:
    """Find the fixture and the suite of the cluster that a test works on."""
    return re.search(rf"\b\w+_({'|'.join(RELEASES)})\b", nodeid.partition("[")[2])


@pytest.fixture(scope="session")
def chroots(request: pytest.FixtureRequest) -> None:
    """Make the chroots that the chosen tests need (the first time: two minutes), side by side."""
    found = (_cluster(item.nodeid) for item in request.session.items)
    mini_slurm.build(sorted({cluster[1] for cluster in found if cluster}))


def _name(request: pytest.FixtureRequest) -> str:
    """Return the name of a module's own cluster: `drain` for test_drain.py, `manybig` for a big one."""
    size = "big" if request.fixturename == "big_slurm" else ""
    return request.path.stem.removeprefix("test_") + size


@pytest.fixture(scope="module", params=["trixie", "forky"], ids="slurm_{}".format)
def slurm(request: pytest.FixtureRequest, chroots: None) -> Iterator[Slurm]:
    """Start a Slurm 24.11, and a 26.05, with what a module's SLURM_CONF has for them."""
    extra = getattr(request.module, "SLURM_CONF", {}).get(request.param, "")
    with mini_slurm.running(request.param, _name(request), extra=extra) as started:
        yield started


@pytest.fixture(scope="module", params=["bookworm"], ids="slurm_{}".format)
def old_slurm(request: pytest.FixtureRequest, chroots: None) -> Iterator[Slurm]:
    """Start a Slurm 22.05, which cannot update a node through slurmrestd."""
    with mini_slurm.running(request.param, _name(request)) as started:
        yield started


@pytest.fixture(scope="module", params=["trixie", "forky"], ids="hooked_{}".format)
def hooked(request: pytest.FixtureRequest, chroots: None) -> Iterator[Hooked]:
    """Start a Slurm with n1 and n2, whose slurmd run our hooks, from an installation of nodeproof inside."""
    interval_s = getattr(request.module, "INTERVAL_S", 3600)
    with hooked_slurm.running(request.param, _name(request), interval_s) as started:
        yield started


@pytest.fixture(scope="module", params=["trixie", "forky"], ids="big_slurm_{}".format)
def big_slurm(request: pytest.FixtureRequest, chroots: None) -> Iterator[Slurm]:
    """Start a Slurm with n1, n2, and nodes sim1 to sim1000, which have no slurmd."""
    with mini_slurm.running(request.param, _name(request), extra=mini_slurm.simulated(1000)) as started:
        yield started


@pytest.fixture
def n1(slurm: Slurm) -> str:
    """Return the name of a node that is idle, and has neither reason nor `extra`."""
    slurm.free("n1")
    return "n1"


@pytest.fixture(scope="module")
def bench_directory(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where all benches of a cluster keep their policy."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def bench(slurm: Slurm, n1: str, bench_directory: Path) -> Iterator[Bench]:
    """Give n1 with a policy and a mount that is not there."""
    made = Bench(slurm, bench_directory)
    yield made
    made.break_it()


@pytest.fixture(scope="module")
def controller(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    site = site_of(slurm, tmp_path_factory.mktemp("controller"))
    site.write(batch_s=0.05)  # there is nobody to wait for
    with controlling(site) as started:
        yield started


@pytest.fixture
def controlled_bench(slurm: Slurm, n1: str, controller: Controller, bench_directory: Path) -> Iterator[Bench]:
    """Give n1 as `bench` does, but without a token: it asks a drain controller."""
    made = ControlledBench(slurm, controller, bench_directory)
    yield made
    made.break_it()
