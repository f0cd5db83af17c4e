"""Judgement of the kernel's network code, without any network."""

from collections.abc import Mapping
from typing import Annotated

from nodeproof.check import check
from nodeproof.verdict import Verdict, fail, named, ok
from nodeproof_bench.checks.common import learnt, number, raise_doubts, rounded, wrong_values
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.units import scaled

#: Round trips depend on where the scheduler puts what: they vary by a third from run to run.
_RATE_MARGIN, _TIME_MARGIN = 0.7, 1.5

_SPINNING, _BLOCKING, _THROUGHPUT = "spinning", "blocking", "throughput"


def _modes(result: BenchResult) -> dict[str, float]:
    return {str(p.get("mode")): number(p, "value", result) for p in result.points} | {_SPINNING: result.value}


def _learn(history: BenchHistory) -> Mapping[str, object]:
    for result in learnt(history, "net.loopback"):
        found = _modes(result)
        learned = {
            "max_spinning_s": rounded(_TIME_MARGIN * found[_SPINNING], up=True),
            "max_blocking_s": rounded(_TIME_MARGIN * found.get(_BLOCKING, 0), up=True),
            "min_bytes_per_s": rounded(_RATE_MARGIN * found.get(_THROUGHPUT, 0)),
        }
        return {name: value for name, value in learned.items() if value}
    return {}


@check(
    "net.loopback",
    tags="boot bench",
    remedy="Spinning: compare packet filters, tracing and security modules, mitigations (`kernel.mitigations`) and "
    "kernel version with a good node. Blocking alone: idle states (`cpu.idle_states`) and the governor.",
    learn=_learn,
)
def loopback(
    history: BenchHistory,
    *,
    max_spinning_s: Annotated[float, "longest round trip of ends that spin, in seconds"],
    max_blocking_s: Annotated[float | None, "longest round trip of ends that sleep in between, in seconds"] = None,
    min_bytes_per_s: Annotated[float | None, "least throughput of one connection, in bytes per second"] = None,
) -> Verdict:
    """A message through the kernel's network code takes no longer than its class promises.

    Storage clients, MPI over TCP and every service pay this for each message. A firewall with thousands of rules, a
    forgotten trace or a mitigation that is on here alone doubles it, and no adapter is to blame.
    """
    results = history.need("net.loopback")
    if wrong := wrong_values(results):
        return wrong
    result = results[0]
    found = _modes(result)
    slow = [
        f"a round trip takes {scaled(found[mode], 's')} ({mode}), expected at most {scaled(most, 's')}"
        for mode, most in ((_SPINNING, max_spinning_s), (_BLOCKING, max_blocking_s))
        if most is not None and found.get(mode, 0) > most
    ]
    if min_bytes_per_s is not None and (rate := found.get(_THROUGHPUT, min_bytes_per_s)) < min_bytes_per_s:
        slow.append(f"{scaled(rate, 'B/s')} go through, expected at least {scaled(min_bytes_per_s, 'B/s')}")
    raise_doubts(history, results, results if slow else [])
    if slow:
        return fail(f"over loopback {named(slow)}", modes=found)
    return ok(f"a round trip over loopback takes {scaled(result.value, 's')} (spinning)", modes=found)
