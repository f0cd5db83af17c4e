"""What slurmrestd and slurmctld say to us: versions, answers, rights, clocks, the guard's view."""

import pwd
import time
from typing import Any, NamedTuple, Self

from nodeproof.doctor.finding import Finding, Findings, not_asked
from nodeproof.doctor.network import server_uid
from nodeproof.errors import SlurmError, SlurmNotFound, SlurmReadOnly, SlurmRejected
from nodeproof.policy.settings import GuardSettings, Settings, SlurmSettings
from nodeproof.slurm.answer import Applied, Refused
from nodeproof.slurm.guard import Fleet, recent, usage
from nodeproof.slurm.node import Node, number
from nodeproof.slurm.rest import Client
from nodeproof.slurm.token import Token
from nodeproof.slurm.transport import Request, Transport
from nodeproof.slurm.versions import LAST_READ_ONLY, number_of
from nodeproof.verdict import Verdict, fail, harmless, named, ok, plural, unknown, warn

#: All the time for Slurm, in seconds: slurmrestd itself waits 10 s for a slurmctld that hangs.
LIMIT_S = 40.0

#: How far two clocks may be apart, in seconds. munge, and with it Slurm, refuses at 300.
_APART_S, _FAR_APART_S = 5, 60

_MOST_BYTES = 4 << 20


class Ping(NamedTuple):
    """What slurmrestd says of itself, and of the slurmctlds behind it."""

    release: str
    up: tuple[str, ...]
    down: tuple[str, ...]


def ping_of(body: Any) -> Ping:
    """Return what a ping says, in whatever version. Raises ValueError for anything else."""
    try:
        meta = body["meta"]
        release = str((meta.get("slurm") or meta.get("Slurm"))["release"])
        answered = {str(p["hostname"]): p.get("responding", p.get("ping") == "UP") for p in body["pings"]}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not the answer to a ping") from error
    return Ping(release, tuple(n for n, up in answered.items() if up), tuple(n for n, up in answered.items() if not up))


def server_time_of(body: Any) -> int | None:
    """Return slurmctld's clock out of its statistics, in seconds since the epoch, or None."""
    try:
        return number(body["statistics"]["req_time"]) or None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def rest_findings(settings: Settings, node_name: str, *, is_read_only: bool) -> Findings:
    """Ask slurmrestd for all that nodeproof needs there. Returns whether it answered."""
    slurm, rest = settings.slurm, "slurm.controller slurm.clock slurm.node slurm.privileges guard.budget"
    with Client(slurm, LIMIT_S) as client, _Asking(slurm) as asking:
        try:
            version = client.version()
        except SlurmError as error:
            yield Finding("slurm.api", _refusal(error), _API_REMEDY)
            return (yield from not_asked(f"slurm.authentication {rest}", "slurmrestd does not take our requests"))
        ping = asking.get(version, "ping/")
        yield _api(version, ping)
        node = _node(client, node_name)
        if _is_denied(node):
            # whom slurmctld does not believe, a ping tells that slurmctld is down
            yield Finding("slurm.authentication", fail(str(node)), _IDENTITY_REMEDY)
            return (yield from not_asked(rest, "slurmctld does not believe who we are"))
        if not (yield from _controller(ping)):
            return (yield from not_asked("slurm.clock slurm.node slurm.privileges guard.budget", "slurmctld is down"))
        yield Finding("slurm.authentication", ok(f"slurmctld takes us for {_account(client, slurm)}"))
        yield _clock(asking.get(version, "diag/"), client)
        yield _known(node, node_name)
        if isinstance(node, SlurmError):
            yield from not_asked("slurm.privileges", "the node could not be read")
        elif is_read_only:
            yield from not_asked("slurm.privileges", "--read-only")
        else:
            yield _privileges(client, node, slurm)
        yield _budget(client, settings.guard)
    return True


class _Asking:
    """Questions that the client of the other commands has no use for."""

    def __init__(self, settings: SlurmSettings) -> None:
        self._transport = Transport(settings, Token(settings.token_file), keep_alive=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def get(self, version: str, path: str) -> Any:
        """Return the body of an answer; None if there is none."""
        try:
            return self._transport.exchange(Request("GET", f"/slurm/{version}/{path}", None, _MOST_BYTES), LIMIT_S).body
        except SlurmError:
            return None


_API_REMEDY = (
    "Look at slurmrestd's log; it must be run with `-s openapi/slurmctld -a rest_auth/jwt` (or rest_auth/local)."
)
_IDENTITY_REMEDY = "Is the token signed with slurmctld's key (AuthAltParameters=jwt_key=…), and is it not too old?"


def _refusal(error: SlurmError) -> Verdict:
    return fail(str(error)) if isinstance(error, SlurmRejected) else unknown(str(error))


def _is_denied(found: Node | SlurmError) -> bool:
    return isinstance(found, SlurmRejected) and not isinstance(found, SlurmNotFound)


def _api(version: str, body: Any) -> Finding:
    try:
        release = ping_of(body).release
    except ValueError:
        release = ""
    words = f"Slurm {harmless(release, 40) or 'of unknown release'} offers {version}"
    if number_of(version) <= LAST_READ_ONLY:
        why = "it cannot change nodes: nodeproof only reads there"
        return Finding("slurm.api", fail(f"{words}: {why}"), "Update Slurm to 23.02 or newer.")
    return Finding("slurm.api", ok(words, version=version, release=release))


def _controller(body: Any) -> Findings:
    remedy = "Start slurmctld, and see that slurmrestd's host reaches its port. Drains are kept until it answers."
    try:
        ping = ping_of(body)
    except ValueError as error:
        yield Finding("slurm.controller", unknown(f"whether slurmctld is up is not known: {error}"), remedy)
        return False
    if not ping.up:
        yield Finding("slurm.controller", fail(f"slurmctld on {named(ping.down) or 'no host'} does not answer"), remedy)
        return False
    backup = f"; {named(ping.down)} does not" if ping.down else ""
    yield Finding("slurm.controller", ok(f"slurmctld on {named(ping.up)} answers{backup}"))
    return True


def _clock(body: Any, client: Client) -> Finding:
    """Compare clocks: slurmctld tells the second of its statistics, a proxy that of its answer."""
    theirs = server_time_of(body) or client.server_time()
    remedy = "Let chrony keep both clocks: tokens and munge credentials are refused when they are far apart."
    if theirs is None:
        return Finding("slurm.clock", unknown("slurmctld does not tell its time"), remedy)
    apart_s = time.time() - theirs
    words = f"this node's clock and slurmctld's are {abs(apart_s):.0f} s apart"
    judged = fail if abs(apart_s) > _FAR_APART_S else warn if abs(apart_s) > _APART_S else ok
    return Finding("slurm.clock", judged(words, apart_s=round(apart_s, 1)), remedy)


def _node(client: Client, name: str) -> Node | SlurmError:
    try:
        return client.node(name)
    except SlurmError as error:
        return error


def _known(node: Node | SlurmError, name: str) -> Finding:
    if isinstance(node, SlurmNotFound):
        remedy = "Set policy's slurm.node_name to this node's NodeName in slurm.conf: it is not the short host name."
        return Finding("slurm.node", fail(str(node)), remedy)
    if isinstance(node, SlurmError):
        return Finding("slurm.node", _refusal(node), _API_REMEDY)
    state = "+".join([node.base_state, *sorted(node.flags)])
    reason = f" ({harmless(node.reason, 100)}, set by {node.reason_user or 'nobody'})" if node.reason else ""
    return Finding("slurm.node", ok(f"Slurm knows {name}: it is {state}{reason}"))


def _privileges(client: Client, node: Node, settings: SlurmSettings) -> Finding:
    """Write what stands in the node's `extra` back unchanged: that needs the rights that a drain needs."""
    remedy = (
        f"Give {settings.user_name} AdminLevel=Administrator (`sacctmgr modify user {settings.user_name} set "
        "adminlevel=admin`), or use a token of SlurmUser: Operator is not enough to drain a node."
    )
    try:
        answer = client.update([node.name], {"extra": node.extra})
    except SlurmReadOnly as error:
        return Finding("slurm.privileges", fail(str(error)), "Update Slurm to 23.02 or newer.")
    except SlurmError as error:
        return Finding("slurm.privileges", unknown(str(error)), remedy)
    match answer:
        case Applied():
            said = f"we may change nodes: `extra` of {node.name} was written back unchanged"
            return Finding("slurm.privileges", ok(f"{said}, as {_account(client, settings)}"))
        case Refused():
            return Finding("slurm.privileges", fail(f"we may not change nodes: {answer.words}"), remedy)
        case _:
            return Finding(
                "slurm.privileges", unknown(f"whether we may change nodes is not known: {answer.words}"), remedy
            )


def _account(client: Client, settings: SlurmSettings) -> str:
    """Return whom Slurm will name as the one who set a reason."""
    if client.account:
        return client.account
    uid = server_uid(settings.url.removeprefix("unix:")) if settings.url.startswith("unix:") else None
    if uid is None:
        return "the user that slurmrestd runs as"
    try:
        return f"{pwd.getpwuid(uid).pw_name}, whom slurmrestd runs as"
    except KeyError:
        return f"user {uid}, whom slurmrestd runs as"


def _budget(client: Client, settings: GuardSettings) -> Finding:
    """Say what the guard would see now, if this node wanted a drain."""
    try:
        fleet = Fleet(client.nodes(), int(client.server_time() or time.time()))
    except SlurmError as error:
        return Finding("guard.budget", unknown(f"the nodes cannot be read: {error}"), "See the findings above.")
    used, drains = usage(fleet, settings), recent(fleet, settings)
    words = f"{used.out} of {plural(used.total, 'node')} are out of service, the limit is {used.limit}"
    words += f"; {drains} drained lately by nodeproof, the limit is {settings.drains}"
    if used.out >= used.limit or drains >= settings.drains:
        remedy = "Repair and resume nodes, or raise guard.share, guard.nodes or guard.drains in policy."
        return Finding("guard.budget", warn(f"{words}: no drain would be let through now"), remedy)
    return Finding("guard.budget", ok(words))
