"""Post a result file to the controller's endpoint, in parts, until it is there or the time is over.

Whatever may be better later (no answer, an endpoint that is being restarted, its full disk) is tried again, less and
less often; a clear refusal is not. See `nodeproof_bench.campaign.collect.server`.
"""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from nodeproof.errors import NodeproofError
from nodeproof.verdict import harmless
from nodeproof_bench.campaign.order import Key

if TYPE_CHECKING:
    import ssl

    import httpx

#: Bytes in one request: the endpoint takes 64 KiB.
PART_BYTES = 48 << 10

#: How long one request may take, and how long is waited before another try: at first, and at most.
_REQUEST_S, _PAUSE_S, _MOST_PAUSE_S = 10.0, 0.5, 30.0

_MORE, _DONE = 202, frozenset({200, 201})
_REFUSED = frozenset({400, 401, 404, 405, 409, 413})


class Endpoint(NamedTuple):
    """Where results are posted, with the token of this job. `ca_file` vouches for it; empty: the system's."""

    url: str
    token: str
    ca_file: str = ""


class PostRefused(NodeproofError):
    """The endpoint said clearly that it does not take this result."""


class PostImpossible(NodeproofError):
    """The endpoint cannot be asked at all from here."""


class _NotNow(Exception):
    """No answer, or one that may be another later."""


def post(
    endpoint: Endpoint, key: Key, content: bytes, until_s: float, say: Callable[[str], None] = lambda _: None
) -> None:
    """Have a result stored; tries until `until_s` (monotonic), once at least. `say` is told what is tried again.

    Raises PostRefused, PostImpossible, or TimeoutError with what went wrong the last time.
    """
    import httpx

    transport = httpx.HTTPTransport(verify=_tls(endpoint) if endpoint.url.startswith("https:") else False)
    headers = {"Authorization": f"Bearer {endpoint.token}"}
    pause_s, said = _PAUSE_S, ""
    with httpx.Client(transport=transport, headers=headers, timeout=_REQUEST_S, trust_env=False) as client:
        url = f"{endpoint.url.rstrip('/')}/v1/results/{key.campaign}/{key.name}"
        while True:
            try:
                return _send(client, url, content)
            except _NotNow as error:
                problem = str(error).replace(endpoint.token or " ", "<token>")
            if time.monotonic() + pause_s > until_s:
                raise TimeoutError(problem)
            if problem != said:
                say(f"{problem} (trying again)")
                said = problem
            time.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311  # so that not all nodes come at once
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)


def _send(client: "httpx.Client", url: str, content: bytes) -> None:
    at = 0
    while True:
        body = content[at : at + PART_BYTES]
        status, said = _answer(client, f"{url}?at={at}&of={len(content)}", body)
        if status in _DONE:
            return
        if status in _REFUSED:
            raise PostRefused(f"the result was refused (HTTP {status}): {said}")
        if status != _MORE or at + len(body) >= len(content):
            raise _NotNow(f"HTTP {status}: {said}")  # 416 among them: all of it once more
        at += len(body)


def _answer(client: "httpx.Client", url: str, body: bytes) -> tuple[int, str]:
    import httpx

    try:
        response = client.post(url, content=body)
    except httpx.HTTPError as error:
        problem = f"{type(error).__name__}: {error}"
    except httpx.InvalidURL as error:
        problem = str(error)
    else:
        return response.status_code, harmless(response.text, 200)
    raise _NotNow(harmless(problem, 200))


def _tls(endpoint: Endpoint) -> "ssl.SSLContext":
    import ssl

    try:
        return ssl.create_default_context(cafile=endpoint.ca_file or None)
    except OSError as error:
        raise PostImpossible(f"{endpoint.ca_file}: cannot be used: {error.strerror or error}") from error
