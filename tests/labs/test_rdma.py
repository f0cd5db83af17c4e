"""The benchmarks of RDMA on Soft-RoCE: a real libibverbs, a real kernel, two ports with a wire between them.

An emulated machine tells nothing of speed: what is asked here is that messages arrive, that both ends say the same,
and that nothing is left in the kernel whoever dies.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vm_lab import SOFT_ROCE, boot

pytestmark = pytest.mark.vm

MACHINE = ("--cpus", "2", "--numa", "1", "--nic", "2")

TESTS = Path(__file__).parents[1]

NO_DEVICE = """
bench=/ro/bin/nodeproof-bench
$bench rdma.latency 2> /host/no-device; echo $? >> /host/no-device
"""

BEFORE = """
$bench rdma.latency --device rxe0 --gid-index 200 2> /host/no-gid; echo $? >> /host/no-gid
queue_pairs() { rdma resource show qp | grep -v 'type GSI' | wc -l; }
queue_pairs > /host/queue-pairs
"""

MEASURED = r"""
set -e
for name in latency bandwidth; do
    $bench rdma.$name --device rxe0/1 > /host/$name.self.json
    $bench rdma.$name --between ports > /host/$name.ports.json
    $bench rdma.$name --device rxe0/1 --cpus 1 --listen 127.0.0.1:7000 --session lab \
        > /host/$name.server.json 2> /host/said &
    for _ in $(seq 50); do grep -q listening /host/said && break; sleep 0.1; done
    $bench rdma.$name --device rxe0/1 --cpus 0 --connect 127.0.0.1:7000 --session lab > /host/$name.client.json
    wait
done
taskset -c 1 ib_write_lat -F -s 8 -d rxe0 -x 1 > /dev/null &
sleep 2
taskset -c 0 ib_write_lat -F -s 8 -d rxe0 -x 1 127.0.0.1 > /host/perftest
wait
queue_pairs >> /host/queue-pairs
set +e
"""

#: Of a pair that would go on for long, one dies; and a benchmark is told to end. Each leaves its status.
DEATHS = """
for victim in server client; do for name in latency bandwidth; do
    : > /host/said
    $bench rdma.$name --device rxe0 --cpus 1 --seconds 100 --listen 127.0.0.1:7001 2> /host/said & server=$!
    for _ in $(seq 50); do grep -q listening /host/said && break; sleep 0.1; done
    $bench rdma.$name --device rxe0 --cpus 0 --seconds 100 --connect 127.0.0.1:7001 2> /host/client-said & client=$!
    sleep 2
    kill -9 ${!victim}
    began=$(date +%s)
    [ $victim = server ] && { wait $client; status=$?; cp /host/client-said /host/$victim.$name; }
    [ $victim = client ] && { wait $server; status=$?; cp /host/said /host/$victim.$name; }
    echo "$status $(($(date +%s) - began))" >> /host/$victim.$name
    wait
done; done
for between in self ports; do for name in latency bandwidth; do
    $bench rdma.$name --between $between --seconds 100 2> /host/told.$between.$name & told=$!
    sleep 2
    kill $told
    wait $told; echo $? >> /host/told.$between.$name
done; done
queue_pairs >> /host/queue-pairs
"""


@pytest.fixture(scope="module")
def share(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run everything on one machine: all that it leaves ends up in the shared folder."""
    share = tmp_path_factory.mktemp("share")
    boot(site, share, MACHINE, NO_DEVICE + SOFT_ROCE + BEFORE + MEASURED + DEATHS, timeout_s=400)
    return share


def load(share: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((share / f"{name}.json").read_text())
    return loaded


OPERATIONS = {"latency": ["write", "send"], "bandwidth": ["write"]}


def test_without_a_device_it_is_not_possible_here(share: Path) -> None:
    said = (share / "no-device").read_text().splitlines()

    assert "no RDMA device" in said[0]
    assert said[1:] == ["3"]


def test_a_gid_that_is_not_there_is_not_possible_here(share: Path) -> None:
    assert (share / "no-gid").read_text().endswith("rxe0/1 has no GID of index 200\n3\n")


@pytest.mark.parametrize(("between", "peer"), [("self", "rxe0/1"), ("ports", "rxe1/1")])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_port_is_measured_with_itself_and_with_the_next_one(share: Path, name: str, between: str, peer: str) -> None:
    result = load(share, f"{name}.{between}")

    points = [(p["device"], p["peer"], p["operation"]) for p in result["points"]]
    assert points == [("rxe0/1", peer, operation) for operation in OPERATIONS[name]]
    assert (result["between"], result["wrong_messages"]) == (between, 0)
    assert {p["mtu_bytes"] for p in result["points"]} == {1024}
    assert all(p["samples"] >= 1 and p["rate_bits_per_s"] > 0 for p in result["points"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_both_hosts_say_the_same(share: Path, name: str) -> None:
    server, client = load(share, f"{name}.server"), load(share, f"{name}.client")

    assert server["points"] == client["points"]
    assert [server[key] for key in ("value", "between", "peer_host")] == [client["value"], "hosts", "127.0.0.1"]
    assert (server["wrong_messages"], client["wrong_messages"]) == (0, 0)


def test_a_latency_is_about_what_perftest_says(share: Path) -> None:
    rows = [line.split() for line in (share / "perftest").read_text().splitlines()]
    peer_s = 1e-6 * float(next(row[4] for row in rows if row[:1] == ["8"]))
    write = load(share, "latency.self")["points"][0]

    assert peer_s / 20 < write["sustained"] < peer_s * 20


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("victim", ["server", "client"])
def test_the_death_of_one_end_ends_the_other(share: Path, victim: str, name: str) -> None:
    said = (share / f"{victim}.{name}").read_text()
    status, took_s = said.splitlines()[-1].split()

    assert "went away" in said or "transport retry counter exceeded" in said
    assert int(status) == 1
    assert int(took_s) <= 10


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("between", ["self", "ports"])
def test_a_signal_ends_it(share: Path, between: str, name: str) -> None:
    assert (share / f"told.{between}.{name}").read_text() == f"nodeproof-bench: rdma.{name}: cancelled\n143\n"


def test_no_queue_pair_is_left(share: Path) -> None:
    assert (share / "queue-pairs").read_text().split() == ["0", "0", "0"]


@pytest.mark.parametrize("compiler", ["gcc", "aarch64-linux-gnu-gcc"])
def test_our_declarations_are_those_of_the_library(tmp_path: Path, compiler: str) -> None:
    if shutil.which("apt-get") is None or shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler} and a Debian that has the header of libibverbs")
    subprocess.run(["apt-get", "download", "-qq", "libibverbs-dev"], check=True, cwd=tmp_path)
    (package,) = tmp_path.glob("libibverbs-dev_*.deb")
    subprocess.run(["dpkg", "-x", str(package), str(tmp_path)], check=True)
    headers = ["-I", str(tmp_path / "usr/include"), "-I", str(TESTS.parent / "native/src/bench")]
    subprocess.run([compiler, "-fsyntax-only", *headers, str(TESTS / "fake_verbs/same_abi.c")], check=True)
