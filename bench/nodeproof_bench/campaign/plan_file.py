"""Read the plan of a campaign. What is wrong is told with file, line, key and what was expected, all of it at once."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from nodeproof.check import refuse_foreign
from nodeproof.errors import NodeproofError, PolicyError, PolicyErrors
from nodeproof.policy.load import Source, load
from nodeproof.policy.problems import nearest
from nodeproof.policy.settings import Path
from nodeproof.verdict import harmless
from nodeproof_bench.campaign.plan import Act, OnNode, Phase, Plan, Results, Submit

_FOUND_CHARS = 60


def load_plan(file: str) -> Plan:
    """Read a plan. Raises PolicyError, or PolicyErrors with all that is wrong in it."""
    source = load(file)
    refuse_foreign(file)
    try:
        return Plan.model_validate(source.data)
    except ValidationError as error:
        problems = {_path_in(source.data, e["loc"]): e for e in reversed(error.errors(include_url=False))}
        # a value that fits none of several types is several errors for pydantic: the innermost says what it is
        inner = {path: e for path, e in problems.items() if not any(_is_within(other, path) for other in problems)}
        in_order = sorted(inner.items(), key=lambda item: _line(source, item[0]))
        raise PolicyErrors([_problem(source, path, dict(e)) for path, e in in_order]) from error


def plan_from_json(text: str) -> Plan:
    """Return a plan as the book keeps it. Raises NodeproofError if another version wrote it."""
    try:
        return Plan.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        where = ".".join(map(str, found["loc"]))
        raise NodeproofError(f"the plan of this campaign cannot be read any more: {where}: {found['msg']}") from error


def _path_in(data: Any, location: tuple[str | int, ...]) -> Path:
    """Return the part of pydantic's location that is in the file, and a key that is missing there."""
    path: Path = ()
    for part in location:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            data = data[part]  # type: ignore[index]  # a list and a number, or a table and its key
        elif isinstance(data, dict) and part == location[-1]:
            return (*path, part)
        else:
            break
        path = (*path, part)
    return path


def _is_within(path: Path, outer: Path) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _line(source: Source, path: Path) -> int:
    return source.lines.get(path) or source.lines.get(path[:-1], 0)


def _problem(source: Source, path: Path, details: dict[str, Any]) -> PolicyError:
    key = _dotted(path)
    if details["type"] == "missing":
        return PolicyError(source.at(path[:-1]), key, f"missing, expected {_title(path)}")
    if details["type"] == "extra_forbidden":
        return PolicyError(source.at(path), key, f"unknown key, {nearest(str(path[-1]), sorted(_fields(path[:-1])))}")
    if details["type"] == "value_error":
        return PolicyError(source.at(path), key, harmless(str(details["ctx"]["error"]), 300))
    if path[-1:] == ("database",):  # it may hold a password
        return PolicyError(source.at(path), key, f"expected {_title(path)}")
    found = harmless(repr(details["input"]), _FOUND_CHARS)
    return PolicyError(source.at(path), key, f"expected {_title(path)}, found {found}")


def _fields(path: Path) -> Mapping[str, Any]:
    """Return the fields of the table at a path."""
    tables: dict[str, type[BaseModel]] = {
        "submit": Submit,
        "results": Results,
        "node": OnNode,
        "act": Act,
        "phases": Phase,
    }
    model = tables.get(str(path[0]), Plan) if path else Plan
    return model.model_fields


def _title(path: Path) -> str:
    """Return what a key takes, as its model says it."""
    keys = [part for part in path if isinstance(part, str)]
    field = _fields(path[:1] if len(keys) > 1 else ()).get(keys[-1]) if keys else None
    return str(field.title) if field is not None and field.title else "another value"


def _dotted(path: Path) -> str:
    words = ""
    for part in path:
        words += f"[{part}]" if isinstance(part, int) else f".{part}" if words else part
    return words
