"""Judgement of events: one check for each rule of the catalogue, and what the codes of GPUs and switches ask for.

The agent sees events, counts them and publishes the ledger; here it is judged how many of which are too many. Rules,
their limits and where they come from are data: `nodeproof.events.catalogue`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.events.catalogue import BY_ID, RULES, gpu
from nodeproof.events.ledger import EventSeries
from nodeproof.events.rule import REPAIRED, Rule
from nodeproof.events.xid import RESETTABLE, SXIDS, UNFIT, UNKNOWN, WORDS, XIDS, Action, rank, sxid_action, xid_action
from nodeproof.probes.ledger import Seen
from nodeproof.verdict import Verdict, fail, named, ok, warn

#: They cost next to nothing where the agent runs, and are skipped where it does not.
_TAGS = "prolog healthcheck boot"

#: Events that the driver of a GPU or of an NVSwitch tells.
_OF_GPUS = frozenset(rule.id for rule in gpu.RULES)

_HOUR_S = 3600.0

#: How far apart two sources may tell the same, in seconds (`nodeproof.daemon.echoes`).
_ECHO_S = 5.0

#: The agent remembers 30 days.
_Count = Annotated[int, "most events of one part within the window; more are a finding"]
_Window = Annotated[float, "hours for which an event counts, at most 720; where the check says so, until the next boot"]
_Severity = Annotated[Literal["warn", "fail"], "what too many events are"]
_Actions = Annotated[
    dict[str, Literal["none", "app", "watch", "reset", "reboot", "inspect", "rma"]] | None,
    'what is to be done about a code, instead of what the table says, e.g. { 109 = "watch" }',
]


class _Part(NamedTuple):
    """What happened to one part within the window: how often, and when and how it was told last."""

    part: str
    times: int
    last_at: float
    text: str


def _start(seen: Seen, rule: Rule, window_h: float) -> float:
    """Return since when events count: not those of before a repair, nor of an earlier boot if that ends them."""
    repairs = [at for series in seen.events(REPAIRED) for at, _ in series.points]
    booted_at = seen.booted_at if rule.until == "boot" else 0.0
    return max(seen.now - window_h * _HOUR_S, booted_at, *repairs)


def _span(rule: Rule, window_h: float) -> str:
    return "since the node booted" if rule.until == "boot" else f"in {window_h:g} h"


def _parts(series: Iterable[EventSeries], start: float) -> list[_Part]:
    """Return what happened to each part, the most frequent first; of several lines about the same, the most counts."""
    parts: dict[str, _Part] = {}
    for one in series:
        count, last = one.since(start), parts.get(one.part)
        if not count:
            continue
        made = _Part(one.part, count, one.points[-1][0], one.text)
        if last is not None:
            newer = made if made.last_at >= last.last_at else last
            made = newer._replace(times=max(count, last.times))
        parts[one.part] = made
    return sorted(parts.values(), key=lambda p: (-p.times, p.part))


def _judged(rule: Rule, seen: Seen, max_event_count: int, window_h: float, event_is: str) -> Verdict:
    parts = _parts(seen.events(rule.id), _start(seen, rule, window_h))
    over = [part for part in parts if part.times > max_event_count]
    span = _span(rule, window_h)
    if over:
        limit = f" {span}, at most {max_event_count} expected" if max_event_count else ""
        words = [
            f"{_where(p.part)}{rule.name}, {_times(p.times)}{limit}, last {_ago(seen.now - p.last_at)}" for p in over
        ]
        evidence = {
            "parts": [p.part for p in over if p.part],
            "event_count": sum(p.times for p in over),
            "text": max(over, key=lambda p: p.last_at).text,
        }
        return (fail if event_is == "fail" else warn)(named(words, 2), **evidence)
    _need_kernel_log(seen)
    if parts:
        return ok(f"{rule.name}: {_times(parts[0].times)} {span}, at most {max_event_count} expected")
    return ok(f"no {rule.name} {span}")


def _need_kernel_log(seen: Seen) -> None:
    """Raise FactError `absent` if nobody reads the kernel's log, for nothing seen says nothing then (`event.lost`)."""
    if problem := seen.ledger.unfollowed.get("kmsg"):
        raise FactError("the kernel log", "absent", f"not followed: {problem}")


def _of_rule(rule: Rule) -> Callable[..., Verdict]:
    """Return the check of one rule."""

    def judge(
        seen: Seen,
        *,
        max_event_count: _Count = rule.limit,
        window_h: _Window = rule.window_h,
        event_is: _Severity = rule.severity,
    ) -> Verdict:
        return _judged(rule, seen, max_event_count, window_h, event_is)

    judge.__name__ = judge.__qualname__ = rule.id.partition(".")[2]
    judge.__doc__ = f"{rule.title}\n\n{rule.why} Source: {rule.source}."
    return judge


def _tags(rule: Rule) -> str:
    return f"{_TAGS} gpu" if rule.id in _OF_GPUS else _TAGS


for _rule in RULES:
    if _rule.variants_are == "lines":
        check(_rule.id, tags=_tags(_rule), remedy=_rule.remedy)(_of_rule(_rule))


class _Coded(NamedTuple):
    """One code of one part, and what is to be done about it."""

    part: str
    code: int
    name: str
    action: str
    times: int
    last_at: float
    text: str


def _xid(seen: Seen, *, window_h: _Window = BY_ID["event.xid"].window_h, actions: _Actions = None) -> Verdict:
    return _judged_codes(BY_ID["event.xid"], seen, window_h, actions or {}, xid_action)


def _sxid(seen: Seen, *, window_h: _Window = BY_ID["event.sxid"].window_h, actions: _Actions = None) -> Verdict:
    return _judged_codes(BY_ID["event.sxid"], seen, window_h, actions or {}, sxid_action)


for _rule, _judge in ((BY_ID["event.xid"], _xid), (BY_ID["event.sxid"], _sxid)):
    _judge.__doc__ = f"{_rule.title}\n\n{_rule.why} Source: {_rule.source}."
    check(_rule.id, tags=_tags(_rule), remedy=_rule.remedy)(_judge)


def _judged_codes(
    rule: Rule,
    seen: Seen,
    window_h: float,
    actions: Mapping[str, str],
    action_of: Callable[[int, Mapping[str, str]], Action],
) -> Verdict:
    start, series = _start(seen, rule, window_h), seen.events(rule.id)
    well_since = _well_since(series) if rule.id == "event.xid" else {}
    found = list[_Coded]()
    for one in series:
        code = int(digits) if (digits := one.variant.partition(" ")[0]).isdecimal() else -1
        action = actions.get(str(code)) or action_of(code, one.fields)
        over_at = well_since.get(one.part, 0.0) if action in RESETTABLE else 0.0
        if count := sum(n for at, n in _points(one, series) if at >= start and at > over_at):
            if str(code) not in actions and _repeats(rule, code, one, seen.now):
                action = max(action, "watch", key=rank)
            found.append(_Coded(one.part, code, _name(rule, code, one), action, count, one.points[-1][0], one.text))
    bad = [c for c in found if c.action in UNFIT] or [c for c in found if c.action == "watch"]
    if not bad:
        _need_kernel_log(seen)
        others = f", {_times(sum(c.times for c in found))} one that needs nothing" if found else ""
        return ok(f"no {rule.name} {_span(rule, window_h)} that needs something done{others}")
    bad.sort(key=lambda c: (-rank(c.action), -c.last_at))
    words = [
        f"{_where(c.part)}{rule.name} {c.code} ({c.name}), {_times(c.times)}, last {_ago(seen.now - c.last_at)}: "
        f"{WORDS[c.action]}"
        for c in bad
    ]
    evidence = {
        "parts": list(dict.fromkeys(c.part for c in bad if c.part)),
        "event_count": sum(c.times for c in bad),
        "text": bad[0].text,
        "codes": {str(c.code): c.action for c in bad},
    }
    return (fail if bad[0].action in UNFIT else warn)(named(words, 2), **evidence)


def _points(one: EventSeries, series: Iterable[EventSeries]) -> list[tuple[float, int]]:
    """Return its points without those that the kernel's log tells better: NVML tells no severity of an NVLink error."""
    better = [at for s in series if s.part == one.part and s.variant == f"{one.variant} nonfatal" for at, _ in s.points]
    is_better = "level" in one.fields or not better
    return [p for p in one.points if is_better or not any(abs(p[0] - at) <= _ECHO_S for at in better)]


def _well_since(series: Iterable[EventSeries]) -> dict[str, float]:
    """Return when the driver last said of a GPU that it needs nothing any more: it was reset since."""
    return {
        s.part: s.points[-1][0]
        for s in series
        if s.variant == "154" and s.points and s.fields.get("recovery") in ("0x0", "0x00", "0x00000000")
    }


def _repeats(rule: Rule, code: int, series: EventSeries, now: float) -> bool:
    """Tell whether a code that is a program's business comes so often that it may be the GPU's."""
    most = XIDS.get(code, UNKNOWN).repeats if rule.id == "event.xid" else 0
    return bool(most) and series.since(now - 24 * _HOUR_S) >= most


def _name(rule: Rule, code: int, series: EventSeries) -> str:
    if rule.id == "event.sxid":
        link = f", link {series.fields['link']}" if "link" in series.fields else ""
        return series.fields.get("what", "told without words" if code in SXIDS else "unknown") + link
    if code == 154:
        return f"the driver says: {series.fields.get('recovery_name', 'unknown')}"
    unit, link = series.fields.get("unit", ""), series.fields.get("link", "")
    detail = f": {unit} {series.fields.get('level', '')} on link {link}" if unit else ""
    return XIDS.get(code, UNKNOWN).name + detail


@check(
    "event.lost",
    tags=_TAGS,
    remedy="See what floods the kernel log (`dmesg`) and stop that. A larger ring (`log_buf_len=`) holds more of it.",
)
def lost(seen: Seen, *, max_event_count: _Count = 0) -> Verdict:
    """The agent has seen all events.

    The kernel's log is a ring and its sockets have buffers: what is not read in time is overwritten, and what its rate
    limits hold back is never written. An event that was lost may have been a fault, so that other checks say less
    than they seem to. Source: Documentation/ABI/testing/dev-kmsg, netlink(7), lib/ratelimit.c.
    """
    for source in ("kmsg", "uevent", "rtnetlink"):
        if problem := seen.ledger.unfollowed.get(source):
            raise FactError(source, "failed", f"not followed: {problem}")
    total = sum(seen.ledger.lost.values())
    if total > max_event_count:
        words = [f"{count} of {source}" for source, count in sorted(seen.ledger.lost.items()) if count]
        return warn(
            f"events were lost since the agent started: {named(words)}", event_count=total, lost=seen.ledger.lost
        )
    return ok("no event was lost" if not total else f"{total} events were lost, at most {max_event_count} expected")


def _where(part: str) -> str:
    """Return how a sentence about a part begins."""
    kind, _, name = part.partition(":")
    return f"{ {'cpu': 'CPU ', 'dimm': 'DIMM '}.get(kind, '') }{name}: " if name else ""


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _ago(seconds: float) -> str:
    """Return how long ago something was."""
    for unit, name in ((86400.0, "d"), (_HOUR_S, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name} ago"
    return f"{max(0.0, seconds):.0f} s ago"
