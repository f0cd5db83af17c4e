"""The way to slurmrestd, step by step: the name, the connection, who answers there."""

import socket
import ssl
import struct
import threading
import time
from concurrent.futures import Future
from urllib.parse import urlsplit

from nodeproof.doctor.finding import Finding, Findings, not_asked
from nodeproof.errors import PolicyError
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm.address import Address, address_of, tls_of
from nodeproof.verdict import Verdict, fail, named, ok, warn

#: How long a name server, a connection or a handshake may take, in seconds.
STEP_S = 5.0

#: A certificate that ends sooner than this is told of, in days.
_SOON_DAYS = 14


def network_findings(settings: SlurmSettings) -> Findings:
    """Go the way to slurmrestd. Returns whether somebody answers there whom policy trusts."""
    rest = "slurm.name slurm.connect slurm.tls"
    try:
        address = address_of(settings)
        context = tls_of(settings, address)
    except PolicyError as error:
        yield Finding("slurm.url", fail(str(error)), "Set slurm.url, and for https its files, in policy.")
        return (yield from not_asked(rest, "policy's slurm.url will not do"))
    yield Finding("slurm.url", ok(address.place.partition(" at ")[2]))
    if address.socket_path is not None:
        yield Finding("slurm.connect", _socket(address.socket_path), "Is slurmrestd running, and does it listen there?")
        return True
    return (yield from _tcp(address, context))


def _socket(path: str) -> Verdict:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(STEP_S)
        try:
            connection.connect(path)
        except OSError as error:
            return fail(f"{path}: {error.strerror or error}")
    return ok(f"{path} takes connections")


def server_uid(path: str) -> int | None:
    """Return the user id of the process that listens on a UNIX socket, or None: the kernel knows it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(STEP_S)
        try:
            connection.connect(path)
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
    return int(struct.unpack("3i", raw)[1])


def _tcp(address: Address, context: ssl.SSLContext | None) -> Findings:
    url = urlsplit(address.base_url)
    host, port = url.hostname or "", url.port or (443 if address.is_tls else 80)
    found = _looked_up(host, port)
    if isinstance(found, str):
        yield Finding("slurm.name", fail(found), "Add the host to DNS or /etc/hosts, or correct slurm.url.")
        return (yield from not_asked("slurm.connect slurm.tls", f"{host} has no address"))
    yield Finding("slurm.name", ok(f"{host} is {named(found)}"))
    try:
        connection = socket.create_connection((found[0], port), STEP_S)
    except OSError as error:
        remedy = "Is slurmrestd running, does it listen on that address and port, does a firewall stand between?"
        yield Finding("slurm.connect", fail(f"{found[0]} port {port}: {error.strerror or error}"), remedy)
        return (yield from not_asked("slurm.tls", "there is no connection"))
    with connection:
        yield Finding("slurm.connect", ok(f"{found[0]} port {port} takes connections"))
        if context is None:
            return True
        verdict = _handshake(connection, context, host)
    remedy = (
        "Set slurm.ca_file to the certificates that slurmrestd's (or its proxy's) is signed with, and use its name."
    )
    yield Finding("slurm.tls", verdict, remedy)
    return verdict.status < verdict.status.UNKNOWN


def _looked_up(host: str, port: int) -> list[str] | str:
    """Return the addresses of a host, or why there are none. A name server may not answer at all: a thread asks it."""
    outcome: Future[list[str]] = Future()

    def ask() -> None:
        try:
            outcome.set_result([str(i[4][0]) for i in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as error:
            outcome.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return list(dict.fromkeys(outcome.result(STEP_S)))
    except TimeoutError:
        return f"{host}: no answer from the name server in {STEP_S:g} s"
    except (OSError, UnicodeError) as error:
        return f"{host}: {getattr(error, 'strerror', None) or error}"


def _handshake(connection: socket.socket, context: ssl.SSLContext, host: str) -> Verdict:
    try:
        with context.wrap_socket(connection, server_hostname=host) as secure:
            certificate, version = secure.getpeercert(), secure.version()
    except ssl.SSLCertVerificationError as error:
        return fail(f"the certificate that is shown there will not do: {error.verify_message}")
    except OSError as error:  # ssl.SSLError is one
        return fail(f"no TLS handshake: {error.strerror or getattr(error, 'reason', None) or error}")
    ends = str((certificate or {}).get("notAfter", ""))
    left_days = (ssl.cert_time_to_seconds(ends) - time.time()) / 86400 if ends else _SOON_DAYS
    if left_days < _SOON_DAYS:
        return warn(f"its certificate ends in {left_days:.0f} days")
    return ok(f"{version}, its certificate is good for {left_days:.0f} days")
