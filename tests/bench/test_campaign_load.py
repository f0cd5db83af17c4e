"""What a campaign costs slurmctld, and whose directory it gives away."""

import os
from pathlib import Path

import pytest

from campaign_site import Site
from fake_jobs import fake_jobs
from nodeproof.errors import NodeproofError
from nodeproof_bench.campaign.collecting import give_directory


@pytest.mark.parametrize(("reading_s", "pause_s"), [(0.1, 10.0), (0.6, 10.0), (4.0, 40.0)])
def test_a_large_fleet_that_takes_long_to_read_is_read_less_often(
    tmp_path: Path, reading_s: float, pause_s: float
) -> None:
    with fake_jobs("n1", "n2", "n3") as jobs:
        site = Site(jobs, tmp_path, "n[1-3]", submit="window = '22:00-22:01'")  # it has to wait, whatever time it is
        site.most_waits = 1
        waited: list[float] = []

        def read() -> None:
            site.now += reading_s

        with site.life() as lives:
            site.on_wait = lambda: waited.append(site.now)
            jobs.slurm.on_read = read
            before = site.now
            lives.controller.run()

    assert waited[0] - before == pytest.approx(pause_s + reading_s, abs=0.01)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_directory_is_given_to_whom_jobs_run_as_but_none_that_somebody_put_there(tmp_path: Path) -> None:
    own, link, theirs = tmp_path / "own", tmp_path / "link", tmp_path / "theirs"
    own.mkdir()
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    link.symlink_to("/etc")

    give_directory(str(own), "nobody")
    for directory in (link, theirs):
        with pytest.raises(NodeproofError, match=directory.name):
            give_directory(str(directory), "nobody")

    assert own.stat().st_uid == 65534
    assert Path("/etc").stat().st_uid == 0
    assert theirs.stat().st_uid == 12345
