"""The drain controller: hears what nodes want, makes sure who speaks, and answers with what came of it.

It keeps nothing on disk, and nothing in memory that it could lose: a wish is kept by its node until its
outcome is known, and a node that gets no answer asks again. So it may be stopped, killed and moved at any time.
"""

import asyncio
import json
import signal
import socket
import ssl
import time
from collections.abc import Awaitable

from nodeproof.controller.allowance import Allowance, Log
from nodeproof.controller.batch import Batches, Full, Stopping
from nodeproof.controller.client import PATH
from nodeproof.controller.credentials import Authority, CredentialError
from nodeproof.controller.http import HttpServer, Request, Response, refusal
from nodeproof.controller.trust import believed
from nodeproof.notify import Notifier
from nodeproof.slurm.outcome import to_json
from nodeproof.slurm.wish import Wish, from_json

#: Wishes of one node: a burst, and then one in so many seconds. A pass asks once, a hook runs with each job.
MOST_AT_ONCE = 20
EVERY_S = 1.0


class Desk:
    """Answers requests; raises nothing, whatever they hold. `account` is ours in Slurm, "" where it is not known."""

    def __init__(self, authority: Authority, account: str, batches: Batches, log: Log) -> None:
        self._authority = authority
        self._account = account
        self._batches = batches
        self._log = log
        self._allowance = Allowance(MOST_AT_ONCE, EVERY_S)

    async def answer(self, request: Request) -> Response:
        methods = {"/healthz": "GET", PATH: "POST"}
        if request.path not in methods:
            return refusal(404, "there is nothing here")
        if request.method != methods[request.path]:
            return refusal(405, f"expected {methods[request.path]}")
        if request.path == "/healthz":
            return Response(200, {"status": "ok"})
        try:
            node = self._authority.node_of(_bearer(request.authorization))
        except CredentialError as error:
            self._log.say(f"refused a credential from {request.peer}: {error}", "credential")
            return refusal(401, str(error))
        return await self._outcome(node, request)

    async def _outcome(self, node: str, request: Request) -> Response:
        if not self._allowance.take(node, time.monotonic()):
            return refusal(429, f"{node} asks too often")
        try:
            wish = believed(_wish(request.body), self._account)
        except ValueError as error:
            self._log.say(f"refused a request of {node} from {request.peer}: {error}", "request")
            return refusal(400, str(error))
        if wish.node != node:
            self._log.say(f"REFUSED: {request.peer} speaks for {wish.node} with the credential of {node}", "speaker")
            return refusal(403, f"it is the credential of {node}, which cannot speak for {wish.node}")
        try:
            return Response(200, to_json(await self._batches.outcome(wish)))
        except Full:
            return refusal(503, "too many nodes wait already")
        except Stopping:
            return refusal(503, "the controller is about to end")


async def serve(desk: Desk, batches: Batches, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
    """Serve until SIGTERM or SIGINT; then finish the batch at hand, and answer 503 to whoever else waits."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    http, notifier = HttpServer(listening, tls, desk.answer), Notifier()
    accepting, carrying = (loop.create_task(work) for work in (http.accept(), batches.run()))
    notifier.tell("READY=1")
    await _first_of(ended.wait(), accepting, carrying)
    notifier.tell("STOPPING=1")
    accepting.cancel()
    listening.close()
    batches.stop()
    await carrying
    await http.finish()


async def _first_of(*works: Awaitable[object]) -> None:
    """Wait until one is done, and raise what it raised."""
    done, _ = await asyncio.wait([asyncio.ensure_future(w) for w in works], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _bearer(header: str) -> str:
    scheme, _, credential = header.partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def _wish(body: bytes) -> Wish:
    """Return the wish in a request. Raises ValueError for anything else."""
    try:
        return from_json(json.loads(body))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
