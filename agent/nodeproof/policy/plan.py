"""A compiled policy: layers of plain values with their origins, and what they come to on one node.

A plan is JSON and `bind` needs nothing else: the fast path loads a plan and imports neither pydantic
nor tomllib nor ClusterShell. Deliberately not here: where plans are kept (`nodeproof.policy.cache`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from nodeproof.check import CheckSpec
from nodeproof.errors import PolicyError, PolicyErrors
from nodeproof.policy.hosts import is_among
from nodeproof.policy.load import Source, load
from nodeproof.policy.settings import CHECK_KEYS, TABLES, CheckSettings, Path, Settings
from nodeproof.probes.identity import Identity

Specs = Mapping[str, CheckSpec]

#: `{"layers": [{"class": name or null, "match": {...}, "values": {key: [value, origin]}}]}`; later layers win.
#: In `match`, `hosts` is already the answer for the node that the plan was compiled for.
Plan = dict[str, Any]

NO_POLICY: Plan = {"layers": []}

#: Keys of `Settings` that a file sets as they are.
_TOP = ("mode", "budget_s", "deadline_s")


def compile_plan(files: Iterable[str], specs: Specs, node_name: str) -> Plan:
    """Return the plan of one node. Raises PolicyErrors with all that is wrong in all files."""
    from nodeproof.policy.problems import validated

    layers, errors = list[Any](), list[PolicyError]()
    for file in files:
        try:
            source = load(file)
            layers += _layers(source, validated(source, specs), specs, node_name)
        except PolicyErrors as error:
            errors += error.errors
        except PolicyError as error:
            errors.append(error)
    if errors:
        raise PolicyErrors(errors)
    return {"layers": layers}


def _layers(source: Source, data: dict[str, Any], specs: Specs, node_name: str) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = [{"class": None, "match": {}, "values": _values(source, (), data, specs)}]
    for n, table in enumerate(data.get("class", [])):
        match = dict(table.get("match", {}))
        if "hosts" in match:
            match["hosts"] = is_among(node_name, match["hosts"])
        layers.append({"class": table["name"], "match": match, "values": _values(source, ("class", n), table, specs)})
    return layers


def _values(source: Source, path: Path, table: dict[str, Any], specs: Specs) -> dict[str, list[Any]]:
    """Return each effective key of a layer with its value and origin, claims as parameters of their checks."""
    values: dict[str, list[Any]] = {}
    plain: dict[tuple[str, ...], Any] = {(key,): table[key] for key in _TOP if key in table}
    plain |= {(name, key): value for name in TABLES for key, value in table.get(name, {}).items()}
    for keys, value in plain.items():
        values[".".join(keys)] = [value, source.at((*path, *keys))]
    for subject, value in table.get("claims", {}).items():
        for id_ in specs:
            spec = specs.get(id_) if id_.partition(".")[0] == subject else None
            if spec is not None and "claimed" in spec.parameters:
                values[f"check.{id_}.claimed"] = [value, source.at((*path, "claims", subject))]
    for subject, conditions in table.get("check", {}).items():
        for condition, keys in conditions.items():
            for key, value in keys.items():
                origin = source.at((*path, "check", subject, condition, key))
                values[f"check.{subject}.{condition}.{key}"] = [value, origin]
    return values


def keys_matched_on(plan: Plan) -> frozenset[str]:
    """Return what of a node's identity the classes of a plan ask for, besides its name."""
    return frozenset(key for layer in plan["layers"] for key in layer["match"]) - {"hosts"}


def bind(plan: Plan, identity: Identity) -> Settings:
    """Return the settings of the node that the plan was compiled for."""
    values: dict[str, list[Any]] = {}
    classes = []
    for layer in plan["layers"]:
        if _is_matched(layer["match"], identity):
            values |= layer["values"]
            classes += [layer["class"]] if layer["class"] is not None else []
    return Settings(
        **{key: values[key][0] for key in _TOP if key in values},
        **{name: _table(name, kind, values) for name, kind in TABLES.items()},
        classes=tuple(dict.fromkeys(classes)),
        checks=_checks(values),
        origin={key: origin for key, (_, origin) in values.items() if not key.startswith("check.")},
    )


def _table(name: str, kind: Any, values: Mapping[str, Sequence[Any]]) -> Any:
    return kind(**{key: values[f"{name}.{key}"][0] for key in kind._fields if f"{name}.{key}" in values})


def has_host_sets(plan: Plan) -> bool:
    """Tell whether a class matches on the host name."""
    return any("hosts" in layer["match"] for layer in plan["layers"])


def _is_matched(match: Mapping[str, Any], identity: Identity) -> bool:
    """What is not known of a node matches no pattern, not even `*`."""
    return all(
        value if key == "hosts" else any(fnmatchcase(found, value) for found in _known(identity, key))
        for key, value in match.items()
    )


def _known(identity: Identity, key: str) -> tuple[str, ...]:
    if key == "gpu_model":
        return identity.gpu_models
    known = identity.product if key == "product" else identity.cpu_model
    return (known,) if known else ()


def _checks(values: Mapping[str, Sequence[Any]]) -> dict[str, CheckSettings]:
    tables: dict[str, list[tuple[str, Any, str]]] = {}
    for key, (value, origin) in values.items():
        if key.startswith("check."):
            _, subject, condition, name = key.split(".", 3)
            tables.setdefault(f"{subject}.{condition}", []).append((name, value, origin))
    return {check_id: with_values(CheckSettings(), entries) for check_id, entries in tables.items()}


def with_values(settings: CheckSettings, entries: Iterable[tuple[str, Any, str]]) -> CheckSettings:
    """Return the settings of a check with (key, value, origin) set over them."""
    parameters, origins, keys = dict(settings.parameters), dict(settings.origin), {}
    for name, value, origin in entries:
        if name in CHECK_KEYS:
            keys[name] = value
            origins[name] = origin
        else:
            parameters[name] = tuple(value) if isinstance(value, list) else value
            origins[f"parameters.{name}"] = origin
    return settings._replace(parameters=parameters, origin=origins, **keys)


def entries(plan: Plan) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Yield (values of a layer, key, value) for all that a plan sets."""
    for layer in plan["layers"]:
        for key, (value, _) in list(layer["values"].items()):
            yield layer["values"], key, value
