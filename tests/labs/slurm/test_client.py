"""The client against real slurmrestds of 24.11 and 26.05; `test_old` has 22.05, which only reads.

Each fault is made for real: daemons are stopped, hung and killed, tokens expire, keys are changed.
"""

import contextlib
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from lab_door import DRAIN, LIMIT_S, OFFERED, REASON, UNDRAIN, Door, assert_reads
from mini_slurm import Slurm
from nodeproof.errors import PolicyError, SlurmNotFound, SlurmRejected, SlurmUnreachable
from nodeproof.slurm.answer import AlreadySo, Applied, NotFound, Refused, Unknown
from nodeproof.slurm.versions import Versions

pytestmark = pytest.mark.slurm


@pytest.fixture
def door(slurm: Slurm, n1: str, tmp_path: Path) -> Iterator[Door]:
    slurm.free("n2")
    yield Door(slurm, tmp_path / "token")
    slurm.free(n1)
    slurm.free("n2")


# ---- reading


def test_nodes_are_read(door: Door) -> None:
    assert_reads(door)


def test_what_was_found_costs_no_request_again(door: Door, tmp_path: Path) -> None:
    counts = []
    for _ in range(2):
        with door.client(versions=Versions(str(tmp_path))) as client:
            client.node("n1")
        counts.append(client.requests)

    assert counts == [{"24.11": 2, "26.05": 1}[door.slurm.release], 1]


def test_every_version_drains_and_resumes_without_a_warning(door: Door) -> None:
    for number in OFFERED[door.slurm.release]:
        pinned: dict[str, Any] = {"api_version": f"v0.0.{number}"}
        assert door.update("n1", **pinned) == Applied(())
        node = door.node()
        assert (node.base_state, node.is_drained, node.reason, node.reason_user) == ("IDLE", True, REASON, "slurm")
        assert abs(node.reason_changed_at - time.time()) < 60
        assert door.update("n1", changes=UNDRAIN, **pinned) == Applied(())
        assert not door.node().is_drained


def test_every_version_changes_several_nodes_in_one_request(door: Door) -> None:
    for number in OFFERED[door.slurm.release]:
        with door.client(api_version=f"v0.0.{number}") as client:
            client.version()
            before = client.requests
            assert client.update(["n1", "n2"], DRAIN) == Applied(())
            assert client.requests == before + 1
            assert all(client.node(name).is_drained for name in ("n1", "n2"))
            assert client.update(["n1", "n2"], UNDRAIN) == Applied(())
            assert not any(node.is_drained for node in client.nodes().values())


# ---- tokens


def test_an_expired_token_is_refused_and_a_renewed_one_taken(door: Door) -> None:
    door.take("slurm", 1)
    with door.client() as client:
        time.sleep(2.5)
        with pytest.raises(SlurmRejected, match="1007"):
            client.node("n1")
        answer = client.update(["n1"], DRAIN)
        assert isinstance(answer, Refused)
        assert answer.number == 1007
        door.take("slurm")
        assert client.update(["n1"], DRAIN) == Applied(())
        assert client.node("n1").reason == REASON


def test_a_forged_token_is_refused(door: Door) -> None:
    forged = door.slurm.token("slurm")[:-8] + "AAAAAAAA"
    door.token_file.write_text(forged)

    answer = door.update("n1")

    assert isinstance(answer, Refused)
    assert answer.number == 1007
    assert forged not in answer.words


def test_a_token_of_another_user_than_policy_names_is_refused(door: Door) -> None:
    door.take("alice")

    answer = door.update("n1")

    assert isinstance(answer, Refused)
    assert answer.number == 1007


def test_a_user_without_rights_reads_and_does_not_write(door: Door) -> None:
    door.take("alice")
    with door.client(user_name="alice") as client:
        assert client.node("n1").name == "n1"
        answer = client.update(["n1"], DRAIN)
        assert isinstance(answer, Refused)
        assert answer.number == 2010
        assert not client.node("n1").is_drained


def test_a_token_is_revoked_by_a_new_key(door: Door) -> None:
    key = door.slurm.root / "etc/slurm/jwt_hs256.key"
    before = key.read_bytes()
    with door.client() as client:
        client.node("n1")
        with door.slurm.stopped("slurmctld"):
            key.write_bytes(secrets.token_bytes(32))
        client.renew(LIMIT_S)
        try:
            with pytest.raises(SlurmRejected, match="1007"):
                client.node("n1")
            assert isinstance(client.update(["n1"], DRAIN), Refused)
            door.take("slurm")
            assert client.update(["n1"], DRAIN) == Applied(())
        finally:
            with door.slurm.stopped("slurmctld"):
                key.write_bytes(before)
    door.slurm.wait_for("n1", "IDLE", "DRAIN")


def test_a_token_that_others_may_read_is_not_used(door: Door) -> None:
    door.token_file.chmod(0o644)

    with pytest.raises(PolicyError, match="has mode 0644, expected 0600"):
        door.client()


# ---- sockets


def test_on_a_unix_socket_the_socket_decides_who_we_are(door: Door) -> None:
    local: dict[str, Any] = {"url": f"unix:{door.slurm.socket}", "token_file": ""}

    assert door.update("n1", **local) == Applied(())
    with door.client(**local) as client:
        assert client.account == ""
        assert client.node("n1").reason_user == "root"


@contextlib.contextmanager
def jwt_socket(slurm: Slurm) -> Iterator[str]:
    """Run a slurmrestd that takes tokens on a UNIX socket: with rest_auth/local beside it, it would not."""
    path = f"/tmp/jwt-{secrets.token_hex(4)}.sock"  # inside the chroot
    started = (
        "SLURM_JWT=daemon setsid setpriv --reuid=slurmrest --regid=slurmrest --clear-groups "
        f"slurmrestd -s openapi/slurmctld -a rest_auth/jwt unix:{path} >/dev/null 2>&1 </dev/null & echo $!"
    )
    pid = slurm.exec("sh", "-c", started).strip()
    try:
        socket_path = slurm.root / path.lstrip("/")
        until_s = time.monotonic() + 20
        while not socket_path.is_socket():
            assert time.monotonic() < until_s, "no slurmrestd on a socket"
            time.sleep(0.05)
        yield str(socket_path)
    finally:
        slurm.exec("kill", pid)


def test_on_a_unix_socket_a_token_may_decide(door: Door) -> None:
    with jwt_socket(door.slurm) as path:
        assert door.update("n1", url=f"unix:{path}") == Applied(())
        assert isinstance(door.update("n1", url=f"unix:{path}", token_file=""), Refused)

    assert door.node().reason_user == "slurm"


@contextlib.contextmanager
def tls_in_front(url: str, context: ssl.SSLContext) -> Iterator[str]:
    """Run what a site puts before a slurmrestd without TLS of its own: TLS in, the same bytes out."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            inside = context.wrap_socket(client, server_side=True)
            with inside, socket.create_connection((host, int(port))) as slurmrestd:
                back = threading.Thread(target=pump, args=(slurmrestd, inside))
                back.start()
                pump(inside, slurmrestd)
                back.join()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()


def test_tls_with_a_client_certificate_in_front_of_slurmrestd(door: Door, tmp_path: Path) -> None:
    authority = trustme.CA()
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "client.pem", "client.key"))
    authority.cert_pem.write_to_path(ca)
    issued = authority.issue_cert("n1.example")
    issued.cert_chain_pems[0].write_to_path(certificate)
    key.touch(mode=0o600)
    issued.private_key_pem.write_to_path(key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("127.0.0.1").configure_cert(context)
    files: dict[str, Any] = {"client_certificate_file": str(certificate), "client_key_file": str(key)}

    with tls_in_front(door.slurm.url, context) as url:
        for keep_alive in (False, True):
            with door.client(url=url, ca_file=str(ca), keep_alive=keep_alive, **files) as client:
                assert client.node("n1").name == "n1"
                assert client.update(["n1"], DRAIN) == Applied(())
                assert client.nodes()["n1"].reason == REASON
        with door.client(url=url, ca_file=str(ca)) as bare, pytest.raises(SlurmUnreachable):
            bare.node("n1")
        with door.client(url=url, **files) as trusting, pytest.raises(SlurmUnreachable, match="CERTIFICATE_VERIFY"):
            trusting.node("n1")


def test_a_kept_connection_outlives_errors(door: Door) -> None:
    with door.client(keep_alive=True) as client:
        for _ in range(20):
            assert client.node("n1").name == "n1"
            with pytest.raises(SlurmNotFound):
                client.node("nope")
            assert isinstance(client.update(["nope"], DRAIN), NotFound)
            assert isinstance(client.update(["n1"], {"state": ["RESUME"]}), AlreadySo)
            assert client.update(["n1"], {"extra": ""}) == Applied(())


# ---- names


def test_an_unknown_node_is_not_found(door: Door) -> None:
    assert isinstance(door.update("nope"), NotFound)


@pytest.mark.parametrize(
    ("names", "drained"),
    [(("n1", "n2", "zzz"), ("n1", "n2")), (("a0", "n1", "n2"), ())],  # Slurm sorts them, and stops at the unknown one
)
def test_a_batch_with_an_unknown_name_is_not_found_and_half_applied(
    door: Door, names: tuple[str, ...], drained: tuple[str, ...]
) -> None:
    answer = door.update(*names)

    assert isinstance(answer, NotFound)
    with door.client() as client:
        assert tuple(name for name, node in client.nodes().items() if node.is_drained) == drained


def test_resuming_what_is_not_drained_is_already_so(door: Door) -> None:
    assert isinstance(door.update("n1", changes={"state": ["RESUME"]}), AlreadySo)


# ---- daemons


def test_slurmctld_is_stopped(door: Door) -> None:
    with door.slurm.stopped("slurmctld"), ThreadPoolExecutor() as side_by_side:  # slurmrestd tries for 10 s
        reading, writing = side_by_side.submit(door.node), side_by_side.submit(door.update, "n1")
        with pytest.raises(SlurmUnreachable, match=r"HTTP 502: .*\(1800\)"):
            reading.result()
        answer = writing.result()
    assert isinstance(answer, Unknown)
    assert "(1800)" in answer.words
    door.slurm.wait_for("n1", "IDLE")
    assert not door.node().is_drained


def test_what_slurmctld_was_asked_while_it_hung_is_unknown_and_done_later(door: Door) -> None:
    with door.client() as client:
        client.version()
        with door.slurm.hung("slurmctld"):
            answer = client.update(["n1"], DRAIN)
        assert isinstance(answer, Unknown)
        assert "HTTP 504" in answer.words
        door.slurm.wait_for("n1", "IDLE", "DRAIN")
        client.renew(LIMIT_S)
        assert client.node("n1").reason == REASON


def test_our_time_ends_before_slurmrestds(door: Door) -> None:
    with door.client() as client:
        client.version()
        with door.slurm.hung("slurmctld"):
            client.renew(1.0)
            began = time.monotonic()
            answer = client.update(["n1"], DRAIN)
            assert time.monotonic() - began < 1.5
        assert isinstance(answer, Unknown)
        door.slurm.wait_for("n1", "IDLE", "DRAIN")  # and yet it was applied


@pytest.mark.parametrize("keep_alive", [False, True])
def test_slurmrestd_is_killed_while_it_is_asked(door: Door, keep_alive: bool) -> None:
    with door.client(keep_alive=keep_alive) as client:
        client.node("n1")
        with door.slurm.hung("slurmctld"):
            killer = threading.Timer(0.5, door.slurm.stop, ["slurmrestd-tcp"])
            killer.start()
            answer = client.update(["n1"], DRAIN)
            killer.join()
        assert isinstance(answer, Unknown)
        with pytest.raises(SlurmUnreachable, match="no answer from slurmrestd at"):
            client.node("n1")
        door.slurm.start("slurmrestd-tcp")
        client.renew(LIMIT_S)
        client.node("n1")
        assert client.update(["n1"], DRAIN) == Applied(())
        assert client.node("n1").reason == REASON
