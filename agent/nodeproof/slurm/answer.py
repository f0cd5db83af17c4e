"""What slurmrestd's answer to one request means. Pure: no socket, no time.

The error number decides, and the HTTP status only where no number does: an HTTP 200 may be an error,
the same refusal is a 500 in Slurm 24.11 and a 422 in 26.05, and a 5xx may have been applied.
Of a change to several nodes, every answer but Applied may have changed some of them: Slurm goes
through the names and stops at the first that will not do. Read them again.
"""

from typing import Any, NamedTuple

from nodeproof.errors import SlurmError, SlurmNotFound, SlurmRejected, SlurmUnreachable
from nodeproof.verdict import harmless

WORDS_CHARS = 300


class Applied(NamedTuple):
    """Done as asked; `warnings` say what slurmrestd understood in its own way."""

    warnings: tuple[str, ...]


class Refused(NamedTuple):
    """It will not do this for us: a token or privileges that do not suffice. Asking again changes nothing."""

    status: int
    number: int
    words: str


class NotFound(NamedTuple):
    """Slurm knows no such node."""

    words: str


class AlreadySo(NamedTuple):
    """The node is in no state that could be changed this way, as a rule because it is so already."""

    words: str


class Unknown(NamedTuple):
    """No answer, or one that leaves open whether it was, or still will be, applied."""

    words: str


class OurBug(NamedTuple):
    """slurmrestd did not understand the request."""

    status: int
    number: int
    words: str


Answer = Applied | Refused | NotFound | AlreadySo | Unknown | OurBug

#: Error numbers (slurm_errno.h). Data parser and request: not understood.
_MISUNDERSTOOD = frozenset({9000, 9001, 9007, 9009, *range(9200, 9300)})
#: Protocol authentication, access denied, invalid user, slurmrestd's and the authentication plug-in's own.
_FORBIDDEN = frozenset({1007, 2002, 2010, 9008, *range(6000, 6100)})
_NO_SUCH_NODE = frozenset({2018})
#: Already done, and a node state that does not allow this change (2028, from 25.05 on 2180).
_NO_TRANSITION = frozenset({2021, 2028, 2180})
#: Talking to slurmctld, or to a backup of it that does not serve yet.
_NO_CONTACT = frozenset({*range(1000, 2000), *range(5003, 5006), 2027, 2131}) - _FORBIDDEN
_KINDS = (_MISUNDERSTOOD, _FORBIDDEN, _NO_SUCH_NODE, _NO_TRANSITION, _NO_CONTACT)

#: HTTP statuses of a request that was wrong in itself, where it went included. The other 4xx are refusals.
_WRONG_REQUESTS = frozenset({400, 404, 405, 406, 411, 413, 414, 415, 417, 431})
_LATER = frozenset({408, 425, 429})


class Complaint(NamedTuple):
    """One entry of `errors`. Number -1 is also what Slurm calls an unspecified error."""

    number: int
    words: str


def classified(status: int, body: Any, place: str) -> Answer:
    """Return what an answer means. `place` says in a message who gave it."""
    errors = complaints(body)
    # An answer may have several errors: what was not understood comes first, since all else follows from it.
    decisive = next((e for numbers in _KINDS for e in errors if e.number in numbers), None)
    if decisive is not None:
        return _by_number(status, decisive, place)
    if not 200 <= status < 300:
        return _by_status(status, errors, body, place)
    if errors:
        # GET of an unknown node: HTTP 200, error 0 "No error", and no node.
        if not any(error.number for error in errors) and not _entries(body, "nodes"):
            return NotFound(harmless(errors[0].words, WORDS_CHARS))
        return Unknown(harmless(f"{place}: HTTP {status} with an error: {errors[0].words}", WORDS_CHARS))
    if not (isinstance(body, dict) and isinstance(body.get("errors"), list)):  # slurmrestd never leaves that out
        said = str(body)[: 2 * WORDS_CHARS]
        return Unknown(harmless(f"{place} does not answer as slurmrestd does: HTTP {status}: {said}", WORDS_CHARS))
    return Applied(tuple(harmless(_said(w), WORDS_CHARS) for w in _entries(body, "warnings")))


def error_of(answer: Answer, status: int = 0) -> SlurmError | None:
    """Return the error to raise where nothing but a success will do, as in reading. None for Applied."""
    match answer:
        case Applied():
            return None
        case Refused() | OurBug():
            return SlurmRejected(answer.status, answer.words)
        case NotFound():
            return SlurmNotFound(status, answer.words)
        case AlreadySo():
            return SlurmRejected(status, answer.words)
        case Unknown():
            return SlurmUnreachable(answer.words)


def complaints(body: Any) -> list[Complaint]:
    """Return the errors of an answer."""
    return [Complaint(_number(e), _said(e)) for e in _entries(body, "errors")]


def _by_number(status: int, error: Complaint, place: str) -> Answer:
    words = harmless(error.words, WORDS_CHARS)
    if error.number in _MISUNDERSTOOD:
        return OurBug(status, error.number, words)
    if error.number in _FORBIDDEN:
        return Refused(status, error.number, words)
    if error.number in _NO_SUCH_NODE:
        return NotFound(words)
    if error.number in _NO_TRANSITION:
        return AlreadySo(words)
    return Unknown(harmless(f"{place}: HTTP {status}: {words}", WORDS_CHARS))


def _by_status(status: int, errors: list[Complaint], body: Any, place: str) -> Answer:
    number, said = errors[0] if errors else (0, str(body)[: 2 * WORDS_CHARS])
    if errors and number == -1 and status == 500:
        said += " (Slurm 22.05 says so of a token it does not take, and of a slurmctld that is down)"
    words = harmless(said, WORDS_CHARS)
    if status in {401, 511}:
        return Refused(status, number, f"{words} (no token, or one it does not take: see policy's slurm.token_file)")
    if status in _WRONG_REQUESTS or 300 <= status < 400:
        return OurBug(status, number, words)
    if 400 <= status < 500 and status not in _LATER:
        return Refused(status, number, words)
    return Unknown(harmless(f"{place}: HTTP {status}: {words}", WORDS_CHARS))


def _entries(body: Any, key: str) -> list[Any]:
    """Return a list of the answer. Anything there that is no list counts as one entry."""
    found = body.get(key) if isinstance(body, dict) else None
    return found if isinstance(found, list) else [found] if found else []


def _number(entry: Any) -> int:
    """Return an error's number: `error_number`, and in Slurm 22.05 `errno` here and there."""
    if isinstance(entry, dict):
        for key in ("error_number", "errno"):
            if type(entry.get(key)) is int:
                return int(entry[key])
    return -1


def _said(entry: Any) -> str:
    """Return an error or warning of slurmrestd in one sentence."""
    if not isinstance(entry, dict):
        return str(entry)[: 2 * WORDS_CHARS]
    # A description names all nodes of the request: what is wrong with them comes after it.
    words = [harmless(str(entry[key])[:WORDS_CHARS], 130) for key in ("description", "error") if entry.get(key)]
    number = _number(entry)
    return ": ".join(words) + (f" ({number})" if number not in {0, -1} else "")
