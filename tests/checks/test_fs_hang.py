"""What hangs, or is slow, or too much to ask: file systems and the disks below them."""

from typing import Any

import pytest

from nodeproof.engine.worker import read_facts
from nodeproof.errors import FactError
from nodeproof.host.filesystem import statvfs
from nodeproof.probes.mounts import MAX_ASKED, MAX_HUNG, Mounts, MountUsage
from nodeproof.verdict import Status
from planted_mounts import LINES, LUSTRE, ROOT, SCRATCH, answer, node
from support import Machine, verdict_of

HUNG = ("timed_out", "")


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ("statvfs /home", HUNG, "/home does not answer: statvfs /home: timed out"),
        ("statvfs /home", ("failed", "ESTALE"), "/home does not answer: statvfs /home: failed (ESTALE)"),
        ("read_block_device /dev/dm-0", HUNG, "/local does not answer: read_block_device /dev/dm-0: timed out"),
        (
            "read_block_device /dev/dm-0",
            ("absent", "ENXIO"),
            "/local does not answer: read_block_device /dev/dm-0: absent (ENXIO)",
        ),
    ],
)
def test_what_hangs_is_named_by_one_check_alone(
    machine: Machine, asked: str, error: tuple[str, str], sentence: str
) -> None:
    host = machine(**node(errors={asked: error}))

    verdict = verdict_of("fs.responsive", host)
    assert (verdict.status, verdict.summary) == (Status.FAIL, sentence)
    for check_id in ("fs.space", "fs.inodes", "fs.read_only"):
        assert verdict_of(check_id, host).status == Status.OK, check_id
    assert verdict_of("fs.responsive", host, ignored=("/home", "/local")).status == Status.OK


def test_a_device_that_left_the_machine_is_found(machine: Machine) -> None:
    planted = node() | {"directories": ("/sys/dev/block/259:2",)}

    assert verdict_of("fs.responsive", machine(**planted)).summary == (
        "/local does not answer: block device 253:0: failed (ENODEV)"
    )


def test_slow_is_a_warning(machine: Machine) -> None:
    verdict = verdict_of("fs.responsive", machine(**node(home=answer(seconds=2.5))))

    assert (verdict.status, verdict.summary) == (Status.WARN, "slow to answer: /home 2.5 s, expected at most 2 s")


def test_what_may_not_be_asked_is_unknown_and_no_failure(machine: Machine) -> None:
    host = machine(
        **node(errors={"read_block_device /dev/dm-0": ("denied", "EACCES"), "statvfs /local": ("denied", "EACCES")})
    )

    assert verdict_of("fs.responsive", host).status == Status.UNKNOWN
    assert verdict_of("fs.space", host).status == Status.UNKNOWN
    assert verdict_of("fs.read_only", host).status == Status.OK


def test_a_mount_that_went_away_meanwhile_is_no_finding(machine: Machine) -> None:
    host = machine(**node(errors={"statvfs /home": ("absent", "ENOENT")}))

    assert verdict_of("fs.responsive", host).status == Status.OK


def test_fuse_mounts_of_users_are_left_alone(machine: Machine) -> None:
    sshfs = "80 27 0:90 / /home/joe/far rw - fuse.sshfs joe@far: rw,user_id=1000,group_id=1000"

    assert "/home/joe/far" not in MountUsage.read(machine(**node([*LINES, sshfs]))).mounts


def test_one_dead_server_costs_one_deadline_and_many_dead_servers_few(machine: Machine) -> None:
    same = [f"{90 + i} 27 0:{90 + i} / /p{i} rw - nfs nas1:/p{i} rw" for i in range(5)]
    other = [f"{190 + i} 27 0:{190 + i} / /q{i} rw - nfs nas{2 + i}:/q rw" for i in range(5)]
    hung = {f"statvfs /{p}{i}": HUNG for p in "pq" for i in range(5)}

    usage = MountUsage.read(machine(**node([ROOT, *same, *other], errors=hung)))

    assert {p: e.source for p, e in usage.unread.items() if p.startswith("/p")} == {
        f"/p{i}": "statvfs /p0" for i in range(5)
    }
    assert len({e.source for e in usage.unread.values()}) == MAX_HUNG
    assert usage.left_out == ("/q2", "/q3", "/q4")
    assert list(usage.known) == ["/"]


def homes(count: int, servers: int = 1) -> dict[str, Any]:
    """A node with mounts as an automounter makes them: a home each, of one server or many."""
    lines = [f"{1000 + i} 27 0:{1000 + i} / /home/u{i} rw - nfs4 srv{i % servers}:/u{i} rw" for i in range(count)]
    planted = node([ROOT, *lines, LUSTRE])
    planted["calls"] |= {(statvfs, f"/home/u{i}"): answer() for i in range(count)}
    return planted


def test_hundreds_of_homes_of_one_server_need_not_all_be_asked(machine: Machine) -> None:
    planted = homes(MAX_ASKED + 43)

    verdict = verdict_of("fs.responsive", machine(**planted))
    assert verdict.status == Status.OK
    assert verdict.summary.startswith(f"{MAX_ASKED + 1} file systems answered")
    assert verdict.summary.endswith("; 44 more of the same servers not asked")
    planted["errors"] = {"statvfs /lustre": HUNG}  # of another server, and last in line
    assert "/lustre does not answer" in verdict_of("fs.responsive", machine(**planted)).summary


def test_mounts_that_nobody_asked_a_neighbour_of_are_unknown(machine: Machine) -> None:
    count = 2 * MAX_ASKED
    verdict = verdict_of("fs.responsive", machine(**homes(count, servers=count)))
    assert verdict.status == Status.UNKNOWN
    assert "2 mounts were not asked" in verdict.summary


def test_mounts_of_one_file_system_share_an_answer(machine: Machine) -> None:
    bound = [f"{90 + i} 27 253:0 /{i} /bound{i} rw - xfs /dev/mapper/vg-local rw" for i in range(3)]
    planted = node([ROOT, SCRATCH, *bound])

    assert verdict_of("fs.responsive", machine(**planted)).summary.startswith("5 file systems answered")
    planted["errors"] = {"statvfs /local": HUNG}
    assert set(MountUsage.read(machine(**planted)).unread) == {"/local", "/bound0", "/bound1", "/bound2"}


def test_btrfs_is_asked_by_the_device_that_it_names(machine: Machine) -> None:
    line = "27 1 0:30 /@ / rw - btrfs /dev/nvme0n1p2 rw,subvol=/@"

    assert verdict_of("fs.responsive", machine(**node([line]))).status == Status.OK


def test_this_machine_answers() -> None:
    from nodeproof.host import Host

    readings = read_facts(Host(), [Mounts, MountUsage], deadline_s=5, until_s=float("inf"))

    assert not [r.value for r in readings.values() if isinstance(r.value, FactError)]
    usage = readings[MountUsage].value
    assert all(0 <= u.used_percent <= 100 for u in usage.known.values())
    assert set(usage.known) | set(usage.unread) <= set(readings[Mounts].value.reachable)
