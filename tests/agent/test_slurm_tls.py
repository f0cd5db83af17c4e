"""TLS to slurmrestd: who is believed, who we show to be, and which files will not do."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from nodeproof.errors import PolicyError, SlurmUnreachable
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm import Client
from nodeproof.slurm.answer import Applied, Unknown
from slurm_replay import Slurmrestd, said, serving

NODE, UPDATED = said("v0.0.42-node"), said("v0.0.42-update-drain")
DRAIN = {"state": ["DRAIN"], "reason": "x"}


def client(server: Slurmrestd, *, keep_alive: bool = False, **keys: Any) -> Client:
    return Client(SlurmSettings(server.url, api_version="v0.0.42", **keys), 10.0, keep_alive=keep_alive)


class Paths:
    """Files of a certificate authority, and of a client that it vouches for."""

    def __init__(self, directory: Path, name: str) -> None:
        self.authority = trustme.CA()
        self.ca = directory / f"{name}-ca.pem"
        self.certificate = directory / f"{name}.pem"
        self.key = directory / f"{name}.key"
        issued = self.authority.issue_cert("n1.example", common_name="n1")
        self.authority.cert_pem.write_to_path(self.ca)
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        self.key.touch(mode=0o600)
        issued.private_key_pem.write_to_path(self.key)

    def server_side(self, host: str = "127.0.0.1") -> ssl.SSLContext:
        """Return the server's part: it shows a certificate for `host`, and takes only clients of this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.authority.issue_cert(host).configure_cert(context)
        return context

    def settings(self) -> dict[str, Any]:
        return {
            "ca_file": str(self.ca),
            "client_certificate_file": str(self.certificate),
            "client_key_file": str(self.key),
        }


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return Paths(tmp_path_factory.mktemp("tls"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return Paths(tmp_path_factory.mktemp("tls"), "theirs")


@pytest.mark.parametrize("keep_alive", [False, True])
def test_tls_with_an_authority_and_a_client_certificate(ours: Paths, keep_alive: bool) -> None:
    with serving(tls=ours.server_side(), is_keeping=True) as server:
        server.on_node(NODE, update=UPDATED)
        with client(server, keep_alive=keep_alive, **ours.settings()) as c:
            assert c.node("n1").name == "n1"
            assert c.update(["n1"], DRAIN) == Applied(())
        assert c.place == f"slurmrestd at {server.url}"


def test_certificate_and_key_may_be_one_file(ours: Paths, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.touch(mode=0o600)
    both.write_bytes(ours.key.read_bytes() + ours.certificate.read_bytes())

    with serving(tls=ours.server_side()) as server:
        server.on_node(NODE)
        with client(server, ca_file=str(ours.ca), client_certificate_file=str(both)) as c:
            assert c.node("n1").name == "n1"


@pytest.mark.parametrize("who", ["no certificate", "their certificate", "their server", "another host", "no authority"])
def test_nothing_is_sent_to_or_taken_from_a_stranger(ours: Paths, theirs: Paths, tmp_path: Path, who: str) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("secret")
    context = (theirs if who == "their server" else ours).server_side(
        "b.example" if who == "another host" else "127.0.0.1"
    )
    keys: dict[str, Any] = {
        "no certificate": {"ca_file": str(ours.ca)},
        "their certificate": theirs.settings() | {"ca_file": str(ours.ca)},
        "no authority": ours.settings() | {"ca_file": ""},
    }.get(who, ours.settings())

    with serving(tls=context) as server:
        server.on_node(NODE, update=UPDATED)
        with client(server, token_file=str(token), **keys) as c:
            with pytest.raises(SlurmUnreachable) as caught:
                c.node("n1")
            assert isinstance(c.update(["n1"], DRAIN), Unknown)
        assert server.requests == []

    assert "secret" not in str(caught.value)
    assert ("CERTIFICATE_VERIFY_FAILED" in str(caught.value)) == ("certificate" not in who)


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_key_that_others_may_read_is_refused(ours: Paths, tmp_path: Path, mode: int) -> None:
    loose = tmp_path / "loose.key"
    loose.write_bytes(ours.key.read_bytes())
    loose.chmod(mode)

    with pytest.raises(PolicyError, match=rf"slurm\.client_key_file: has mode {mode:04o}"):
        Client(SlurmSettings("https://h:1", **ours.settings() | {"client_key_file": str(loose)}))


@pytest.mark.parametrize("what", ["another key", "no key", "no certificate", "password"])
def test_a_certificate_that_will_not_do_is_told_at_once(ours: Paths, theirs: Paths, tmp_path: Path, what: str) -> None:
    odd = tmp_path / "odd.pem"
    odd.touch(mode=0o600)
    key = serialization.load_pem_private_key(ours.key.read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    odd.write_bytes(
        key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"x")) if what == "password" else b"no PEM"
    )
    changed = {
        "another key": {"client_key_file": str(theirs.key)},
        "no key": {"client_key_file": str(odd)},
        "no certificate": {"client_certificate_file": str(odd)},
        "password": {"client_key_file": str(odd)},  # and nobody is asked for it
    }[what]

    with pytest.raises(PolicyError, match=r"slurm\.client_certificate_file: cannot be used with its key: ."):
        Client(SlurmSettings("https://h:1", **ours.settings() | changed))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"url": "http://127.0.0.1:1", "client_certificate_file": "/x"}, "of no use without an https url"),
        ({"url": "unix:/run/s", "client_key_file": "/x"}, "of no use without an https url"),
        (
            {"url": "https://h:1", "client_key_file": "/x"},
            "of no use without an https url and a client_certificate_file",
        ),
        ({"url": "https://h:1", "client_certificate_file": "/missing/x"}, "cannot be read: No such file"),
        ({"url": "https://h:1", "ca_file": "/missing/x"}, r"slurm\.ca_file: cannot be used: No such file"),
    ],
)
def test_files_for_tls_that_will_not_do_are_told(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        Client(SlurmSettings(**keys))
