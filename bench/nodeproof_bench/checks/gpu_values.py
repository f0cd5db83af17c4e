"""Judgement of what GPUs computed and kept: silent corruption. How busy the machine was excuses no wrong value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nodeproof.check import check
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn
from nodeproof_bench.checks.common import number, raise_failures, refuse
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.units import scaled


@check(
    "gpu.memtest",
    tags="boot bench",
    beta=True,
    remedy="Drain the node. Compare `gpu.ecc_uncorrected`, `gpu.remapped_rows` and `gpu.ecc_mode` of the named GPU; "
    "reset it, and test again by `nodeproof bench gpu.memtest`. A word that is wrong again: replace the GPU.",
)
def memtest(history: BenchHistory) -> Verdict:
    """The memory of every GPU keeps what was written to it.

    Error correction hides single bits and reports two; without it, or beyond it, a bad bit is in weights and results.
    What was read back other than it was written names the GPU, the address and the bits.
    """
    results = history.need("gpu.memtest")
    if verdict := _judged(results, _memory_words):
        return verdict
    raise_failures(history, "gpu.memtest")
    if untested := [r for r in results if not number(r.fields, "bytes_tested", r)]:
        refuse(untested[0], "nothing was read back in the time that there was")
    tested = sum(number(r.fields, "bytes_tested", r) for r in results)
    more = "" if all(r.fields.get("is_complete") is True for r in results) else ", not all patterns in the time given"
    return ok(f"{scaled(tested, 'B')} of GPU memory kept what was written to it{more}", tested_bytes=tested)


@check(
    "gpu.compute_check",
    tags="boot bench",
    beta=True,
    remedy="Drain the node. Run `nodeproof bench gpu.compute_check` again: a multiprocessor that is wrong again is "
    "condemned, and the GPU with it. What jobs computed there is in doubt.",
)
def compute_check(history: BenchHistory) -> Verdict:
    """Every multiprocessor of every GPU computes what it must, bit for bit.

    Some GPUs compute wrongly now and then, without any error being counted: a loss that becomes NaN, weights that
    differ between replicas. The CPU says what the result has to be, so that a node whose GPUs are all wrong is found.
    """
    results = history.need("gpu.compute_check")
    if verdict := _judged(results, _compute_words):
        return verdict
    raise_failures(history, "gpu.compute_check")
    if untested := [r for r in results if not number(r.fields, "multiprocessors_seen", r)]:
        refuse(untested[0], "no multiprocessor computed anything in the time that there was")
    seen, there = (
        sum(number(r.fields, key, r) for r in results) for key in ("multiprocessors_seen", "multiprocessors")
    )
    more = f" of {there:.0f}" if seen < there else ""
    return ok(f"{seen:.0f}{more} multiprocessors computed what they must", multiprocessors=seen)


def _judged(results: Sequence[BenchResult], words: Callable[[Mapping[str, Any]], str]) -> Verdict | None:
    """Return what is to be said of wrong values: wrong again is a failure, wrong once is a reason to test again."""
    wrong = round(sum(r.value for r in results))
    points = [point for result in results for point in result.points]
    evidence = {"wrong_count": wrong, "points": [dict(point) for point in points][:16]}
    if not wrong and not points:
        return None
    if again := [words(point) for point in points if point.get("is_reproduced") is not False]:
        return fail(named(again, 1), **evidence)
    if not points:
        return fail(f"{plural(wrong, 'wrong value')} on a GPU, expected none", **evidence)
    more = f" and {len(points) - 1} more" if len(points) > 1 else ""
    return warn(f"{words(points[0])}{more}, once: test again by `nodeproof bench {results[0].name}`", **evidence)


def _gpu(point: Mapping[str, Any]) -> str:
    return f"GPU {point.get('index')} ({point.get('gpu')})"


def _compute_words(point: Mapping[str, Any]) -> str:
    return f"{_gpu(point)}: multiprocessor {point.get('multiprocessor')} computed {point.get('kernel')} wrongly"


def _memory_words(point: Mapping[str, Any]) -> str:
    """Say where, what was expected and found, and which bits differ."""
    where = f"{_gpu(point)}: memory at {point.get('address')} did not keep the pattern {point.get('pattern')}"
    try:
        expected, found = (int(str(point.get(key)), 16) for key in ("expected", "found"))
    except ValueError:
        return where
    bits = [n for n in range((expected ^ found).bit_length()) if (expected ^ found) >> n & 1]
    return f"{where}: expected {expected:#018x}, found {found:#018x} (bit {named(bits)})"
