"""The benchmarks of TCP, on one host and between two: here both ends run on this one, over real sockets."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from two_hosts import CPUS, ONE, OTHER, Hosts, ended, port, result

Bench = Callable[..., "subprocess.CompletedProcess[str]"]
Measure = Callable[..., dict[str, Any]]

needs_two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")


# One host


@needs_two_cpus
def test_latency_on_one_host_is_half_a_round_trip_with_its_spread(measure: Measure) -> None:
    found = measure("net.latency", "--seconds", "0.3")
    points = {p["operation"]: p for p in found["points"]}

    assert (found["between"], found["peer_host"], found["wrong_messages"]) == ("self", None, 0)
    assert found["value"] == points["spinning"]["value"]
    assert list(points) == ["spinning", "blocking"]
    for point in points.values():
        assert (point["device"], point["peer"], point["message_bytes"]) == ("", "", 8)
        assert 1e-7 < point["min_s"] <= point["value"] <= point["sustained"] <= point["max_s"] < 1
        assert sum(count for _, count in point["histogram"]) == point["samples"]
        edges = [edge for edge, _ in point["histogram"]]
        assert edges == sorted(set(edges))
        assert edges[0] / 1.05 < point["min_s"] <= edges[0] * 1.001
        assert edges[-1] / 1.05 < point["max_s"] <= edges[-1] * 1.001


@needs_two_cpus
def test_bandwidth_on_one_host_is_of_one_stream(measure: Measure) -> None:
    found = measure("net.bandwidth", "--seconds", "0.2", "--bytes", "64K")

    assert [(p["operation"], p["message_bytes"]) for p in found["points"]] == [("stream", 65536)]
    assert found["wrong_messages"] == 0
    assert 1e6 < found["value"] < 1e12


@pytest.mark.parametrize("name", ["net.latency", "net.bandwidth"])
@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--listen", "127.0.0.1:0", "--connect", "127.0.0.1:1"), "different hosts"),
        (("--listen", "localhost:7000"), "no numeric ADDRESS:PORT"),
        (("--connect", "::1:7000"), "no numeric ADDRESS:PORT"),
        (("--connect", "127.0.0.1:0"), "no numeric ADDRESS:PORT"),
        (("--listen", ""), "empty value"),
        (("--listen", "127.0.0.1:0", "--session", "a b"), "--session takes"),
        (("--listen", "127.0.0.1:0", "--session", "x" * 64), "--session takes"),
        (("--session", "one"), "--listen or --connect is missing"),
        (("--between", "us"), "--between takes"),
        (("--between", "ports", "--listen", "127.0.0.1:0"), "between two hosts there is no --between"),
    ],
)
def test_wrong_use_of_two_hosts_is_exit_2(bench: Bench, name: str, args: tuple[str, ...], says: str) -> None:
    done = bench(name, *args)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--between", "ports"), "never leaves it"),
        (("--device", "lo"), "loopback interface only"),
        (("--bytes", "7"), "8 to 1048576 bytes"),
        (("--listen", "127.0.0.1:0", "--device", "../lo"), "no name of an interface"),
        (("--listen", "127.0.0.1:0", "--device", "lo,,lo"), "no name of an interface"),
        (("--listen", "127.0.0.1:0", "--device", "x" * 16), "no name of an interface"),
        (("--listen", "127.0.0.1:0", "--device", ",".join(["lo"] * 33)), "more than 32 interfaces"),
        (("--gid-index", "3"), "does not take --gid-index"),
    ],
)
def test_what_tcp_cannot_measure_is_exit_2(bench: Bench, args: tuple[str, ...], says: str) -> None:
    done = bench("net.latency", *args)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


# Two hosts


@pytest.mark.parametrize("at", ["127.0.0.1:0", "[::1]:0"])
def test_both_ends_print_the_same_figures(hosts: Hosts, at: str) -> None:
    args = ("--seconds", "0.3", "--session", "pair-1.2:3_4")
    server, address = hosts.listen("net.latency", *args, at=at)
    client = hosts.connect("net.latency", address, *args)
    theirs, ours = result(server), result(client)

    same = ("points", "value", "interval", "samples", "seconds", "messages", "wrong_messages", "is_contended")
    assert {k: theirs[k] for k in same} == {k: ours[k] for k in same}
    assert [p["operation"] for p in ours["points"]] == ["spinning", "blocking"]
    assert (ours["between"], ours["wrong_messages"]) == ("hosts", 0)
    assert ours["peer_host"] == theirs["peer_host"] == at.rpartition(":")[0].strip("[]")
    assert ours["points"][0]["mtu_bytes"] == int(Path("/sys/class/net/lo/mtu").read_text())


def test_a_stream_between_two_hosts(hosts: Hosts) -> None:
    args = ("--seconds", "0.2", "--bytes", "128K")
    server, address = hosts.listen("net.bandwidth", *args)
    client = hosts.connect("net.bandwidth", address, *args)
    theirs, ours = result(server), result(client)

    assert theirs["points"] == ours["points"]
    assert (ours["wrong_messages"], ours["points"][0]["message_bytes"]) == (0, 131072)
    assert 1e6 < ours["value"] < 1e12


def test_the_client_may_come_first(hosts: Hosts) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    client = hosts.connect("net.latency", address, "--seconds", "0.05")
    time.sleep(0.2)
    server, _ = hosts.listen("net.latency", "--seconds", "0.05", at=address)

    assert result(client)["points"] == result(server)["points"]


NOISE = {
    "a web browser": b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
    "a short one": b"npb",
    "an endless one": b"\0" * 1_000_000,
    "an old version": b"npbench\n" + bytes(104),
    "nobody": b"",
}


def test_strangers_are_sent_away_and_the_right_one_is_let_in(hosts: Hosts) -> None:
    server, address = hosts.listen("net.latency", "--seconds", "0.05", "--session", "right")
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port(address)), timeout=5)) for _ in range(20)
        ]
        for noise in NOISE.values():
            stranger = stack.enter_context(socket.create_connection(("127.0.0.1", port(address)), timeout=5))
            with suppress(ConnectionError):  # sent away in the middle of it
                stranger.sendall(noise)
                with suppress(OSError):
                    stranger.shutdown(socket.SHUT_WR)
                while stranger.recv(4096):
                    pass
        wrong = hosts.connect("net.latency", address, "--seconds", "0.05", "--session", "wrong")
        assert ended(wrong)[0] == 1
        client = hosts.connect("net.latency", address, "--seconds", "0.05", "--session", "right")
        assert result(client)["between"] == "hosts"
        assert any(not stranger.recv(1) for stranger in silent[:1])  # it made room for others
    status, out, err = ended(server)

    assert status == 0
    assert json.loads(out)["peer_host"] == "127.0.0.1"
    assert "net.latency: refused 127.0.0.1: " in err
    assert err.count("\n") <= 9, "a scan fills no log"
    assert "further ones are not shown" in err


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("net.latency", ("--session", "blue"), "it is no nodeproof-bench"),
        ("net.latency", ("--session", "green"), "it came for another session"),
        ("net.bandwidth", ("--session", "blue"), "it came for another benchmark"),
    ],
)
def test_why_somebody_was_refused_is_said_at_the_end(hosts: Hosts, name: str, args: tuple[str, ...], says: str) -> None:
    server, address = hosts.listen("net.latency", "--seconds", "0.05", "--session", "blue")
    if "no nodeproof-bench" in says:
        with socket.create_connection(("127.0.0.1", port(address)), timeout=5) as stranger:
            stranger.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            assert stranger.recv(1) == b""
    else:
        status, out, err = ended(hosts.connect(name, address, "--seconds", "0.05", *args))
        assert (status, out) == (1, "")
        expected = 'another session than "green"' if name == "net.latency" else "another benchmark, net.latency"
        assert err == f"nodeproof-bench: {name}: {address} waits for {expected}\n"
    server.terminate()
    status, out, err = ended(server)

    assert (status, out) == (-signal.SIGTERM, "")
    assert f"nodeproof-bench: net.latency: refused 127.0.0.1: {says}\n" in err


def test_ends_that_want_different_things_say_so(hosts: Hosts) -> None:
    server, address = hosts.listen("net.latency", "--seconds", "0.1", "--bytes", "8")
    client = hosts.connect("net.latency", address, "--seconds", "0.1", "--bytes", "64")

    assert ended(client) == (
        2,
        "",
        "nodeproof-bench: net.latency: this end has messages of 64 bytes, the other one of 8\n",
    )
    assert ended(server) == (
        2,
        "",
        "nodeproof-bench: net.latency: this end has messages of 8 bytes, the other one of 64\n",
    )


def test_what_answers_may_be_no_nodeproof_bench(hosts: Hosts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = hosts.connect("net.latency", f"127.0.0.1:{listener.getsockname()[1]}", "--seconds", "0.05")
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")
            status, out, err = ended(client)

    assert (status, out) == (1, "")
    assert "is no nodeproof-bench" in err


def test_a_port_in_use_is_named(hosts: Hosts, bench: Bench) -> None:
    _, address = hosts.listen("net.latency")
    done = bench("net.latency", "--listen", address)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"nodeproof-bench: net.latency: cannot listen on {address}: Address already in use\n"


def test_it_listens_at_no_other_address(hosts: Hosts) -> None:
    _, address = hosts.listen("net.latency", at="127.0.0.2:0")

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port(address)), timeout=5)
    socket.create_connection(("127.0.0.2", port(address)), timeout=5).close()


TWO_HOSTS = """
PATH=$PATH:/usr/sbin:/sbin
mount -t sysfs none /sys || exit
unshare --net sleep 30 & peer=$!
trap 'kill $peer' EXIT
until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
set -e
for i in 0 1; do
    ip link add a$i type veth peer name b$i netns $peer
    ip addr add 10.9.$i.1/24 dev a$i
    ip link set a$i up mtu 9000
    nsenter -t $peer -n ip addr add 10.9.$i.2/24 dev b$i
    nsenter -t $peer -n ip link set b$i up mtu 9000
done
nsenter -t $peer -n "$0" net.latency --listen 10.9.0.2:7000 --device b0,b1 --seconds 0.2 --cpus "$1" >&2 & server=$!
"$0" net.latency --connect 10.9.0.2:7000 --device a0,a1 --seconds 0.2 --cpus "$2"
wait $server
"""


def test_interfaces_are_paired_in_order(build: Path) -> None:
    argv = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", TWO_HOSTS]
    argv += [str(build / "nodeproof-bench"), ONE, OTHER]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    if any(word in done.stderr for word in ("unshare", "mount", "ip:", "RTNETLINK", "nsenter")):
        pytest.skip(f"cannot have two hosts here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    ours = json.loads(done.stdout)
    theirs = json.loads(next(line for line in done.stderr.splitlines() if line.startswith("{")))

    pairs = [("a0", "b0", "spinning"), ("a0", "b0", "blocking"), ("a1", "b1", "spinning"), ("a1", "b1", "blocking")]
    assert [(p["device"], p["peer"], p["operation"]) for p in ours["points"]] == pairs
    assert [(p["peer"], p["device"], p["operation"]) for p in theirs["points"]] == pairs
    assert [p["value"] for p in ours["points"]] == [p["value"] for p in theirs["points"]]
    assert {p["mtu_bytes"] for p in ours["points"]} == {9000}
    assert {p["rate_bits_per_s"] for p in ours["points"]} == {10e9}  # what drivers/net/veth.c says
    assert ours["value"] == max(p["value"] for p in ours["points"] if p["operation"] == "spinning")
    assert ours["peer_host"] == "10.9.0.2"


def test_an_interface_that_is_not_there_is_not_possible_here(bench: Bench) -> None:
    done = bench("net.latency", "--connect", "127.0.0.1:1", "--device", "nosuch0")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "nodeproof-bench: net.latency: there is no network interface nosuch0\n"


def test_the_options_for_two_hosts_are_in_the_help(bench: Bench) -> None:
    text = bench("--help").stdout
    listed = [line.split("\t")[0] for line in bench("--list").stdout.splitlines()]

    for option in (
        "--device LIST",
        "--between WHAT",
        "--listen ADDRESS:PORT",
        "--connect ADDRESS:PORT",
        "--session NAME",
    ):
        assert f"  {option} " in text
    assert "--gid-index N" in text
    assert {"net.latency", "net.bandwidth", "rdma.latency", "rdma.bandwidth"} <= set(listed)
