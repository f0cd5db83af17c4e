"""File-system checks: a healthy node, planted faults, and where nothing can be known."""

from typing import Any

import pytest

from nodeproof.check import registry
from nodeproof.engine.worker import read_facts
from nodeproof.errors import FactError
from nodeproof.host.filesystem import read_block_device, statvfs
from nodeproof.probes.mounts import MAX_HUNG, FilesystemTable, Mounts, MountUsage
from nodeproof.verdict import Status
from support import Machine, verdict_of

MOUNTINFO = "/proc/self/mountinfo"
ROOT = "27 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro"
PROC = "22 27 0:21 / /proc rw,nosuid - proc proc rw"
SCRATCH = "40 27 253:0 / /local rw,noatime shared:9 - xfs /dev/mapper/vg-local rw,attr2"
HOME = "41 27 0:50 / /home rw,relatime shared:10 - nfs4 nas1:/export/home rw,vers=4.2,hard,addr=10.0.0.1"
LUSTRE = "42 27 0:51 / /lustre rw shared:11 - lustre 10.0.0.2@o2ib:10.0.0.3@o2ib:/fs1 rw,flock,lazystatfs"
SHM = "43 27 0:24 / /dev/shm rw - tmpfs tmpfs rw"
IMAGE = "44 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro"
LINES = [ROOT, PROC, SCRATCH, HOME, LUSTRE, SHM, IMAGE]
POINTS = ("/", "/local", "/home", "/lustre", "/dev/shm")


def answer(used: int = 40, inodes_used: int = 10, seconds: float = 0.001, files: int = 100) -> dict[str, float]:
    return {
        "block_bytes": 4096,
        "blocks": 100,
        "blocks_free": 100 - used,
        "blocks_available": 100 - used,
        "files": files,
        "files_free": files - inodes_used if files else 0,
        "flags": 0,
        "seconds": seconds,
    }


def node(
    lines: list[str] = LINES,
    fstab: str | None = None,
    errors: dict[str, tuple[str, str]] | None = None,
    **usage: dict[str, float],
) -> dict[str, Any]:
    """What `machine` needs to plant a node; `usage` overrides the answer of a mount (`root`, `local`, …)."""
    by_point = {"/" + name.replace("root", ""): told for name, told in usage.items()}
    calls: dict[tuple[Any, ...], Any] = {(statvfs, p): by_point.get(p, answer()) for p in POINTS}
    calls |= {(read_block_device, f"/dev/{d}"): {"seconds": 0.001} for d in ("nvme0n1p2", "dm-0")}
    return {
        "files": {MOUNTINFO: "\n".join(lines) + "\n"} | ({"/etc/fstab": fstab} if fstab else {}),
        "calls": calls,
        "links": {
            "/sys/dev/block/259:2": "../../devices/pci/nvme/nvme0/nvme0n1/nvme0n1p2",
            "/sys/dev/block/253:0": "../../devices/virtual/block/dm-0",
        },
        "directories": ("/sys/dev/block/259:2", "/sys/dev/block/253:0"),
        "errors": errors or {},
    }


CLAIMED = {"/": "ext4", "/home": "nas1:/export/* nfs4 hard,rw", "/lustre": "* lustre flock"}


def test_all_is_well_on_a_healthy_node(machine: Machine) -> None:
    host = machine(**node())

    assert verdict_of("fs.mounted", host, claimed=CLAIMED).status == Status.OK
    for check_id in ("fs.space", "fs.inodes", "fs.read_only", "fs.responsive"):
        assert verdict_of(check_id, host).status == Status.OK, check_id


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([ROOT, HOME], "/lustre is not mounted, expected * lustre flock"),
        ([ROOT, HOME, LUSTRE.replace("flock,", "localflock,")], "/lustre is mounted without option flock"),
        (
            [ROOT, HOME.replace("nas1", "nas2"), LUSTRE],
            "/home is mounted from nas2:/export/home, expected nas1:/export/*",
        ),
        ([ROOT.replace("ext4", "xfs"), HOME, LUSTRE], "/ is of type xfs, expected ext4"),
        ([ROOT, HOME.replace("/home rw", "/home ro"), LUSTRE], "/home is mounted without option rw"),
        ([ROOT], "/home is not mounted, expected nas1:/export/* nfs4 hard,rw; also wrong: /lustre"),
    ],
)
def test_what_is_claimed_must_be_mounted(machine: Machine, lines: list[str], sentence: str) -> None:
    verdict = verdict_of("fs.mounted", machine(**node(lines)), claimed=CLAIMED)

    assert (verdict.status, verdict.summary) == (Status.FAIL, sentence)


def test_a_mount_below_another_is_not_mounted(machine: Machine) -> None:
    over_parent = "50 27 0:60 / /srv rw - tmpfs tmpfs rw"
    below = "49 27 253:0 / /srv/data rw - xfs /dev/mapper/vg-local rw"
    stacked = "51 42 0:61 / /lustre rw - tmpfs tmpfs rw"

    mounts = Mounts.read(machine(**node([*LINES, below, over_parent, stacked]))).reachable

    assert "/srv/data" not in mounts
    assert mounts["/srv"].type == mounts["/lustre"].type == "tmpfs"


def test_names_with_blanks_and_line_separators_are_kept(machine: Machine) -> None:
    odd = "60 27 0:70 / /mnt/a\\040b\\134c rw - cifs //nas/my\\040share\u2028x rw"

    mount = Mounts.read(machine(**node([ROOT, odd]))).reachable["/mnt/a b\\c"]

    assert mount.source == "//nas/my share\u2028x"


@pytest.mark.parametrize("text", ["27 1 259:2 / / rw - ext4", "garbage", "1 2 3 4 5 6 7"])
def test_a_garbled_mount_table_is_unknown(machine: Machine, text: str) -> None:
    assert verdict_of("fs.read_only", machine(**node([text]))).status == Status.UNKNOWN


def test_learning_takes_only_what_belongs_to_the_node(machine: Machine) -> None:
    lines = [
        *LINES,
        "70 27 8:17 / /media/stick rw - vfat /dev/sdb1 rw",
        "71 27 0:80 / /mnt/test rw - nfs4 nas9:/try rw",
        "72 27 0:81 / /run/user/1000 rw - tmpfs tmpfs rw",
        "73 27 0:82 / /data rw - autofs systemd-1 rw",
        "74 73 0:83 / /data rw - nfs4 nas1:/data rw",
        "75 27 0:84 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw",
    ]
    fstab = "# disks\nUUID=1 / ext4 defaults 0 1\n/dev/vg/l /local xfs noatime\n/dev/sdb1 /media/stick vfat noauto\n"
    host = machine(**node(lines, fstab))
    spec = registry()["fs.mounted"]
    assert spec.learn

    learned = dict(spec.learn(Mounts.read(host), FilesystemTable.read(host)))

    assert learned == {
        "claimed": {
            "/": "ext4",
            "/local": "xfs",
            "/home": "nas1:/export/home nfs4",
            "/lustre": "10.0.0.2@o2ib:10.0.0.3@o2ib:/fs1 lustre",
        }
    }
    assert verdict_of("fs.mounted", host, claimed=learned["claimed"]).status == Status.OK


def test_a_full_disk_fails_and_a_full_network_file_system_is_the_sites_matter(machine: Machine) -> None:
    host = machine(**node(local=answer(used=97), lustre=answer(used=99)))

    verdict = verdict_of("fs.space", host)
    assert (verdict.status, verdict.summary) == (Status.FAIL, "/local 97% of space used, expected at most 95%")
    assert verdict_of("fs.space", host, max_used_percent=98.0).status == Status.OK
    assert verdict_of("fs.space", host, mounts=("/lus*",)).evidence == {"used_percent": {"/lustre": 99.0}}


def test_read_only_file_systems_may_be_full(machine: Machine) -> None:
    lines = [ROOT, SCRATCH.replace("/local rw", "/local ro")]

    assert verdict_of("fs.space", machine(**node(lines, local=answer(used=100)))).status == Status.OK


def test_inodes_are_judged_where_their_number_is_fixed(machine: Machine) -> None:
    host = machine(**node(root=answer(inodes_used=96), local=answer(inodes_used=0, files=0)))

    assert verdict_of("fs.inodes", host).summary == "/ 96% of inodes used, expected at most 95%"
    assert verdict_of("fs.inodes", host, max_used_percent=97.0).status == Status.OK


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        (SCRATCH.replace("- xfs /dev/mapper/vg-local rw", "- xfs /dev/mapper/vg-local ro"), True),
        (SCRATCH.replace("attr2", "shutdown"), True),
        (SCRATCH.replace("attr2", "emergency_ro"), True),
        (SCRATCH.replace("/local rw", "/local ro").replace("vg-local rw", "vg-local ro"), False),
        (HOME.replace("hard", "ro"), False),
        (IMAGE, False),
    ],
)
def test_an_emergency_is_told_from_a_read_only_image(machine: Machine, line: str, is_found: bool) -> None:
    host = machine(**node([ROOT, line]))

    assert (verdict_of("fs.read_only", host).status == Status.FAIL) == is_found
    assert verdict_of("fs.read_only", host, allowed=("/local",)).status == Status.OK


def test_a_disk_that_came_up_read_only_against_fstab_fails(machine: Machine) -> None:
    lines = [ROOT.replace("/ rw", "/ ro").replace("p2 rw", "p2 ro")]
    writable = "UUID=1 / ext4 defaults 0 1"

    assert verdict_of("fs.read_only", machine(**node(lines, writable))).summary == (
        "/ (/dev/nvme0n1p2) is read-only, but /etc/fstab mounts it for writing"
    )
    assert verdict_of("fs.read_only", machine(**node(lines, writable.replace("defaults", "ro")))).status == Status.OK


EXT4 = "/sys/fs/ext4/nvme0n1p2"


def noted_errors(count: int, at_s: int, func: str, options: str) -> dict[str, str]:
    return {
        f"{EXT4}/errors_count": f"{count}\n",
        f"{EXT4}/last_error_time": f"{at_s}\n",
        f"{EXT4}/last_error_func": f"{func}\n",
        "/proc/fs/ext4/nvme0n1p2/options": f"rw\n{options}\n",
        "/proc/stat": "cpu 1 2\nbtime 1000\n",
    }


@pytest.mark.parametrize(
    ("noted", "status"),
    [
        (noted_errors(0, 0, "", "errors=remount-ro"), Status.OK),
        (noted_errors(5, 1100, "ext4_find_entry", "errors=remount-ro"), Status.FAIL),
        (noted_errors(5, 1100, "ext4_journal_check_start", "errors=continue"), Status.FAIL),
        (noted_errors(5, 1100, "ext4_find_entry", "errors=continue"), Status.OK),
        (noted_errors(5, 900, "ext4_find_entry", "errors=remount-ro"), Status.OK),
        (noted_errors(5, 1100, "x", "errors=continue") | {"/proc/stat": "cpu 1"}, Status.UNKNOWN),
        (noted_errors(5, 1100, "x", "") | {f"{EXT4}/errors_count": "many"}, Status.UNKNOWN),
    ],
)
def test_ext4_that_stopped_writing_is_found_though_listed_as_writable(
    machine: Machine, noted: dict[str, str], status: Status
) -> None:
    planted = node()

    verdict = verdict_of("fs.read_only", machine(**planted | {"files": planted["files"] | noted}))

    assert verdict.status == status
    if status == Status.FAIL:
        assert verdict.summary == ("/ (/dev/nvme0n1p2) stopped writing after an error (5 noted since the last fsck)")


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


def test_space_says_which_mount_gave_no_answer(machine: Machine) -> None:
    host = machine(**node(errors={"statvfs /local": HUNG}))

    assert "/local gave no answer (see fs.responsive)" in verdict_of("fs.space", host).summary


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
