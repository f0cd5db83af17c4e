"""What the agent of this node remembers, as far as it counts for the fleet's memory: drains, XIDs, flaps, failures."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from nodeproof.history.read import Entry, Wanted, database_in, read

#: Where the agent keeps its history. It runs as root, and nobody else may read it.
AGENT_STATE = "/var/lib/nodeproof"

#: Events by rule. What else goes wrong shows as a verdict that failed.
_EVENTS = {"event.xid": "xid", "event.sxid": "xid", "event.nic_link_down": "flap"}

_MOST_ENTRIES = 2000


def events(state_directory: str = AGENT_STATE) -> list[dict[str, Any]]:
    """Return what counts, oldest first; nothing where there is no history, or none that we may read.

    Raises NodeproofError for one that is damaged.
    """
    database = database_in(state_directory)
    if not os.access(database, os.R_OK):
        return []
    found, _ = read(database, Wanted(kinds=("verdict", "event", "action"), limit=_MOST_ENTRIES))
    return [event for entry in found for event in _of(entry)]


def _of(entry: Entry) -> Iterator[dict[str, Any]]:
    kind, detail = _KINDS[entry.kind](entry.content)
    if kind:
        yield {"at": entry.at, "kind": kind, "detail": detail}


def _verdict(content: Mapping[str, Any]) -> tuple[str, str]:
    return "failure" if content["status"] == "fail" else "", f"{content['check_id']}: {content['summary']}"


def _event(content: Mapping[str, Any]) -> tuple[str, str]:
    where = f"{content['part']}: " if content["part"] else ""
    return _EVENTS.get(content["rule"], ""), f"{where}{content['text']}"


def _action(content: Mapping[str, Any]) -> tuple[str, str]:
    is_drain = content.get("result") == "drained"
    return "drain" if is_drain else "", str(content.get("reason") or content.get("summary") or "")


_KINDS = {"verdict": _verdict, "event": _event, "action": _action}
