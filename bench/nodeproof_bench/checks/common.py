"""When a result says nothing of the hardware, and other words that all subjects share. No check is here."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from nodeproof.errors import FactError
from nodeproof.probes.parse import number_list
from nodeproof.verdict import Verdict, fail, named, plural
from nodeproof_bench.result import BenchHistory, BenchResult

#: Samples of a quiet machine differ less than this, from the 10th percentile to the 90th.
MIN_STABILITY = 0.5

#: What is learnt from must be quieter: its noise becomes the limit.
LEARN_STABILITY = 0.8

#: Learnt limits leave this much room. Nodes of one class differ by 1 %; capability repeats within 1 % on a quiet
#: machine and wanders by up to 3 % over the hours on a virtual one.
RATE_MARGIN, TIME_MARGIN = 0.95, 1.10


def source(result: BenchResult) -> str:
    """Return what was run, for an error."""
    return " ".join(["bench", *result.what])


def place(result: BenchResult) -> str:
    """Return where was measured."""
    if isinstance(gpus := result.fields.get("gpus"), list):
        return plural(len(gpus), "GPU")
    if result.node is not None:
        return f"NUMA node {result.node}"
    return f"CPU {result.cpus}" if result.threads == 1 else f"{result.threads} CPUs"


def doubt(result: BenchResult, min_stability: float = MIN_STABILITY) -> str:
    """Return why a bad value says nothing of the hardware, or nothing."""
    if result.is_inconclusive:
        return f"inconclusive: {result.reason}"
    if is_beside_the_point(result):
        return "not measured: too little free memory to get past the caches"
    if result.fields.get("is_contended") is True:
        return "not repeatable: other processes used what was measured all the time"
    if result.fields.get("is_partial") is True:
        return f"not measured: of the node's cores this process may use only CPU {result.cpus}"
    if result.stability < min_stability:
        return f"not repeatable: stability is {result.stability:.0%}, expected at least {min_stability:.0%}"
    return ""


def is_beside_the_point(result: BenchResult) -> bool:
    """Whether even a good value says nothing: it is not the memory's that it claims to be."""
    return result.fields.get("is_cache_bound") is True


def certain(bad: Iterable[BenchResult], min_stability: float = MIN_STABILITY) -> list[BenchResult]:
    """Return those of the bad results that are beyond doubt."""
    return [r for r in bad if not doubt(r, min_stability)]


def refuse(result: BenchResult, why: str) -> NoReturn:
    """Raise the FactError of a result that cannot be judged."""
    raise FactError(source(result), "failed", why)


def raise_doubts(
    history: BenchHistory,
    results: Sequence[BenchResult],
    bad: Iterable[BenchResult],
    min_stability: float = MIN_STABILITY,
) -> None:
    """Raise FactError for bad results in doubt, for those that say nothing however good, and for missing ones."""
    doubtful = [r for r in results if is_beside_the_point(r)]
    for result in [*doubtful, *bad]:
        if why := doubt(result, min_stability):
            refuse(result, why)
    for name in dict.fromkeys(r.name for r in results):
        raise_failures(history, name)


def raise_failures(history: BenchHistory, name: str) -> None:
    """Raise FactError if a part gave no result; what is not possible on this machine does not count."""
    for failure in history.failures(name):
        if failure.kind != "absent":
            raise FactError(" ".join(["bench", name, *failure.args]), failure.kind, failure.reason)


def is_quiet(result: BenchResult) -> bool:
    """Whether a limit may be learnt from a result."""
    return not doubt(result, LEARN_STABILITY)


def learnt(history: BenchHistory, name: str) -> tuple[BenchResult, ...]:
    """Return what a limit may be learnt from: all results of a benchmark, or none if any of them was disturbed."""
    results = history.latest(name)
    return results if all(map(is_quiet, results)) else ()


def rounded(value: float, *, up: bool = False) -> float:
    """Return a value of three digits that is not above, or with `up` not below, the one given."""
    if not value:
        return 0.0
    step = math.floor(math.log10(abs(value))) - 2
    digits = round(value / 10.0**step, 6)  # 0.4 is a bit less than that
    # by way of text: 10 ** -9 times a whole number is no short decimal
    return float(f"{math.ceil(digits) if up else math.floor(digits)}e{step}")


def number(point: Mapping[str, Any], key: str, result: BenchResult) -> float:
    """Return a number of a point. Raises FactError if there is none."""
    value = point.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FactError(source(result), "malformed", f'"{key}" of a point is {str(value)[:40]!r}')
    return value


#: Keys that count what came back other than it was written, and what is counted.
_WRONG = {"wrong_elements": "value", "wrong_blocks": "block", "wrong_messages": "message"}


def wrong_values(results: Iterable[BenchResult]) -> Verdict | None:
    """Return the failure of results that computed, stored or carried something wrong, however fast."""
    found = [
        (f"{result.name} on {place(result)}", plural(count, f"wrong {what}"), count)
        for result in results
        for key, what in _WRONG.items()
        if isinstance(count := result.fields.get(key), int) and count > 0
    ]
    if not found:
        return None
    words = [f"{where} had {wrong}" for where, wrong, _ in found]
    return fail(f"{named(words)}, expected none", wrong_count={where: count for where, _, count in found})


def cpus_of(result: BenchResult) -> list[int]:
    """Return the CPUs that were measured."""
    return number_list(f"{source(result)}: cpus", result.cpus)


def cpu(point: Mapping[str, Any], result: BenchResult, key: str = "cpu") -> int:
    """Return the number of a point's CPU."""
    return int(number(point, key, result))
