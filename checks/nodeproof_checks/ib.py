"""Judgement of InfiniBand and RoCE ports, each by itself and beside the others of its board."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.ib_ports import IbInterfaces
from nodeproof.probes.infiniband import HCAS, IbPort, Infiniband
from nodeproof.verdict import Verdict, fail, named, ok, plural

_ACTIVE, _LINK_UP = 4, 5


def physical_ports(ib: Infiniband) -> dict[str, IbPort]:
    """Return the ports of adapters that are no virtual functions."""
    return {n: p for n, p in ib.ports.items() if n.partition("/")[0] not in ib.hcas or not _is_virtual(ib, n)}


def active_ports(ib: Infiniband, link_layer: str | None = None) -> dict[str, IbPort]:
    """Return the physical ports that work, all of them or those of a link layer."""
    found = physical_ports(ib).items()
    return {n: p for n, p in found if p.state == _ACTIVE and link_layer in (None, p.link_layer)}


def parts(names: Iterable[str]) -> list[str]:
    """Return adapters and ports as findings name their parts, so that those of one adapter become one incident."""
    return sorted(f"ib:{name}" for name in names if name)


def _is_virtual(ib: Infiniband, port: str) -> bool:
    return ib.hcas[port.partition("/")[0]].is_virtual_function


def _learn_ports(ib: Infiniband) -> dict[str, object]:
    return {"claimed": {name: int(port.rate_gb_per_s) for name, port in active_ports(ib).items()}}


@check(
    "ib.port",
    tags="prolog healthcheck boot infiniband",
    remedy="Port down: check cable, transceiver and switch port (`ibstat`, `mlxlink -d DEVICE`). INIT: the subnet "
    "manager does not answer. Lower rate: a lane is lost, reseat or replace the cable.",
    learn=_learn_ports,
)
def port(
    ib: Infiniband,
    *,
    claimed: Annotated[
        dict[str, int] | int,
        "least rate in Gb/s of each `adapter/port`, e.g. `mlx5_0/1`; or how many ports, whatever they are called",
    ],
    link_layer: Annotated[
        Literal["InfiniBand", "Ethernet"] | None, "link layer that all claimed ports must have; not judged if unset"
    ] = None,
    min_width: Annotated[int, "lanes that every claimed port must run on at least, e.g. 4; 0: any"] = 0,
) -> Verdict:
    """Every claimed InfiniBand or RoCE port is there, active and at its rate.

    A job on a node whose rail is down fails at start or falls back to another rail at a fraction of the
    bandwidth. A port that lost a lane runs at a quarter or half of its rate and slows each collective
    down to that. Where a number is claimed, so many ports of physical adapters must work.
    """
    if isinstance(claimed, int):
        return _judge_number(ib, claimed, link_layer, min_width)
    problems = {}
    for name, rate in claimed.items():
        if name not in ib.unread and (words := _problem(ib.ports.get(name), rate, link_layer, min_width)):
            problems[name] = f"{name} {words}"
    if problems:
        return fail(named(list(problems.values())), ports=sorted(problems))
    for name in claimed:
        if name in ib.unread:
            raise ib.unread[name]
    rates = [f"{name} ({ib.ports[name].rate_gb_per_s:g} Gb/s)" for name in claimed]
    return ok(f"all claimed ports are active: {named(rates)}")


def _judge_number(ib: Infiniband, claimed: int, link_layer: str | None, min_width: int) -> Verdict:
    found = {name: _problem(p, 0, link_layer, min_width) for name, p in physical_ports(ib).items()}
    good = [name for name, words in found.items() if not words]
    if len(good) >= claimed:
        return ok(f"{plural(len(good), 'port')} active, {claimed} claimed: {named(good)}")
    unread = [error for name, error in ib.unread.items() if "/" in name]
    if len(good) + len(unread) >= claimed:
        raise unread[0]
    bad = {name: f"{name} {words}" for name, words in found.items() if words}
    why = named(list(bad.values())) or f"there are {len(found)}"
    return fail(f"{plural(len(good), 'port')} active, expected {claimed}: {why}", ports=sorted(bad))


def _problem(port: IbPort | None, rate_gb_per_s: int, link_layer: str | None, min_width: int) -> str:
    """Return what is wrong with a claimed port, or nothing."""
    if port is None:
        return "is missing: no such adapter and port"
    if port.physical_state != _LINK_UP:
        return f"has no link ({port.physical_state_words}), expected LinkUp"
    if port.state != _ACTIVE:
        return f"is in state {port.state_words}, expected ACTIVE"
    if link_layer is not None and port.link_layer != link_layer:
        return f"has link layer {port.link_layer}, expected {link_layer}"
    if port.lanes is not None and port.lanes < min_width:
        return f"runs on {plural(port.lanes, 'lane')} ({port.rate_gb_per_s:g} Gb/s), expected {min_width}"
    if port.rate_gb_per_s < rate_gb_per_s:
        return f"runs at {port.rate_gb_per_s:g} Gb/s, expected {rate_gb_per_s}"
    return ""


def _learn_firmware(ib: Infiniband) -> dict[str, object]:
    """Return the most frequent version of each board."""
    versions = _versions(ib).items()
    return {"allowed": {board: Counter(found.values()).most_common(1)[0][0] for board, found in sorted(versions)}}


def _versions(ib: Infiniband) -> dict[str, dict[str, str]]:
    """Return the known firmware versions by board and adapter."""
    versions: dict[str, dict[str, str]] = defaultdict(dict)
    for name, hca in ib.hcas.items():
        if hca.board and hca.firmware:
            versions[hca.board][name] = hca.firmware
    return versions


@check(
    "ib.firmware",
    tags="healthcheck boot infiniband",
    remedy="Update the firmware with `mlxfwmanager` or the vendor's tool, and reset the adapter to run it.",
    learn=_learn_firmware,
)
def firmware(
    ib: Infiniband,
    *,
    allowed: Annotated[dict[str, str] | None, "version pattern (`*` and `?`) by board id, or by adapter"] = None,
) -> Verdict:
    """InfiniBand adapters run an allowed firmware, and those of one board run the same.

    Rails that differ in firmware differ in congestion control and adaptive routing, and the slowest one
    sets the pace; links of mixed firmware are also the ones that train badly after a cable swap.
    """
    for name, hca in ib.hcas.items():
        pattern = (allowed or {}).get(name, "*")
        if not fnmatchcase(hca.firmware, pattern):
            version = hca.firmware or "no firmware that its driver says"
            return fail(f"{name} runs {version}, allowed {pattern}", versions={name: hca.firmware})
    versions = _versions(ib)
    for board, found in versions.items():
        pattern = (allowed or {}).get(board, "*")
        wrong = {name: version for name, version in found.items() if not fnmatchcase(version, pattern)}
        if wrong:
            words = [f"{name} {version}" for name, version in wrong.items()]
            return fail(f"{board} adapters run firmware {named(words)}, allowed {pattern}", versions=wrong)
        if len(set(found.values())) > 1:
            words = [f"{name} {version}" for name, version in found.items()]
            return fail(f"{board} adapters differ in firmware: {named(words)}", versions=found)
    for name, error in ib.unread.items():
        if "/" not in name:  # an adapter and no port
            raise error
    counts = [f"{board} {named(set(found.values()))}" for board, found in versions.items()]
    return ok(f"adapters of one board run the same firmware: {named(counts) or 'no driver says any'}")


#: What ports are compared in; `ib.port` judges rate and width of those that policy claims.
_Compared = Literal["link_layer", "mtu", "rate", "width"]


def _learn_compared(ib: Infiniband, interfaces: IbInterfaces) -> dict[str, object]:
    """Leave rates to `ib.port`, which learns them, and what differs already to nobody."""
    differing = {what for what, _ in _odd_ones(ib, interfaces, ("link_layer", "mtu"))}
    return {"compared": tuple(what for what in ("link_layer", "mtu") if what not in differing)}


@check(
    "ib.homogeneity",
    tags="healthcheck boot infiniband",
    remedy="Compare the odd port's cable, transceiver and switch port with a sound one's, its link type with "
    "`mlxconfig -d DEVICE query LINK_TYPE_P1`, and its MTU with `ip link`.",
    learn=_learn_compared,
    beta=True,
)
def homogeneity(
    ib: Infiniband,
    interfaces: IbInterfaces,
    *,
    compared: Annotated[
        tuple[_Compared, ...],
        "what active ports of one board must agree in: any of link_layer, mtu (of their interfaces), rate, width. "
        "Leave out rate and width where `claims.ib` says them, or a slow port is found twice",
    ] = ("link_layer", "mtu", "rate", "width"),
) -> Verdict:
    """Active ports of one board agree in link layer, rate, width and MTU.

    Collectives stripe over all rails of a node and wait for the slowest: one that differs from its siblings is wrong
    without any policy to say so. A port left in Ethernet mode after a firmware reset, or with the small MTU, is
    the classic. Boards are compared with their like alone, and virtual functions with nobody.
    """
    for what, values in _odd_ones(ib, interfaces, compared):
        common, count = Counter(values.values()).most_common(1)[0]
        is_most = 2 * count > len(values)
        odd = {name: f"{name} has {value}" for name, value in values.items() if value != common or not is_most}
        words = "MTU" if what == "mtu" else what.replace("_", " ")
        most = f", most have {common}" if is_most else ", expected the same"
        return fail(f"ports of one board differ in {words}: {named(list(odd.values()))}{most}", parts=parts(odd))
    for error in (*ib.unread.values(), *interfaces.unread.values()):
        raise error
    number = sum(map(len, _boards(ib).values()))
    return ok(f"{plural(number, 'active port')} agree with others of their board in {named(compared) or 'nothing'}")


def _boards(ib: Infiniband) -> dict[str, list[str]]:
    """Return the active ports of each board. Raises FactError `absent` where there is none, or no driver says which."""
    boards: dict[str, list[str]] = defaultdict(list)
    for name in active_ports(ib):
        hca = ib.hcas.get(name.partition("/")[0])
        if hca is not None and hca.board:
            boards[hca.board].append(name)
    if not boards and not ib.unread:
        raise FactError(f"{HCAS}/*/board_id", "absent", "no active port of a known board")
    return boards


def _odd_ones(ib: Infiniband, interfaces: IbInterfaces, compared: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    """Return what ports of one board differ in, with the value of each port that has one."""
    boards, found = _boards(ib), []
    for what in compared:
        for names in boards.values():
            values = {name: v for name in names if (v := _value(what, ib.ports[name], interfaces, name))}
            if len(set(values.values())) > 1:
                found.append((what, values))
    return found


def _value(what: str, port: IbPort, interfaces: IbInterfaces, name: str) -> str:
    """Return one property of a port in words, nothing if it is not known."""
    if what == "mtu":
        return "/".join(sorted({str(i.mtu_bytes) for i in interfaces.of(name).values()}))
    if what == "width":
        return f"{port.lanes}X" if port.lanes else ""
    return port.link_layer if what == "link_layer" else f"{port.rate_gb_per_s:g} Gb/s"
