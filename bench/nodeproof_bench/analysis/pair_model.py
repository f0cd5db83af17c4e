"""Who is to blame for bad pairs: what a pair reaches is the sum of what its two nodes and the path between them add.

For rates the logarithms add up, for times the times do: a link that retries adds 50 µs to a latency of 2 or of 4.
Fitted robustly, so that a few bad pairs say little of the good nodes in them. Who stands out is taken out of what the
others are told by, and all is fitted anew. Where there are only two or three switches, what is between them cannot be
told from what is usual, and only nodes are judged.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis import robust
from nodeproof_bench.analysis.additive import Sums, solved
from nodeproof_bench.analysis.discoveries import q_values
from nodeproof_bench.analysis.distributions import USUAL_DF, binomial_tail, coarse_df, df_of_tail, robust_t_tail
from nodeproof_bench.analysis.robust import Flags, Floats
from nodeproof_bench.stats import MAD_TO_SIGMA, median

#: A node with fewer partners cannot be told from them, a path with fewer pairs not from chance.
LEAST_PARTNERS, LEAST_PATH_PAIRS = 3, 3

#: What is a usual path is told from at least this many of a kind.
_LEAST_PATHS = 4

#: No pair repeats better than this share, however alike a few results look by chance.
_LEAST_SIGMA_SHARE = 0.005

#: Residuals beyond so many sigma count for less: Huber's weights, 95 % efficient where nothing is wrong.
_HUBER = 1.345

#: Rounds of reweighting: from one to the next nothing changes by more than a hundredth of a sigma long before.
_ROUNDS = 12

#: Degrees of freedom of what several pairs say together, before anything is known of their tails.
_USUAL_DF = 30.0

#: Judged anew at most so often.
_MOST_PASSES = 4


class PairValue(NamedTuple):
    """What two nodes reached: `path` is what is between them, empty where that is not known."""

    a: str
    b: str
    path: str
    value: float


class PairRules(NamedTuple):
    """A suspect is certain, and worse by these shares of what a pair usually reaches.

    Healthy paths differ by the switches that are between, which a latency of one microsecond shows.
    """

    false_discovery_rate: float = 0.003
    least_loss: float = 0.03
    least_path_loss: float = 0.05
    least_path_delay: float = 0.3


class Suspect(NamedTuple):
    """A node or a path that makes pairs worse: `value` is what they reach with it, `expected` without.

    `loss` is the share by which that is worse, `pairs` how many say so.
    """

    node: str
    path: str
    value: float
    expected: float
    loss: float
    pairs: int
    z: float
    p: float
    q: float


class PairFit(NamedTuple):
    """What each node and each path adds: a share lost for rates, a time for times; positive is worse.

    `scale` is the sigma of what is left, in the same unit, `usual` what a pair reaches. `untold`: nodes with too few
    partners to be judged.
    """

    node_effects: Mapping[str, float]
    path_effects: Mapping[str, float]
    scale: float
    usual: float
    suspects: tuple[Suspect, ...]
    untold: tuple[str, ...]


class _Pairs(NamedTuple):
    """Pairs as arrays: indices of both nodes and of the path, and the value where more is worse."""

    nodes: Sequence[str]
    paths: Sequence[str]
    kinds: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    path: NDArray[np.int64]
    worse: Floats


class _Effects(NamedTuple):
    """What nodes, kinds of path and paths add, what is left of each pair, and its sigma."""

    node: Floats
    kind: Floats
    path: Floats
    rest: Floats
    scale: float


class _Tested(NamedTuple):
    """Z and p of nodes or paths (p is NaN where there is too little to tell), and the pairs of each."""

    z: Floats
    p: Floats
    pairs: NDArray[np.int64]


def fit(values: Sequence[PairValue], is_higher_better: bool, rules: PairRules | None = None) -> PairFit:
    """Return what nodes and paths add, and which of them are suspects.

    Several values of one pair count as one, their median. Raises ValueError for a value that is no positive number.
    """
    rules = rules or PairRules()
    pairs = _arrays(values, is_higher_better)
    if not values:
        return PairFit({}, {}, 0.0, 0.0, (), ())
    bad_nodes, bad_paths = np.zeros(len(pairs.nodes), bool), np.zeros(len(pairs.paths), bool)
    for _ in range(_MOST_PASSES):
        effects = _effects(pairs, bad_nodes, bad_paths, is_higher_better)
        suspects = _suspects(pairs, effects, bad_nodes, is_higher_better, rules)
        names = {s.node for s in suspects}, {s.path for s in suspects if s.path}
        now = np.array([n in names[0] for n in pairs.nodes], bool), np.array([n in names[1] for n in pairs.paths], bool)
        if np.array_equal(now[0], bad_nodes) and np.array_equal(now[1], bad_paths):
            break
        bad_nodes, bad_paths = now
    return PairFit(
        dict(zip(pairs.nodes, effects.node.tolist(), strict=True)),
        dict(zip(pairs.paths, effects.path.tolist(), strict=True)),
        effects.scale,
        _usual(pairs, effects, is_higher_better),
        suspects,
        tuple(n for n, count in zip(pairs.nodes, _counts(pairs), strict=True) if count < LEAST_PARTNERS),
    )


def _arrays(values: Sequence[PairValue], is_higher_better: bool) -> _Pairs:
    of_pair = defaultdict[tuple[str, str, str], list[float]](list)
    for a, b, path, value in values:
        if not 0 < value < np.inf or a == b:
            raise ValueError(f"pair {a}, {b}: expected two nodes and a positive number, found {value}")
        of_pair[min(a, b), max(a, b), path].append(value)
    nodes = sorted({node for a, b, _ in of_pair for node in (a, b)})
    paths = sorted({path for _, _, path in of_pair})
    node_at, path_at = ({name: n for n, name in enumerate(names)} for names in (nodes, paths))
    keys = sorted(of_pair)
    middle = np.array([median(of_pair[key]) for key in keys])
    columns = np.array([(node_at[a], node_at[b], path_at[path]) for a, b, path in keys], int).reshape(-1, 3).T
    kinds = np.array([0 if not path else 1 if path.startswith("within ") else 2 for path in paths], int)
    ones, others, between = columns
    return _Pairs(nodes, paths, kinds, ones, others, between, -np.log(middle) if is_higher_better else middle)


def _effects(pairs: _Pairs, bad_nodes: Flags, bad_paths: Flags, is_higher_better: bool) -> _Effects:
    """Fit nodes and kinds of path to all pairs that lie on no bad path, then paths to what is left of good nodes.

    Huber, Robust Estimation of a Location Parameter (1964), by iterated reweighting. The scale is the median of what
    is left beyond as many residuals as there are unknowns, since so many could be fitted to nothing (Hampel and others,
    Robust Statistics, 1986, section 6.4).
    """
    sums = Sums(pairs.a, pairs.b, pairs.kinds[pairs.path], pairs.worse)
    used, weight = ~bad_paths[pairs.path], np.ones(len(pairs.worse))
    told = np.count_nonzero(np.bincount(np.append(pairs.a[used], pairs.b[used]))) + len(set(pairs.kinds.tolist())) - 1
    floor = _LEAST_SIGMA_SHARE * (1.0 if is_higher_better else float(np.median(pairs.worse)))
    node, kind = np.zeros(len(pairs.nodes)), np.full(3, float(np.median(pairs.worse)))
    for _ in range(_ROUNDS):
        node, kind = solved(sums, weight * used, node, kind)
        rest = pairs.worse - kind[sums.kind] - node[pairs.a] - node[pairs.b]
        sizes = np.sort(np.abs(rest[used]))
        scale = max(MAD_TO_SIGMA * float(np.median(sizes[min(told, len(sizes) - 1) :])), floor)
        weight = np.minimum(1.0, _HUBER * scale / np.maximum(np.abs(rest), 1e-300))
    middle = float(np.median(node))
    path, _ = _of_paths(pairs, rest, bad_nodes)
    return _Effects(node - middle, kind + 2 * middle, path, rest, scale)


def _of_paths(pairs: _Pairs, rest: Floats, bad_nodes: Flags) -> tuple[Floats, NDArray[np.int64]]:
    """Return what each path adds, and the number of pairs that say so: the smaller middle of what is left of them."""
    good = ~(bad_nodes[pairs.a] | bad_nodes[pairs.b])
    count = np.bincount(pairs.path[good], minlength=len(pairs.paths))
    ordered = rest[good][np.lexsort((rest[good], pairs.path[good]))]
    starts = np.cumsum(count) - count
    has = count > 0
    effect = np.zeros(len(pairs.paths))
    effect[has] = ordered[(starts + (count - 1) // 2)[has]]
    for kind in set(pairs.kinds.tolist()):
        effect[has & (pairs.kinds == kind)] -= np.median(effect[has & (pairs.kinds == kind)])
    return effect, count


def _counts(pairs: _Pairs) -> NDArray[np.int64]:
    return np.bincount(np.append(pairs.a, pairs.b), minlength=len(pairs.nodes))


def _tail(z: Floats, freedom: float, usual: float = _USUAL_DF) -> Floats:
    """Return degrees of freedom, by the better side of z, where no fault is, and by how well the scale is known."""
    tail = 2 / (1 / df_of_tail(z, usual) + 1 / usual)
    return coarse_df(np.array(max(1 / (1 / tail + 1 / max(freedom, 1.0)), 2.0)))


def _test_nodes(pairs: _Pairs, effects: _Effects, bad: Flags) -> _Tested:
    """A node's effect is compared with those of the others, and with what its few pairs can tell."""
    count = _counts(pairs)
    error = effects.scale / np.sqrt(np.maximum(count, 1))
    others = effects.node[~bad & (count >= LEAST_PARTNERS)]
    if len(others) >= 8:
        error = np.maximum(error, robust.scaled_mad(others - np.median(others)))
        freedom = 0.37 * (len(others) - 1)
    else:
        freedom = float(len(pairs.worse) - len(pairs.nodes))
    z = effects.node / error
    p = robust_t_tail(np.maximum(z, 0.0), np.broadcast_to(_tail(z[~bad], freedom), z.shape))
    return _Tested(z, np.where(count >= LEAST_PARTNERS, p, np.nan), count)


def _test_paths(pairs: _Pairs, effects: _Effects, bad_nodes: Flags) -> _Tested:
    """Of the pairs of a path more than half are beyond its effect: a binomial probability, where tails are heavy.

    Besides, it has to stand out of the paths of its kind, which differ by how far it is between their switches.
    """
    effect, count = _of_paths(pairs, effects.rest, bad_nodes)
    good = ~(bad_nodes[pairs.a] | bad_nodes[pairs.b])
    df = _tail(effects.rest[good] / effects.scale, float(len(pairs.worse) - len(pairs.nodes)), USUAL_DF)
    z, p = np.zeros(len(effect)), np.full(len(effect), np.nan)
    for kind in set(pairs.kinds.tolist()) - {0}:
        told = np.flatnonzero((pairs.kinds == kind) & (count >= LEAST_PATH_PAIRS))
        if len(told) < _LEAST_PATHS:
            continue
        sigma = np.maximum(effects.scale / np.sqrt(count[told]), robust.scaled_mad(effect[told]))
        z[told] = effect[told] / sigma
        beyond = robust_t_tail(np.maximum(effect[told] / effects.scale, 0.0), np.broadcast_to(df, told.shape))
        of_pairs = binomial_tail(count[told] // 2 + 1, count[told], beyond)
        of_kind = robust_t_tail(np.maximum(z[told], 0.0), np.full(told.shape, _tail(z[told], 0.37 * len(told))))
        p[told] = np.where(effect[told] > 0, np.maximum(of_pairs, of_kind), 1.0)
    return _Tested(z, p, count)


def _suspects(
    pairs: _Pairs, effects: _Effects, bad_nodes: Flags, is_higher_better: bool, rules: PairRules
) -> tuple[Suspect, ...]:
    nodes, paths = _test_nodes(pairs, effects, bad_nodes), _test_paths(pairs, effects, bad_nodes)
    p = np.concatenate([nodes.p, paths.p])
    is_told = ~np.isnan(p)
    q = np.ones(len(p))
    q[is_told] = q_values(p[is_told], int(np.count_nonzero(is_told)))
    usual, count = _usual(pairs, effects, is_higher_better), len(pairs.nodes)
    effect = np.concatenate([effects.node, effects.path])
    found = list[Suspect]()
    least_path = rules.least_path_loss if is_higher_better else rules.least_path_delay
    for at in np.flatnonzero(q <= rules.false_discovery_rate).tolist():
        tested, here = (nodes, at) if at < count else (paths, at - count)
        value = usual * float(np.exp(-effect[at])) if is_higher_better else usual + float(effect[at])
        loss = (usual - value) / usual if is_higher_better else (value - usual) / usual
        if loss < (rules.least_loss if at < count else least_path):
            continue
        node, path = (pairs.nodes[here], "") if at < count else ("", pairs.paths[here])
        z, told = float(tested.z[here]), int(tested.pairs[here])
        found.append(Suspect(node, path, value, usual, loss, told, z, float(p[at]), float(q[at])))
    return tuple(found)


def _usual(pairs: _Pairs, effects: _Effects, is_higher_better: bool) -> float:
    """Return what a pair of usual nodes reaches on the kind of path that most pairs are on."""
    middle = float(np.median(effects.kind[pairs.kinds[pairs.path]]))
    return float(np.exp(-middle)) if is_higher_better else middle
