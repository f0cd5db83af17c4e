"""The running kernel: version, command line, settings, modules, taint."""

import re
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.identity import HOST_NAME, host_name
from nodeproof.probes.parse import read_int

SYSCTL = "/proc/sys"

#: Directories whose files are read; more would cost time and lead into per-interface copies.
SYSCTL_DIRECTORIES = (  # noqa: SIM905  # a list of words
    "fs fs/inotify kernel kernel/keys kernel/yama net/core net/ipv4 net/ipv4/conf/all "
    "net/ipv4/conf/default net/ipv4/neigh/default net/ipv6/conf/all net/ipv6/conf/default "
    "net/ipv6/neigh/default sunrpc user vm"
).split()

#: Not read: secrets and names that would end up in recordings, an automount point, and a file whose
#: reading makes every CPU flush its counters.
_LEFT_ALONE = {"tcp_fastopen_key", "stable_secret", "hostname", "domainname", "binfmt_misc", "stat_refresh"}


@fact("/proc/sys/kernel/osrelease")
class KernelVersion(NamedTuple):
    """Release of the running kernel, as `uname -r` prints it."""

    release: str

    @classmethod
    def read(cls, host: Host) -> Self:
        return cls(host.text(f"{SYSCTL}/kernel/osrelease"))


@fact("/proc/cmdline", HOST_NAME)
class KernelCmdline(NamedTuple):
    """Words of the kernel's command line in order; quotes hold a word together and are kept.

    `host_name` tells the words that name this node alone.
    """

    words: tuple[str, ...]
    host_name: str = ""

    @classmethod
    def read(cls, host: Host) -> Self:
        return cls(tuple(re.findall(r'(?:"[^"]*"|\S)+', host.text("/proc/cmdline"))), host_name(host))


@fact(*(f"{SYSCTL}/{d}/*" for d in SYSCTL_DIRECTORIES))
class Sysctl(NamedTuple):
    """Kernel settings by path below /proc/sys (`vm/swappiness`), blanks made single, and why some could not be had."""

    known: dict[str, str]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        known: dict[str, str] = {}
        unread: dict[str, FactError] = {}
        for path in (p for d in SYSCTL_DIRECTORIES for p in host.glob(f"{SYSCTL}/{d}/*")):
            key = path.removeprefix(f"{SYSCTL}/")
            if path.rpartition("/")[2] in _LEFT_ALONE or key in SYSCTL_DIRECTORIES:
                continue
            try:
                known[key] = " ".join(host.text(path).split())
            except FactError as error:
                if error.detail != "EISDIR":
                    unread[key] = error
        return cls(known, unread)


@fact("/proc/modules", "/sys/module/*", "/lib/modules/RELEASE/modules.builtin")
class KernelModules(NamedTuple):
    """Names of modules that are loaded or built in, with `_` for `-`."""

    names: frozenset[str]

    @classmethod
    def read(cls, host: Host) -> Self:
        names = {path.rpartition("/")[2] for path in host.glob("/sys/module/*")}
        names |= {line.partition(" ")[0] for line in _lines(host, "/proc/modules")}
        release = KernelVersion.read(host).release
        for line in _lines(host, f"/lib/modules/{release}/modules.builtin"):
            names.add(line.rpartition("/")[2].partition(".")[0])
        return cls(frozenset(name.replace("-", "_") for name in names if name))


def _lines(host: Host, path: str) -> list[str]:
    """Return the lines of a file that a kernel without loadable modules does not have."""
    try:
        return host.text(path).split("\n")
    except FactError as error:
        if error.kind == "absent":
            return []
        raise


@fact("/proc/sys/kernel/tainted")
class KernelTaint(NamedTuple):
    """Taint flags by letter with what they mean. Source: kernel documentation, admin-guide/tainted-kernels.rst."""

    flags: dict[str, str]

    @classmethod
    def read(cls, host: Host) -> Self:
        bits = read_int(host, f"{SYSCTL}/kernel/tainted")
        known = {letter: words for i, (letter, words) in enumerate(_TAINTS) if bits >> i & 1}
        unknown = {f"bit{i}": "unknown to nodeproof" for i in range(len(_TAINTS), 64) if bits >> i & 1}
        return cls(known | unknown)


_TAINTS = (
    ("P", "proprietary module loaded"),
    ("F", "module loaded by force"),
    ("S", "kernel runs on an out-of-specification system"),
    ("R", "module unloaded by force"),
    ("M", "processor reported a machine check exception"),
    ("B", "bad page referenced or unexpected page flags"),
    ("U", "taint requested by a user-space program"),
    ("D", "kernel died recently (oops or BUG)"),
    ("A", "ACPI table overridden by user"),
    ("W", "kernel issued a warning"),
    ("C", "staging driver loaded"),
    ("I", "workaround for a platform firmware bug applied"),
    ("O", "module built outside the kernel tree loaded"),
    ("E", "unsigned module loaded"),
    ("L", "soft lockup occurred"),
    ("K", "kernel has been live patched"),
    ("X", "auxiliary taint of the distribution"),
    ("T", "kernel built with the struct randomisation plug-in"),
    ("N", "an in-kernel test has been run"),
    ("J", "user space used a mutating debug operation in fwctl"),
)
