"""slurmrestd as nodeproof uses it: read nodes, change nodes, and say for sure what came of it.

An unknown outcome is not tried again here: whoever wrote reads the node, and decides (`slurm.carry`).
A request is sent twice only where the first surely did nothing: for an API version that is not there,
and with a token that was renewed since it was read.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

from nodeproof.errors import PolicyError, SlurmNotFound, SlurmReadOnly, SlurmRejected, SlurmUnreachable
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm.answer import Answer, Applied, Refused, Unknown, classified, complaints, error_of
from nodeproof.slurm.node import Node
from nodeproof.slurm.shapes import described
from nodeproof.slurm.token import Token
from nodeproof.slurm.transport import Reply, Request, Transport
from nodeproof.slurm.versions import TRIED, Versions, can_batch, can_write, is_version, to_try
from nodeproof.verdict import harmless, named

#: One node is 3 kB, and 10,000 of them 23 MB. A larger answer is no answer to what we asked.
MOST_BYTES_OF_NODE = 4 << 20
MOST_BYTES_OF_NODES = 64 << 20

#: A client may live for months, and slurmrestd warn of the same thing each time.
MOST_WARNINGS = 50

#: No host list: `n[1-3]` and `n1,n2` would name other nodes than this one.
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Client:
    """slurmrestd for one run, or for one life of a controller. For one thread at a time.

    `limit_s` is all the time there is for all requests together (`settings.timeout_s` where it is None), until
    `renew` grants more. `warnings` collects what slurmrestd complained of without refusing. `wait_turn` is called
    before each request and may wait, which is not counted: that bounds their rate. Raises
    PolicyError for settings it cannot work with, SlurmUnreachable and SlurmRejected for answers.
    """

    def __init__(
        self,
        settings: SlurmSettings,
        limit_s: float | None = None,
        versions: Versions | None = None,
        *,
        keep_alive: bool = False,
        wait_turn: Callable[[], None] = lambda: None,
    ) -> None:
        if settings.api_version and not is_version(settings.api_version):
            raise PolicyError("policy", "slurm.api_version", f"expected v0.0.42 or alike: {settings.api_version!r}")
        self.warnings: list[str] = []
        self.account = settings.user_name if settings.token_file else ""
        self._url = settings.url
        self._pinned = settings.api_version
        self._versions = Versions() if versions is None else versions
        self._version = ""
        self._date = ""
        self._wait_turn = wait_turn
        self._token = Token(settings.token_file)
        self._transport = Transport(settings, self._token, keep_alive=keep_alive)
        self.renew(settings.timeout_s if limit_s is None else limit_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    @property
    def place(self) -> str:
        """Return how to speak of this slurmrestd in a message."""
        return self._transport.place

    @property
    def requests(self) -> int:
        """Return how many HTTP requests were sent so far."""
        return self._transport.sent

    def renew(self, limit_s: float) -> None:
        """Grant this much time from now on."""
        self._until_s = time.monotonic() + limit_s

    def time_left_s(self) -> float:
        return self._until_s - time.monotonic()

    def server_time(self) -> float | None:
        """Return when the last answer was given, by the server's own clock. slurmrestd does not say; a proxy may."""
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(self._date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None

    def version(self) -> str:
        """Return the API version that is spoken; asked for only if no request has told it yet."""
        if not self._version:
            reply = self._call("GET", "ping/", None, MOST_BYTES_OF_NODE)
            if not self._version:
                raise error_of(self._classified(reply), reply.status) or SlurmUnreachable(f"{self.place} is unclear")
        return self._version

    def node(self, name: str) -> Node:
        """Return the node as it is now."""
        reply = self._call("GET", f"node/{_checked(name)}", None, MOST_BYTES_OF_NODE)
        try:
            nodes = self._nodes_of(reply)
        except SlurmNotFound as error:
            said = f"Slurm knows no node {name}; its name there is policy's slurm.node_name"
            raise SlurmNotFound(error.status, said) from error
        if set(nodes) != {name}:
            found = harmless(named(nodes) or "no node", 200)
            raise SlurmUnreachable(f"{self.place} was asked for {name}, and describes {found}")
        return nodes[name]

    def nodes(self) -> dict[str, Node]:
        """Return all nodes by name, as they are now. One request, and 2.3 kB a node."""
        return self._nodes_of(self._call("GET", "nodes/", None, MOST_BYTES_OF_NODES))

    def update(self, names: Sequence[str], changes: Mapping[str, object]) -> Answer:
        """Change nodes alike, in one request. Whatever comes back, read them again to know what they are.

        Raises SlurmReadOnly where slurmrestd cannot change nodes, and SlurmRejected where it speaks no API
        that we know. No answer at all is Unknown.
        """
        checked = [_checked(name) for name in names]
        if not checked:
            return Applied(())
        try:
            return self._update(checked, changes)
        except SlurmUnreachable as error:
            return Unknown(str(error))

    def ask(self, method: str, path: str, body: object, most_bytes: int) -> tuple[Answer, Any]:
        """Send one request to an endpoint, such as `jobs/`. Returns what its answer means, and its body.

        Raises SlurmUnreachable where there was no answer: whether a write was done is not known then.
        """
        reply = self._call(method, path, body, most_bytes)
        return self._classified(reply), reply.body

    def _update(self, names: list[str], changes: Mapping[str, object]) -> Answer:
        path, body = f"node/{quote(','.join(names), safe='')}", dict(changes)
        if len(names) > 1 and can_batch(self.version()):
            path, body = "nodes/", {"name": names, **changes}
        self._require_writable()
        reply = self._call("POST", path, body, MOST_BYTES_OF_NODE)
        self._require_writable()
        return self._classified(reply)

    def _require_writable(self) -> None:
        """Raise if slurmrestd is known to be too old. What another run found is not enough: it may be newer by now."""
        if self._version and not can_write(self._version):
            why = "Slurm before 23.02 cannot drain a node through slurmrestd; nodeproof only reads there"
            raise SlurmReadOnly(405, f"{self.place} offers {self._version} at most: {why}")

    def _nodes_of(self, reply: Reply) -> dict[str, Node]:
        error = error_of(self._classified(reply), reply.status)
        if error is not None:
            raise error
        try:
            found = [described(entry) for entry in _listed(reply.body["nodes"])]
        except (KeyError, TypeError, ValueError) as problem:
            text = harmless(str(problem), 200)
            raise SlurmUnreachable(f"{self.place} describes a node in a way we do not know: {text}") from problem
        nodes = {node.name: node for node in found}
        if len(nodes) < len(found):
            raise SlurmUnreachable(f"{self.place} describes a node twice")
        return nodes

    def _classified(self, reply: Reply) -> Answer:
        answer = classified(reply.status, reply.body, self.place)
        if isinstance(answer, Applied):
            fresh = [w for w in dict.fromkeys(answer.warnings) if w not in self.warnings]
            self.warnings += fresh[: MOST_WARNINGS - len(self.warnings)]
        return answer

    def _call(self, method: str, path: str, body: object, most_bytes: int) -> Reply:
        """Ask in the API version that is known or, where slurmrestd says 404 to it, in the next one that it may speak.

        A 404 was done by nobody, so that a write may go on like this as well.
        """
        known = self._version or self._versions.of(self._url)
        for version in to_try(known, self._pinned):
            reply = self._ask(Request(method, f"/slurm/{version}/{path}", body, most_bytes))
            # Without a token, and by some proxies, every path is answered alike: that tells no version.
            is_there = isinstance(reply.body, dict) and isinstance(reply.body.get("errors"), list)
            if reply.status == 404 and not is_there:
                continue
            if is_there or (reply.status == 405 and not can_write(version)):
                self._version = version
                self._versions.note(self._url, version)
            return reply
        wanted = f"{self._pinned}, which policy's slurm.api_version pins" if self._pinned else f"any of {_RANGE}"
        raise SlurmRejected(404, f"{self.place} does not offer {wanted}: is it a slurmrestd?")

    def _ask(self, request: Request) -> Reply:
        """Send a request, and once more if it was refused and the token was renewed meanwhile."""
        reply = self._exchange(request)
        if _is_refused(request, reply) and self._token.read_again():
            reply = self._exchange(request)
        self._date = reply.date
        return reply

    def _exchange(self, request: Request) -> Reply:
        began_s = time.monotonic()
        self._wait_turn()
        self._until_s += time.monotonic() - began_s
        return self._transport.exchange(request, self.time_left_s())


_RANGE = f"{TRIED[-1]} to {TRIED[0]}"


def _is_refused(request: Request, reply: Reply) -> bool:
    """Tell whether it may be for the token. Slurm 22.05 has no number of its own for a bad one."""
    if isinstance(classified(reply.status, reply.body, ""), Refused):
        return True
    is_of_old = request.method == "GET" and reply.status == 500
    return is_of_old and any(error.number in {-1, 2018} for error in complaints(reply.body))


def _checked(name: str) -> str:
    if not _NODE_NAME.fullmatch(name):
        raise PolicyError("policy", "slurm.node_name", f"not the name of one node: {name!r}")
    return name


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list of nodes")
    return value
