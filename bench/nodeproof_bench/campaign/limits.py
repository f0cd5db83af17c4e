"""Which limit of policy goes with which metric, and what a node says of its own limits: facts of its inventory.

Policy is resolved on the node, so that each is held to what its own class promises. A limit whose check may not drain
(beta, or `on_fail = "report"`) is not told: such a check only reports, in a campaign as elsewhere. Deliberately not
here: whether a value is beyond its limit beyond doubt, which is for the check itself to say (`node.judging`).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nodeproof.check import CheckSpec
from nodeproof.policy.settings import Settings
from nodeproof_bench.suites import BENCHMARKS

#: What facts that are limits begin with; check and parameter follow.
LIMIT = "limit."

#: The link of any rate that policy does not name.
_ANY = "any"

#: The limit of checks that look for wrong values. It is zero, and no parameter.
_WRONG_VALUES = "wrong_values"


class Target(NamedTuple):
    """Where a metric goes in policy. `key` is one in a table; of a pair, `is_sustained` is what the check judges."""

    check: str
    parameter: str
    key: str | None = None
    is_sustained: bool = False
    is_pair: bool = False

    @property
    def name(self) -> str:
        return f"{self.check}.{self.parameter}"


#: Metrics of single nodes, by the benchmark's name.
_TARGETS: Mapping[str, Target] = {
    "memory.triad": Target("memory.triad", "min_bytes_per_s"),
    "memory.latency": Target("memory.latency", "max_latency_s"),
    "cpu.flops": Target("cpu.flops", "min_flops_per_s"),
    "cpu.frequency": Target("cpu.clock", "min_hz"),
    "disk.bandwidth": Target("disk.bandwidth", "min_bytes_per_s"),
    "disk.latency": Target("disk.latency", "max_latency_s"),
    "net.loopback": Target("net.loopback", "max_spinning_s"),
}

#: Metrics of pairs. What checks judge of a latency is its median, which is what is sustained.
_PAIR_TARGETS: Mapping[str, Target] = {
    "net.bandwidth": Target("net.bandwidth", "min_bytes_per_s", _ANY, is_pair=True),
    "net.latency": Target("net.latency", "max_median_s", _ANY, is_sustained=True, is_pair=True),
    "rdma.latency": Target("rdma.latency", "max_median_s", _ANY, is_sustained=True, is_pair=True),
}

#: Checks that have a limit for what one of a hundred exceeds.
_WITH_TAIL = frozenset({"disk.latency", "net.latency", "rdma.latency"})


def target_of(metric: str, *, is_pair: bool) -> Target | None:
    """Return where a metric goes; None if no check has a limit for it, or ends slept and the scheduler decided."""
    name, *words = metric.split() or [""]
    if "blocking" in words:
        return None
    target = (_PAIR_TARGETS if is_pair else _TARGETS).get(name)
    if target is not None and words[-1:] == ["p99"]:
        return target._replace(parameter="max_p99_s", is_sustained=False) if name in _WITH_TAIL else None
    return target


def limit_of(metric: str) -> Target | None:
    """Return what limits a metric of single nodes; of wrong values, more than none is wrong, whatever others have."""
    name = metric.partition(" ")[0]
    benchmark = BENCHMARKS.get(name)
    if benchmark is not None and benchmark.is_of_values:
        return Target(name, _WRONG_VALUES)
    return target_of(metric, is_pair=False)


def told(settings: Settings, specs: Mapping[str, CheckSpec]) -> dict[str, str]:
    """Return the limits of this node's policy that a drain may follow from; none where its class is in doubt."""
    if settings.doubts:
        return {}
    return {f"{LIMIT}{target.name}": repr(value) for target, value in _set_by(settings, specs)}


def _set_by(settings: Settings, specs: Mapping[str, CheckSpec]) -> Iterator[tuple[Target, float]]:
    metrics = (*BENCHMARKS, *(f"{name} p99" for name in _TARGETS))
    for target in dict.fromkeys(target for metric in metrics if (target := limit_of(metric)) is not None):
        spec, own = specs.get(target.check), settings.of(target.check)
        is_count = target.parameter == _WRONG_VALUES
        value = 0.0 if is_count else own.parameters.get(target.parameter)
        if spec is not None and not spec.beta and own.on_fail == "drain" and isinstance(value, int | float):
            yield target, float(value)


def read(facts: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], float]:
    """Return the limits by node and `check.parameter`, from facts as (node, key, value)."""
    found = {}
    for node, key, text in facts:
        try:
            value = float(text)
        except ValueError:  # what a node says is not believed to be a number
            continue
        if key.startswith(LIMIT) and 0 <= value < math.inf:
            found[node, key.removeprefix(LIMIT)] = value
    return found
