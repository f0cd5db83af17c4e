"""What is wrong with a policy, in one line each: file, line, key, and what was expected."""

import contextlib
import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from nodeproof.check import CheckSpec
from nodeproof.errors import PolicyError, PolicyErrors
from nodeproof.policy.load import Source
from nodeproof.policy.model import Named, Specs, check_model, policy_model
from nodeproof.policy.settings import Path
from nodeproof.policy.spell import spelt, spelt_key
from nodeproof.verdict import harmless, named

#: Most characters of a wrong value that an error repeats.
_FOUND_CHARS = 60


def validated(source: Source, specs: Specs) -> dict[str, Any]:
    """Return what a file sets, as plain values. Raises PolicyErrors with all that is wrong in it."""
    with contextlib.suppress(ValidationError):  # the model of all checks knows best what was meant
        return _values(policy_model(specs, _named_in(source.data)), source.data)
    specs = {id_: spec for id_ in specs if (spec := specs.get(id_)) is not None}  # a plug-in may have broken meanwhile
    model = policy_model(specs)
    try:
        return _values(model, source.data)
    except ValidationError as error:
        # a value that fits none of several types is several errors for pydantic and one for us
        problems = {_path_in(source.data, e["loc"]): e for e in reversed(error.errors(include_url=False))}
        in_order = sorted(problems.items(), key=lambda item: _line(source, item[0]))
        raise PolicyErrors([_problem(model, source, specs, path, e) for path, e in in_order]) from error


def _values(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    return model.model_validate(data).model_dump(by_alias=True, exclude_unset=True)


def _named_in(data: Any) -> Named:
    """Return what a file names, on top and in classes; it may be of any form."""
    classes = data.get("class")
    layers = [t for t in (data, *(classes if isinstance(classes, list) else ())) if isinstance(t, dict)]
    checks = {
        f"{subject}.{condition}"
        for table in (t.get("check") for t in layers)
        if isinstance(table, dict)
        for subject, conditions in table.items()
        if isinstance(conditions, dict)
        for condition in conditions
    }
    subjects = {subject for t in layers if isinstance(t.get("claims"), dict) for subject in t["claims"]}
    return Named(checks, subjects, set(data))


def _line(source: Source, path: Path) -> int:
    """Return the line of a key, or of the table that it is missing in."""
    return source.lines.get(path) or source.lines.get(path[:-1], 0)


def checked_values(spec: CheckSpec, values: Mapping[str, object]) -> dict[str, Any]:
    """Return a check's parameters and keys as a plan holds them. Raises PolicyError without a file."""
    model = check_model(spec)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    try:
        return _values(model, plain)
    except ValidationError as error:
        name = str(error.errors(include_url=False)[0]["loc"][0])
        field = _fields(model).get(name)
        unknown = f"unknown key, {nearest(name, list(_fields(model)))}"
        expected = _expected(field, plain[name]) if field else unknown
        raise PolicyError("", f"{spec.id}.{name}", expected) from error


def dotted(path: Path) -> str:
    """Return a key as it is written in a policy file; which of the classes it is in, the line tells."""
    words = ""
    for n, part in enumerate(path):
        if isinstance(part, str):
            words += f".{spelt_key(part)}" if words else spelt_key(part)
        elif path[n - 1] != "class":
            words += f"[{part}]"
    return words


def _path_in(data: Any, location: tuple[str | int, ...]) -> Path:
    """Return the part of pydantic's location that is in the file: it also names types that were tried."""
    path: Path = ()
    for part in location:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            data = data[part]  # type: ignore[index]  # a list and a number, or a table and its key
        elif isinstance(data, dict) and path and path[0] == "class" and part == "name":  # the one required key
            return (*path, part)
        else:
            break
        path = (*path, part)
    return path


def _value_at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _problem(model: type[BaseModel], source: Source, specs: Specs, path: Path, details: ErrorDetails) -> PolicyError:
    field = _field(model, path)
    if details["type"] == "missing" and field is not None:
        return PolicyError(source.at(path[:-1]), dotted(path), f"missing, expected {_described(field)}")
    if details["type"] == "value_error":
        expected = str(details["ctx"]["error"])
    elif field is None:
        expected = _unknown(model, specs, path)
    else:
        expected = _expected(field, _value_at(source.data, path))
    return PolicyError(source.at(path), dotted(path), expected)


def _expected(field: FieldInfo, found: object) -> str:
    return f"expected {_described(field)}, found {harmless(spelt(found), _FOUND_CHARS)}"


def _described(field: FieldInfo) -> str:
    return f"{field.title} ({field.description})" if field.description else str(field.title)


def _field(model: Any, path: Path) -> FieldInfo | None:
    """Return the field that a key belongs to, or None where the model has no such key."""
    field = None
    for part in path:
        if isinstance(part, int):
            model = model.__args__[0] if hasattr(model, "__args__") else None
        elif not _is_model(model):
            return field  # inside the value of a field
        else:
            field = _fields(model).get(part)
            if field is None:
                return None
            model = field.annotation
    return field


def _unknown(model: Any, specs: Specs, path: Path) -> str:
    for part in path[:-1]:
        model = model.__args__[0] if isinstance(part, int) else _fields(model)[part].annotation
    known, key = list(_fields(model)), str(path[-1])
    match path[2:] if path[0] == "class" else path:
        case ("check", _) if key in specs:
            return f"unknown subject, write it as [check.{key}]"
        case ("check", _):
            return f"unknown check, {nearest(key, [*known, *specs])}"
        case ("check", subject, _):
            return f"unknown check, {nearest(f'{subject}.{key}', list(specs))}"
        case ("check", subject, condition, "claimed") if "claimed" in specs[f"{subject}.{condition}"].parameters:
            return f"unknown key, write it as claims.{subject}"
        case ("claims", _):
            return f"unknown claim, {nearest(key, known)}"
        case _:
            return f"unknown key, {nearest(key, known)}"


def nearest(key: str, known: list[str]) -> str:
    """Return the nearest known name, or what there is to choose from."""
    near = difflib.get_close_matches(key, known, 1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"expected one of {named(sorted(known), 12)}" if known else "there is none to set here"


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {str(f.alias): f for f in model.model_fields.values()}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
