"""Weighted least squares of sums: each value is that of two nodes and of one kind of path."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis.robust import Floats

#: Keeps a node without pairs, or nodes whose pairs only tell their sum, where all others are.
_RIDGE = 1e-6


class Sums(NamedTuple):
    """Values, with the indices of what each is the sum of."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    kind: NDArray[np.int64]
    worse: Floats


def solved(pairs: Sums, weight: Floats, node: Floats, kind: Floats) -> tuple[Floats, Floats]:
    """Return the weighted least squares, from the last solution on.

    By conjugate gradients, with the diagonal as preconditioner: Saad, Iterative Methods for Sparse Linear Systems,
    2nd edition, algorithm 9.1. The matrix is never made: it has a row for each node and three numbers for each pair.
    """
    count, of_kind = len(node), pairs.kind

    def gathered(of_pair: Floats) -> Floats:
        ends = np.bincount(pairs.a, of_pair, count) + np.bincount(pairs.b, of_pair, count)
        return np.append(ends, np.bincount(of_kind, of_pair, 3))

    def product(x: Floats) -> Floats:
        return gathered(weight * (x[pairs.a] + x[pairs.b] + x[count + of_kind])) + _RIDGE * x

    x = np.append(node, kind)
    diagonal = gathered(weight) + _RIDGE
    left = gathered(weight * pairs.worse) - product(x) + _RIDGE * np.append(np.zeros(count), kind)
    step = left / diagonal
    size = float(left @ step)
    enough = 1e-16 * float(np.sum(weight * pairs.worse**2)) / max(len(pairs.worse), 1)
    for _ in range(4 * int(np.sqrt(count)) + 50):
        if size <= enough:
            break
        moved = product(step)
        share = size / float(step @ moved)
        x, left = x + share * step, left - share * moved
        scaled = left / diagonal
        size, before = float(left @ scaled), size
        step = scaled + size / before * step
    return x[:count], x[count:]
