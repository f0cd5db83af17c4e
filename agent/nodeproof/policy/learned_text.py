"""What was learned, as a policy file and as a table of who differs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import nodeproof
from nodeproof.check import CheckSpec
from nodeproof.policy.hosts import folded, short
from nodeproof.policy.learn import Learned, Node, Oddity, Unlearned
from nodeproof.policy.spell import spelt, spelt_key
from nodeproof.verdict import Json, harmless, named

Specs = Mapping[str, CheckSpec]

_LINE_CHARS = 110
_CELL_CHARS = 40

#: Of nodes that all differ, as many are listed for one parameter.
_SPLIT_ROWS = 16


def class_text(learned: Learned, specs: Specs, name: str = "") -> str:
    """Return the TOML of one class of nodes."""
    names = [node.name for node in learned.nodes]
    lines = [
        f"# Learned by nodeproof {nodeproof.__version__} from {_comment(named(names, 8))}.",
        *_repeated(learned.nodes),
    ]
    lines += ["", "[[class]]", f"name = {spelt(name or class_name(learned))}", "", "[class.match]", *_match(learned)]
    lines += _claims(learned, specs)
    for check_id, values in learned.values.items():
        lines += _check(specs[check_id], values)
    return "\n".join([*lines, *_unlearned(learned.unlearned)]) + "\n"


def _repeated(nodes: Sequence[Node]) -> Iterator[str]:
    """Say which nodes have one host name and are the same in all: one recording given twice has two votes."""
    alike: dict[str, list[str]] = {}
    for node in nodes:
        errors = {check_id: str(error) for check_id, error in node.errors.items()}
        content = repr((node.identity.host_name or node.name, node.identity.product, node.values, errors))
        alike.setdefault(content, []).append(node.name)
    for names in alike.values():
        if len(names) > 1:
            times = f"given {len(names)} times and counted each time"
            yield f"# The same node, it seems, {times}: {_comment(named(names))}."


def class_name(learned: Learned) -> str:
    """Return the product of most nodes, or the name of the only node."""
    return _product(learned) or (learned.nodes[0].name if len(learned.nodes) == 1 else "learned")


def _product(learned: Learned) -> str:
    products = [node.identity.product for node in learned.nodes]
    common = max(products, key=products.count, default="")
    return common if 2 * products.count(common) > len(products) else ""


def _match(learned: Learned) -> Iterator[str]:
    if product := _product(learned):
        pattern = "".join(f"[{c}]" if c in "*?[" else c for c in product)
        yield f"product = {spelt(pattern)}"
        return
    hosts = folded(short(node.identity.host_name) for node in learned.nodes)
    if not hosts:
        yield "# No node has a name that a host set could hold: say here which nodes are of this class."
    yield f"hosts = {spelt(hosts or 'nobody')}"


def _claims(learned: Learned, specs: Specs) -> Iterator[str]:
    claims = {check_id: values["claimed"] for check_id, values in learned.values.items() if "claimed" in values}
    if claims:
        yield from ("", "[class.claims]")
    tables = []
    for check_id, claimed in claims.items():
        comment, subject = f"# {_comment(specs[check_id].title)}", specs[check_id].subject
        if isinstance(claimed, dict):
            tables += ["", comment, *_table(f"class.claims.{spelt_key(subject)}", claimed)]
        else:
            yield from (comment, *_pair(subject, claimed))
    yield from tables


def _check(spec: CheckSpec, values: Mapping[str, Json]) -> Iterator[str]:
    """Yield a check's table: plain values first, for a table in it begins a table of its own."""
    others = {name: value for name, value in values.items() if name != "claimed"}
    if not others and spec.learn:
        return
    header = f"class.check.{'.'.join(map(spelt_key, spec.id.split('.')))}"
    plain = [line for name, value in others.items() if not isinstance(value, dict) for line in _pair(name, value)]
    if "claimed" not in spec.parameters:
        plain.append('if_absent = "fail"')
    yield from ("", f"# {_comment(spec.title)}")
    if plain:
        yield from (f"[{header}]", *plain)
    tables = {name: value for name, value in others.items() if isinstance(value, dict)}
    for n, (name, value) in enumerate(tables.items()):
        yield from ([""] if plain or n else [])
        yield from _table(f"{header}.{spelt_key(name)}", value)


def _table(header: str, values: Mapping[str, Json]) -> Iterator[str]:
    yield f"[{header}]"
    for key, value in values.items():
        yield from _pair(key, value)


def _pair(key: str, value: Json) -> Iterator[str]:
    line = f"{spelt_key(key)} = {spelt(value)}"
    if len(line) <= _LINE_CHARS or not isinstance(value, list):
        yield line
        return
    yield f"{spelt_key(key)} = ["
    for item in value:
        yield f"    {spelt(item)},"
    yield "]"


def _unlearned(unlearned: Sequence[Unlearned]) -> Iterator[str]:
    if unlearned:
        yield from ("", "# Not learned:")
    for check_id, parameter, node, why in unlearned:
        what = " ".join(filter(None, [check_id, parameter, f"on {node}" if node else ""]))
        yield f"#   {_comment(what)}: {_comment(why)}"


def _comment(text: str) -> str:
    return harmless(text, 300)


def oddity_table(oddities: Sequence[Oddity]) -> str:
    """Return who differs from the majority in what, most lonely first."""
    rows = [("NODE", "CHECK", "PARAMETER", "IS", "MAJORITY", "NODES LIKE IT")]
    splits = Counter[tuple[str, str]]()
    for o in oddities:
        parameter = o.parameter if o.key is None else f"{o.parameter}.{spelt_key(o.key)}"
        splits[o.check, parameter] += not o.has_majority
        if splits[o.check, parameter] <= _SPLIT_ROWS:
            rows.append((o.node, o.check, parameter, *_cells(o), str(o.alike)))
    rows += [(f"… {n - _SPLIT_ROWS} more", *what, "", "none", "") for what, n in splits.items() if n > _SPLIT_ROWS]
    cells = [[harmless(cell, _CELL_CHARS) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _cells(oddity: Oddity) -> tuple[str, str]:
    """Return what is and what the majority has; of two lists only what differs."""
    value, majority = oddity.value, oddity.majority
    if not oddity.parameter:
        found, other = ("there", "not there") if value else ("not there", "there")
        return found, other if oddity.has_majority else "none"
    if not oddity.has_majority:
        return _word(value), "none"
    if isinstance(value, list) and isinstance(majority, list):
        ours, theirs = ([v for v in a if v not in b] for a, b in ((value, majority), (majority, value)))
        if (ours or theirs) and len(value) + len(majority) > len(ours) + len(theirs):
            return f"… {spelt(ours)}", f"… {spelt(theirs)}"
    return _word(value), _word(majority)


def _word(value: Json) -> str:
    return "nothing" if value is None else spelt(value)


def document(learned: Learned, specs: Specs, name: str = "") -> dict[str, object]:
    """Return all of it as one JSON document."""
    return {
        "schema": "nodeproof.learned/1",
        "nodes": [node.name for node in learned.nodes],
        "class": name or class_name(learned),
        "policy": class_text(learned, specs, name),
        "values": {check_id: dict(values) for check_id, values in learned.values.items()},
        "disagreements": [o._asdict() for o in learned.oddities],
        "not_learned": [u._asdict() for u in learned.unlearned],
    }
