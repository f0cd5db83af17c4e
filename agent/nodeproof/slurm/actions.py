"""Drain and resume one node, and touch no drain but our own.

Slurm has no compare-and-set: the node is read before it is written, and read again to see what
became of it. In the milliseconds between, somebody else may write: that is a LostRace, and told.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from nodeproof.errors import SlurmRejected
from nodeproof.slurm.node import Node
from nodeproof.slurm.rest import Client


class Record(Protocol):
    """What we noted of a drain of ours; `reason_changed_at` is None until Slurm was seen to have stored it."""

    @property
    def id(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def reason_changed_at(self) -> int | None: ...
    @property
    def user(self) -> str: ...


class Drained(NamedTuple):
    """Drained by us, now, and seen to be."""

    node: Node


class Standing(NamedTuple):
    """Our earlier drain stands unchanged; nothing was written."""

    node: Node


class Resumed(NamedTuple):
    """Our drain was taken back, and seen to be."""

    node: Node


class Free(NamedTuple):
    """In service: somebody else took our drain back. Nothing was written."""

    node: Node


class Foreign(NamedTuple):
    """Out of service by somebody else, or with a reason that is no longer ours. Nothing was written."""

    node: Node


class NotReady(NamedTuple):
    """Its slurmd has not registered since slurmctld was started; nothing was written."""

    node: Node


class LostRace(NamedTuple):
    """Slurm took our change, and yet the node is not what we made it: somebody else wrote meanwhile."""

    node: Node


Outcome = Drained | Standing | Resumed | Free | Foreign | NotReady | LostRace


def look(client: Client, name: str, record: Record) -> Standing | Free | Foreign:
    """Say what became of our drain."""
    return _standing(client.node(name), record)


def drain(
    client: Client, name: str, reason: str, record: Record | None, before_write: Callable[[], None]
) -> Drained | Standing | Foreign | LostRace:
    """Drain a node that is in service. `record` is our earlier drain, if there is one.

    `before_write` is called when the node was found in service, and before anything is written: the
    place to note the drain, since the answer may get lost.
    """
    node = client.node(name)
    if node.is_out_of_service:
        return Standing(node) if record is not None and _is_ours(node, record) else Foreign(node)
    before_write()
    node = _update(client, name, {"state": ["DRAIN"], "reason": reason}, lambda n: n.is_drained and n.reason == reason)
    return Drained(node) if node.is_drained and node.reason == reason else LostRace(node)


def resume(client: Client, name: str, record: Record) -> Resumed | Free | Foreign | NotReady | LostRace:
    """Take our drain back, if it is still exactly ours.

    UNDRAIN, not RESUME: it clears nothing but the drain, so it never lifts somebody's DOWN. The
    reason is replaced, since Slurm keeps it, and its own next drain would otherwise look like ours.
    """
    found = look(client, name, record)
    if not isinstance(found, Standing):
        return found
    if found.node.base_state == "UNKNOWN":
        return NotReady(found.node)
    changes = {"state": ["UNDRAIN"], "reason": f"nodeproof: resumed {record.id}"}
    node = _update(client, name, changes, lambda n: not n.is_drained)
    return LostRace(node) if node.is_drained else Resumed(node)


def _standing(node: Node, record: Record) -> Standing | Free | Foreign:
    if _is_ours(node, record):
        return Standing(node)
    return Foreign(node) if node.is_out_of_service else Free(node)


def _is_ours(node: Node, record: Record) -> bool:
    """Tell whether this drain is the one we noted, and nobody has made it theirs by touching the reason."""
    if not node.is_drained or node.reason != record.reason:
        return False
    stored = (node.reason_changed_at, node.reason_user)
    return record.reason_changed_at is None or stored == (record.reason_changed_at, record.user)


def _update(client: Client, name: str, changes: Mapping[str, object], is_done: Callable[[Node], bool]) -> Node:
    """Write, and return the node as it is afterwards. A refusal counts only if the change is not there."""
    try:
        client.update(name, changes)
    except SlurmRejected:
        node = client.node(name)
        if not is_done(node):
            raise
        return node
    return client.node(name)
