"""The benchmarks of disks: what they find out, and that they leave nothing behind, however they end."""

import contextlib
import ctypes
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[..., "subprocess.CompletedProcess[str]"]
Measure = Callable[..., dict[str, Any]]

NAMES = ("disk.bandwidth", "disk.latency")

SHORT = ("--seconds", "0.05", "--bytes", "8M")

#: prctl(2), capabilities(7), seccomp(2), and the number that io_uring_setup has on all architectures.
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_THP_DISABLE = 22, 24, 38, 41
CAP_DAC_OVERRIDE, SECCOMP_MODE_FILTER = 1, 2
IO_URING_SETUP = 425


class Instruction(ctypes.Structure):
    """One of the filters of linux/filter.h."""

    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(Instruction)))


def forbid_io_uring() -> None:
    """Have the kernel answer EPERM to io_uring_setup, as container runtimes do."""
    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    filters = (Instruction * 4)(
        Instruction(load, 0, 0, 0),
        Instruction(jump_if_equal, 0, 1, IO_URING_SETUP),
        Instruction(answer, 0, 0, refuse),
        Instruction(answer, 0, 0, allow),
    )
    program = Program(len(filters), filters)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0


def obey_file_modes() -> None:
    """Have even root refused what the mode of a file does not allow."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) == 0


@pytest.fixture(scope="session")
def why_not(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return why the disk below the folder for temporary files cannot be measured, or nothing."""
    path = tmp_path_factory.mktemp("disk")
    done = bench("disk.latency", "--path", str(path), "--seconds", "0.01", "--bytes", "2M")
    return done.stderr.strip() if done.returncode == 3 else ""


@pytest.fixture
def folder(why_not: str, tmp_path: Path) -> Path:
    """Return an empty folder on a disk."""
    if why_not:
        pytest.skip(why_not)
    return tmp_path


@pytest.fixture
def started(build: Path, folder: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a benchmark of the folder that would take a minute."""
    children: list[subprocess.Popen[str]] = []

    def start(*args: str, program: str = "nodeproof-bench") -> "subprocess.Popen[str]":
        argv = [str(build / program), *args, "--path", str(folder), "--seconds", "60", "--bytes", "16M"]
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def open_file(child: "subprocess.Popen[str]", folder: Path) -> os.stat_result:
    """Wait until a benchmark has reserved its file, and return what the kernel says of that."""
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        for fd in Path(f"/proc/{child.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since the list was made
                target, status = os.readlink(fd), fd.stat()
                if target.startswith(f"{folder}/") and status.st_size > 0:
                    return status
        time.sleep(0.005)
    raise AssertionError("it opened no file")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_is_what_was_written_and_nothing_is_left(measure: Measure, folder: Path, name: str) -> None:
    result = measure(name, "--path", str(folder), *SHORT, "--seed", "7")

    assert result["wrong_blocks"] == 0
    assert (result["seed"], result["file_bytes"]) == (7, 8 << 20)
    assert list(folder.iterdir()) == []


def test_bandwidth_is_that_of_reads(measure: Measure, folder: Path) -> None:
    result = measure("disk.bandwidth", "--path", str(folder), *SHORT)
    read, write = result["points"]

    assert (read["operation"], write["operation"]) == ("read", "write")
    assert result["value"] == read["value"]
    assert 1e6 < read["value"] < 1e12
    assert read["queue_depth"] == 7  # 8 MiB are 8 requests: never two for the same place


def test_latency_is_that_of_one_read_at_a_time(measure: Measure, folder: Path) -> None:
    result = measure("disk.latency", "--path", str(folder), *SHORT)
    read = result["points"][0]

    assert [p["operation"] for p in result["points"]] == ["read", "write", "read"]
    assert [p["queue_depth"] for p in result["points"]] == [1, 1, 32]
    assert result["value"] == read["value"] <= read["sustained"]
    assert 1e-7 < read["value"] < 10


@pytest.mark.parametrize("name", NAMES)
def test_threads_do_it_where_io_uring_is_forbidden(measure: Measure, folder: Path, name: str) -> None:
    result = measure(name, "--path", str(folder), *SHORT, preexec_fn=forbid_io_uring)

    assert (result["engine"], result["wrong_blocks"]) == ("pread", 0)
    assert result["threads"] == max(p["queue_depth"] for p in result["points"])
    assert list(folder.iterdir()) == []


def test_it_says_whether_its_buffers_are_on_huge_pages(measure: Measure, folder: Path) -> None:
    forbid = lambda: ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)  # noqa: E731
    result = measure("disk.bandwidth", "--path", str(folder), *SHORT, preexec_fn=forbid)

    assert result["pages"] == "base"


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_write_is_found(measure: Measure, folder: Path, name: str) -> None:
    fault = ("--hook", "lost-write")
    result = measure(name, "--path", str(folder), *SHORT, *fault, program="nodeproof-bench-hooks")

    assert 0 < result["wrong_blocks"] < result["verified_blocks"]


@pytest.mark.parametrize("name", NAMES)
def test_its_file_has_no_name_and_goes_with_it(
    started: Callable[..., "subprocess.Popen[str]"], folder: Path, name: str
) -> None:
    child = started(name)
    status = open_file(child, folder)
    names = list(folder.iterdir())
    child.kill()

    assert child.wait(timeout=10) == -signal.SIGKILL
    assert (status.st_nlink, status.st_size, names) == (0, 16 << 20, [])


@pytest.mark.parametrize("delay_s", [0, 0.4])
@pytest.mark.parametrize("name", NAMES)
def test_a_signal_ends_it(
    started: Callable[..., "subprocess.Popen[str]"], folder: Path, name: str, delay_s: float
) -> None:
    child = started(name)
    open_file(child, folder)
    time.sleep(delay_s)
    child.terminate()
    out, err = child.communicate(timeout=10)

    assert (child.returncode, out) == (-signal.SIGTERM, "")
    assert "cancelled" in err
    assert list(folder.iterdir()) == []


def test_a_signal_ends_it_though_the_disk_is_dead(
    started: Callable[..., "subprocess.Popen[str]"], folder: Path
) -> None:
    child = started("disk.latency", "--hook", "dead-disk", program="nodeproof-bench-hooks")
    open_file(child, folder)
    time.sleep(0.4)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=10)

    assert child.returncode == -signal.SIGINT
    assert "cancelled" in err


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_may_not_be_so_large_is_an_error(bench: Bench, folder: Path, name: str) -> None:
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # noqa: E731
    done = bench(name, "--path", str(folder), *SHORT, preexec_fn=limit)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot reserve {8 << 20} bytes in {folder}: File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []


def on_small_disk(folder: Path, script: str, *argv: str) -> "subprocess.CompletedProcess[str]":
    """Run a script with a file system of 64 MiB mounted at `mnt`, which goes when the script ends."""
    if shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip("needs mkfs.ext4")
    mount = (
        "PATH=$PATH:/usr/sbin:/sbin; mkdir mnt && truncate -s 64M img && mkfs.ext4 -q -m 0 img && "
        "mount -o loop img mnt || { echo no-mount; exit; }\n"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount + script, "sh", *argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=60,
    )
    if "no-mount" in done.stdout or "unshare failed" in done.stderr:
        pytest.skip(f"cannot mount a loop device here: {done.stderr.strip()}")
    return done


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_it_takes_a_quarter_of_the_free_space_at_most(build: Path, folder: Path) -> None:
    program = str(build / "nodeproof-bench")
    script = '"$1" disk.latency --path mnt --seconds 0.05 --bytes 1G; ls -A mnt'
    done = on_small_disk(folder, script, program)
    line, *left = done.stdout.splitlines()
    result = json.loads(line)

    assert result["is_smaller"]
    assert 8 << 20 < result["file_bytes"] <= 16 << 20
    assert left == ["lost+found"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_an_error(build: Path, folder: Path) -> None:
    program = str(build / "nodeproof-bench")
    script = 'dd if=/dev/zero of=mnt/full bs=1M 2>/dev/null; "$1" disk.bandwidth --path mnt; echo $?; ls -A mnt'
    done = on_small_disk(folder, script, program)

    assert done.stdout.split() == ["1", "full", "lost+found"]
    assert "too little space is free in mnt" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_that_is_not_there_is_named(bench: Bench, tmp_path: Path) -> None:
    done = bench("disk.latency", "--path", str(tmp_path / "none"))

    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot make a file in {tmp_path}/none: No such file or directory" in done.stderr


def test_a_file_is_no_folder(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = bench("disk.latency", "--path", str(tmp_path / "file"))

    assert (done.returncode, done.stdout) == (2, "")
    assert "Not a directory" in done.stderr


def test_a_folder_that_may_not_be_written_to_is_named(bench: Bench, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = bench("disk.latency", "--path", str(tmp_path), preexec_fn=obey_file_modes)
    tmp_path.chmod(0o700)

    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot make a file in {tmp_path}: Permission denied" in done.stderr


def test_memory_is_no_disk(bench: Bench) -> None:
    if not any(line.split()[1:3] == ["/dev/shm", "tmpfs"] for line in Path("/proc/mounts").read_text().splitlines()):
        pytest.skip("needs a tmpfs at /dev/shm")
    done = bench("disk.bandwidth", "--path", "/dev/shm", *SHORT)

    assert (done.returncode, done.stdout) == (3, "")
    assert "/dev/shm is on a file system in memory" in done.stderr


def test_without_a_path_it_is_the_state_directory(bench: Bench) -> None:
    done = bench("disk.latency", *SHORT)

    if os.access("/var/lib/nodeproof", os.W_OK | os.X_OK):
        assert done.returncode in {0, 3}
    else:
        assert (done.returncode, done.stdout) == (3, "")
        assert "give one by --path" in done.stderr


def test_a_file_must_hold_two_requests(bench: Bench, tmp_path: Path) -> None:
    done = bench("disk.bandwidth", "--path", str(tmp_path), "--bytes", "1M")

    assert (done.returncode, done.stdout) == (2, "")
    assert "at least 2M" in done.stderr
