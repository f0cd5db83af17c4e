"""What a node asks the controller for, and what it is told: one request, and never longer than there is time.

Whatever leaves open whether Slurm was changed is Unsure: the node keeps its wish and asks again.
"""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

from nodeproof.controller.place import Place, place_of
from nodeproof.errors import PolicyError
from nodeproof.policy.settings import ControllerSettings
from nodeproof.slurm.outcome import Outcome, Unsure, from_json
from nodeproof.slurm.private import read_private
from nodeproof.slurm.wish import Wish, to_json
from nodeproof.verdict import harmless

if TYPE_CHECKING:
    import ssl

_KEY = "controller.credential_file"

PATH = "/v1/wish"

MOST_CREDENTIAL_BYTES = 1024

#: An outcome holds one node: 3 kB, or as much as somebody keeps in its `extra`.
MOST_ANSWER_BYTES = 1 << 20

#: httpx says best what took too long. Where its limits do not reach (looking up a host name, an answer
#: that drips), we stop waiting this much later.
GRACE_S = 0.1


class Reply(NamedTuple):
    status: int
    body: Any


def send(wish: Wish, settings: ControllerSettings, limit_s: float) -> Outcome:
    """Have the controller carry out a wish. Takes at most `limit_s`.

    Raises PolicyError for settings that will not do, a credential that the controller does not take among them.
    """
    place = place_of(settings.url)
    credential = read_credential(settings.credential_file)
    ask = _Question(place, _tls(settings.ca_file) if place.is_tls else None, credential, to_json(wish))
    # Not raised where it is caught: httpx's errors hold the request, and with it the credential.
    try:
        reply = _within(limit_s, lambda: ask.reply(time.monotonic() + limit_s))
    except _NoAnswer as error:
        problem = str(error)
    else:
        return _outcome(wish.node, reply, place, settings.credential_file)
    return Unsure(harmless(f"no answer from {place.words}: {problem}", 300))


def read_credential(path: str) -> str:
    """Return the credential in a file. Raises PolicyError if others may read the file, or if it holds none."""
    if not path:
        raise PolicyError("policy", _KEY, "not set, and the controller must know which node speaks")
    raw = read_private(path, _KEY, MOST_CREDENTIAL_BYTES + 1).strip()
    if not 0 < len(raw) <= MOST_CREDENTIAL_BYTES or not all(0x21 <= byte <= 0x7E for byte in raw):
        raise PolicyError(path, _KEY, "expected one credential of `nodeproof controller credential` and nothing else")
    return raw.decode("ascii")


class _NoAnswer(Exception):
    """No whole answer in time."""


class _Question(NamedTuple):
    place: Place
    tls: "ssl.SSLContext | None"
    credential: str
    body: object

    def reply(self, until_s: float) -> Reply:
        """Return the answer. Raises _NoAnswer, which carries nothing of the request."""
        import httpx

        try:
            return self._exchange(until_s)
        except httpx.InvalidURL as error:
            problem = str(error)
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
        raise _NoAnswer(problem.replace(self.credential, "<credential>"))

    def _exchange(self, until_s: float) -> Reply:
        import httpx

        headers = {"Authorization": f"Bearer {self.credential}", "Accept-Encoding": "identity"}
        transport = httpx.HTTPTransport(verify=self.tls or False)  # http: load no certificates
        with httpx.Client(transport=transport, headers=headers, trust_env=False) as http:
            left_s = max(until_s - time.monotonic(), 0.001)
            content = bytearray()
            with http.stream("POST", self.place.base_url + PATH, json=self.body, timeout=left_s) as response:
                for chunk in response.iter_raw():
                    content += chunk
                    if time.monotonic() > until_s or len(content) > MOST_ANSWER_BYTES:
                        raise _NoAnswer("it did not end its answer")
                return Reply(response.status_code, _decoded(bytes(content)))


def _outcome(node: str, reply: Reply, place: Place, credential_file: str) -> Outcome:
    """Return what the controller says of a node. Raises PolicyError if it does not believe that we are that node."""
    said = reply.body.get("error", "") if isinstance(reply.body, dict) else ""
    if reply.status in {401, 403}:
        why = harmless(str(said), 200) or f"HTTP {reply.status}"
        raise PolicyError(credential_file, _KEY, f"{place.words} does not take it: {why}")
    if reply.status != 200:
        return Unsure(harmless(f"{place.words} said HTTP {reply.status}: {said or reply.body}", 300))
    try:
        outcome = from_json(reply.body)
    except ValueError as error:
        return Unsure(harmless(f"{place.words} said what we do not understand: {error}", 300))
    about = getattr(outcome, "node", None)
    if about is not None and about.name != node:
        return Unsure(f"{place.words} spoke of another node than {node}")
    return outcome


def _within(limit_s: float, work: Callable[[], Reply]) -> Reply:
    """Do it in a thread, since nothing else can be left alone while it looks up a host name."""
    outcome: Future[Reply] = Future()
    threading.Thread(target=_fulfil, args=(outcome, work), daemon=True).start()
    try:
        return outcome.result(limit_s + GRACE_S)
    except TimeoutError:
        raise _NoAnswer("not in time") from None


def _fulfil(outcome: "Future[Reply]", work: Callable[[], Reply]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001  # handed on to the thread that waits
        outcome.set_exception(error)


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace").strip()


def _tls(ca_file: str) -> "ssl.SSLContext":
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise PolicyError(ca_file, "controller.ca_file", f"cannot be used: {error.strerror or error}") from error
