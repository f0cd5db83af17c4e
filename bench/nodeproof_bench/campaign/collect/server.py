"""The endpoint for results where nodes share no file system: what is posted becomes a file of the spool.

A result comes in parts, each small enough for `nodeproof.controller.http`: `POST /v1/results/CAMPAIGN/TASK.ATTEMPT.NODE
?at=OFFSET&of=TOTAL`. What has come of it is in a file that a restart leaves alone, and a part that comes twice changes
nothing. The last part makes the result whole: only then is it judged, and answered with what became of it. What is
refused is noted in a file for the book (`collect.spool`). Holds no state but the disk's, and who was turned away.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Self
from urllib.parse import parse_qsl

from nodeproof.controller.http import HttpServer, Request, Response, refusal
from nodeproof.files import replace_file
from nodeproof.verdict import harmless
from nodeproof_bench.campaign.collect.files import MOST_BYTES, SUFFIX, ResultError, read
from nodeproof_bench.campaign.collect.spool import REFUSED
from nodeproof_bench.campaign.collect.tokens import is_token
from nodeproof_bench.campaign.order import Key, OrderError, key_of

PATH = "/v1/results/"

#: What has come of a result that is not whole yet.
_PART = ".part"

_MODE = 0o640

#: Whoever may reach the port may come with a wrong token, under any name: so many are told of.
_MOST_STRANGERS = 20


class Endpoint:
    """Answers requests for one campaign; raises nothing, whatever they hold. `strangers` came with wrong tokens."""

    def __init__(self, directory: str, campaign_id: str, secret: bytes) -> None:
        self._directory = os.path.join(directory, campaign_id)
        self._campaign_id = campaign_id
        self._secret = secret
        self.strangers: list[str] = []

    async def answer(self, request: Request) -> Response:
        path, _, query = request.path.partition("?")
        campaign, _, name = path.removeprefix(PATH).partition("/")
        if not path.startswith(PATH) or campaign != self._campaign_id:
            return refusal(404, "there is nothing here")
        if request.method != "POST":
            return refusal(405, "expected POST")
        try:
            key = key_of(campaign, name)
        except OrderError as error:
            return refusal(400, str(error))
        scheme, _, found = request.authorization.partition(" ")
        if scheme.lower() != "bearer" or not is_token(self._secret, key, found.strip()):
            self._remember(f"{key.name} from {request.peer}")
            return refusal(401, "the token is not of this result")
        place = _place(query)
        if place is None:
            return refusal(400, "expected at=OFFSET&of=TOTAL")
        try:
            return self._take(key, *place, request.body)
        except OSError as error:
            return refusal(503, f"it cannot be kept: {error.strerror}")

    def _take(self, key: Key, at: int, total: int, body: bytes) -> Response:
        """Add a part, and judge the whole once it is there. Raises OSError."""
        if total > MOST_BYTES:
            self._note(key, f"it has {total} bytes, expected at most {MOST_BYTES}")
            return refusal(413, f"expected at most {MOST_BYTES} bytes")
        if not body or at + len(body) > total:
            return refusal(400, "expected a part of what is announced")
        part = self._path(key, _PART)
        if not _written(part, at, body):
            return refusal(416, "expected what comes after what is here: begin again")
        if at + len(body) < total:
            return Response(202, {"status": "more"})
        return self._judge(key, part)

    def _judge(self, key: Key, part: str) -> Response:
        with open(part, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        path = self._path(key, SUFFIX)
        before = _digest(path)
        if before is not None:
            os.unlink(part)
            if before == hashlib.sha256(content).hexdigest():
                return Response(200, {"status": "same"})
            self._note(key, "another file with other content came later")
            return refusal(409, "another result of this job is here")
        try:
            read(key, None, content)
        except ResultError as error:
            os.unlink(part)
            self._note(key, str(error))
            return refusal(400, str(error))
        replace_file(path, content, _MODE)
        os.unlink(part)
        return Response(201, {"status": "stored"})

    def _remember(self, stranger: str) -> None:
        if stranger not in self.strangers and len(self.strangers) < _MOST_STRANGERS:
            self.strangers.append(stranger)

    def _note(self, key: Key, why: str) -> None:
        """Say for the book that something was refused: never silently."""
        with contextlib.suppress(OSError):
            replace_file(self._path(key, REFUSED), harmless(why, 300).encode() + b"\n", _MODE)

    def _path(self, key: Key, end: str) -> str:
        hidden = "." if end == _PART else ""
        return os.path.join(self._directory, f"{hidden}{key.name}{end}")


class ResultServer:
    """The endpoint in a thread of its own, for as long as the `with` block. `problem` says why it ended early."""

    def __init__(
        self, directory: str, campaign_id: str, secret: bytes, listening: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        self._endpoint = Endpoint(directory, campaign_id, secret)
        self._listening = listening
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="results", daemon=True)
        self.problem = ""

    @property
    def strangers(self) -> Sequence[str]:
        """Which results came with a wrong token, and from where; more and more of them."""
        return self._endpoint.strangers

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except OSError as error:
            self.problem = f"no results are taken any more: {error}"
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        http = HttpServer(self._listening, self._tls, self._endpoint.answer)
        accepting = asyncio.ensure_future(http.accept())
        ending = asyncio.ensure_future(self._ended.wait())
        done, _ = await asyncio.wait([accepting, ending], return_when=asyncio.FIRST_COMPLETED)
        for task in (accepting, ending):
            task.cancel()
        self._listening.close()
        await http.finish()
        await asyncio.gather(accepting, ending, return_exceptions=True)
        if accepting in done:
            accepting.result()


def _place(query: str) -> tuple[int, int] | None:
    words = dict(parse_qsl(query, keep_blank_values=True))
    numbers = [words.get(name, "") for name in ("at", "of")]
    if set(words) != {"at", "of"} or not all(re.fullmatch(r"[0-9]{1,12}", number) for number in numbers):
        return None
    return int(numbers[0]), int(numbers[1])


def _written(path: str, at: int, body: bytes) -> bool:
    """Add a part where what is here ends, or say that it does not fit. A part that is here already is written again."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_TRUNC if at == 0 else 0)
    with open(os.open(path, flags, 0o600), "r+b") as stream:
        if stream.seek(0, os.SEEK_END) < at:
            return False
        stream.seek(at)
        stream.write(body)
        stream.truncate()
    return True


def _digest(path: str) -> str | None:
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return None
