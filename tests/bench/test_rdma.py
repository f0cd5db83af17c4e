"""The benchmarks of RDMA, over a libibverbs without hardware that copies between the queue pairs of one process."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Bench = Callable[..., "subprocess.CompletedProcess[str]"]
Measure = Callable[..., dict[str, Any]]

TESTS = Path(__file__).parents[1]
BENCHMARKS = ("rdma.latency", "rdma.bandwidth")

QUICK = ("--seconds", "0.03")

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")


def compile_library(source: Path, folder: Path) -> Path:
    """Build a libibverbs.so.1; return its folder."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build a libibverbs.so.1")
    flags = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    headers = TESTS.parent / "native/src/bench"
    library = folder / "libibverbs.so.1"
    subprocess.run([compiler, *flags, "-I", str(headers), "-o", str(library), str(source)], check=True)
    return folder


@pytest.fixture(scope="session")
def fake_verbs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(TESTS / "fake_verbs/verbs.c", tmp_path_factory.mktemp("fake_verbs"))


@pytest.fixture
def fake(fake_verbs: Path, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return the environment of a program that finds fake devices, told to behave like this."""

    def environment(**words: object) -> dict[str, str]:
        told = " ".join(f"{name}={value}" for name, value in words.items())
        path = {"LD_LIBRARY_PATH": str(fake_verbs), "FAKE_VERBS": told, "FAKE_VERBS_LOG": str(tmp_path / "objects")}
        return os.environ | path

    return environment


def left_over(log: Path) -> dict[str, int]:
    """Return how many objects of which kind were made and not destroyed."""
    made: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        what, kind = line.split()
        made[kind] += 1 if what == "made" else -1
    assert made
    return {kind: count for kind, count in made.items() if count != 0}


Fake = Callable[..., dict[str, str]]


def test_each_port_has_a_point_for_writes_and_one_for_sends(measure: Measure, fake: Fake, tmp_path: Path) -> None:
    result = measure("rdma.latency", *QUICK, env=fake())

    points = [(p["device"], p["peer"], p["operation"]) for p in result["points"]]
    assert points == [(f"fake{i}/1", f"fake{i}/1", operation) for i in (0, 1) for operation in ("write", "send")]
    assert (result["between"], result["peer_host"], result["wrong_messages"]) == ("self", None, 0)
    assert left_over(tmp_path / "objects") == {}


def test_the_figures_of_a_point_agree(measure: Measure, fake: Fake) -> None:
    result = measure("rdma.latency", *QUICK, env=fake())

    for point in result["points"]:
        edges = [edge for edge, _ in point["histogram"]]
        assert sum(count for _, count in point["histogram"]) == point["samples"]
        assert edges == sorted(edges)
        assert 1e-8 < point["min_s"] <= point["value"] <= point["sustained"] <= point["max_s"] <= edges[-1]
        assert (point["message_bytes"], point["mtu_bytes"]) == (8, 4096)
    worst = max(result["points"], key=lambda point: point["sustained"])
    assert (result["value"], result["sustained"]) == (worst["value"], worst["sustained"])


def test_bandwidth_has_a_point_for_each_port(measure: Measure, fake: Fake, tmp_path: Path) -> None:
    result = measure("rdma.bandwidth", *QUICK, env=fake())

    assert [(p["device"], p["operation"], p["message_bytes"]) for p in result["points"]] == [
        ("fake0/1", "write", 65536),
        ("fake1/1", "write", 65536),
    ]
    assert min(p["sustained"] for p in result["points"]) == result["sustained"] > 1e7
    assert result["wrong_messages"] == 0
    assert left_over(tmp_path / "objects") == {}


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize(("devices", "pairs"), [(2, ["01"]), (3, ["01", "12", "20"])])
def test_ports_are_measured_in_a_ring(measure: Measure, fake: Fake, name: str, devices: int, pairs: list[str]) -> None:
    result = measure(name, *QUICK, "--between", "ports", env=fake(devices=devices, ethernet=1))

    links = list(dict.fromkeys(p["device"][4] + p["peer"][4] for p in result["points"]))
    assert (links, result["between"]) == (pairs, "ports")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_ports_that_are_named_are_measured(measure: Measure, fake: Fake, name: str) -> None:
    result = measure(name, *QUICK, "--device", "fake2/1,fake0", env=fake(devices=3))

    assert list(dict.fromkeys(p["device"] for p in result["points"])) == ["fake2/1", "fake0/1"]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_port_that_is_down_is_left_out(measure: Measure, fake: Fake, name: str) -> None:
    result = measure(name, *QUICK, env=fake(down=0))

    assert {p["device"] for p in result["points"]} == {"fake1/1"}


def test_a_slow_port_is_the_figure_of_the_node(measure: Measure, fake: Fake) -> None:
    result = measure("rdma.latency", "--seconds", "0.1", env=fake(devices=3, slow=1, slow_ns=50_000))

    slow = {p["device"]: p["sustained"] for p in result["points"] if p["operation"] == "write"}
    assert max(slow, key=lambda device: slow[device]) == "fake1/1"
    assert slow["fake1/1"] > 50e-6
    assert result["sustained"] > 50e-6


@pytest.mark.parametrize("size", ["64", "256K"])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_messages_can_have_another_size(measure: Measure, fake: Fake, name: str, size: str) -> None:
    result = measure(name, *QUICK, "--bytes", size, env=fake(devices=1, no_inline=1))

    assert {p["message_bytes"] for p in result["points"]} == {int(size.replace("K", "")) * (1024 if "K" in size else 1)}
    assert result["wrong_messages"] == 0


@pytest.mark.parametrize("name", BENCHMARKS)
def test_wrong_data_is_counted(measure: Measure, fake: Fake, name: str) -> None:
    wrong = 100 if name == "rdma.latency" else -1

    assert measure(name, *QUICK, env=fake(devices=1, wrong=wrong))["wrong_messages"] == 1


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """Plant what the kernel says of fake0, which is next to the last CPU that we may use."""
    files = {
        "ports/1/rate": "400 Gb/sec (4X NDR)\n",
        "ports/1/gid_attrs/types/0": "RoCE v2\n",
        "ports/1/gid_attrs/types/1": "RoCE v2\n",
        "device/local_cpulist": f"{max(os.sched_getaffinity(0))}\n",
        "device/numa_node": "-1\n",
    }
    for name, text in files.items():
        path = tmp_path / "sysfs/fake0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "sysfs"


def test_the_rate_and_the_cpus_of_a_port_are_those_that_the_kernel_says(bench: Bench, fake: Fake, sysfs: Path) -> None:
    def run(name: str) -> dict[str, Any]:
        done = bench(name, *QUICK, env=fake(devices=1, sysfs=sysfs))
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    assert run("rdma.latency")["points"][0]["rate_bits_per_s"] == 400e9
    assert run("rdma.bandwidth")["cpus"].endswith(str(max(os.sched_getaffinity(0))))


class Failure(NamedTuple):
    """How the fake behaves, what is asked of it, and what comes of it."""

    words: dict[str, object]
    args: tuple[str, ...]
    status: int
    why: str


FAILURES = (
    Failure({"devices": 0}, (), 3, "there is no RDMA device"),
    Failure({"fail": "get_device_list"}, (), 3, "no RDMA device: Input/output error"),
    Failure({"devices": 1, "down": 0}, (), 3, "RDMA port fake0/1 is not active: it is down"),
    Failure({"down": 1}, ("--device", "fake0,fake1"), 3, "RDMA port fake1/1 is not active: it is down"),
    Failure({}, ("--device", "fake7/1"), 3, "there is no RDMA device fake7"),
    Failure({}, ("--device", "fake0/2"), 3, "there is no RDMA port fake0/2"),
    Failure({"devices": 1}, ("--between", "ports"), 3, "--between ports needs two active ports"),
    Failure({"devices": 1, "ethernet": 1}, ("--gid-index", "2"), 3, "fake0/1 has no GID of index 2"),
    Failure({}, ("--device", "fake0/"), 2, '--device takes a list such as mlx5_0/1,mlx5_1/1, not "fake0/"'),
    Failure({}, ("--device", "fake0/1,"), 2, "--device takes a list"),
    Failure({}, ("--bytes", "7"), 2, "--bytes: a message has a multiple of 8 bytes"),
    Failure({"fail": "open_device"}, (), 1, "cannot open the RDMA device fake1: Input/output error"),
    Failure({"fail": "alloc_pd"}, (), 1, "fake0/1: cannot allocate a protection domain: Input/output error"),
    Failure({"fail": "reg_mr"}, (), 1, "fake0/1: cannot register memory (ulimit -l): Input/output error"),
    Failure({"fail": "create_cq"}, (), 1, "fake0/1: cannot create a completion queue: Input/output error"),
    Failure({"fail": "create_qp"}, (), 1, "fake0/1: cannot create a queue pair: Input/output error"),
    Failure({"fail": "modify_qp"}, (), 1, "fake0/1: cannot connect with fake0/1: Input/output error"),
    Failure({"fail": "post_recv"}, (), 1, "fake0/1: cannot post a receive: Invalid argument"),
    Failure({"fail": "post_send"}, (), 1, "fake0/1: cannot post "),
    Failure({"fail": "poll_cq"}, (), 1, "fake0/1: cannot poll for "),
    Failure({"error": 48}, (), 1, "fake0/1: a message to fake0/1 failed: transport retry counter exceeded (status 12"),
)


#: Of the last ones, each benchmark says it by itself.
CASES = [("rdma.latency", failure) for failure in FAILURES] + [("rdma.bandwidth", failure) for failure in FAILURES[-3:]]


@pytest.mark.parametrize(("name", "failure"), CASES, ids=lambda value: getattr(value, "why", value)[:40])
def test_what_fails_is_said_in_one_line(bench: Bench, fake: Fake, tmp_path: Path, name: str, failure: Failure) -> None:
    done = bench(name, *QUICK, *failure.args, env=fake(**failure.words))

    assert (done.returncode, done.stdout) == (failure.status, "")
    assert done.stderr.startswith(f"nodeproof-bench: {name}: {failure.why}")
    assert done.stderr.count("\n") == 1
    if (tmp_path / "objects").exists():
        assert left_over(tmp_path / "objects") == {}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_library_that_cannot_be_loaded_is_not_possible_here(bench: Bench, tmp_path: Path, name: str) -> None:
    (tmp_path / "libibverbs.so.1").write_text("none\n")
    done = bench(name, env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)})

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert f"nodeproof-bench: {name}: cannot load libibverbs.so.1: " in done.stderr


def test_a_library_without_what_is_needed_is_not_possible_here(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "old.c"
    source.write_text(
        "void *ibv_get_device_list(int *count);\nvoid *ibv_get_device_list(int *count) { return count; }\n"
    )
    done = bench("rdma.latency", env=os.environ | {"LD_LIBRARY_PATH": str(compile_library(source, tmp_path))})

    assert (done.returncode, done.stdout) == (3, "")
    assert "libibverbs.so.1 has no ibv_free_device_list\n" in done.stderr


def start(build: Path, *args: str, env: dict[str, str]) -> "subprocess.Popen[str]":
    argv = [str(build / "nodeproof-bench"), *args]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


@pytest.mark.parametrize("words", [{}, {"lost": 40}], ids=["measuring", "waiting"])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_signal_ends_it_and_nothing_is_left_in_the_device(
    build: Path, fake: Fake, tmp_path: Path, name: str, words: dict[str, int]
) -> None:
    with start(build, name, "--seconds", "60", env=fake(**words)) as child:
        time.sleep(0.2)
        child.terminate()
        out, err = child.communicate(timeout=10)

    assert (child.returncode, out) == (-signal.SIGTERM, "")
    assert "cancelled" in err
    assert left_over(tmp_path / "objects") == {}


def meet(build: Path, name: str, *server_args: str, env: dict[str, str]) -> "tuple[subprocess.Popen[str], str]":
    """Start a server on a port that it chooses; return it and its address."""
    server = start(build, name, "--listen", "127.0.0.1:0", "--seconds", "60", *server_args, env=env)
    assert server.stderr is not None
    return server, server.stderr.readline().rpartition(" ")[2].strip()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_death_of_the_other_host_ends_it(build: Path, fake: Fake, tmp_path: Path, name: str) -> None:
    environment = fake(lost=1)  # nothing reaches another process
    server, address = meet(build, name, env=environment)
    with server, start(build, name, "--connect", address, "--seconds", "60", env=environment) as client:
        time.sleep(0.3)
        server.kill()
        began = time.monotonic()
        out, err = client.communicate(timeout=10)

    assert (client.returncode, out) == (1, "")
    assert "went away" in err
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("args", "why"),
    [(("--bytes", "16"), "both need the same --bytes"), (("--device", "fake0"), "another number of ports")],
)
def test_hosts_that_measure_different_things_do_not_begin(
    build: Path, fake: Fake, args: tuple[str, ...], why: str
) -> None:
    environment = fake(lost=1)
    server, address = meet(build, "rdma.latency", env=environment)
    with server, start(build, "rdma.latency", "--connect", address, *args, env=environment) as client:
        errors = [end.communicate(timeout=10)[1] for end in (client, server)]

    assert (client.returncode, server.returncode) == (1, 1)
    assert any(why in error for error in errors), errors


def test_our_declarations_are_those_of_the_library(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/usr/include/infiniband/verbs.h").exists():
        pytest.skip("needs a C compiler and the header of libibverbs")
    headers = ["-I", str(TESTS.parent / "native/src/bench")]
    subprocess.run([compiler, "-fsyntax-only", *headers, str(TESTS / "fake_verbs/same_abi.c")], check=True)
