"""Which of very many tests are discoveries: false alarms are counted in nodes, because a node is what is drained."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis.robust import Floats


class Chosen(NamedTuple):
    """The q value of each test (1 where its node is not chosen), and how many nodes are chosen by chance."""

    q: Floats
    expected_false: float


def q_values(p: Floats, tests: int) -> Floats:
    """Return the q value of each p: at which rate of false discoveries it would just be one.

    Benjamini and Hochberg, Controlling the false discovery rate (J. R. Statist. Soc. B 57, 1995), of `tests` tests
    whose smallest p values these are. Under positive dependence it holds, too (Benjamini and Yekutieli, Annals of
    Statistics 29, 2001), as between metrics of one node.
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * tests / np.arange(1, len(p) + 1)
    q = np.empty_like(scaled)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


class Simes(NamedTuple):
    """One p value for each node that has any: `nodes` and their `p`.

    Behind them all tests in the order of `order`, from `starts` on those of each node, `scaled` by tries and rank.
    """

    nodes: NDArray[np.int64]
    p: Floats
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    scaled: Floats


def simes(nodes: NDArray[np.int64], p: Floats, tries: NDArray[np.int64]) -> Simes:
    """Return one p value for each node by its smallest, of `tries` tests of each: Simes (Biometrika 73, 1986)."""
    order = np.lexsort((p, nodes))
    sorted_nodes = nodes[order]
    is_first = np.append(True, sorted_nodes[1:] != sorted_nodes[:-1])[: len(order)]
    starts = np.flatnonzero(is_first)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order)))) + 1
    scaled = p[order] * tries[sorted_nodes] / rank
    of_node = np.minimum.reduceat(scaled, starts) if len(starts) else np.empty(0)
    return Simes(sorted_nodes[starts], of_node, order, starts, scaled)


def choose(nodes: NDArray[np.int64], p: Floats, tries: NDArray[np.int64], rate: float) -> Chosen:
    """Return the discoveries among the smallest p values, each of a node of which `tries` tests were made.

    First nodes are chosen, by Benjamini and Hochberg of one p value for each of them, that of Simes; then, within
    these, tests at the rate times the share of nodes chosen (Benjamini and Bogomolov, Selective inference on multiple
    families of hypotheses, J. R. Statist. Soc. B 76, 2014). With all tests in one pot, a broken node that fails in
    sixty metrics would buy false alarms for others.
    """
    tested = int(np.count_nonzero(tries))
    found = simes(nodes, p, tries)
    chosen = np.flatnonzero(q_values(found.p, tested) <= rate)
    q = np.ones(len(p))
    ends = np.append(found.starts, len(p))
    for node in chosen:
        inside = slice(ends[node], ends[node + 1])
        within = np.minimum.accumulate(found.scaled[inside][::-1])[::-1]
        q[found.order[inside]] = np.minimum(within * tested / len(chosen), 1.0)
    last = float(np.max(found.p[chosen], initial=0.0))
    return Chosen(q, last * tested)
