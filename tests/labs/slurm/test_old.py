"""The client against the slurmrestd of a real 22.05, which it only reads."""

import time
from pathlib import Path

import pytest

from lab_door import DRAIN, Door, assert_reads
from mini_slurm import Slurm
from nodeproof.errors import SlurmReadOnly, SlurmUnreachable

pytestmark = pytest.mark.slurm


@pytest.fixture
def old_door(old_slurm: Slurm, tmp_path: Path) -> Door:
    return Door(old_slurm, tmp_path / "token")


def test_nodes_are_read_on_22_05(old_door: Door) -> None:
    assert_reads(old_door)


def test_22_05_is_read_only_and_says_why(old_door: Door) -> None:
    slurm = old_door.slurm
    slurm.update("n1", "state=drain", "reason=bad fan")
    try:
        with old_door.client() as client:
            node = client.node("n1")
            with pytest.raises(SlurmReadOnly) as caught:
                client.update(["n1"], DRAIN)
            after = client.node("n1")
        with old_door.client() as client, pytest.raises(SlurmReadOnly):
            client.update(["n1"], DRAIN)  # the first that is asked
    finally:
        slurm.update("n1", "state=resume")

    assert (node.base_state, set(node.flags), node.reason, node.reason_user) == ("IDLE", {"DRAIN"}, "bad fan", "root")
    assert after == node
    assert str(caught.value) == (
        f"slurmrestd at {slurm.url} offers v0.0.38 at most: Slurm before 23.02 cannot drain a node through "
        "slurmrestd; nodeproof only reads there"
    )


def test_an_expired_token_on_22_05(old_door: Door) -> None:
    old_door.take("slurm", 1)
    with old_door.client() as client:
        time.sleep(2.5)
        with pytest.raises(SlurmUnreachable, match=r"Slurm 22\.05 says so of a token it does not take"):
            client.node("n1")
        old_door.take("slurm")
        assert client.node("n1").name == "n1"


def test_slurmctld_is_stopped_on_22_05(old_door: Door) -> None:
    with (
        old_door.client() as client,
        old_door.slurm.stopped("slurmctld"),
        pytest.raises(SlurmUnreachable, match="a slurmctld that is down"),
    ):
        client.node("n1")
