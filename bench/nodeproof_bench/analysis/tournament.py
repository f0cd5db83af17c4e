"""Which node is measured with which, in rounds of disjoint pairs: every pair of a few nodes, a sample of many.

Pure arithmetic over names. Deliberately not here: what a bad pair says of its nodes (`pair_model`).
"""

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

#: Of a sparse design every so-many-th round stays within switches: a switch is one path, all its nodes try it at once,
#: while there are many paths between switches, each tried by a few.
_WITHIN_EVERY = 4

#: With fewer nodes a round than this many a sparse design takes its rounds from the full tournament. With more, each
#: node has met so few that a partner which it has not met is always left.
_NODES_A_ROUND = 5

Pair = tuple[str, str]


class Round(NamedTuple):
    """Pairs that are measured at the same time: no node is in two. The first of a pair listens, the second connects.

    `bye`: nodes of the design that have no partner in this round.
    """

    pairs: tuple[Pair, ...]
    bye: tuple[str, ...] = ()


def path(one: str, other: str, switches: Mapping[str, str]) -> str:
    """Return what lies between two nodes: `within A`, `A - B`, or nothing where a switch is not known."""
    near, far = sorted((switches.get(one, ""), switches.get(other, "")))
    if not near:
        return ""
    return f"within {near}" if near == far else f"{near} - {far}"


def full(nodes: Sequence[str]) -> list[Round]:
    """Return rounds in which every two nodes meet once: n - 1 of them, or n with one bye each where n is odd.

    The circle method: one node stays, all others move on by one place after each round, and who sits opposite is the
    partner (Lucas, Récréations mathématiques II, 1883; called so in Anderson, Combinatorial Designs and Tournaments,
    1997).
    """
    _check(nodes)
    if len(nodes) < 2:
        return []
    guests = [*[None] * (len(nodes) % 2), *nodes]  # who sits opposite nobody has a bye
    seats = list(range(len(guests)))
    half, moving, rounds = len(seats) // 2, len(seats) - 1, list[Round]()
    for number in range(moving):
        opposite = zip(seats[:half], reversed(seats[half:]), strict=True)
        placed = [(a, b) if _is_first(a, b, number, moving) else (b, a) for a, b in opposite]
        named = [(guests[a], guests[b]) for a, b in placed]
        bye = tuple(a or b or "" for a, b in named if a is None or b is None)
        rounds.append(Round(tuple((a, b) for a, b in named if a is not None and b is not None), bye))
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return rounds


def _is_first(one: int, other: int, number: int, moving: int) -> bool:
    """Tell who listens, so that each node does as often as it connects: seat 0 in every second round."""
    if 0 in {one, other}:
        return (one == 0) == (number % 2 == 0)
    return (other - one) % moving <= moving // 2


def sparse(nodes: Sequence[str], rounds: int, seed: int, switches: Mapping[str, str] | None = None) -> list[Round]:
    """Return `rounds` rounds in which no two nodes meet twice, and at most one node of each has a bye.

    The same seed gives the same rounds. Where at least two switches are known, one round of four pairs nodes within
    their switches, and the others deal the nodes of each switch evenly to all others. Without, the rounds are a
    random choice from the full tournament, which connects n nodes well in about log2(n) rounds (Alon and Roichman,
    Random Cayley graphs and expanders, 1994).
    """
    _check(nodes)
    source = random.Random(seed)  # noqa: S311 - a design, no secret
    order = source.sample(nodes, len(nodes))
    groups = _groups(order, switches or {})
    if len(groups) > 1 and len(nodes) >= _NODES_A_ROUND * rounds:
        return _dealt(order, groups, rounds, source)
    complete = full(order)
    source.shuffle(complete)
    if len(groups) > 1:
        complete = _mixed(complete, {node: n for n, group in enumerate(groups) for node in group})
    return complete[:rounds]


def confirming(
    suspects: Collection[str],
    good: Collection[str],
    rounds: int,
    seed: int,
    switches: Mapping[str, str] | None = None,
) -> list[Round]:
    """Return rounds in which every suspect meets `rounds` different good nodes, each on another switch if possible.

    Two suspects never meet. Where good nodes are fewer than suspects there are more rounds, and suspects that wait
    have a bye; a suspect meets fewer where there are fewer good nodes.
    """
    source, of = random.Random(seed), switches or {}  # noqa: S311 - a design, no secret
    partners = sorted(set(good) - set(suspects))
    met: dict[str, list[str]] = {suspect: [] for suspect in sorted(set(suspects))}
    wanted, found = min(rounds, len(partners)), list[Round]()
    while waiting := sorted((s for s in met if len(met[s]) < wanted), key=lambda s: len(met[s])):
        free, pairs = source.sample(partners, len(partners)), list[Pair]()
        for suspect in waiting:
            seen = {of.get(other, "") for other in met[suspect]}
            fresh = [other for other in free if other not in met[suspect]]
            if fresh:
                other = min(fresh, key=lambda o: of.get(o, "") in seen)
                free.remove(other)
                met[suspect].append(other)
                pairs.append((suspect, other) if len(met[suspect]) % 2 else (other, suspect))
        paired = {node for pair in pairs for node in pair}
        found.append(Round(tuple(pairs), tuple(s for s in met if s not in paired)))
    return found


def _check(nodes: Sequence[str]) -> None:
    if len(set(nodes)) < len(nodes):
        twice = next(node for n, node in enumerate(nodes) if node in nodes[:n])
        raise ValueError(f"node {twice} is twice in one tournament")


def _groups(nodes: Iterable[str], switches: Mapping[str, str]) -> list[list[str]]:
    """Return the nodes of each switch, those of unknown switches together."""
    groups = defaultdict[str, list[str]](list)
    for node in nodes:
        groups[switches.get(node, "")].append(node)
    return [groups[switch] for switch in sorted(groups)]


def _mixed(rounds: Sequence[Round], group_of: Mapping[str, int]) -> list[Round]:
    """Return rounds so that those with most pairs inside a group come first, fifth, ninth, and the others between."""
    within = sorted(rounds, key=lambda r: sum(group_of[a] == group_of[b] for a, b in r.pairs), reverse=True)
    ordered = list[Round]()
    while within:
        ordered.append(within.pop(-1 if len(ordered) % _WITHIN_EVERY else 0))
    return ordered


def _dealt(order: Sequence[str], groups: Sequence[Sequence[str]], count: int, source: random.Random) -> list[Round]:
    own, met = [full(group) for group in groups], set[frozenset[str]]()
    rounds, start = list[Round](), 0
    for number in range(count):
        bye = (order[number % len(order)],) if len(order) % 2 else ()
        pairs = list[Pair]()
        if number % _WITHIN_EVERY == 0:
            turn = number // _WITHIN_EVERY
            matched = (p for of in own if turn < len(of) for p in of[turn].pairs)
            pairs = [p for p in matched if frozenset(p) not in met and not set(p) & set(bye)]
        gone = {*bye, *(node for pair in pairs for node in pair)}
        pools = [source.sample(left, len(left)) for left in ([n for n in g if n not in gone] for g in groups)]
        start = _deal(pools, pairs, met, start)
        _pair_rest([node for pool in pools for node in pool], pairs, met)
        met.update(frozenset(pair) for pair in pairs)
        rounds.append(Round(tuple(pairs if number % 2 else [(b, a) for a, b in pairs]), bye))
    return rounds


def _deal(pools: Sequence[list[str]], pairs: list[Pair], met: Collection[frozenset[str]], start: int) -> int:
    """Add pairs of nodes from different pools, taken out of them, and return where the next round has to go on.

    The groups hold a tournament of their own: whenever two of them meet, each gives one node. So every two groups get
    as many pairs as any others, and within one round if the groups have as many nodes as there are groups.
    """
    meetings = full([str(n) for n in range(len(pools))])
    idle = 0
    while idle < len(meetings):
        before = len(pairs)
        for a, b in meetings[start % len(meetings)].pairs:
            if two := _first_new(pools[int(a)], pools[int(b)], met):
                pools[int(a)].remove(two[0])
                pools[int(b)].remove(two[1])
                pairs.append(two)
        idle = idle + 1 if len(pairs) == before else 0
        start += 1
    return start


def _first_new(ones: Sequence[str], others: Sequence[str], met: Collection[frozenset[str]]) -> Pair | None:
    return next(((a, b) for a in ones for b in others if frozenset((a, b)) not in met), None)


def _pair_rest(left: list[str], pairs: list[Pair], met: Collection[frozenset[str]]) -> None:
    """Add pairs of all that are left of a round. Two that have met before part a pair, and take one of it each."""
    while left:
        one = left.pop()
        new = next((other for other in left if frozenset((one, other)) not in met), None)
        if new is not None:
            left.remove(new)
            pairs.append((one, new))
            continue
        other = left.pop()
        parted = (n for n, (a, b) in enumerate(pairs) if not _any_met(met, (one, a), (other, b)))
        place = next(parted)  # there is one: see _NODES_A_ROUND
        a, b = pairs[place]
        pairs[place : place + 1] = [(one, a), (other, b)]


def _any_met(met: Collection[frozenset[str]], *pairs: Pair) -> bool:
    return any(frozenset(pair) in met for pair in pairs)
