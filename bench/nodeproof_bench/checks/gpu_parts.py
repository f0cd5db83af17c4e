"""What GPUs did, as points of a result: which of them falls behind its siblings, or below what policy asks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nodeproof.errors import FactError
from nodeproof.verdict import Verdict, fail, named, ok, plural
from nodeproof_bench.checks.common import learnt, number, raise_doubts, rounded, source, wrong_values
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.stats import median
from nodeproof_bench.units import scaled

#: Fewer are no siblings: of two that differ nobody knows which is the odd one.
LEAST_SIBLINGS = 3

#: Learnt limits leave this much room: GPUs of one kind differ by up to 8 % where power decides, and by 1 % where not.
RATE_MARGIN, COMPUTE_MARGIN, TIME_MARGIN = 0.97, 0.92, 1.25

#: What the hardware does to save itself; being held at the power limit is how a GPU works.
ALARMS = ("hardware_slowdown", "hardware_thermal", "power_brake")

_MOST_WORDS = 8


class Part(NamedTuple):
    """One operation on one GPU, or from one to another. `kind` is what its siblings share."""

    device: str
    peer: str
    operation: str
    value: float
    kind: tuple[str, ...]
    slowed_by: tuple[str, ...]
    celsius: float | None

    @property
    def name(self) -> str:
        return f"GPU {self.device}" + (f" to {self.peer}" if self.peer != self.device else "")

    @property
    def why(self) -> str:
        """Return what slowed it down, as far as it says something of it."""
        return f" (slowed down by {named(list(self.slowed_by))})" if self.slowed_by else ""


def parts_of(result: BenchResult) -> list[Part]:
    """Return the parts of a result. Raises FactError `malformed`."""
    if not result.points:
        raise FactError(source(result), "malformed", "no points")
    names = {str(gpu.get("device")): str(gpu.get("name")) for gpu in _objects(result.fields.get("gpus"))}
    return [_part(point, result, names) for point in result.points]


def _part(point: Mapping[str, Any], result: BenchResult, names: Mapping[str, str]) -> Part:
    device, peer, operation = (str(point.get(key))[:64] for key in ("device", "peer", "operation"))
    slowed = point.get("slowed_by")
    value = number(point, "value", result)
    if value <= 0:
        raise FactError(source(result), "malformed", f'"value" of a point is {value:g}')
    return Part(
        device,
        peer,
        operation,
        value,
        kind=(operation, names.get(device, ""), names.get(peer, ""), str(point.get("access"))),
        slowed_by=tuple(str(word)[:32] for word in slowed[:_MOST_WORDS]) if isinstance(slowed, list) else (),
        celsius=None if point.get("celsius") is None else number(point, "celsius", result),
    )


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


class Rule(NamedTuple):
    """How parts of a benchmark are judged. `limits` are by operation; for a time they are the most, else the least."""

    unit: str
    is_time: bool
    max_loss_ratio: float
    limits: Mapping[str, float]

    def beyond_limit(self, part: Part) -> str:
        limit = self.limits.get(part.operation)
        if limit is None or (part.value <= limit if self.is_time else part.value >= limit):
            return ""
        word = "at most" if self.is_time else "at least"
        return f"{self.words(part)}, expected {word} {scaled(limit, self.unit)}"

    def behind_siblings(self, part: Part, siblings: Sequence[Part]) -> str:
        """Compare with the median of the others, if they are enough."""
        others = [other.value for other in siblings if other is not part]
        if len(others) + 1 < LEAST_SIBLINGS:
            return ""
        usual = median(others)
        loss = part.value / usual - 1 if self.is_time else 1 - part.value / usual
        return f"{self.words(part)}, its siblings {scaled(usual, self.unit)}" if loss > self.max_loss_ratio else ""

    def words(self, part: Part) -> str:
        return f"{part.name} has {scaled(part.value, self.unit)} of {part.operation}{part.why}"


def _nothing(part: Part) -> str:
    del part
    return ""


def judged(history: BenchHistory, name: str, rule: Rule, alarm: Callable[[Part], str] = _nothing) -> Verdict:
    """Judge all parts by `alarm`, by limits, then against each other; the first word on each counts."""
    results = history.need(name)
    if wrong := wrong_values(results):
        return wrong
    parts = [part for result in results for part in parts_of(result)]
    odd = list(filter(None, (_odd(part, parts, rule, alarm) for part in parts)))
    raise_doubts(history, results, results if odd else [], min_stability=0)
    evidence = {"values": {f"{p.device} {p.peer} {p.operation}": p.value for p in parts}}
    if odd:
        return fail(named(odd, 2), **evidence)
    return ok(_ranges(parts, rule.unit), **evidence)


def _odd(part: Part, parts: Sequence[Part], rule: Rule, alarm: Callable[[Part], str]) -> str:
    siblings = [other for other in parts if other.kind == part.kind]
    return alarm(part) or rule.beyond_limit(part) or rule.behind_siblings(part, siblings)


def _ranges(parts: Sequence[Part], unit: str) -> str:
    """Return `8 GPUs: copy 2.90 TB/s to 3.01 TB/s, read …`."""
    words = []
    for operation in dict.fromkeys(part.operation for part in parts):
        values = [part.value for part in parts if part.operation == operation]
        words.append(f"{operation} {' to '.join(dict.fromkeys(scaled(c(values), unit) for c in (min, max)))}")
    return f"{plural(len({part.device for part in parts}), 'GPU')}: {', '.join(words)}"


def learnt_limits(history: BenchHistory, name: str, key: str, margin: float) -> Mapping[str, object]:
    """Return a limit for each operation: below the least of rates, or above the most of times, with `margin` over 1."""
    values = dict[str, list[float]]()
    for part in _quiet(history, name):
        values.setdefault(part.operation, []).append(part.value)
    is_time = margin > 1
    worst = max if is_time else min
    limits = {operation: rounded(margin * worst(found), up=is_time) for operation, found in values.items()}
    return {key: limits} if limits else {}


def _quiet(history: BenchHistory, name: str) -> Iterable[Part]:
    return [part for result in learnt(history, name) for part in parts_of(result)]
