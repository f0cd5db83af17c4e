"""Judgement of Ethernet ports, and of other interfaces that policy names."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from fnmatch import fnmatchcase
from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.nic import NET, Interface, Interfaces, NicFirmware, NicFirmwares
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn


def _raise_unread(unread: dict[str, FactError], wanted: Container[str] | None = None) -> None:
    """Raise the error of the first wanted item that could not be read."""
    for name, error in unread.items():
        if wanted is None or name in wanted:
            raise error


def _ports(interfaces: Interfaces) -> dict[str, Interface]:
    """Return the Ethernet ports that could be read. Raises FactError `absent` where there are none to read."""
    if not interfaces.ports:
        raise FactError(NET, "absent", "no Ethernet port")
    return {name: i for name, i in interfaces.known.items() if name in interfaces.ports}


def _in_use(interfaces: Interfaces) -> dict[str, Interface]:
    return {name: i for name, i in _ports(interfaces).items() if i.is_up}


def _learn_link(interfaces: Interfaces) -> dict[str, object]:
    ports = _in_use(interfaces)
    speeds = {name: i.speed_mb_per_s for name, i in ports.items() if i.speed_mb_per_s is not None}
    return {"claimed": tuple(ports), "min_mb_per_s": speeds}


@check(
    "nic.link",
    tags="prolog healthcheck boot",
    remedy="Check cable, transceiver and switch port (`ethtool NAME`); for half duplex also the negotiation settings.",
    learn=_learn_link,
)
def link(
    interfaces: Interfaces,
    *,
    claimed: Annotated[tuple[str, ...], "interfaces that must be up, by name: ports, bonds, VLANs, IPoIB"],
    min_mb_per_s: Annotated[dict[str, int] | None, "least speed in Mb/s by interface; not judged if unset"] = None,
) -> Verdict:
    """Every claimed interface is up, at its speed, in full duplex.

    A damaged cable or transceiver negotiates a tenth of the speed and keeps working: file systems and
    job start then crawl on one node of a job and hold up all others.
    """
    limits = min_mb_per_s or {}
    problems = {}
    for name in claimed:
        if name not in interfaces.unread and (words := _problem(interfaces.known.get(name), limits.get(name, 0))):
            problems[name] = f"{name} {words}"
    if problems:
        return fail(named(list(problems.values())), interfaces=sorted(problems))
    _raise_unread(interfaces.unread, claimed)
    speeds = [f"{name} ({interfaces.known[name].speed_mb_per_s or 'unknown'} Mb/s)" for name in claimed]
    return ok(f"all claimed interfaces are up: {named(speeds)}")


def _problem(port: Interface | None, min_mb_per_s: int) -> str:
    """Return what is wrong with a claimed port, or nothing; a speed the driver does not know is not judged."""
    if port is None:
        return "is missing: no interface of that name"
    if not port.is_up:
        return f"is down ({port.operstate}, {'with' if port.has_carrier else 'no'} carrier), expected up"
    if port.speed_mb_per_s is not None and port.speed_mb_per_s < min_mb_per_s:
        return f"runs at {port.speed_mb_per_s} Mb/s, expected {min_mb_per_s}"
    return f"runs in {port.duplex} duplex, expected full" if port.duplex not in ("full", None) else ""


@check(
    "nic.mtu",
    remedy="Set the MTU in the network configuration of the node, and compare it with the switch port's.",
    learn=lambda interfaces: {"mtu_bytes": {name: i.mtu_bytes for name, i in _in_use(interfaces).items()}},
)
def mtu(
    interfaces: Interfaces,
    *,
    mtu_bytes: Annotated[dict[str, int], "MTU in bytes that each named interface must have"],
) -> Verdict:
    """Interfaces have the MTU that the network is built for.

    A node with 1500 bytes among 9000 loses large datagrams, or fragments them: mounts hang and MPI over
    TCP stalls, with some peers only. An interface that is not there is the business of `nic.link`.
    """
    found = {name: interfaces.known[name].mtu_bytes for name in mtu_bytes if name in interfaces.known}
    wrong = {name: found_bytes for name, found_bytes in found.items() if found_bytes != mtu_bytes[name]}
    if wrong:
        words = [f"{name} has an MTU of {found} bytes, expected {mtu_bytes[name]}" for name, found in wrong.items()]
        return fail(named(words), mtu_bytes=wrong)
    _raise_unread(interfaces.unread, mtu_bytes)
    if mtu_bytes and not found:
        raise FactError(named(list(mtu_bytes)), "absent", "no interface of that name")
    missing = [name for name in mtu_bytes if name not in found]
    also = f"; not there: {named(missing)}" if missing else ""
    return ok(f"MTU in bytes as expected: {named(_pairs(found))}{also}", missing=missing)


@check(
    "nic.flaps",
    remedy="Check cable, transceiver and switch port. The count starts anew at the next boot.",
)
def flaps(
    interfaces: Interfaces,
    *,
    max_carrier_changes: Annotated[int, "carrier changes of one port since boot; going down and up makes 2"] = 30,
) -> Verdict:
    """No Ethernet port loses its link time and again.

    Each loss costs seconds of negotiation, which jobs see as a hang or a broken connection; a port that
    flaps has a bad cable, a dirty fibre or a dying transceiver.
    """
    counts = {name: i.carrier_changes for name, i in _ports(interfaces).items()}
    bad = {name: count for name, count in counts.items() if count > max_carrier_changes}
    if bad:
        words = [f"{name} changed its carrier {count} times" for name, count in bad.items()]
        return fail(f"{named(words)} since boot, limit {max_carrier_changes}", carrier_change_count=bad)
    _raise_unread(interfaces.unread, interfaces.ports)
    return ok(f"carrier changes since boot are below {max_carrier_changes + 1}: {named(_pairs(counts))}")


def _pairs(counts: dict[str, int]) -> list[str]:
    return [f"{name} {count}" for name, count in counts.items()]


@check(
    "nic.errors",
    remedy="CRC errors: check cable and transceiver, clean the fibre. Missed packets: raise the ring size "
    "(`ethtool -G`) and check flow control and interrupt affinity.",
)
def errors(
    interfaces: Interfaces,
    *,
    max_errors_per_million_packets: Annotated[float, "bad packets in a million, by direction"] = 10.0,
    max_missed_per_million_packets: Annotated[float, "packets in a million that the host had no room for"] = 1000.0,
    min_count: Annotated[int, "errors below this count say nothing"] = 100,
) -> Verdict:
    """Few packets are damaged on the wire or dropped for want of buffers.

    Retransmission hides damaged packets and pays for them in latency: one in a hundred thousand is enough
    to halve the throughput of a TCP stream over a long path. Counters start when the driver is loaded.
    Adapters count errors of RDMA traffic too: where nothing counts its packets, there is no share to judge.
    """
    ports = _ports(interfaces)
    judged = {name: port for name, port in ports.items() if port.rdma_packets != {}}
    problems: dict[str, str] = {}
    for name, port in judged.items():
        for count, packets, what in _error_counts(port):
            limit = max_missed_per_million_packets if what == "missed" else max_errors_per_million_packets
            if count >= min_count and count * 1e6 > limit * (packets + count):
                ratio = count * 1e6 / (packets + count)
                problems[name] = f"{name} has {ratio:.0f} {what} packets in a million ({count} in all), limit {limit:g}"
                break
    if problems:
        counters = {name: {c: n for c, n in judged[name].counters.items() if n} for name in problems}
        return fail(named(list(problems.values())), counter_count=counters)
    _raise_unread(interfaces.unread, interfaces.ports)
    left = [name for name in ports if name not in judged]
    if not judged:
        raise FactError(f"RDMA packet counters of {named(left)}", "absent", "no share of errors to judge")
    also = f"; {named(left)} not judged: nothing counts the RDMA packets" if left else ""
    return ok(f"{plural(len(judged), 'Ethernet port')} with no more errors than tolerated{also}", not_judged=left)


def _error_counts(port: Interface) -> Iterator[tuple[int, int, str]]:
    """Yield count, good packets and what it counts. The total should include CRC errors; some drivers forget."""
    counters, rdma = port.counters, port.rdma_packets or {}
    received, sent = (max(counters[name], rdma.get(name, 0)) for name in ("rx_packets", "tx_packets"))
    yield max(counters["rx_errors"], counters["rx_crc_errors"]), received, "bad received"
    yield max(counters["tx_errors"], counters["tx_carrier_errors"]), sent, "failed sent"
    yield counters["rx_missed_errors"], received, "missed"


def _learn_firmware(firmwares: NicFirmwares) -> dict[str, object]:
    """Return the most frequent version of each model, its pattern characters quoted."""
    versions = _versions(firmwares.known)
    common = {model: Counter(found.values()).most_common(1)[0][0] for model, found in versions.items()}
    return {"allowed": {model: version.replace("[", "[[]") for model, version in sorted(common.items())}}


def _versions(known: dict[str, NicFirmware]) -> dict[str, dict[str, str]]:
    """Return the known firmware versions by model and port."""
    versions: dict[str, dict[str, str]] = defaultdict(dict)
    for name, nic in known.items():
        if nic.version:
            versions[nic.model][name] = nic.version
    return versions


@check(
    "nic.firmware",
    remedy="Update the firmware of the card with the vendor's tool, and reset it (cold reboot) to run it.",
    learn=_learn_firmware,
)
def firmware(
    firmwares: NicFirmwares,
    *,
    allowed: Annotated[
        dict[str, str] | None,
        "version pattern (`*` and `?`) by model (`vendor:device/subsystem`), `vendor:device` or driver",
    ] = None,
) -> Verdict:
    """Network adapters run an allowed firmware, and those of one model run the same.

    Mixed firmware is how two rails of a node come to differ in congestion control, and how one node of
    a thousand hits the bug that the others were updated against. A stored version that is not running
    yet is a warning: the node waits for a reset.
    """
    wrong = _not_allowed(firmwares.known, allowed or {})
    if wrong:
        return fail(named(list(wrong.values())), interfaces=sorted(wrong))
    for model, found in _versions(firmwares.known).items():
        if len(set(found.values())) > 1:
            words = [f"{name} {version}" for name, version in found.items()]
            return fail(f"adapters of model {model} differ in firmware: {named(words)}", versions=found)
    pending = {name: nic.pending for name, nic in firmwares.known.items() if nic.pending}
    if pending:
        words = [f"{name} {component} {v}" for name, p in pending.items() for component, v in p.items()]
        return warn(f"firmware is stored and waits for a reset to run: {named(words)}", pending=pending)
    _raise_unread(firmwares.unread)
    versions = [f"{name} {nic.version or 'says none'}" for name, nic in firmwares.known.items()]
    return ok(f"network adapters of one model run the same firmware: {named(versions)}")


def _not_allowed(known: dict[str, NicFirmware], allowed: dict[str, str]) -> dict[str, str]:
    """Return by port what is wrong with its version; the most specific key decides."""
    wrong = {}
    for name, nic in known.items():
        keys = (nic.model, nic.model.partition("/")[0], nic.driver)
        pattern = next((allowed[key] for key in keys if key in allowed), "*")
        if nic.version and not fnmatchcase(nic.version, pattern):
            wrong[name] = f"{name} ({nic.driver} {nic.model}) runs firmware {nic.version}, allowed {pattern}"
    return wrong
