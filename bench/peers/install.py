"""Get ready: Debian's packages of the peers, and our own peers compiled."""

import glob
import os
import shutil
import subprocess

from peers.commands import OUT

_SOURCES = os.path.dirname(__file__)

#: Program, package.
_PACKAGES = (
    ("likwid-bench", "likwid"),
    ("sysbench", "sysbench"),
    ("stress-ng", "stress-ng"),
    ("fio", "fio"),
    ("sockperf", "sockperf"),
    ("qperf", "qperf"),
    ("oslat", "rt-tests"),
    ("numactl", "numactl"),
    ("gcc", "gcc"),
)
_OPENBLAS = "libopenblas0-pthread"
_OPENBLAS_PLACES = ("/usr/lib*/libopenblas.so.0", "/usr/lib/*/libopenblas.so.0")
_CLANG = ("clang", "libomp-dev")

#: Any clang since Debian 12's will do; its OpenMP comes in a package of the same version.
_CLANGS = ("clang", *(f"clang-{version}" for version in range(22, 13, -1)))

_OPTIMISED = ("-O3", "-march=native", "-fopenmp")
_GCC_BUILDS = (
    ("stream-gcc", "stream.c", _OPTIMISED),
    ("chase", "chase.c", ("-O2", "-pthread")),
    ("pingpong", "pingpong.c", ("-O2", "-pthread")),
    ("dgemm", "dgemm.c", ("-O2", "-ldl")),
)


def missing_packages() -> list[str]:
    """Return Debian's names of what is not here."""
    missing = [package for program, package in _PACKAGES if shutil.which(program) is None]
    if not any(glob.glob(place) for place in _OPENBLAS_PLACES):
        missing.append(_OPENBLAS)
    if _build_with_clang() is None:
        missing += _CLANG
    return missing


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: list[str]) -> None:
    """Raise CalledProcessError if apt-get fails."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def build() -> list[str]:
    """Compile our own peers. Returns the commands that did it; a compiler that is not here leaves its programs out."""
    os.makedirs(OUT, exist_ok=True)
    done = [_compile("gcc", *job) for job in _GCC_BUILDS] if shutil.which("gcc") else []
    return [text for text in (*done, _build_with_clang()) if text]


def _build_with_clang() -> str | None:
    """Compile the peer with non-temporal stores with the first clang that has OpenMP."""
    os.makedirs(OUT, exist_ok=True)
    for clang in _CLANGS:
        if shutil.which(clang) and (
            text := _compile(clang, "stream-clang", "stream.c", (*_OPTIMISED, "-DNONTEMPORAL"))
        ):
            return text
    return None


def _compile(compiler: str, program: str, source: str, options: tuple[str, ...]) -> str | None:
    path = os.path.relpath(os.path.join(_SOURCES, source))
    argv = [compiler, "-o", f"{OUT}/{program}", path, *options, "-lm"]
    done = subprocess.run(argv, capture_output=True, check=False)
    return " ".join(argv) if done.returncode == 0 else None


def versions() -> dict[str, str]:
    """Return the versions of the packages that dpkg knows of, and of the compilers."""
    found = {}
    packages = sorted({package for _, package in _PACKAGES} | {_OPENBLAS, *_CLANGS})
    if shutil.which("dpkg-query"):
        query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Abbrev} ${Version}\n", *packages]
        listed = subprocess.run(query, capture_output=True, text=True, check=False)
        for name, status, *version in (line.split() for line in listed.stdout.splitlines()):
            if status == "ii":
                found[name] = version[0]
    return found
