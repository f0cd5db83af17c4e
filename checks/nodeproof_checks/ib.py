"""Judgement of InfiniBand and RoCE adapters."""

from collections import Counter, defaultdict
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.probes.infiniband import IbPort, Infiniband
from nodeproof.verdict import Verdict, fail, named, ok

_ACTIVE, _LINK_UP = 4, 5


def _learn_ports(ib: Infiniband) -> dict[str, object]:
    physical = {name for name, hca in ib.hcas.items() if not hca.is_virtual_function}
    ports = {name: p for name, p in ib.ports.items() if p.state == _ACTIVE and name.partition("/")[0] in physical}
    return {"claimed": {name: int(port.rate_gb_per_s) for name, port in ports.items()}}


@check(
    "ib.port",
    tags="prolog healthcheck boot",
    remedy="Port down: check cable, transceiver and switch port (`ibstat`, `mlxlink -d DEVICE`). INIT: the subnet "
    "manager does not answer. Lower rate: a lane is lost, reseat or replace the cable.",
    learn=_learn_ports,
)
def port(
    ib: Infiniband,
    *,
    claimed: Annotated[dict[str, int], "least rate in Gb/s of each `adapter/port`, e.g. `mlx5_0/1`"],
    link_layer: Annotated[
        Literal["InfiniBand", "Ethernet"] | None, "link layer that all claimed ports must have; not judged if unset"
    ] = None,
) -> Verdict:
    """Every claimed InfiniBand or RoCE port is there, active and at its rate.

    A job on a node whose rail is down fails at start or falls back to another rail at a fraction of the
    bandwidth. A port that lost a lane runs at a quarter or half of its rate and slows each collective
    down to that.
    """
    problems = {}
    for name, rate in claimed.items():
        if name not in ib.unread and (words := _problem(ib.ports.get(name), rate, link_layer)):
            problems[name] = f"{name} {words}"
    if problems:
        return fail(named(list(problems.values())), ports=sorted(problems))
    for name in claimed:
        if name in ib.unread:
            raise ib.unread[name]
    rates = [f"{name} ({ib.ports[name].rate_gb_per_s:g} Gb/s)" for name in claimed]
    return ok(f"all claimed ports are active: {named(rates)}")


def _problem(port: IbPort | None, rate_gb_per_s: int, link_layer: str | None) -> str:
    """Return what is wrong with a claimed port, or nothing."""
    if port is None:
        return "is missing: no such adapter and port"
    if port.physical_state != _LINK_UP:
        return f"has no link ({port.physical_state_words}), expected LinkUp"
    if port.state != _ACTIVE:
        return f"is in state {port.state_words}, expected ACTIVE"
    if link_layer is not None and port.link_layer != link_layer:
        return f"has link layer {port.link_layer}, expected {link_layer}"
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
    remedy="Update the firmware with `mlxfwmanager` or the vendor's tool, and reset the adapter to run it.",
    learn=_learn_firmware,
)
def firmware(
    ib: Infiniband,
    *,
    allowed: Annotated[dict[str, str] | None, "version pattern (`*` and `?`) by board id"] = None,
) -> Verdict:
    """InfiniBand adapters run an allowed firmware, and those of one board run the same.

    Rails that differ in firmware differ in congestion control and adaptive routing, and the slowest one
    sets the pace; links of mixed firmware are also the ones that train badly after a cable swap.
    """
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
