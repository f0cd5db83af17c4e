"""File-system checks: a healthy node, planted faults, and where nothing can be known. For what hangs: test_fs_hang."""

import pytest

from nodeproof.check import registry
from nodeproof.host import Host
from nodeproof.probes.fstab import FilesystemTable
from nodeproof.probes.mounts import Mounts
from nodeproof.verdict import Status
from planted_mounts import HOME, IMAGE, LINES, LUSTRE, ROOT, SCRATCH, answer, node
from support import Machine, verdict_of

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
        ([ROOT, HOME.replace("rw,vers", "ro,vers"), LUSTRE], "/home is mounted without option rw"),
        ([ROOT, HOME.replace("rw,relatime", "ro,relatime"), LUSTRE], "/home is mounted without option rw"),
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


def learnt(host: Host) -> dict[str, str]:
    spec = registry()["fs.mounted"]
    assert spec.learn
    claimed = spec.learn(Mounts.read(host), FilesystemTable.read(host))["claimed"]
    assert isinstance(claimed, dict)
    return claimed


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

    assert learnt(host) == {
        "/": "ext4",
        "/local": "xfs",
        "/home": "nas1:/export/home nfs4",
        "/lustre": "10.0.0.2@o2ib:10.0.0.3@o2ib:/fs1 lustre",
    }
    assert verdict_of("fs.mounted", host, claimed=learnt(host)).status == Status.OK


FSTAB = "UUID=1 / ext4 defaults 0 1\n/dev/sdb1 /data xfs defaults,nofail 0 0\n"
DATA = "76 27 8:17 / /data rw - xfs /dev/sdb1 rw"
SATA = "../../devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sdb/sdb1"
STICK = "../../devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb/sdb1"


@pytest.mark.parametrize(
    ("link", "removable", "is_claimed"),
    [(SATA, "0", True), (SATA, "1", False), (STICK, "0", False)],
)
def test_a_disk_that_boot_may_do_without_is_claimed_unless_it_is_removable(
    machine: Machine, link: str, removable: str, is_claimed: bool
) -> None:
    planted = node([ROOT, DATA], FSTAB)
    planted["files"] |= {"/sys/block/sdb/removable": f"{removable}\n"}
    planted["links"] |= {"/sys/dev/block/8:17": link}

    assert learnt(machine(**planted)) == {"/": "ext4"} | ({"/data": "xfs"} if is_claimed else {})


def test_a_disk_that_cannot_be_looked_at_is_not_claimed(machine: Machine) -> None:
    host = machine(**node([ROOT, DATA], FSTAB, errors={"/sys/dev/block/8:17": ("denied", "EACCES")}))

    assert learnt(host) == {"/": "ext4"}


def test_the_nodes_own_name_in_a_source_stands_for_any(machine: Machine) -> None:
    root = "27 1 0:20 / / rw - nfs4 srv:/nodes/cn01/root rw"
    other = root.replace("cn01", "cn02")
    cn010 = "28 27 0:21 / /opt rw - nfs4 srv:/cn010/opt rw"
    planted = node([root, cn010])
    planted["files"] |= {"/proc/sys/kernel/hostname": "cn01.cluster\n"}

    claimed = learnt(machine(**planted))
    assert claimed == {"/": "srv:/nodes/*/root nfs4", "/opt": "srv:/cn010/opt nfs4"}
    assert verdict_of("fs.mounted", machine(**node([other, cn010])), claimed=claimed).status == Status.OK
    elsewhere = machine(**node([root.replace("srv", "srv2"), cn010]))
    assert verdict_of("fs.mounted", elsewhere, claimed=claimed).status == Status.FAIL


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


def test_space_says_which_mount_gave_no_answer(machine: Machine) -> None:
    host = machine(**node(errors={"statvfs /local": ("timed_out", "")}))

    assert "/local gave no answer (see fs.responsive)" in verdict_of("fs.space", host).summary


def test_a_full_root_that_all_nodes_share_drains_none_of_them(machine: Machine) -> None:
    root = ROOT.replace("259:2", "0:20").replace("- ext4 /dev/nvme0n1p2", "- nfs4 srv:/images/root")
    host = machine(**node([root, SCRATCH], root=answer(used=97, inodes_used=97)))

    assert verdict_of("fs.space", host).summary == "1 file system with space left, most used on /local (40.0%)"
    assert verdict_of("fs.inodes", host).status == Status.OK
    assert verdict_of("fs.space", machine(**node([root]))).summary == "no file system to judge for space"
    host = machine(**node([root], root=answer(used=97)))
    assert verdict_of("fs.space", host, mounts=("/",)).status == Status.FAIL
    assert verdict_of("fs.space", machine(**node(root=answer(used=97)))).status == Status.FAIL


@pytest.mark.parametrize("check_id", ["fs.space", "fs.inodes"])
def test_a_named_mount_that_is_not_there_is_unknown(machine: Machine, check_id: str) -> None:
    host = machine(**node(local=answer(used=99, inodes_used=99)))

    verdict = verdict_of(check_id, host, mounts=("/", "/scrtch"))
    assert (verdict.status, verdict.summary) == (Status.UNKNOWN, "mount /scrtch: failed (no such mount)")
    assert verdict_of(check_id, host, mounts=("/scrtch", "/local")).status == Status.FAIL
    assert verdict_of(check_id, host, mounts=("/", "/data*")).status == Status.OK
    assert verdict_of(check_id, host, mounts=("/data*",)).status == Status.SKIP


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


@pytest.mark.parametrize("kind", ["denied", "timed_out"])
def test_a_mount_table_that_cannot_be_read_is_unknown_and_no_missing_mount(machine: Machine, kind: str) -> None:
    host = machine({}, errors={"/proc/self/mountinfo": (kind, "")})

    assert verdict_of("fs.mounted", host, claimed={"/scratch": "xfs"}).status == Status.UNKNOWN
