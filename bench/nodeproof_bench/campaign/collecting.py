"""Where a controller takes results from: the spool that all nodes share, or its own endpoint, which fills one."""

import functools
import os
import pwd
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from nodeproof.controller.listening import listening, tls_of
from nodeproof.errors import NodeproofError, PolicyError
from nodeproof.policy.settings import ControllerSettings
from nodeproof.state import default_directory
from nodeproof.verdict import harmless
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.collect.server import ResultServer
from nodeproof_bench.campaign.collect.spool import Spool
from nodeproof_bench.campaign.collect.tokens import read_secret, token
from nodeproof_bench.campaign.order import Key
from nodeproof_bench.campaign.plan import Plan, Results


class Collection:
    """Takes the results of one campaign into its book. A context manager.

    `token` gives what a job posts its result with; None where results come as files. `account` is whom jobs run as.
    """

    token: Callable[[Key], str] | None = None

    def __init__(self, book: Book, campaign_id: str, plan: Plan, account: str, say: Callable[[str], None]) -> None:
        self._book = book
        self._campaign_id = campaign_id
        self._plan = plan
        self._account = account
        self._say = say
        self._directory = plan.results.spool or f"{_home(book)}/campaign-results"
        self._spool = Spool(self._directory, campaign_id)
        self._server: ResultServer | None = None
        self._strangers = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        is_new = not os.path.exists(self._spool.directory)
        self._spool.prepare()
        if self._plan.results.post:
            self._listen(self._plan.results)
        elif is_new and os.geteuid() == 0 and self._account:
            give_directory(self._spool.directory, self._account)
        return self

    def _listen(self, results: Results) -> None:
        secret = read_secret(f"{_home(self._book)}/campaign.secret")
        listener, tls = _opened(results)
        self._server = self._stack.enter_context(
            ResultServer(self._directory, self._campaign_id, secret, listener, tls)
        )
        self.token = functools.partial(token, secret)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def collect(self) -> None:
        """Take what came; what was refused is told. Raises NodeproofError if nothing can come any more."""
        if self._server is not None:
            self._tell_of_strangers(self._server)
            if self._server.problem:
                raise NodeproofError(self._server.problem)
        for taken in self._spool.collect(self._book):
            if taken.outcome in {"refused", "other"}:
                self._say(f"result {taken.key.name}: {taken.outcome}: {harmless(taken.problem, 300)}")

    def _tell_of_strangers(self, server: ResultServer) -> None:
        for stranger in server.strangers[self._strangers :]:
            self._strangers += 1
            self._say(f"result {harmless(stranger, 300)}: refused: the token is not of this result")


def try_listening(results: Results) -> None:
    """See that results can be taken where the plan says, before anything is begun. Raises PolicyError."""
    if results.post:
        listener, _ = _opened(results)
        listener.close()


def _home(book: Book) -> str:
    """Return where what belongs to a book is: beside its file, or in the state directory."""
    url = book.engine.url
    return os.path.dirname(str(url.database)) if url.get_backend_name() == "sqlite" else default_directory()


def _opened(results: Results) -> tuple[socket.socket, ssl.SSLContext | None]:
    """Return the socket that results come to, and its certificate. Raises PolicyError with the plan's keys."""
    parts = urlsplit(results.post or "")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    settings = ControllerSettings(
        listen=results.listen or (f"[::]:{port}" if parts.scheme == "https" else f"{parts.hostname}:{port}"),
        certificate_file=results.certificate_file or "",
        key_file=results.key_file or "",
    )
    if (parts.scheme == "https") != bool(results.certificate_file):
        raise PolicyError("plan", "results.certificate_file", "expected with https, and with https alone")
    try:
        tls = tls_of(settings)
        return listening(settings), tls
    except PolicyError as error:
        raise PolicyError("plan", error.key.replace("controller.", "results."), error.expected) from error


def give_directory(directory: str, account: str) -> None:
    """Make a directory that of the user whom jobs run as. Raises NodeproofError."""
    try:
        user = pwd.getpwnam(account)
        made = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)  # others may write to the spool
        try:
            if os.fstat(made).st_uid != os.geteuid():
                raise NodeproofError(f"{directory}: somebody else made it: expected a directory of our own")
            os.fchown(made, user.pw_uid, user.pw_gid)
        finally:
            os.close(made)
    except KeyError:
        return  # known to the nodes alone: they see whether they can write there
    except OSError as error:
        raise NodeproofError(f"{directory}: cannot be given to {account}: {error.strerror}") from error
