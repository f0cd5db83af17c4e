"""What of very many tests is significant and large enough for a finding, and what only deserves a second look."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis.detectors import Test
from nodeproof_bench.analysis.discoveries import choose, simes
from nodeproof_bench.analysis.distributions import robust_t_tail
from nodeproof_bench.analysis.fleet import Finding, Fleet, Rules
from nodeproof_bench.analysis.robust import Flags, Floats
from nodeproof_bench.analysis.words import in_words

Indices = NDArray[np.int64]

#: Only what is beyond so many sigma can be a discovery: the p value of all others is not worth its time.
_LEAST_Z = 2.0

#: What tests of parts weigh among all of a node. All of a part being slow is one test, and would drown among those of
#: single metrics. P values divided by weights of 1 on average keep their promise: Genovese, Roeder and Wasserman, False
#: discovery control with p-value weighting (Biometrika 93, 2006).
_SHARES = {"part": 0.1, "distribution": 0.05}

#: A value may be off by so many standard errors.
_TWICE = 2.0


class Odd(NamedTuple):
    """Where tests of one kind are beyond `_LEAST_Z`: indices of node and metric, and what was tested there.

    `weight` is how much a test counts among all of its node, 1 on average.
    """

    detector: str
    node: Indices
    metric: Indices
    z: Floats
    p: Floats
    value: Floats
    expected: Floats
    weight: Floats

    def at(self, keep: Flags) -> "Odd":
        """Return only some of them."""
        floats = self.z[keep], self.p[keep], self.value[keep], self.expected[keep], self.weight[keep]
        return Odd(self.detector, self.node[keep], self.metric[keep], *floats)

    def of(self, nodes: Indices) -> "Odd":
        """Return the same of nodes of other numbers: `nodes` are the new ones by the old."""
        return self._replace(node=nodes[self.node])


class Chosen(NamedTuple):
    """What is significant and large enough, with its q values, and how many nodes are expected by chance."""

    found: Sequence[tuple[Odd, Floats]]
    expected_false: float


def odd(tests: Sequence[Test]) -> list[Odd]:
    """Return where tests stand out at all."""
    numbers = [_number(test) for test in tests]
    others = np.asarray(sum(n for n, test in zip(numbers, tests, strict=True) if test.detector not in _SHARES))
    rest = 1 - sum(_SHARES[test.detector] for test in tests if test.detector in _SHARES)
    all_of_them = tries(tests)
    made = []
    for test, number in zip(tests, numbers, strict=True):
        share = _SHARES.get(test.detector, rest) / np.maximum(number if test.detector in _SHARES else others, 1)
        one = at_places(test, *np.nonzero(test.z > _LEAST_Z))
        made.append(one._replace(weight=(all_of_them * share)[one.node]))
    return made


def at_places(test: Test, node: Indices, metric: Indices) -> Odd:
    """Return what one test says at some places; it weighs as much as any other."""
    z = test.z[node, metric]
    p = np.minimum(test.tries * robust_t_tail(z, test.df[node, metric]), 1.0)
    value, expected = test.value[node, metric], test.expected[node, metric]
    return Odd(test.detector, node, metric, z, p, value, expected, np.ones(len(z)))


def _number(test: Test) -> Indices:
    return np.asarray(np.count_nonzero(~np.isnan(test.z), axis=1))


def tries(tests: Sequence[Test]) -> Indices:
    """Return how many tests were made of each node."""
    return np.asarray(sum(_number(test) for test in tests))


def chosen(places: Sequence[Odd], tries_of: Indices, rules: Rules, rate: float) -> Chosen:
    """Return the findings among all that stands out, at a rate of false discoveries."""
    nodes, p = np.concatenate([one.node for one in places]), np.concatenate([one.p / one.weight for one in places])
    best = choose(nodes, p, tries_of, rate)
    ends = np.cumsum([len(one.node) for one in places])
    found = []
    for one, q in zip(places, np.split(best.q, ends[:-1]), strict=True):
        keep = (q <= rate) & _large_enough(one, rules)
        found.append((one.at(keep), q[keep]))
    return Chosen(found, best.expected_false)


def _large_enough(one: Odd, rules: Rules) -> Flags:
    if one.detector == "distribution":
        return np.asarray((one.value >= rules.least_spread_times * one.expected) & (one.value >= rules.least_spread))
    return np.asarray(np.abs(one.value - one.expected) >= rules.least_loss * np.abs(one.expected))


def _may_be_large(one: Odd, errors: Floats, rules: Rules) -> Flags:
    if one.detector == "distribution":
        return _large_enough(one, rules)
    loss = np.abs(one.value - one.expected) / np.abs(one.expected)
    return np.asarray(loss + _TWICE * errors[one.node, one.metric] >= rules.least_loss)


def doubtful(places: Sequence[Odd], tries_of: Indices, known: Flags, errors: Floats, rules: Rules) -> list[Odd]:
    """Return what may be chance and is worth measuring again, of nodes that are not `known` to be worse.

    A node is if its own p value is small, that of Simes: unlike a rate of false discoveries, it does not ask for more
    where fewer others are sick. If there are too many such nodes, it is the surest. `errors` is node x metric, by which
    a loss may be larger than it looks.
    """
    large = [one.at(_may_be_large(one, errors, rules) & ~known[one.node]) for one in places]
    best = simes(np.concatenate([o.node for o in large]), np.concatenate([o.p / o.weight for o in large]), tries_of)
    order = np.argsort(best.p, kind="stable")[: math.ceil(rules.most_doubtful * len(tries_of))]
    is_one = np.zeros(len(tries_of), bool)
    is_one[best.nodes[order[best.p[order] <= rules.doubt]]] = True
    of_test = np.empty(len(best.order))
    of_test[best.order] = best.scaled
    ends = np.cumsum([len(one.node) for one in large])
    return [
        one.at(is_one[one.node] & (own <= rules.doubt))
        for one, own in zip(large, np.split(of_test, ends[:-1]), strict=True)
    ]


def findings(fleet: Fleet, one: Odd, q: Sequence[float | None]) -> Iterator[Finding]:
    """Yield what stands out as findings."""
    arrays = zip(one.node.tolist(), one.metric.tolist(), *(a.tolist() for a in one[3:7]), q, strict=True)
    for node, number, z, p, value, expected, q_here in arrays:
        metric = fleet.metrics[number]
        is_loss = metric.is_higher_better and one.detector != "distribution"
        worse = expected - value if is_loss else value - expected
        loss = worse if one.detector == "distribution" else worse / expected
        bare = Finding(fleet.nodes[node], metric.name, one.detector, value, expected, loss, z, p, q_here, "")
        yield bare._replace(text=in_words(bare, metric.unit, fleet.classes[node]))
