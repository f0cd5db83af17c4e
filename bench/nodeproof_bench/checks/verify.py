"""Judgement of what was computed and kept: silent corruption by cores and by memory.

How busy the machine was excuses no wrong value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nodeproof.check import check
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn
from nodeproof_bench.checks.common import cpu, number, raise_failures, refuse, source
from nodeproof_bench.modules import MappedModules
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.units import scaled


@check(
    "cpu.verify",
    tags="boot bench",
    remedy="Drain the node and replay it: `nodeproof-bench cpu.verify` with the seed and the CPU that are named here. "
    "A core that is wrong again is condemned, and its SMT sibling with it: replace the processor. What jobs computed "
    "there is in doubt.",
)
def cores(history: BenchHistory) -> Verdict:
    """Every core computes what the others compute.

    One processor in a thousand computes wrongly now and then, without any error being counted: weights turn to NaN,
    a checksum does not match, a result is just wrong. A core that is wrong again when the same work is replayed is
    condemned; one that was wrong once is tested again before that is believed.
    """
    results = history.need("cpu.verify")
    found = [(p, _core_words(r, p)) for r in results for p in r.points]
    if verdict := _judge(results, found):
        return verdict
    raise_failures(history, "cpu.verify")
    runs = sum(number(r.fields, "runs_per_cpu", r) for r in results)
    return ok(f"{plural(results[0].threads, 'CPU')} computed the same in {runs:.0f} runs each", corruptions=0)


@check(
    "memory.verify",
    tags="boot bench",
    remedy="Drain the node. Compare `memory.edac` and the firmware event log; reseat, then replace the module that "
    "holds the named address (`nodeproof-bench memory.verify --share 0.8` tests more of it).",
)
def memory(history: BenchHistory, modules: MappedModules) -> Verdict:
    """Memory keeps what was written to it.

    Error correction hides single bits and detects two; a bad row, a bad address line or a controller that drops a
    write is beyond it. What was read back other than it was written names the address and, where the firmware says
    so, the module.
    """
    results = history.need("memory.verify")
    found = [(p, _memory_words(p, modules)) for r in results for p in r.points]
    if verdict := _judge(results, found):
        return verdict
    raise_failures(history, "memory.verify")
    if untested := [r for r in results if not number(r.fields, "bytes_checked", r)]:
        refuse(untested[0], "nothing was read back in the time that there was")
    tested = sum(number(r.fields, "bytes_tested", r) for r in results)
    return ok(f"{scaled(tested, 'B')} of memory kept what was written to it", corruptions=0, tested_bytes=tested)


def _judge(results: Sequence[BenchResult], found: Sequence[tuple[Mapping[str, Any], str]]) -> Verdict | None:
    """Return what is to be said of corruptions: wrong again is a failure, wrong once is a reason to test again."""
    corruptions = round(sum(r.value for r in results))
    evidence = {"corruptions": corruptions, "points": [dict(point) for point, _ in found][:16]}
    if not corruptions and not found:
        return None
    if again := [words for point, words in found if point.get("is_reproduced") is not False]:
        return fail(named(again, 1), **evidence)
    if not found:
        return fail(f"{plural(corruptions, 'wrong value')}, expected none: {source(results[0])} does not say where")
    point, words = found[0]
    seed = point.get("seed", results[0].fields.get("seed"))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return warn(f"{words}{more}, once: test again by `nodeproof-bench {results[0].name} --seed {seed}`", **evidence)


def _core_words(result: BenchResult, point: Mapping[str, Any]) -> str:
    partner = point.get("partner_cpu")
    who = f"CPU {cpu(point, result)}" + (f" with CPU {partner}" if partner is not None else "")
    if point.get("is_attributed") is False:
        who = f"{who}, or one that it was compared with,"
    return f"{who} computed {point.get('kernel')} ({point.get('isa')}, seed {point.get('seed')}) wrongly{_bits(point)}"


def _memory_words(point: Mapping[str, Any], modules: MappedModules) -> str:
    address = _word(point.get("physical_address"))
    if address is None:
        where = "memory (its address is not known: that needs root)"
    else:
        held = modules.holding(address)
        where = f"memory at {address:#x}" + (f" in {' or '.join(held[:4])}" if held else "")
    return f"{where} did not keep the pattern {point.get('pattern')}{_bits(point)}"


def _bits(point: Mapping[str, Any]) -> str:
    """Say what was expected and found, and which bits differ."""
    expected, found = (_word(point.get(key)) for key in ("expected", "found"))
    if expected is None or found is None:
        return ""
    flipped = expected ^ found
    bits = [n for n in range(flipped.bit_length()) if flipped >> n & 1]
    return f": expected {expected:#018x}, found {found:#018x} (bit {named(bits)})"


def _word(value: object) -> int | None:
    try:
        return int(str(value), 16)
    except ValueError:
        return None
