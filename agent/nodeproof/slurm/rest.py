"""slurmrestd over httpx: one request, one answer, one classification.

Two traps shape it: an HTTP 200 may be an error, and an HTTP 5xx may have been applied. So
`errors[]` is judged before the status, and whoever writes reads the node again (`slurm.actions`).
Nothing is retried here: the next pass is the retry.
"""

import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from nodeproof.errors import PolicyError, SlurmRejected, SlurmUnreachable
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm.node import Node, node_of
from nodeproof.slurm.token import read_token
from nodeproof.verdict import harmless

if TYPE_CHECKING:
    import httpx

#: API versions we know, newest first. v0.0.39 (Slurm 23.02) is the first that can update a node.
VERSIONS = tuple(f"v0.0.{n}" for n in range(45, 38, -1))

#: Error numbers that say no for sure (slurm_errno.h): authentication, invalid user, node name,
#: node state (2028, from 25.05 2180 as well), unparsable value. Any other with a 5xx is an open outcome.
_REFUSALS = frozenset({1007, 2010, 2018, 2028, 2180, 9207, 9209})

#: One node is 3 kB. A larger answer is no answer to what we asked.
MAX_ANSWER_BYTES = 4 << 20

#: No host list: `n[1-3]` and `n1,n2` would name other nodes than this one.
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Client:
    """slurmrestd for one run: `settings.timeout_s` is all the time there is, for all requests together.

    `warnings` collects what slurmrestd complained of without refusing. Raises PolicyError for
    settings it cannot work with, SlurmUnreachable and SlurmRejected for answers.
    """

    def __init__(self, settings: SlurmSettings) -> None:
        self.warnings: list[str] = []
        self.place, base_url, socket_path = _place(settings)
        self._until_s = time.monotonic() + settings.timeout_s
        self._version = ""
        self._http = _http(settings, base_url, socket_path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def version(self) -> str:
        """Return the newest API version that both sides know; asked once."""
        if not self._version:
            self._version = self._negotiate()
        return self._version

    def node(self, name: str) -> Node:
        """Return the node as it is now."""
        status, body = self._ask("GET", self._node_path(name))
        # An unknown node is HTTP 200 with the error "0: No error" and no node.
        numbers = [number for number, _ in _errors(body)]
        if status < 400 and not _list(body, "nodes") and not any(numbers):
            raise SlurmRejected(status, f"Slurm knows no node {name}; its name there is policy's slurm.node_name")
        self._judge(status, body)
        try:
            (node,) = map(node_of, body["nodes"])
        except (KeyError, TypeError, ValueError) as error:
            raise SlurmUnreachable(f"{self.place} describes {name} in a way we do not know: {error}") from error
        if node.name != name:
            raise SlurmUnreachable(f"{self.place} describes another node than {name}")
        return node

    def update(self, name: str, changes: Mapping[str, object]) -> None:
        """Change a node. Whatever comes back, read the node again to know what it is."""
        self._judge(*self._ask("POST", self._node_path(name), changes))

    def _node_path(self, name: str) -> str:
        if not _NODE_NAME.fullmatch(name):
            raise PolicyError("policy", "slurm.node_name", f"not the name of one node: {name!r}")
        return f"/slurm/{self.version()}/node/{name}"

    def _negotiate(self) -> str:
        """Return the first version that is there. With a bad token, ping calls slurmctld down: that is not believed."""
        for version in VERSIONS:
            status, body = self._ask("GET", f"/slurm/{version}/ping/")
            if status == 404:
                continue
            self._judge(status, body)
            return version
        raise SlurmRejected(
            404, f"{self.place} knows none of {VERSIONS[-1]} to {VERSIONS[0]}; before 23.02 it cannot drain a node"
        )

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send one request. Returns the status and the body, decoded if it is JSON, else as text."""
        import httpx

        # Not raised where it is caught: httpx's errors carry the request, and with it the token.
        try:
            return self._exchange(method, path, body)
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
        raise SlurmUnreachable(harmless(f"no answer from {self.place}: {problem}", 300))

    def _exchange(self, method: str, path: str, body: object) -> tuple[int, Any]:
        left_s = self._until_s - time.monotonic()
        content = bytearray()
        if left_s > 0:
            with self._http.stream(method, path, json=body, timeout=left_s) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if time.monotonic() > self._until_s or len(content) > MAX_ANSWER_BYTES:
                        raise SlurmUnreachable(f"{self.place} did not end its answer")
                return response.status_code, _decoded(bytes(content))
        raise SlurmUnreachable(f"no time left to ask {self.place}")

    def _judge(self, status: int, body: Any) -> None:
        """Raise if this answer is anything but a success."""
        self.warnings += [harmless(_said(w), 300) for w in _list(body, "warnings")]
        errors = _errors(body)
        if not errors and status < 400 and isinstance(body, dict):
            return
        words = errors[0][1] if errors else str(body)
        text = harmless(words + _HINTS.get(status, ""), 300)
        if status < 500 or any(number in _REFUSALS for number, _ in errors):
            raise SlurmRejected(status, text)
        raise SlurmUnreachable(f"{self.place}: HTTP {status}: {text}")


_HINTS = {401: " (no token, or one it does not take: see policy's slurm.token_file)"}


def _errors(body: Any) -> list[tuple[int, str]]:
    """Return number and words of each entry of `errors`."""
    return [(_error_number(e), _said(e)) for e in _list(body, "errors")]


def _list(body: Any, key: str) -> list[Any]:
    found = body.get(key) if isinstance(body, dict) else None
    return found if isinstance(found, list) else []


def _error_number(entry: Any) -> int:
    found = entry.get("error_number") if isinstance(entry, dict) else None
    return found if isinstance(found, int) else -1


def _said(entry: Any) -> str:
    """Return an error or warning of slurmrestd as one line."""
    if not isinstance(entry, dict):
        return str(entry)
    words = [str(entry[key]) for key in ("description", "error") if entry.get(key)]
    return ": ".join(words) + (f" ({entry['error_number']})" if entry.get("error_number") else "")


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace").strip()


def _place(settings: SlurmSettings) -> tuple[str, str, str | None]:
    """Return how to call slurmrestd in a message, the base URL, and the path of its UNIX socket."""
    if settings.url.startswith("unix:/"):
        return f"slurmrestd at {settings.url}", "http://localhost", settings.url.removeprefix("unix:")
    from urllib.parse import urlsplit

    try:
        url = urlsplit(settings.url)
        is_usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.username is None
        place = f"{url.scheme}://{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"
    except ValueError:
        is_usable = False
    if not is_usable:
        raise PolicyError("policy", "slurm.url", "expected http://host:port, https://host:port or unix:/path")
    if url.scheme == "http" and settings.token_file and not _is_loopback(url.hostname or ""):
        raise PolicyError(
            "policy", "slurm.url", "the token would cross the network in clear; use https, unix:/path or this host"
        )
    return f"slurmrestd at {place}", settings.url.rstrip("/"), None


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _http(settings: SlurmSettings, base_url: str, socket_path: str | None) -> "httpx.Client":
    import httpx

    headers = {"Accept-Encoding": "identity"}
    if not (settings.user_name.isascii() and settings.user_name.isprintable()):
        raise PolicyError("policy", "slurm.user_name", f"expected a user name in ASCII, found {settings.user_name!r}")
    if settings.token_file:
        headers |= {"X-SLURM-USER-NAME": settings.user_name, "X-SLURM-USER-TOKEN": read_token(settings.token_file)}
    # slurmrestd closes the connection after an error: a fresh one for each request races with nothing.
    transport = httpx.HTTPTransport(
        verify=_tls(settings.ca_file) if base_url.startswith("https:") else False,  # http: load no certificates
        uds=socket_path,
        limits=httpx.Limits(max_keepalive_connections=0),
    )
    try:
        return httpx.Client(base_url=base_url, headers=headers, transport=transport, trust_env=False)
    except httpx.InvalidURL as error:
        transport.close()
        raise PolicyError("policy", "slurm.url", str(error)) from error


def _tls(ca_file: str) -> Any:
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise PolicyError(ca_file, "slurm.ca_file", f"cannot be used: {error.strerror or error}") from error
