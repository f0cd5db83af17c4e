"""Kernel checks: a healthy kernel, planted faults, and where nothing can be known."""

import pytest

from nodeproof.check import registry
from nodeproof.probes.kernel import KernelCmdline, KernelModules, Sysctl
from nodeproof.verdict import Status
from support import Machine, verdict_of

RELEASE = {"/proc/sys/kernel/osrelease": "5.14.0-427.el9.x86_64\n"}
CMDLINE = {"/proc/cmdline": 'BOOT_IMAGE=/vmlinuz root=UUID=1 ro iommu=pt hugepages=16 dyndbg="file x +p" -- init\n'}
SETTINGS = {
    "/proc/sys/vm/swappiness": "10\n",
    "/proc/sys/vm/zone_reclaim_mode": "0\n",
    "/proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t6291456\n",
    "/proc/sys/net/ipv4/conf/all/rp_filter": "2\n",
    "/proc/sys/net/ipv4/conf/default/rp_filter": "2\n",
}


def test_version_must_be_one_that_is_allowed(machine: Machine) -> None:
    host = machine(RELEASE)

    assert verdict_of("kernel.version", host, allowed=("4.18.*", "5.14.0-427.*")).status == Status.OK
    assert verdict_of("kernel.version", host, allowed=("5.14.0-503.*",)).summary == (
        "kernel 5.14.0-427.el9.x86_64 is running, expected 5.14.0-503.*"
    )
    assert verdict_of("kernel.version", host).status == Status.SKIP


def test_version_that_may_not_be_read_is_unknown(machine: Machine) -> None:
    host = machine({}, errors={"/proc/sys/kernel/osrelease": ("denied", "EACCES")})

    assert verdict_of("kernel.version", host, allowed=("*",)).status == Status.UNKNOWN


def test_command_line_words(machine: Machine) -> None:
    host = machine(CMDLINE)

    assert (
        verdict_of("kernel.cmdline", host, required=("iommu=pt", "hugepages=*", 'dyndbg="file x +p"')).status
        == Status.OK
    )
    verdict = verdict_of("kernel.cmdline", host, required=("nohz_full=*",), forbidden=("iommu=*",))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "the kernel command line lacks nohz_full=* and has iommu=pt, which is forbidden"


def test_learnt_command_line_names_neither_the_boot_nor_init(machine: Machine) -> None:
    spec = registry()["kernel.cmdline"]
    assert spec.learn

    learned = spec.learn(KernelCmdline.read(machine(CMDLINE)))

    assert learned == {"required": ("ro", "iommu=pt", "hugepages=16", 'dyndbg="file x +p"')}


def test_words_of_one_node_or_one_installation_are_not_learnt(machine: Machine) -> None:
    words = """BOOT_IMAGE=(hd0,gpt2)/vmlinuz rd.lvm.lv=rhel_cn01/root rd.md.uuid=3f1a2b4c:11223344:55667788:99aabbcc
        ifname=eth0:aa:bb:cc:dd:ee:ff wwid=1 wwinit.uri=http://head/provision NODE=3 xname=x1000c0s0b0n0 nid=17
        bss_referral_token=8f3c luks.key=/k admin_password=x "vlan=eth0.5:eth0" md=3f1a2b4c:11223344:55667788:99aabbcc
        disk=0a1b2c3d-0011-2233-4455-66778899aabb peer=AA-BB-CC-DD-EE-FF log=10.0.0.1:514 v6=fe80::1 v6=[2001:db8::]
        v6=1:2:3:4:5:6:7:8 me=CN01.site vol=/dev/vg_cn01/x net=cn01"""
    kept = "console=ttyS0,115200 crashkernel=1G-4G:192M iommu=pt ids=10de:2330,10de:22a3 alias=cn012 v=5.14.0"
    files = {"/proc/cmdline": f"{' '.join(words.split())} {kept}\n", "/proc/sys/kernel/hostname": "cn01.cluster\n"}
    spec = registry()["kernel.cmdline"]
    assert spec.learn

    assert spec.learn(KernelCmdline.read(machine(files))) == {"required": tuple(kept.split())}


def test_the_tables_of_neighbours_are_read(machine: Machine) -> None:
    keys = [f"net.{ip}.neigh.default.gc_thresh3" for ip in ("ipv4", "ipv6")]
    keys += [f"net.ipv6.conf.{name}.disable_ipv6" for name in ("all", "default")]
    host = machine({f"/proc/sys/{key.replace('.', '/')}": "8192\n" for key in keys})

    assert verdict_of("kernel.sysctl", host, required=dict.fromkeys(keys, "8192")).status == Status.OK
    for key in keys:
        assert verdict_of("kernel.sysctl", host, required={key: "1"}).summary == f"{key} is 8192, expected 1"


def test_settings_have_the_required_values(machine: Machine) -> None:
    host = machine(SETTINGS)
    required = {"vm.swappiness": "10", "net/ipv4/tcp_rmem": "4096 131072 *", "net.ipv4.conf.all.rp_filter": "2"}

    assert verdict_of("kernel.sysctl", host, required=required).status == Status.OK
    verdict = verdict_of("kernel.sysctl", host, required={"vm.swappiness": "1", "vm.nr_hugepages_typo": "0"})
    assert verdict.status == Status.FAIL
    assert verdict.summary == "vm.swappiness is 10, expected 1; vm.nr_hugepages_typo does not exist, expected 0"


@pytest.mark.parametrize(
    "key", ["net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter", "dev.raid.speed_limit_min"]
)
def test_a_setting_that_is_not_read_is_unknown(machine: Machine, key: str) -> None:
    verdict = verdict_of("kernel.sysctl", machine(SETTINGS), required={key: "1"})

    assert verdict.status == Status.UNKNOWN
    assert "nodeproof does not read it" in verdict.summary


def test_a_denied_setting_is_unknown_and_spoils_no_other(machine: Machine) -> None:
    host = machine(SETTINGS, errors={"/proc/sys/vm/zone_reclaim_mode": ("denied", "EACCES")})

    assert verdict_of("kernel.sysctl", host, required={"vm.swappiness": "10"}).status == Status.OK
    assert verdict_of("kernel.sysctl", host, required={"vm.zone_reclaim_mode": "0"}).status == Status.UNKNOWN
    assert (
        verdict_of("kernel.sysctl", host, required={"vm.zone_reclaim_mode": "0", "vm.swappiness": "1"}).status
        == Status.FAIL
    )


def test_secrets_and_costly_files_are_not_read(machine: Machine) -> None:
    secrets = {
        "/proc/sys/net/ipv4/tcp_fastopen_key": "1-2-3-4",
        "/proc/sys/vm/stat_refresh": "",
        "/proc/sys/kernel/hostname": "n1",
    }

    assert set(Sysctl.read(machine(SETTINGS | secrets)).known) == {p.removeprefix("/proc/sys/") for p in SETTINGS}


MODULES = RELEASE | {
    "/proc/modules": "nvidia 56000000 12 nvidia_uvm, Live 0x0 (POE)\nnvidia_uvm 1 0 -\nrdma_cm 1 0 -\n"
    "mlx5_core 2000000 1 - Live 0x0\n",
    "/lib/modules/5.14.0-427.el9.x86_64/modules.builtin": "kernel/fs/ext4/ext4.ko\nkernel/tty/virtio-console.ko.xz\n",
}


def test_required_modules_are_loaded_or_built_in(machine: Machine) -> None:
    host = machine(MODULES, directories=("/sys/module/nvme_core",))

    required = ("nvidia", "mlx5-core", "ext4", "virtio_console", "nvme_core")
    assert verdict_of("kernel.modules", host, required=required).status == Status.OK
    verdict = verdict_of("kernel.modules", host, required=("nvidia_peermem",), forbidden=("nouveau", "mlx5*"))
    assert verdict.summary == "kernel modules not loaded: nvidia_peermem; loaded but forbidden: mlx5_core"


def test_only_modules_that_last_are_learnt(machine: Machine) -> None:
    spec = registry()["kernel.modules"]
    assert spec.learn

    assert spec.learn(KernelModules.read(machine(MODULES))) == {"required": ("mlx5_core", "nvidia")}


def test_a_kernel_without_modules_has_none(machine: Machine) -> None:
    assert verdict_of("kernel.modules", machine(RELEASE), required=("ext4",)).status == Status.FAIL


def test_modules_that_may_not_be_listed_are_unknown(machine: Machine) -> None:
    host = machine(RELEASE, errors={"/proc/modules": ("denied", "EACCES")})

    assert verdict_of("kernel.modules", host, required=("ext4",)).status == Status.UNKNOWN


@pytest.mark.parametrize(
    ("bits", "status", "sentence"),
    [
        ("0", Status.OK, "the kernel is not tainted"),
        ("12289", Status.OK, "the kernel is tainted only by POE"),
        ("128", Status.FAIL, "the kernel is tainted: kernel died recently (oops or BUG) (D)"),
        ("16", Status.FAIL, "the kernel is tainted: processor reported a machine check exception (M)"),
        ("16896", Status.FAIL, "the kernel is tainted: soft lockup occurred (L)"),
        ("512", Status.WARN, "the kernel is tainted: kernel issued a warning (W)"),
        ("4294967296", Status.OK, "the kernel is tainted only by bit32"),
    ],
)
def test_taint_is_decoded(machine: Machine, bits: str, status: Status, sentence: str) -> None:
    verdict = verdict_of("kernel.taint", machine({"/proc/sys/kernel/tainted": bits + "\n"}))

    assert (verdict.status, verdict.summary) == (status, sentence)


def test_policy_chooses_the_taints_that_matter(machine: Machine) -> None:
    host = machine({"/proc/sys/kernel/tainted": "512\n"})

    assert verdict_of("kernel.taint", host, failing=("W",)).status == Status.FAIL
    assert verdict_of("kernel.taint", host, warning=()).status == Status.OK


def test_garbled_taint_is_unknown(machine: Machine) -> None:
    assert verdict_of("kernel.taint", machine({"/proc/sys/kernel/tainted": "P O\n"})).status == Status.UNKNOWN


def test_a_command_line_that_may_not_be_read_is_unknown(machine: Machine) -> None:
    host = machine({}, errors={"/proc/cmdline": ("denied", "EACCES")})

    assert verdict_of("kernel.cmdline", host, required=("iommu=pt",)).status == Status.UNKNOWN
