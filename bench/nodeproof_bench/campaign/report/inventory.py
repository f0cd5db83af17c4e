"""Who is the odd one out: within a class of hardware, facts that most nodes share and some do not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nodeproof_bench.campaign.report.gathered import Gathered

#: What a node says of a fact that it did not tell, and others of its class did.
NOTHING = None

#: Without a majority, so many values are a split that somebody made; more are serial numbers and the like, and so are
#: as many as there are nodes.
_MOST_PARTS = 4

#: A class of fewer nodes is no class to be the odd one of, and a node is like another class if it shares so much.
_LEAST_NODES, _ALIKE = 3, 0.5


def disagreements(gathered: Gathered) -> list[dict[str, Any]]:
    """Return the facts in which nodes of a class differ, the loneliest first."""
    told: dict[str, dict[str, str]] = {}
    for fact in gathered.facts:  # in the order of phases by name: any of them will do, a fact does not change often
        told.setdefault(fact.node, {})[fact.key] = fact.value
    members: dict[str, list[str]] = {}
    for node, name in gathered.classes.items():
        if node in told:
            members.setdefault(name, []).append(node)
    _adopt_strays(members, told)
    found = [d for name, nodes in sorted(members.items()) for d in _of_class(name, {n: told[n] for n in nodes})]
    return sorted(found, key=lambda d: (d["majority_count"] is None, len(d["odd"]), d["key"], d["class"]))


def _adopt_strays(members: dict[str, list[str]], told: Mapping[str, Mapping[str, str]]) -> None:
    """Compare a node that has a class nearly for itself with the class that it is most like.

    A node that lost a memory module or an adapter is of another class by that: it would never be the odd one.
    """
    if all(len(nodes) >= _LEAST_NODES for nodes in members.values()):
        return
    usual = {name: _usual([told[n] for n in nodes]) for name, nodes in members.items() if len(nodes) >= _LEAST_NODES}
    for name, nodes in list(members.items()):
        for node in [] if name in usual else list(nodes):
            alike = {other: _share_alike(told[node], facts) for other, facts in usual.items()}
            nearest = max(alike, key=lambda other: alike[other], default="")
            if alike.get(nearest, 0.0) > _ALIKE:
                nodes.remove(node)
                members[nearest].append(node)


def _usual(told: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the most frequent value of each fact."""
    counts: dict[str, Counter[str]] = {}
    for facts in told:
        for key, value in facts.items():
            counts.setdefault(key, Counter())[value] += 1
    return {key: found.most_common(1)[0][0] for key, found in counts.items()}


def _share_alike(facts: Mapping[str, str], usual: Mapping[str, str]) -> float:
    return sum(facts.get(key) == value for key, value in usual.items()) / max(1, len(usual))


def _of_class(name: str, told: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    for key in sorted({key for facts in told.values() for key in facts}):
        says = {node: facts.get(key, NOTHING) for node, facts in told.items()}
        counts = Counter(says.values())
        (most, count), is_one = counts.most_common(1)[0], len(counts) == 1
        has_majority = 2 * count > len(says)
        if is_one or (not has_majority and len(counts) > min(_MOST_PARTS, len(says) - 1)):
            continue
        odd = sorted(
            ({"node": node, "value": value} for node, value in says.items() if value != most or not has_majority),
            key=lambda o: (counts[o["value"]], str(o["value"]), str(o["node"])),
        )
        yield {
            "class": name,
            "key": key,
            "nodes": len(says),
            "majority": most if has_majority else None,
            "majority_count": count if has_majority else None,
            "odd": odd,
        }
