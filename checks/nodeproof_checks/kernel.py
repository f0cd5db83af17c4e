"""Judgement of the running kernel."""

import re
from fnmatch import fnmatchcase
from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.kernel import (
    SYSCTL,
    SYSCTL_DIRECTORIES,
    KernelCmdline,
    KernelModules,
    KernelTaint,
    KernelVersion,
    Sysctl,
)
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn


@check(
    "kernel.version",
    tags="healthcheck boot",
    remedy="Install the kernel of your image ({allowed}), make it the default and reboot the node.",
    learn=lambda version: {"allowed": (version.release,)},
)
def version(
    version: KernelVersion,
    *,
    allowed: Annotated[tuple[str, ...], "kernel releases (`uname -r`) that may run, `*` allowed"],
) -> Verdict:
    """The running kernel is one that policy allows.

    GPU, InfiniBand and Lustre modules are built for one kernel. A node that came back from a reboot
    with another one runs without them, or with other scheduling and network behaviour than its peers.
    """
    if not any(fnmatchcase(version.release, a) for a in allowed):
        return fail(f"kernel {version.release} is running, expected {named(allowed)}", release=version.release)
    return ok(f"kernel {version.release} is running", release=version.release)


#: Beginnings of words that name this boot or this node, in image, installer and provisioning systems too.
_OF_THIS_BOOT = (  # noqa: SIM905  # a list of words
    "BOOT_IMAGE= BOOTIF= MAC= NODE= XCAT= bond= cloud-config-url= ds= hostname= ifname= imgurl= initrd= inst. ip= ks= "
    "nameserver= netroot= nfsroot= nid= ostree= rd.dm. rd.iscsi rd.luks rd.lvm. rd.md. resume= resume_offset= root= "
    "rootflags= subvol= systemd.hostname= systemd.machine_id= team= vlan= wwid= wwinit. xname="
).split()

#: Secrets, and what one node alone has: MAC address, UUID, UUID as mdadm writes it, IPv4 and IPv6 address.
_OF_THIS_NODE = re.compile(
    r"^[^=]*(token|passw(or)?d|key)="
    r"|([0-9a-f]{2}[:-]){5}[0-9a-f]{2}"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|([0-9a-f]{8}:){3}[0-9a-f]{8}"
    r"|(?<![\d.])\d{1,3}(\.\d{1,3}){3}(?![\d.])"
    r"|(?<![\w:])[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}(?![\w:])"
    r"|(?<![\w:])([0-9a-f]{1,4}:){1,7}:",
    re.IGNORECASE,
)


def _lasting_words(cmdline: KernelCmdline) -> dict[str, object]:
    kernels = cmdline.words[: cmdline.words.index("--")] if "--" in cmdline.words else cmdline.words
    return {"required": tuple(w for w in kernels if _is_lasting(w.lstrip('"'), cmdline.host_name))}


def _is_lasting(word: str, host_name: str) -> bool:
    """Say whether a word may be on the command line of other nodes, and of this one after the next boot."""
    short = host_name.partition(".")[0]
    if short and re.search(rf"(?<![a-z0-9]){re.escape(short)}(?![a-z0-9])", word, re.IGNORECASE):
        return False
    is_pattern = any(c in word for c in "*?[")
    return not (is_pattern or word.startswith(tuple(_OF_THIS_BOOT)) or _OF_THIS_NODE.search(word))


@check(
    "kernel.cmdline",
    tags="boot healthcheck",
    remedy="Set the words in the boot loader's configuration (e.g. `grubby --update-kernel=ALL --args=…`) and reboot.",
    learn=_lasting_words,
)
def cmdline(
    cmdline: KernelCmdline,
    *,
    required: Annotated[tuple[str, ...], "words that must be on the kernel command line, `*` allowed"],
    forbidden: Annotated[tuple[str, ...], "words that must not be there, `*` allowed"] = (),
) -> Verdict:
    """The kernel was started with the words that policy asks for.

    `iommu=pt`, huge pages, `nohz_full`, CPU isolation and mitigations are decided at boot. One node
    with another command line is slower than its peers, or lacks the memory that its jobs reserve.
    """
    missing = [r for r in required if not any(fnmatchcase(w, r) for w in cmdline.words)]
    unwanted = [w for w in cmdline.words if any(fnmatchcase(w, f) for f in forbidden)]
    if missing or unwanted:
        parts = [f"lacks {named(missing)}"] * bool(missing) + [f"has {named(unwanted)}, which is forbidden"] * bool(
            unwanted
        )
        return fail(f"the kernel command line {' and '.join(parts)}", missing=missing, unwanted=unwanted)
    return ok(f"the kernel command line has {plural(len(required), 'required word')}")


@check(
    "kernel.sysctl",
    tags="healthcheck boot",
    remedy="Write the setting to a file in /etc/sysctl.d, run `sysctl --system`, and find what changed it at run time.",
)
def sysctl(
    sysctl: Sysctl,
    *,
    required: Annotated[dict[str, str], "value by key, as in sysctl.conf (`vm.swappiness`); `*` allowed in values"],
) -> Verdict:
    """Kernel settings have the values that policy asks for.

    `vm.zone_reclaim_mode`, `kernel.numa_balancing`, neighbour table sizes and socket buffers decide whether
    a large job runs at full speed, and one tuned profile that did not load on one node slows all of it.
    Keys of a single interface (`net.ipv4.conf.eth0.…`) are not read, only those of `all` and `default`.
    """
    wrong: dict[str, str] = {}
    unread: list[FactError] = []
    for key, wanted in required.items():
        path = _path(key)
        value = sysctl.known.get(path)
        if path in sysctl.unread or (value is None and path.rpartition("/")[0] not in SYSCTL_DIRECTORIES):
            unread.append(
                sysctl.unread.get(path) or FactError(f"{SYSCTL}/{path}", "failed", "nodeproof does not read it")
            )
        elif value is None:
            wrong[key] = f"{key} does not exist, expected {wanted}"
        elif not fnmatchcase(value, " ".join(wanted.split())):
            wrong[key] = f"{key} is {value}, expected {wanted}"
    if wrong:
        return fail("; ".join(wrong.values()), keys=list(wrong))
    for error in unread:
        raise error
    return ok(f"{plural(len(required), 'kernel setting')} as required")


def _path(key: str) -> str:
    """Return the path below /proc/sys: as in sysctl.conf(5), the first separator of a key is its separator."""
    if "/" in key and ("." not in key or key.index("/") < key.index(".")):
        return key.strip("/")
    return key.replace("/", "\0").replace(".", "/").replace("\0", ".")


#: Modules that a node of a cluster is there for; others come and go with what is plugged in, mounted or run
#: (the first CUDA program loads nvidia_uvm, the first connection rdma_cm).
_LASTING = (  # noqa: SIM905  # a list of words
    "amdgpu beegfs bnxt_en bnxt_re efa gdrdrv hfi1 ib_core ib_ipoib ice irdma knem lnet "
    "lustre mlx5_core mlx5_ib mmfs26 nvidia nvidia_fs nvidia_peermem nvme wekafsio xpmem"
).split()


def _lasting(modules: KernelModules) -> dict[str, object]:
    found = tuple(m for m in _LASTING if m in modules.names)
    return {"required": found} if found else {}


@check(
    "kernel.modules",
    tags="healthcheck boot",
    remedy="Run `modprobe` for what is missing and read its error in the kernel log; blacklist in /etc/modprobe.d "
    "what must not load.",
    learn=_lasting,
)
def modules(
    modules: KernelModules,
    *,
    required: Annotated[tuple[str, ...], "modules that must be loaded or built in"],
    forbidden: Annotated[tuple[str, ...], "modules that must not be there, `*` allowed"] = (),
) -> Verdict:
    """Required kernel modules are loaded, forbidden ones are not.

    After a kernel update a module that was not rebuilt is simply missing: no `nvidia_peermem` and GPUs
    exchange data through host memory, no `gdrdrv` or `xpmem` and MPI falls back to slow copies, silently.
    """
    missing = [m for m in required if m.replace("-", "_") not in modules.names]
    unwanted = sorted(m for m in modules.names if any(fnmatchcase(m, f.replace("-", "_")) for f in forbidden))
    if missing or unwanted:
        parts = [f"not loaded: {named(missing)}"] * bool(missing) + [f"loaded but forbidden: {named(unwanted)}"] * bool(
            unwanted
        )
        return fail(f"kernel modules {'; '.join(parts)}", missing=missing, unwanted=unwanted)
    return ok(f"{plural(len(required), 'required kernel module')} loaded")


@check(
    "kernel.taint",
    tags="prolog healthcheck boot",
    remedy="Save the kernel log (oops, machine check, soft lockup), report it, and reboot: only that clears the flag.",
)
def taint(
    taint: KernelTaint,
    *,
    failing: Annotated[tuple[str, ...], "letters of taint flags that fail"] = ("B", "D", "L", "M"),
    warning: Annotated[tuple[str, ...], "letters of taint flags that warn"] = ("W",),
) -> Verdict:
    """The kernel has not been through an oops, a machine check, a soft lockup or a bad page.

    After an oops the kernel goes on with locks held and memory in doubt: later jobs hang or compute on
    corrupt data. Flags of proprietary, unsigned and out-of-tree modules (P, E, O) are normal on GPU nodes
    and are only shown.
    """
    flags = "".join(taint.flags)
    if found := {f: words for f, words in taint.flags.items() if f in failing}:
        return fail(f"the kernel is tainted: {named([f'{w} ({f})' for f, w in found.items()])}", flags=flags)
    if found := {f: words for f, words in taint.flags.items() if f in warning}:
        return warn(f"the kernel is tainted: {named([f'{w} ({f})' for f, w in found.items()])}", flags=flags)
    return ok(f"the kernel is tainted only by {flags}" if flags else "the kernel is not tainted", flags=flags)
