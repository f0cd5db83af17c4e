"""What becomes of an end of a measurement whose other end dies, stands still, or never comes."""

import re
import signal
import socket
import time

import pytest

from two_hosts import Child, Hosts, ended, port


def started(hosts: Hosts, name: str) -> tuple[Child, Child]:
    """Return a server and a client that measure for long, and have begun."""
    server, address = hosts.listen(name, "--seconds", "60")
    client = hosts.connect(name, address, "--seconds", "60")
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s and not is_listening_gone(port(address)):
        time.sleep(0.01)
    time.sleep(0.1)
    return server, client


def is_listening_gone(number: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", number), timeout=5).close()
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("name", ["net.latency", "net.bandwidth"])
@pytest.mark.parametrize("victim", ["server", "client"])
def test_an_end_that_is_killed_ends_the_other(hosts: Hosts, name: str, victim: str) -> None:
    server, client = started(hosts, name)
    first, other = (server, client) if victim == "server" else (client, server)
    first.kill()
    begin_s = time.monotonic()
    status, out, err = ended(other)

    assert (status, out) == (1, "")
    assert "the other host, 127.0.0.1, went away\n" in err
    assert time.monotonic() - begin_s < 5


@pytest.mark.parametrize("victim", ["server", "client"])
def test_a_signal_ends_an_end_at_once(hosts: Hosts, victim: str) -> None:
    server, client = started(hosts, "net.latency")
    child = server if victim == "server" else client
    child.terminate()
    begin_s = time.monotonic()
    status, out, err = ended(child)

    assert (status, out) == (-signal.SIGTERM, "")
    assert err.endswith("net.latency: cancelled\n")
    assert time.monotonic() - begin_s < 5


@pytest.mark.parametrize("option", ["--listen", "--connect"])
def test_a_signal_ends_who_waits(hosts: Hosts, option: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    child = hosts.start("net.latency", option, address)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    status, out, err = ended(child, within_s=5)

    assert (status, out) == (-signal.SIGINT, "")
    assert "cancelled" in err
    socket.create_server(("127.0.0.1", port(address))).close()


def test_every_wait_has_a_deadline(hosts_in_a_hurry: Hosts) -> None:
    """One that nobody comes to, one that finds nobody, and two whose other ends stand still."""
    hosts = hosts_in_a_hurry
    alone, _ = hosts.listen("net.latency", *HURRY)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        lost = hosts.connect("net.latency", f"127.0.0.1:{unused.getsockname()[1]}", *HURRY)
        others = [stopped(hosts, victim) for victim in ("server", "client")]
        begin_s = time.monotonic()
        assert re.search(r"nobody came to \S+ in time\n", ended(alone)[2])
        assert "Connection refused" in ended(lost)[2]
        for other in others:
            status, out, err = ended(other)
            assert (status, out) == (1, "")
            assert "the other host, 127.0.0.1, did not answer in time\n" in err
        assert time.monotonic() - begin_s < 8


HURRY = ("--seconds", "1", "--hook", "hurry")


def stopped(hosts: Hosts, victim: str) -> Child:
    """Return an end whose other end stands still while they measure."""
    server, address = hosts.listen("net.bandwidth", *HURRY)
    client = hosts.connect("net.bandwidth", address, *HURRY)
    time.sleep(0.4)
    first, other = (server, client) if victim == "server" else (client, server)
    first.send_signal(signal.SIGSTOP)
    return other
