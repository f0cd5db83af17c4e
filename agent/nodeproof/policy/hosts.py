"""Host sets in ClusterShell's syntax: `gpu[001-128]!gpu007`.

ClusterShell's groups and wildcards are refused: to resolve them it runs programs that its
configuration names.
"""

from collections.abc import Iterable
from typing import Any

_SYNTAX = frozenset("._-,[]!&^/")


def host_set(hosts: str) -> Any:
    """Return the ClusterShell NodeSet. Raises ValueError for what is none, or is empty."""
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

    if wrong := [c for c in hosts if not (c.isascii() and c.isalnum()) and c not in _SYNTAX]:
        raise ValueError(f"expected host names such as gpu[001-128]!gpu007, found {wrong[0]!r}")
    try:
        found = NodeSet(hosts, resolver=RESOLVER_NOGROUP)  # type: ignore[no-untyped-call]
    except NodeSetException as error:
        raise ValueError(f"expected host names such as gpu[001-128]!gpu007: {error}") from error
    if not found:
        raise ValueError("expected host names such as gpu[001-128]!gpu007, found none")
    return found


def is_among(node_name: str, hosts: str) -> bool:
    """Return whether a node is in a host set, by its name as it is or without its domain."""
    found = host_set(hosts)
    return any(name in found for name in (node_name, short(node_name)) if is_host_name(name))


def is_host_name(name: str) -> bool:
    """Return whether a name can stand in a host set for itself."""
    return name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()


def short(node_name: str) -> str:
    return node_name.partition(".")[0]


def folded(names: Iterable[str]) -> str:
    """Return host names as one host set, e.g. `gpu[001-128]`; empty if there are none."""
    listed = ",".join(name for name in names if is_host_name(name))
    return str(host_set(listed)) if listed else ""
