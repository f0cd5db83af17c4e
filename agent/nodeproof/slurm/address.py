"""Where slurmrestd is, as policy says it, and how it is made sure that it is nobody else."""

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from nodeproof.errors import PolicyError
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm.private import read_private, resolved

if TYPE_CHECKING:
    import ssl


class Address(NamedTuple):
    """`place` is how to speak of it in a message: never with a secret. `socket_path` is None for TCP."""

    place: str
    base_url: str
    socket_path: str | None

    @property
    def is_tls(self) -> bool:
        return self.base_url.startswith("https:")


def address_of(settings: SlurmSettings) -> Address:
    """Return where slurmrestd is. Raises PolicyError for a URL that will not do, or that would leak the token."""
    if settings.url.startswith("unix:/"):
        return Address(f"slurmrestd at {settings.url}", "http://localhost", settings.url.removeprefix("unix:"))
    try:
        url = urlsplit(settings.url)
        is_usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.username is None
        place = f"{url.scheme}://{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"
    except ValueError:
        is_usable = False
    if not is_usable or url.query or url.fragment:
        raise PolicyError("policy", "slurm.url", "expected http://host:port, https://host:port or unix:/path")
    if url.scheme == "http" and settings.token_file and not _is_loopback(url.hostname or ""):
        raise PolicyError(
            "policy", "slurm.url", "the token would cross the network in clear; use https, unix:/path or this host"
        )
    return Address(f"slurmrestd at {place}", settings.url.rstrip("/"), None)


def tls_of(settings: SlurmSettings, address: Address) -> "ssl.SSLContext | None":
    """Return how to check who answers, and to show who we are. Raises PolicyError for files that will not do."""
    for key, path in (
        ("slurm.client_certificate_file", settings.client_certificate_file),
        ("slurm.client_key_file", settings.client_key_file),
    ):
        if path and not (address.is_tls and settings.client_certificate_file):
            raise PolicyError(path, key, "of no use without an https url and a client_certificate_file")
    if not address.is_tls:
        return None
    import ssl

    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:
        raise PolicyError(settings.ca_file, "slurm.ca_file", f"cannot be used: {error.strerror or error}") from error
    if settings.client_certificate_file:
        _show_certificate(context, settings.client_certificate_file, settings.client_key_file)
    return context


def _show_certificate(context: "ssl.SSLContext", certificate_file: str, key_file: str) -> None:
    """Load our certificate and its key, which may be in one file."""
    certificate_key, key_key = "slurm.client_certificate_file", "slurm.client_key_file"
    secret, key = (key_file, key_key) if key_file else (certificate_file, certificate_key)
    read_private(secret, key, 0)
    try:
        # A password of "" rather than none: OpenSSL would ask for one at the terminal, and wait.
        context.load_cert_chain(resolved(certificate_file, certificate_key), resolved(secret, key), password="")
    except OSError as error:
        said = error.strerror or str(error) or "its key has a password?"
        raise PolicyError(certificate_file, certificate_key, f"cannot be used with its key: {said}") from error


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
