"""Judgement of what the InfiniBand fabric gave to a node's ports; RoCE ports have no subnet manager."""

from collections import Counter, defaultdict
from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.ib_ports import IbPkeys, IbSubnets
from nodeproof.probes.infiniband import HCAS, Infiniband
from nodeproof.probes.parse import integer
from nodeproof.verdict import Verdict, fail, named, ok, plural
from nodeproof_checks.ib import active_ports, parts

#: LIDs that no port can have: 0 is reserved, the other means anybody (InfiniBand Architecture Specification, volume 1).
_NO_LID = frozenset({0, 0xFFFF})

#: Bit 15 of a P_Key: full member, who may talk to every other member.
_FULL = 0x8000


def _judged(ib: Infiniband) -> list[str]:
    """Return the InfiniBand ports that work. Raises FactError where there is none, or where one could not be asked."""
    ports = sorted(active_ports(ib, "InfiniBand"))
    for name, error in ib.unread.items():
        if "/" in name and not ports:
            raise error
    if not ports:
        raise FactError(f"{HCAS}/*/ports/*", "absent", "no active InfiniBand port")
    return ports


@check(
    "ib.subnet_manager",
    tags="healthcheck boot infiniband",
    remedy="Ask the fabric which subnet manager is master (`sminfo`), and look at its log for this port's GUID "
    "(`ibstat`). `ibportstate` or a reset of the port makes it ask again.",
    beta=True,
)
def subnet_manager(
    ib: Infiniband,
    subnets: IbSubnets,
    *,
    allowed: Annotated[
        tuple[int, ...], "LIDs that a subnet manager may have, e.g. those of master and standby; empty: any"
    ] = (),
) -> Verdict:
    """Every active InfiniBand port has an address and knows its subnet manager.

    Without one a port that is up can reach nobody new: path queries, multicast joins and with them the start of every
    job hang until they time out. A manager that nobody expects is a second `opensm` on some node that took over the
    fabric with its own routing. A port that waits for its manager in INIT is a matter of `ib.port`.
    """
    problems = {}
    ports = [name for name in _judged(ib) if name in subnets.known]
    for name in ports:
        lid, sm_lid = subnets.known[name].lid, subnets.known[name].sm_lid
        if sm_lid in _NO_LID:
            problems[name] = f"{name} knows no subnet manager (SM LID {sm_lid}), expected one"
        elif lid in _NO_LID:
            problems[name] = f"{name} has no address (LID {lid}), expected one from the subnet manager at {sm_lid}"
        elif allowed and sm_lid not in allowed:
            problems[name] = f"{name} obeys a subnet manager at LID {sm_lid}, expected {named(allowed)}"
    if problems:
        return fail(named(list(problems.values())), parts=parts(problems))
    for name in _judged(ib):
        if name in subnets.unread:
            raise subnets.unread[name]
    managers = {subnets.known[name].sm_lid for name in ports}
    return ok(f"{plural(len(ports), 'InfiniBand port')} with a subnet manager at LID {named(managers)}")


def _learn_pkeys(ib: Infiniband, pkeys: IbPkeys) -> dict[str, object]:
    """Return the keys that all active ports have; where ports have more than these, they differ by design."""
    found = [frozenset(pkeys.known[name]) for name in active_ports(ib, "InfiniBand") if name in pkeys.known]
    if not found:
        return {}
    common = frozenset.intersection(*found)
    learnt: dict[str, object] = {"required": tuple(f"0x{key:04x}" for key in sorted(common))}
    return learnt if all(keys == common for keys in found) else learnt | {"is_uniform": False}


@check(
    "ib.pkeys",
    tags="healthcheck boot infiniband",
    remedy="Compare the subnet manager's partition configuration (`partitions.conf`, UFM) with this port's GUID "
    "(`ibstat`): the port is in another partition, or a limited member where it should be a full one.",
    learn=_learn_pkeys,
    beta=True,
)
def pkeys(
    ib: Infiniband,
    pkeys: IbPkeys,
    *,
    required: Annotated[
        tuple[str, ...],
        "partition keys that every active InfiniBand port must have, e.g. `0x8001` for a full member of partition 1, "
        "`0x0001` for any member",
    ] = (),
    is_uniform: Annotated[bool, "whether active ports of one board must all have the same keys"] = True,
) -> Verdict:
    """Active InfiniBand ports are members of the partitions they need, and of the same ones.

    Two ports talk only if they share a partition and one of them is a full member (bit 15 of the key: `0xffff` is the
    default partition's full member, `0x7fff` its limited one). A port left out of it has a perfect link over which no
    job can talk. Source: InfiniBand Architecture Specification, volume 1, 10.9.
    """
    wanted = [_key(text) for text in required]
    ports = [name for name in _judged(ib) if name in pkeys.known]
    problems = {}
    for name in ports:
        if words := [_missing(key, pkeys.known[name]) for key in wanted if not _has(key, pkeys.known[name])]:
            problems[name] = f"{name} {named(words, 2)}"
    if problems:
        return fail(named(list(problems.values()), 2), parts=parts(problems), pkeys=_shown(pkeys, problems))
    if is_uniform and (odd := _odd(ib, pkeys, ports)):
        words = [f"{name} has {_listed(pkeys.known[name])}" for name in odd]
        keys_by_port = _shown(pkeys, odd)
        return fail(
            f"ports of one board differ in partition keys: {named(words, 2)}", parts=parts(odd), pkeys=keys_by_port
        )
    for name in _judged(ib):
        if name in pkeys.unread:
            raise pkeys.unread[name]
    keys = {key for name in ports for key in pkeys.known[name]}
    return ok(f"{plural(len(ports), 'InfiniBand port')} with partition keys {_listed(sorted(keys))}")


def _key(text: str) -> int:
    key = integer("required", text, 16)
    if not 0 < key <= 0xFFFF:
        raise FactError(
            "required", "malformed", f"expected a partition key of 16 bits, e.g. 0x8001, found {text[:20]!r}"
        )
    return key


def _has(wanted: int, keys: tuple[int, ...]) -> bool:
    """Say whether a port is such a member; a full one is a limited one too."""
    return wanted in keys or wanted | _FULL in keys


def _missing(wanted: int, keys: tuple[int, ...]) -> str:
    if wanted & ~_FULL in keys:
        return f"is a limited member of partition {wanted & ~_FULL:#06x}, expected a full one"
    return f"lacks partition key {wanted:#06x} (it has {_listed(keys)})"


def _odd(ib: Infiniband, pkeys: IbPkeys, ports: list[str]) -> list[str]:
    """Return the ports whose keys are not those that most ports of their board have."""
    boards: dict[str, dict[str, frozenset[int]]] = defaultdict(dict)
    for name in ports:
        hca = ib.hcas.get(name.partition("/")[0])
        boards[hca.board if hca else ""][name] = frozenset(pkeys.known[name])
    odd = []
    for found in boards.values():
        common = Counter(found.values()).most_common(1)[0][0]
        odd += [name for name, keys in found.items() if keys != common]
    return odd


def _listed(keys: tuple[int, ...] | list[int]) -> str:
    return named([f"{key:#06x}" for key in keys]) or "none"


def _shown(pkeys: IbPkeys, ports: dict[str, str] | list[str]) -> dict[str, list[str]]:
    return {name: [f"{key:#06x}" for key in pkeys.known[name]] for name in ports}
