"""Where the controller is: its URL as a node has it, and the address that it listens on."""

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from nodeproof.errors import PolicyError


class Place(NamedTuple):
    """`base_url` ends without a slash; `words` is how to speak of it in a message."""

    base_url: str
    is_tls: bool
    words: str


class Listen(NamedTuple):
    """`host` is an IP address or a name of this machine."""

    host: str
    port: int

    @property
    def words(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def place_of(url: str) -> Place:
    """Return where a controller is. Raises PolicyError for a URL that will not do, or that would leak a credential."""
    key = "controller.url"
    try:
        parts = urlsplit(url)
        host, is_usable = parts.hostname or "", parts.scheme in {"http", "https"} and parts.username is None
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host, is_usable = "", False
    if not is_usable or not host or parts.query or parts.fragment:
        raise PolicyError("policy", key, "expected https://host:port")
    if parts.scheme == "http" and not is_loopback(host):
        raise PolicyError("policy", key, "the credential would cross the network in clear; use https")
    return Place(url.rstrip("/"), parts.scheme == "https", f"the controller at {Listen(host, port).words}")


def listen_of(text: str, key: str = "controller.listen") -> Listen:
    """Return the address of `address:port`, `[address]:port` or `:port` (every address)."""
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not is_bracketed):
        raise PolicyError("policy", key, f"expected address:port, found {text!r}")
    return Listen(host.strip("[]"), int(port))


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
