"""The controller's socket and certificate. Whatever of policy will not do is a PolicyError, before anybody asks."""

import socket
import ssl

from nodeproof.controller.place import Listen, is_loopback, listen_of
from nodeproof.errors import PolicyError
from nodeproof.policy.settings import ControllerSettings
from nodeproof.slurm.private import read_private, resolved

#: Connections that wait in the kernel: a whole fleet may call at once. Linux caps it at net.core.somaxconn.
BACKLOG = 4096


def listening(settings: ControllerSettings) -> socket.socket:
    """Return the socket that the controller listens on."""
    listen = listen_of(settings.listen)
    if not settings.certificate_file and not is_loopback(listen.host):
        words = "needed to listen on anything but loopback: credentials would cross the network in clear"
        raise PolicyError("policy", "controller.certificate_file", words)
    try:
        return opened_at(listen, BACKLOG)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]  # Python adds the address as it has it
        words = f"cannot listen on {listen.words}: {why}"
        raise PolicyError("policy", "controller.listen", words) from error


def opened_at(listen: Listen, backlog: int) -> socket.socket:
    """Return a socket that listens there: on IPv4 and IPv6 where it is every address. Raises OSError."""
    is_any = listen.host in {"", "::"} and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_any or ":" in listen.host else socket.AF_INET
    return socket.create_server(listen, family=family, backlog=backlog, dualstack_ipv6=is_any)


def tls_of(settings: ControllerSettings) -> ssl.SSLContext | None:
    """Return what the controller shows to its nodes; None where policy names no certificate."""
    if not settings.certificate_file:
        return None
    key = "controller.key_file" if settings.key_file else "controller.certificate_file"
    secret = settings.key_file or settings.certificate_file
    read_private(secret, key, 0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # nobody comes back on the same session
    certificate = resolved(settings.certificate_file, "controller.certificate_file")
    try:
        # A password of "" rather than none: OpenSSL would ask for one at the terminal, and wait.
        context.load_cert_chain(certificate, resolved(secret, key), password="")
    except OSError as error:
        said = error.strerror or str(error) or "its key has a password?"
        raise PolicyError(settings.certificate_file, key, f"cannot be used with its key: {said}") from error
    return context
