"""Disks, arrays, local and parallel file systems.

Sources: drivers/nvme/host/{pci,core}.c, block/blk-core.c, fs/buffer.c, drivers/scsi, drivers/md, fs/ext4/super.c,
fs/jbd2, fs/xfs, fs/btrfs/{super,messages}.c, net/sunrpc/clnt.c; Lustre manual, 32 (Lustre troubleshooting).
"""

from nodeproof.events.rule import ALL_H, Line, Rule

_NVME = r"nvme (?P<nvme>nvme\d+): "
_DISK = r"dev (?P<disk>(?!fd\d|sr\d|loop\d)[\w!-]{2,30})"

#: A file system's device; one in a file (a container's image, mounted by a job) is not the node's.
_DEVICE = r"(?P<device>(?!loop\d)[\w!-]{1,40})"
_JOURNAL = r"(?P<device>(?!loop\d)[\w!-]{1,40}?)(?:-\d+)?"

RULES = (
    Rule(
        id="event.nvme_timeout",
        name="NVMe command that timed out",
        title="NVMe drives answer in time.",
        why="The drive did not finish a command within 30 seconds and the kernel aborted it or reset the controller. "
        "Drives do so some time before they are gone for good.",
        remedy="Look at the drive's SMART log and firmware version, and at PCIe errors of its slot; replace it if it "
        "goes on.",
        source="drivers/nvme/host/pci.c, nvme_timeout",
        lines=(
            Line(
                _NVME + r"I/O (?:tag )?(?P<tag>\d+) (?:\([^)]{1,20}\) )?(?:opcode \S{1,8} )?(?:\([^)]{1,40}\) )?"
                r"QID (?P<queue>\d+) timeout, (?P<what>aborting|reset controller|disable controller)"
            ),
        ),
        limit=3,
        part="nvme:{nvme}",
    ),
    Rule(
        id="event.nvme_failed",
        name="NVMe controller that failed",
        title="No NVMe controller failed.",
        why="The controller is down, cannot be reset or was given up by the kernel. File systems on it are gone or "
        "read-only.",
        remedy="Power-cycle the node; a drive that fails again is replaced. Several drives at once are a backplane, a "
        "riser or their power.",
        source="drivers/nvme/host/pci.c, nvme_warn_reset and nvme_remove_dead_ctrl; core.c, nvme_wait_ready",
        lines=(
            Line(_NVME + r"controller is down; will reset: CSTS=(?P<csts>0x[0-9a-f]+)", "down"),
            Line(_NVME + r"Removing after probe failure status: (?P<status>-?\d+)", "removed"),
            Line(_NVME + r"Disabling device after reset failure: (?P<status>-?\d+)", "removed"),
            Line(_NVME + r"Device not ready; aborting (?P<what>reset|initialisation|shutdown)", "not_ready"),
            Line(_NVME + r"Identify Controller failed \((?P<status>-?\d+)\)", "identify"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="nvme:{nvme}",
    ),
    Rule(
        id="event.nvme_media",
        name="NVMe media error",
        title="NVMe drives read back what was written.",
        why="The drive says that data on it cannot be read or was not written: flash is worn or broken, and the file "
        "there is damaged.",
        remedy="Save what matters and replace the drive; its SMART log says how many media errors it has had.",
        source="drivers/nvme/host/core.c, nvme_log_error; NVM Express base specification, status code type 2h",
        lines=(
            Line(
                r"(?P<nvme>nvme\d+)(?:c\d+)?n\d+: (?P<command>\w{2,30})\(0x[0-9a-f]+\) @ LBA (?P<lba>\d+), "
                r"(?P<blocks>\d+) blocks, (?P<what>.{1,60}?) \(sct 0x2 / sc (?P<status>0x[0-9a-f]+)\)"
            ),
        ),
        severity="fail",
        part="nvme:{nvme}",
    ),
    Rule(
        id="event.disk_error",
        name="disk I/O error",
        title="Disks read and write without errors.",
        why="A block could not be read or written after all retries. One may be a weak sector, many are a disk, a "
        "cable or a controller.",
        remedy="Look at the disk's SMART log and the controller's lines around it; replace the disk if it goes on.",
        source="block/blk-core.c, blk_print_req_error and blk_errors; fs/buffer.c, buffer_io_error; drivers/scsi",
        lines=(
            Line(
                r"(?:blk_update_request: |print_req_error: )?(?P<what>I/O|critical medium|critical space allocation|"
                rf"recoverable transport|protection) error, {_DISK}, sector (?P<sector>\d+)(?! op 0x3:\(DISCARD\))"
            ),
            Line(rf"Buffer I/O error on {_DISK}, logical block (?P<block>\d+)", "buffer"),
            Line(
                r"sd \d+:\d+:\d+:\d+: (?:\[(?P<disk>\w{2,20})\] )?(?:rejecting I/O to offline device|Device offlined)",
                "offline",
            ),
        ),
        limit=5,
        part="disk:{disk}",
    ),
    Rule(
        id="event.raid_degraded",
        name="array that lost a disk",
        title="No software array lost a disk.",
        why="The array still works, without what it was built for: the next disk takes the data along.",
        remedy="Replace the disk and add the new one (`mdadm --add`).",
        source="drivers/md/raid1.c, raid10.c, raid5.c: raid*_error",
        lines=(Line(r"md/raid\d*:(?P<array>md\w+): Disk failure on (?P<disk>[\w!-]{2,30}), disabling device"),),
        severity="warn",
        window_h=ALL_H,
        until="boot",
        part="disk:{disk}",
    ),
    Rule(
        id="event.fs_error",
        name="error of a file system",
        title="No file system found itself damaged.",
        why="The file system met metadata that cannot be right, or could not write its own. What is on it is in doubt "
        "until it is checked.",
        remedy="Drain, unmount and check it (`fsck`, `xfs_repair`, `btrfs check`). Look for errors of the disk below; "
        "local scratch is quickest made anew.",
        source="fs/ext4/super.c, __ext4_error; fs/jbd2/journal.c; fs/xfs/xfs_message.c, xfs_error.c, xfs_fsops.c; "
        "fs/btrfs/messages.c",
        lines=(
            Line(rf"EXT4-fs error \(device {_DEVICE}\): (?P<what>.{{1,120}})"),
            Line(
                rf"EXT4-fs \({_DEVICE}\): (?P<what>previous I/O error to superblock detected|"
                r"I/O error while writing superblock)"
            ),
            Line(rf"Aborting journal on device {_JOURNAL}[.:]", "journal"),
            Line(rf"JBD2: Detected IO errors while flushing file data on {_JOURNAL}(?:$|[\s.,])", "journal"),
            Line(
                rf"XFS \({_DEVICE}\): (?:[\w!-]{{1,40}}: )?(?P<what>Metadata (?:corruption|CRC error) detected|"
                r"metadata I/O error|Corruption of in-memory data|Corruption detected|Internal error|"
                r"[Ll]og I/O [Ee]rror|Filesystem has been shut down|xfs_log_force: error|writeback error)"
            ),
            Line(rf"BTRFS(?::)? (?P<what>error|critical) \(device {_DEVICE}(?::? state \w+)?\)"),
            Line(rf"BTRFS warning \(device {_DEVICE}(?::? state \w+)?\): (?P<what>csum failed)", "csum"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="disk:{device}",
    ),
    Rule(
        id="event.fs_readonly",
        name="file system that became read-only",
        title="No file system turned itself read-only.",
        why="After an error the kernel lets nobody write any more. Jobs fail at their first write, or worse, at their "
        "last.",
        remedy="Drain, check the file system and the disk below, and mount it anew.",
        source="fs/ext4/super.c, ext4_handle_error; fs/btrfs/messages.c, btrfs_handle_fs_error",
        lines=(
            Line(rf"EXT[34]-fs \({_DEVICE}\): Remounting filesystem read-only"),
            Line(rf"BTRFS info \(device {_DEVICE}(?::? state \w+)?\): forced readonly"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="disk:{device}",
    ),
    Rule(
        id="event.lustre_bug",
        name="Lustre assertion that failed",
        title="The Lustre client is not in a state that must not be.",
        why="After LBUG a thread of the Lustre client stands still for ever, with the locks that it holds. All that "
        "use the file system hang sooner or later.",
        remedy="Drain and reboot the node; keep the lines around it for the vendor.",
        source="Lustre manual, 32.1 (LBUG); lustre/libcfs",
        lines=(
            Line(r"LustreError: \d+:\d+:\(\S{1,120}\(\)\) (?:LBUG|ASSERTION\()"),
            Line(r"LNetError: \d+:\d+:\(\S{1,120}\(\)\) (?:LBUG|ASSERTION\()"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
    ),
    Rule(
        id="event.lustre_evicted",
        name="eviction by a Lustre server",
        title="No Lustre server evicted this client.",
        why="A server waited for this node in vain and went on without it. What jobs had written there and not yet "
        "sent is lost, and they get I/O errors.",
        remedy="Look at the node's network at that minute (link, InfiniBand errors, load). Several nodes at once "
        "are the server's or the fabric's.",
        source="Lustre manual, 32 and 39 (evictions); lustre/ptlrpc/import.c",
        lines=(Line(r"LustreError: (?:167-0: )?(?P<what>\S{1,80}): This client was evicted by (?P<server>\S{1,60});"),),
        limit=1,
        part="lustre:{server}",
    ),
    Rule(
        id="event.lustre_lost",
        name="lost connection to a Lustre server",
        title="Connections to Lustre servers do not break over and over.",
        why="Every lost connection stops what uses that server until it is back. Often it is the first sign of a bad "
        "network link of this node.",
        remedy="Compare with other nodes: if they lose it at the same time it is the server's, else look at this "
        "node's links.",
        source="lustre/ptlrpc/import.c, ptlrpc_set_import_discon",
        lines=(
            Line(
                r"Lustre(?:Error)?: (?:166-1: )?\S{1,80}: Connection to (?P<server>\S{1,60}) "
                r"\(at (?P<nid>\S{1,60})\) was lost;"
            ),
        ),
        limit=10,
        part="lustre:{server}",
    ),
    Rule(
        id="event.nfs_server",
        name="NFS server that does not respond",
        title="NFS servers respond.",
        why="Processes that use the mount stand still until the server is back; new ones join them.",
        remedy="Look at the server and the network to it; unmount what nobody needs. If the server is well for other "
        "nodes, look at this node's links.",
        source="net/sunrpc/clnt.c, rpc_check_timeout",
        lines=(Line(r"nfs: server (?P<server>\S{1,100}) not responding, (?P<what>still trying|timed out)"),),
        limit=10,
        part="nfs:{server}",
    ),
)
