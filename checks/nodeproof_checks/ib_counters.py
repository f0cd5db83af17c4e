"""Judgement of what InfiniBand and RoCE ports count over time: errors, congestion, lost links."""

import math
from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.infiniband import HCAS, IbPort, Infiniband
from nodeproof.probes.ledger import LEDGER, Seen
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn
from nodeproof_checks.over_time import HOUR_S, Limit, counts, excess, fine, raise_unsure, start_of

_DISABLED, _LINK_UP = 3, 5  # physical states

_WAIT = "ib.port_xmit_wait"


def _part(port: str) -> str:
    return f"ib:{port}"


def _bits_per_s(ib: Infiniband) -> dict[str, float]:
    """Return the rate of each port that has a link: without one the kernel tells some other rate."""
    return {_part(n): p.rate_gb_per_s * 1e9 for n, p in ib.ports.items() if p.physical_state == _LINK_UP}


def _raise_unread(ib: Infiniband, seen: Seen, limits: list[Limit]) -> None:
    """Raise the error of a port that counts, but whose state and rate could not be read."""
    ports = {s.part.partition(":")[2] for limit in limits for s in seen.counted(limit.counter)}
    for port in sorted(ports & ib.unread.keys()):
        raise ib.unread[port]


def _transport_limits(ib: Infiniband, timeouts: float, retransmissions: float) -> list[Limit]:
    """Return the limits of what the transport repeats.

    Packets out of their order are judged on Ethernet alone: adaptive routing brings them about on InfiniBand, and
    nothing is lost then.
    """
    roce = {_part(n): retransmissions for n, p in ib.ports.items() if p.link_layer == "Ethernet"}
    return [
        Limit("ib.local_ack_timeout_err", "timeouts of an acknowledgement", timeouts),
        Limit("ib.rnr_nak_retry_err", "retries for a receiver that is not ready", timeouts),
        Limit("ib.rcvd_rnr_err", "retries for a receiver that is not ready", timeouts),
        Limit("ib.roce_slow_restart", "slow restarts", retransmissions, roce),
        Limit("ib.packet_seq_err", "packets that the other end missed", retransmissions, roce),
        Limit("ib.rcvd_seq_err", "packets that the other end missed", retransmissions, roce),
        Limit("ib.out_of_sequence", "packets out of their order", retransmissions, roce),
        Limit("ib.out_of_seq_request", "packets out of their order", retransmissions, roce),
        Limit("ib.rx_icrc_encapsulated", "packets with a bad ICRC", retransmissions, roce),
    ]


def _error_limits(ib: Infiniband, ratio: float, packets: float, integrity: float) -> list[Limit]:
    bit_errors = {part: ratio * rate * HOUR_S for part, rate in _bits_per_s(ib).items()}
    return [
        Limit("ib.symbol_error", "symbol errors", 0.0, bit_errors),
        Limit("ib.port_rcv_errors", "bad received packets", packets),
        Limit("ib.local_link_integrity_errors", "excesses of link errors", integrity),
        Limit("ib.excessive_buffer_overrun_errors", "excesses of buffer overruns", integrity),
    ]


def _discard_limits(discards: float) -> list[Limit]:
    return [
        Limit("ib.port_rcv_remote_physical_errors", "packets that were marked bad on the way", discards),
        Limit("ib.port_xmit_discards", "packets that could not be sent", discards),
        Limit("ib.port_xmit_constraint_errors", "packets that their partition forbids to send", discards),
        Limit("ib.port_rcv_constraint_errors", "packets that their partition forbids to take", discards),
        Limit("ib.VL15_dropped", "management packets without room", discards),
    ]


@check(
    "ib.counters",
    remedy="Symbol errors and bad packets: reseat or replace the cable, then the transceiver, and compare the counters "
    "at the other end. Clear a counter that stands at its end with `perfquery -R`, or it says nothing any more. "
    "Timeouts and packets out of order on RoCE: look for drops and pause frames at the switch.",
    tags="healthcheck boot infiniband",
    beta=True,
)
def ib_counters(  # noqa: PLR0913  # one parameter for each thing that a site may bear
    ib: Infiniband,
    seen: Seen,
    *,
    max_bit_error_ratio: Annotated[float, "symbol errors of one port for each bit that its rate makes"] = 1e-12,
    max_bad_packets_per_hour: Annotated[float, "bad packets that one port received in an hour"] = 100.0,
    max_integrity_errors_per_hour: Annotated[float, "excesses of a port's own limits in an hour, by counter"] = 4.0,
    warn_discards_per_hour: Annotated[float, "packets of one port in an hour that were given up, by counter"] = 1000.0,
    warn_timeouts_per_hour: Annotated[float, "waits of one port for a timer in an hour, by counter"] = 3600.0,
    warn_retransmissions_per_hour: Annotated[float, "repetitions of one RoCE port in an hour, by counter"] = 36000.0,
    window_h: Annotated[float, "hours that are looked back on"] = 1.0,
) -> Verdict:
    """No InfiniBand or RoCE port has errors faster than a sound link may have them.

    A cable that is going bad costs retransmissions, and with them the tail of every collective, before the link
    fails. The InfiniBand Architecture Specification asks for a bit error ratio of 1e-12, which NVIDIA's ibdiagnet has
    as its limit too: at 400 Gb/s that is 1440 symbol errors in an hour, at 200 Gb/s 720. An idle link sends symbols
    all the same, so the limit does not depend on the load. The other limits that fail are ours.

    Port counters are 4 to 16 bits wide and stay at their end: one that got there says nothing any more, which is
    unknown and not sound. What other nodes or the load may be to blame for is a warning: discards (the limit is ours),
    timeouts (one a second) and retransmissions (ten a second, both the limits of NVSentinel's NIC health monitor).
    Virtual functions are not judged. Sources: PortCounters in that specification, volume 1; the counters of a
    transport, drivers/infiniband/hw/mlx5/counters.c.
    """
    hard = _error_limits(ib, max_bit_error_ratio, max_bad_packets_per_hour, max_integrity_errors_per_hour)
    soft = _discard_limits(warn_discards_per_hour)
    soft += _transport_limits(ib, warn_timeouts_per_hour, warn_retransmissions_per_hour)
    limits = [*hard, *soft]
    if over := excess(seen, hard, window_h):
        return fail(named(list(over.values()), 2), parts=sorted(over), error_count=counts(seen, limits, window_h))
    _raise_unread(ib, seen, limits)
    raise_unsure(seen, limits)
    if over := excess(seen, soft, window_h):
        return warn(named(list(over.values()), 2), parts=sorted(over), error_count=counts(seen, limits, window_h))
    return fine(seen, limits, window_h)


@check(
    "ib.congestion",
    remedy="Look for the slow receiver: a port at less than its rate, a host that takes data slowly, a switch port "
    "with many senders. Compare routing and service levels of the fabric.",
    tags="healthcheck boot infiniband",
    beta=True,
)
def congestion(
    ib: Infiniband,
    seen: Seen,
    *,
    tick_bytes: Annotated[float | None, "bytes that a port could send in one tick of port_xmit_wait, if known"] = None,
    warn_wait_share: Annotated[float, "share of time that a port may wait to send; needs tick_bytes"] = 0.5,
    window_h: Annotated[float, "hours that are looked back on"] = 1.0,
) -> Verdict:
    """No InfiniBand port has to wait long for the fabric to take what it sends. Never a failure.

    A port that has data and no credits is held up by a receiver or a switch, and with it the whole rail; the cause is
    mostly elsewhere, so this reports and at most warns. `port_xmit_wait` counts ticks in which nothing could be sent.
    A tick is a multiple of the time of a byte on one lane (InfiniBand Architecture Specification, volume 1,
    PortSamplesControl.Tick) that each make of hardware chooses, and the kernel does not tell which: `perfquery -c LID
    PORT` shows it (8 bytes of the whole port on NVIDIA's Quantum switches). Without `tick_bytes` ticks are reported
    and not judged. The counter has 32 bits and stays at their end, where nothing is known.
    """
    start, series = start_of(seen, window_h), seen.counted(_WAIT)
    if not series:
        raise FactError(LEDGER, "absent", f"nothing counts {_WAIT}")
    ticks = {s.part: s.since(start) for s in series if not s.is_saturated}
    evidence: dict[str, object] = {"tick_count": ticks, "full": sorted(s.part for s in series if s.is_saturated)}
    if tick_bytes is None:
        most = max(ticks, key=lambda part: ticks[part], default="")
        words = f"{most.partition(':')[2]} waited longest, {ticks[most]} ticks" if most else "all counters are full"
        return ok(f"{plural(len(series), 'port')}: {words}", **evidence)
    rates = _bits_per_s(ib)
    sendable_bytes = {s.part: rates.get(s.part, 0.0) / 8 * s.hours(start) * HOUR_S for s in series}
    shares = {part: n * tick_bytes / sendable_bytes[part] for part, n in ticks.items() if sendable_bytes[part]}
    evidence["wait_share"] = {part: round(share, 4) for part, share in shares.items()}
    if slow := [part for part in shares if shares[part] > warn_wait_share]:
        words = named([f"{part.partition(':')[2]} {shares[part]:.0%}" for part in slow])
        return warn(f"waited to send for more than {warn_wait_share:.0%} of the time: {words}", parts=slow, **evidence)
    raise_unsure(seen, [Limit(_WAIT, "ticks", 0.0, rates)])
    longest = max(shares.values(), default=0.0)
    return ok(f"{plural(len(shares), 'port')} waited to send for at most {longest:.1%}", **evidence)


@check(
    "ib.flaps",
    remedy="Reseat or replace the cable, then the transceiver; look at the switch port's side of the link too.",
    tags="healthcheck boot infiniband",
    beta=True,
)
def ib_flaps(  # noqa: PLR0913  # what a drop is, what a flap is, and for how long
    ib: Infiniband,
    seen: Seen,
    *,
    max_down_s: Annotated[float, "for how long a port may be without a link that it lost"] = 240.0,
    max_flaps: Annotated[int, "times in the window that one port may lose its link and get it back"] = 2,
    max_recoveries_per_hour: Annotated[float, "times in an hour that one port had to recover its link"] = 5.0,
    window_h: Annotated[float, "hours that are looked back on"] = 12.0,
) -> Verdict:
    """No InfiniBand port has lost its link and stayed without, or loses it time and again.

    A *drop* is a port that lost its link longer than `max_down_s` ago and has none since: it is over when the link is
    back. A *flap* is a loss after which the link came back; each aborts or stalls the jobs on that rail, and several
    are a cable or a transceiver that is dying. The limits are those of gpud (a drop after 4 minutes, a flap from the
    third loss in 12 hours); that of recoveries is ours. A port that somebody switched off is not judged.

    The port counts its losses (`link_downed`, `link_error_recovery`: 8 bits that stay at 255). A RoCE port is an
    Ethernet port, whose network interface tells of each loss itself: `device.link_down` and `nic.flap_rate` judge that,
    and this check leaves it alone. Where both see one loss, because IP runs over the InfiniBand port, they name parts
    of one adapter and become one incident.
    """
    ports = {_part(name): port for name, port in ib.ports.items() if port.link_layer == "InfiniBand"}
    if not ports and not ib.unread:
        raise FactError(HCAS, "absent", "no InfiniBand port")
    limits = [
        Limit("ib.link_downed", "lost links", 0.0, dict.fromkeys(ports, max_flaps / (window_h or 1.0))),
        Limit("ib.link_error_recovery", "recoveries of the link", 0.0, dict.fromkeys(ports, max_recoveries_per_hour)),
    ]
    down = _down(ports, seen)
    dropped = {part: words for part, (ago_s, words) in down.items() if ago_s > max_down_s}
    flapped = {part: words for part, words in excess(seen, limits, window_h).items() if part not in dropped}
    if found := dropped | flapped:
        words, error_count = named(list(found.values()), 2), counts(seen, limits, window_h)
        return fail(words, parts=sorted(found), dropped=sorted(dropped), error_count=error_count)
    _raise_unread(ib, seen, limits)
    raise_unsure(seen, limits)
    good = fine(seen, limits, window_h)
    if not down:
        return good
    waiting = f"{named([words for _, words in down.values()])}, which may take {max_down_s:g} s"
    longest_s = max(ago_s for ago_s, _ in down.values())
    return ok(f"{good.summary}; {waiting}", **good.evidence, again_in_s=max_down_s - longest_s)


def _down(ports: dict[str, IbPort], seen: Seen) -> dict[str, tuple[float, str]]:
    """Return for how long ports have lacked a link that they lost since the agent looks, longest first, and in words.

    A port that was down before has lost nothing, and what was before a repair is forgiven.
    """
    since, down = start_of(seen, math.inf), dict[str, tuple[float, str]]()
    for series in seen.counted("ib.link_downed"):
        port = ports.get(series.part)
        if port is None or port.physical_state in (_LINK_UP, _DISABLED) or not series.points:
            continue
        at, _ = series.points[-1]
        if at >= since:
            ago_s = max(0.0, seen.now - at)
            ago = f"{ago_s:.0f} s" if ago_s < HOUR_S else f"{ago_s / HOUR_S:.1f} h"
            name = series.part.partition(":")[2]
            down[series.part] = (ago_s, f"{name} has no link ({port.physical_state_words}), last lost {ago} ago")
    return dict(sorted(down.items(), key=lambda item: -item[1][0]))
