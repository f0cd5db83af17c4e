"""What nodes have in common, and who is the odd one out. Pure: facts come in, a Learned goes out.

Deliberately not here: how it is written down (`nodeproof.policy.learned_text`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nodeproof.check import CheckSpec
from nodeproof.errors import FactError, PolicyError
from nodeproof.policy.spell import spelt, spelt_key
from nodeproof.probes.identity import Identity
from nodeproof.verdict import Json, named

Specs = Mapping[str, CheckSpec]

#: A parameter, and the key in it if it is a table: nodes vote on each entry of a table.
_Entry = tuple[str, str | None]

#: Of a list with this name the order counts: nodes vote on it as a whole and not on each of its words.
_SEQUENCE = "expected"

#: Subjects of which every node has all that checks without a learn function ask for.
_ALWAYS_THERE = frozenset({"fs", "kernel"})


class Node(NamedTuple):
    """What the checks' learn functions say of one node: values by check and parameter, or why there are none.

    No values: the part is there, but its check has no learn function.
    """

    name: str
    identity: Identity
    values: Mapping[str, Mapping[str, Json]]
    errors: Mapping[str, FactError]


class Oddity(NamedTuple):
    """A node that differs from the majority, or from others where there is none. `alike` nodes are like it.

    An empty `parameter` stands for the whole part, and None for not having it.
    """

    check: str
    parameter: str
    key: str | None
    majority: Json
    node: str
    value: Json
    alike: int
    has_majority: bool = True


class Unlearned(NamedTuple):
    """A check, or one parameter of it, that could not be learned; an empty `node` stands for all nodes."""

    check: str
    parameter: str
    node: str
    why: str


class Learned(NamedTuple):
    """What the nodes agree on, by check and parameter; who differs, most lonely first; what could not be learned.

    Who differs from a majority comes before those among whom there is none.
    """

    nodes: Sequence[Node]
    values: Mapping[str, Mapping[str, Json]]
    oddities: Sequence[Oddity]
    unlearned: Sequence[Unlearned]


def learnable(specs: Specs) -> dict[str, CheckSpec]:
    """Return the checks that learning has something to say of.

    That is values, or at least that the part must be there, or that policy has to give a parameter first.
    """
    return {id_: s for id_, s in specs.items() if s.learn or _is_missed(s) or _is_policys(s)}


def _is_missed(spec: CheckSpec) -> bool:
    """Whether the part is missed if it is not there. Nobody has to have measured."""
    return spec.subject not in _ALWAYS_THERE and "bench" not in spec.tags and not _is_policys(spec)


def _is_policys(spec: CheckSpec) -> bool:
    return spec.learn is None and any(p.is_required for p in spec.parameters.values())


def learn_node(name: str, identity: Identity, specs: Specs, facts: Mapping[type, object]) -> Node:
    """Ask every learnable check about one node. A fact that could not be had is a FactError in `facts`."""
    values: dict[str, dict[str, Json]] = {}
    errors: dict[str, FactError] = {}
    for spec in learnable(specs).values():
        if _is_policys(spec):
            continue
        try:
            values[spec.id] = _ask(spec, spec.learn or _presence(spec), [facts[f] for f in spec.facts])
        except FactError as error:
            errors[spec.id] = error
    return Node(name, identity, values, errors)


def _presence(spec: CheckSpec) -> Callable[..., Mapping[str, object]]:
    """Return a learn function of no values, for a check without: it fails where the check finds nothing to judge."""

    def judge(*facts: object) -> Mapping[str, object]:
        spec.function(*facts)
        return {}

    return judge


def _ask(spec: CheckSpec, learn: Callable[..., Mapping[str, object]], facts: Sequence[object]) -> dict[str, Json]:
    from nodeproof.policy.problems import checked_values

    for fact in facts:
        if isinstance(fact, FactError):
            raise fact
    try:
        said = {name: value for name, value in learn(*facts).items() if value not in (None, {})}
        return checked_values(spec, said)
    except FactError:
        raise
    except PolicyError as error:
        raise FactError(spec.id, "malformed", str(error)) from error
    except Exception as error:  # a learn function's bug loses one check, not the policy
        raise FactError(spec.id, "crashed", f"{type(error).__name__}: {error}") from error


def learn(nodes: Sequence[Node], specs: Specs) -> Learned:
    """Return what more than half of the nodes agree on. A node that could not be asked has no vote."""
    values, oddities = dict[str, dict[str, Json]](), list[Oddity]()
    unlearned = [Unlearned(id_, "", n.name, str(e)) for n in nodes for id_, e in n.errors.items() if e.kind != "absent"]
    for check_id, spec in learnable(specs).items():
        if _is_policys(spec):
            unlearned.append(Unlearned(check_id, "", "", "nothing to learn: policy must say what is required"))
            continue
        there = {n.name: n.values[check_id] for n in nodes if check_id in n.values}
        absent = {n.name: n.errors[check_id] for n in nodes if _is_absent(n, check_id)}
        if not there:
            unlearned += [Unlearned(check_id, "", "", str(error)) for error in list(absent.values())[:1]]
            continue
        has_part = _vote(check_id, ("", None), dict.fromkeys(there, True) | dict.fromkeys(absent), oddities, unlearned)
        if has_part is None:
            continue
        agreed = _middle(there) if "bench" in spec.tags else _agreed(check_id, there, oddities, unlearned)
        if agreed or spec.learn is None:
            values[check_id] = agreed
        elif not any(there.values()):
            unlearned.append(Unlearned(check_id, "", "", "nothing to learn there"))
    oddities.sort(key=lambda o: (not o.has_majority, o.alike, o.check, o.parameter, o.key or "", o.node))
    return Learned(nodes, values, oddities, unlearned)


def _is_absent(node: Node, check_id: str) -> bool:
    return check_id in node.errors and node.errors[check_id].kind == "absent"


def _middle(said: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    """Return the median of each limit that more than half of the nodes learned: no two nodes measure the same."""
    flat = [_entries(values) for values in said.values()]
    middle: dict[str, Json] = {}
    for name, key in sorted({e for entries in flat for e in entries}, key=lambda e: (e[0], e[1] or "")):
        limits = [v for entries in flat if isinstance(v := entries.get((name, key)), int | float)]
        if 2 * len(limits) <= len(flat):
            continue
        limit = sorted(limits)[(len(limits) - 1) // 2]
        if key is None:
            middle[name] = limit
        else:
            table = middle.setdefault(name, {})
            assert isinstance(table, dict)
            table[key] = limit
    return middle


def _agreed(
    check_id: str, said: Mapping[str, Mapping[str, Json]], oddities: list[Oddity], unlearned: list[Unlearned]
) -> dict[str, Json]:
    """Return the values of one check that its nodes agree on, tables entry by entry."""
    flat = {node: _entries(values) for node, values in said.items()}
    agreed: dict[str, Json] = {}
    for entry in sorted({e for entries in flat.values() for e in entries}, key=lambda e: (e[0], e[1] or "")):
        votes = {node: entries.get(entry) for node, entries in flat.items()}
        value = _vote(check_id, entry, votes, oddities, unlearned)
        name, key = entry
        if value is not None and key is None:
            agreed[name] = value
        elif value is not None and key is not None:
            table = agreed.setdefault(name, {})
            assert isinstance(table, dict)
            table[key] = value
    return agreed


def _entries(values: Mapping[str, Json]) -> dict[_Entry, Json]:
    entries: dict[_Entry, Json] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            entries |= {(name, key): item for key, item in value.items()}
        else:
            entries[name, None] = value
    return entries


def _vote(
    check_id: str, entry: _Entry, votes: Mapping[str, Json], oddities: list[Oddity], unlearned: list[Unlearned]
) -> Json:
    """Return the majority's value, or None: most do not have it, or there is no majority. Notes who differs."""
    counts, said = Counter(map(_ballot, votes.values())), [v for v in votes.values() if v is not None]
    majority = _majority(said, entry[0]) if 2 * len(said) > len(votes) else None
    is_split = majority is None and 2 * len(said) >= len(votes)
    if is_split:
        most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        split = named([f"{count} x {ballot or 'nothing'}" for ballot, count in most_first], 8)
        unlearned.append(Unlearned(check_id, _dotted(entry), "", f"no majority: {split}"))
    for node, value in votes.items():
        if is_split or _ballot(value) != _ballot(majority):
            oddities.append(Oddity(check_id, *entry, majority, node, value, counts[_ballot(value)], not is_split))
    return majority


def _majority(values: Sequence[Json], name: str) -> Json:
    """Return what more than half of the values are, the words that more than half of the lists have, or None."""
    ballot, count = Counter(map(_ballot, values)).most_common(1)[0]
    if 2 * count > len(values):
        return next(v for v in values if _ballot(v) == ballot)
    return None if name == _SEQUENCE else _common_words(values) or None


def _common_words(values: Sequence[Json]) -> list[Json]:
    """Return the words that more than half of lists have: one word of a node's own must not lose all others."""
    counts = Counter[str]()
    for value in values:
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            return []
        counts.update({str(word): 1 for word in value})
    return [word for word, count in counts.items() if 2 * count > len(values)]


def _ballot(value: Json) -> str:
    return "" if value is None else spelt(value)


def _dotted(entry: _Entry) -> str:
    name, key = entry
    return name if key is None else f"{name}.{spelt_key(key)}"
