"""The effective policy of one node, with the origin of every value."""

from collections.abc import Iterator, Mapping
from typing import Any

from nodeproof.check import CheckSpec
from nodeproof.policy.settings import CHECK_KEYS, TABLES, CheckSettings, Settings
from nodeproof.policy.spell import spelt, spelt_key
from nodeproof.probes.identity import Identity
from nodeproof.verdict import harmless

Specs = Mapping[str, CheckSpec]

_COMMENT_CHARS = 300

#: Column at which the origins stand.
_ORIGIN_COLUMN = 44

_TOP = ("mode", "budget_s", "deadline_s")


def text(settings: Settings, identity: Identity, specs: Specs) -> str:
    """Return the effective policy as a policy file with an origin beside each value."""
    return (
        "\n".join([*_header(settings, identity), *_top(settings), *_claims(settings, specs), *_all(settings, specs)])
        + "\n"
    )


def _header(settings: Settings, identity: Identity) -> Iterator[str]:
    known = {
        "product": identity.product,
        "CPU": identity.cpu_model,
        "GPU": ", ".join(dict.fromkeys(identity.gpu_models)),
    }
    what = "".join(f", {name} {value}" for name, value in known.items() if value)
    yield _comment(f"# Node {identity.host_name or 'without a name'}{what}")
    yield _comment(f"# Classes: {', '.join(settings.classes) or 'none'}")
    keys = ", ".join(f"{key} = {spelt(CheckSettings._field_defaults[key])}" for key in CHECK_KEYS)
    yield f"# Each check has {keys} where no other value stands."


def _top(settings: Settings) -> Iterator[str]:
    yield ""
    for key in _TOP:
        yield _line(key, getattr(settings, key), settings.origin.get(key))
    for table, kind in TABLES.items():
        if keys := [key for key in kind._fields if f"{table}.{key}" in settings.origin]:
            yield from ("", f"[{table}]")
            for key in keys:
                yield _line(key, getattr(getattr(settings, table), key), settings.origin[f"{table}.{key}"])


def _claims(settings: Settings, specs: Specs) -> Iterator[str]:
    claims = {s.subject: settings.of(s.id) for s in specs.values() if "claimed" in settings.of(s.id).parameters}
    if claims:
        yield from ("", "[claims]")
    for subject, check in claims.items():
        yield _line(subject, check.parameters["claimed"], check.origin.get("parameters.claimed"))


def _all(settings: Settings, specs: Specs) -> Iterator[str]:
    for spec in specs.values():
        check = settings.of(spec.id)
        lines = [*_parameters(spec, check), *_keys(check)]
        if lines:
            yield from ("", f"# {_comment(spec.title)}", f"[check.{spec.id}]", *lines)


def _parameters(spec: CheckSpec, check: CheckSettings) -> Iterator[str]:
    for name, parameter in spec.parameters.items():
        if name == "claimed":
            continue
        value = check.parameters.get(name, parameter.default)
        if value is None:
            yield _comment(f"# {name} is not set: {parameter.type_name}, {parameter.description}")
        else:
            yield _line(name, value, check.origin.get(f"parameters.{name}"))


def _keys(check: CheckSettings) -> Iterator[str]:
    for key in CHECK_KEYS:
        if key in check.origin:
            yield _line(key, getattr(check, key), check.origin[key])


def _line(key: str, value: object, origin: str | None) -> str:
    return f"{spelt_key(key)} = {spelt(value)}".ljust(_ORIGIN_COLUMN) + f"  # {_comment(origin or 'default')}"


def _comment(words: str) -> str:
    return harmless(words, _COMMENT_CHARS)


def document(settings: Settings, identity: Identity, specs: Specs) -> dict[str, object]:
    """Return the same as one JSON document; here every key of every check has a value and an origin."""
    return {
        "schema": "nodeproof.policy/1",
        "node": identity.host_name,
        "product": identity.product,
        "cpu_model": identity.cpu_model,
        "gpu_models": list(identity.gpu_models),
        "classes": list(settings.classes),
        **{key: _entry(getattr(settings, key), settings.origin.get(key)) for key in _TOP},
        **{table: _table_document(settings, table) for table in TABLES},
        "checks": {spec.id: _check_document(spec, settings.of(spec.id)) for spec in specs.values()},
    }


def _table_document(settings: Settings, table: str) -> dict[str, Any]:
    values = getattr(settings, table)._asdict()
    return {key: _entry(value, settings.origin.get(f"{table}.{key}")) for key, value in values.items()}


def _check_document(spec: CheckSpec, check: CheckSettings) -> dict[str, Any]:
    parameters = {
        name: _entry(check.parameters.get(name, p.default), check.origin.get(f"parameters.{name}"))
        for name, p in spec.parameters.items()
    }
    return {"parameters": parameters} | {k: _entry(getattr(check, k), check.origin.get(k)) for k in CHECK_KEYS}


def _entry(value: object, origin: str | None) -> dict[str, object]:
    return {"value": value, "origin": origin or "default"}
