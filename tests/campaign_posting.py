"""A campaign of the lab whose results are posted: over HTTPS, by jobs that see nothing of the controller's files."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import httpx
import trustme

from campaign_lab import Lab
from nodeproof_bench.campaign.order import Key


def results(lab: Lab, *, reached_at: int | None = None) -> str:
    """Return what a plan says whose results are posted: to the port where the controller listens, or another."""
    own = lab.directory / "controller.pem"
    if not own.exists():
        authority = trustme.CA()
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(own)
        own.chmod(0o600)
        authority.cert_pem.write_to_path(lab.of_jobs / "ca.pem")
    return (
        f'post = "https://127.0.0.1:{reached_at or lab.port}"\nlisten = "127.0.0.1:{lab.port}"\n'
        f'certificate_file = "{own}"\nkey_file = "{own}"\nca_file = "/home/jobs/ca.pem"'
    )


def post(lab: Lab, key: Key, content: bytes, credential: str) -> int:
    """Post a result as a node does, and return what the controller answers."""
    url = f"https://127.0.0.1:{lab.port}/v1/results/{key.campaign}/{key.name}?at=0&of={len(content)}"
    trusted = ssl.create_default_context(cafile=str(lab.of_jobs / "ca.pem"))
    headers = {"Authorization": f"Bearer {credential}"}
    return httpx.post(url, content=content, headers=headers, verify=trusted, trust_env=False).status_code


@contextlib.contextmanager
def passed_on(here: int, there: int) -> Iterator[None]:
    """Pass on what comes to a port to another, for a `with` block."""
    with socket.create_server(("127.0.0.1", here)) as listening:
        threading.Thread(target=_pass_on, args=(listening, there), daemon=True).start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def _pass_on(listening: socket.socket, port: int) -> None:
    """Pass on connections, one after the other, until nobody listens any more."""
    with contextlib.suppress(OSError):
        while True:
            near, _ = listening.accept()
            with near, socket.create_connection(("127.0.0.1", port)) as far:
                back = threading.Thread(target=_copy, args=(far, near))
                back.start()
                _copy(near, far)
                back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
