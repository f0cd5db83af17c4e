"""How a check is declared, and where all of them are found.

A check is a function: positional parameters are facts, keyword-only parameters are policy, the
docstring is the documentation, the result is a Verdict. `@check` returns it unchanged.
A keyword-only parameter without a default must be set by policy; until then the check is skipped.
One named `claimed` takes what the node's class claims of that subject (`claims.gpu = 8`).
"""

import contextlib
import importlib
import importlib.machinery
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from nodeproof.errors import PolicyError
from nodeproof.files import modules_in
from nodeproof.probes import FACTS
from nodeproof.verdict import Verdict, named

ENTRY_POINTS = "nodeproof.checks"

#: Imported first, so that no plug-in takes the id of one of their checks; without them there is no verdict.
BUILT_IN = ("nodeproof_checks", "nodeproof_bench.checks")

#: Tags that profiles select by; `bench` marks checks of saved measurements, never in the default set, `infiniband`
#: all there is of RDMA adapters and their links, and `gpu` what there is of GPUs, events of their driver among it.
TAGS = frozenset({"prolog", "healthcheck", "boot", "bench", "infiniband", "gpu"})

#: What a check does to a job beside it: nothing, since it only reads; a little; or so much that either would suffer.
Interference = Literal["passive", "light", "exclusive"]


class Parameter(NamedTuple):
    """One policy parameter: its annotation, what it means (unit included) and its default."""

    name: str
    annotation: Any
    description: str
    default: object
    is_required: bool

    @property
    def type_name(self) -> str:
        """The annotation as an administrator reads it, e.g. `str` or `list of str`."""
        return _type_name(self.annotation)


class CheckSpec(NamedTuple):
    """All there is to know about a check, taken from its function."""

    id: str
    function: Callable[..., Verdict]
    facts: tuple[type, ...]
    parameters: Mapping[str, Parameter]
    tags: frozenset[str]
    remedy: str
    learn: Callable[..., Mapping[str, object]] | None
    beta: bool
    interference: Interference = "passive"

    @property
    def subject(self) -> str:
        return self.id.partition(".")[0]

    @property
    def title(self) -> str:
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    @property
    def why(self) -> str:
        lines = (self.function.__doc__ or "").strip().split("\n")[1:]
        return "\n".join(line.strip() for line in lines).strip()

    def remedy_for(self, parameters: Mapping[str, object]) -> str:
        """Return the remedy with parameters filled in; one that is not set stays as `{name}`."""
        values = {n: p.default for n, p in self.parameters.items() if not p.is_required} | dict(parameters)
        words = {n: named(v) if isinstance(v, list | tuple) else v for n, v in values.items()}
        return self.remedy.format_map(_Unset(words))

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(s for f in self.facts for s in FACTS[f].sources))


class _Unset(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


_REGISTRY: dict[str, CheckSpec] = {}
_BROKEN: dict[str, str] = {}

_Check = TypeVar("_Check", bound=Callable[..., Verdict])


def check(  # noqa: PLR0913  # one parameter for each thing that a check declares
    id: str,  # noqa: A002  # the word of the field, and callers pass it by position
    *,
    remedy: str,
    tags: str = "healthcheck boot",
    learn: Callable[..., Mapping[str, object]] | None = None,
    beta: bool = False,
    interference: Interference = "passive",
) -> Callable[[_Check], _Check]:
    """Declare a check.

    `id` is `subject.condition` and permanent. `remedy` says what an operator does about a failure;
    `{parameter}` in it is replaced. `learn` takes the same facts and returns the parameter values
    that describe this node (never transient state). A `beta` check reports but cannot drain.
    Slurm's hooks run none but `passive` checks beside a job.
    Raises ValueError on a duplicate id or an unknown word: a mistake of the programmer.
    """

    def register(function: _Check) -> _Check:
        unknown = (set(tags.split()) - TAGS) | ({interference} - set(get_args(Interference)))
        if unknown or id.count(".") != 1:
            raise ValueError(f"check {id}: bad id or unknown words {sorted(unknown)}")
        known = _REGISTRY.get(id)
        if known is not None and known.function.__module__ != function.__module__:
            raise ValueError(f"check {id} is declared twice: {known.function.__module__} and {function.__module__}")
        facts, parameters = _signature(function)
        words = frozenset(tags.split())
        _REGISTRY[id] = CheckSpec(id, function, facts, parameters, words, remedy, learn, beta, interference)
        return function

    return register


def _signature(function: Callable[..., Verdict]) -> tuple[tuple[type, ...], dict[str, Parameter]]:
    """Read facts and parameters off the code object: `inspect` costs the prolog 8 ms to import."""
    code, hints = function.__code__, function.__annotations__
    names = code.co_varnames
    facts = tuple(hints[n] for n in names[: code.co_argcount])
    defaults = function.__kwdefaults__ or {}
    parameters = {}
    for name in names[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]:
        hint = hints[name]
        is_annotated = hasattr(hint, "__metadata__")
        parameters[name] = Parameter(
            name=name,
            annotation=hint.__origin__ if is_annotated else hint,
            description=str(hint.__metadata__[0]) if is_annotated else "",
            default=defaults.get(name),
            is_required=name not in defaults,
        )
    return facts, parameters


def _type_name(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return f"list of {_type_name(args[0])}"
    if origin is dict:
        return f"table of {_type_name(args[1])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(a) for a in args)
    if origin is typing.Literal:
        return " or ".join(repr(a) for a in args)
    return "none" if annotation is type(None) else str(annotation.__name__)


def registry() -> dict[str, CheckSpec]:
    """Return every check by id, in id order, after importing all installed check packages.

    A plug-in that cannot be imported contributes no check and is among the `broken_packages`.
    Raises PolicyError if a built-in package may be written by others than root and the calling user.
    """
    names = {module for _, module in entry_points(ENTRY_POINTS)} - _BROKEN.keys()
    with guarded(names):
        for name in sorted(names, key=lambda n: (n not in BUILT_IN, n)):
            _import(name)
    return dict(sorted(_REGISTRY.items()))


def declared(modules: Iterable[str], packages: Iterable[str]) -> dict[str, CheckSpec]:
    """Import some modules of check packages, or all where one fails. Returns by id what checks are known by then."""
    try:
        with guarded(packages):
            for module in modules:
                importlib.import_module(module)
    except (Exception, SystemExit):  # noqa: BLE001  # it is said there whose fault that is
        return registry()
    return dict(_REGISTRY)


def broken_packages() -> dict[str, str]:
    """Return why, in one line each, plug-ins named by module could not be imported by `registry`."""
    return dict(_BROKEN)


def _import(name: str) -> None:
    try:
        module = importlib.import_module(name)
        for part in modules_in(getattr(module, "__path__", [])):
            importlib.import_module(f"{name}.{part}")
    except (Exception, SystemExit) as error:
        if name in BUILT_IN:
            raise
        words = str(error) if isinstance(error, PolicyError) else f"{type(error).__name__}: {error}"
        _BROKEN[name] = " ".join(words.split())[:300]
        # what half a plug-in declared may lack what the other half defines
        for id_, spec in list(_REGISTRY.items()):
            if f"{spec.function.__module__}.".startswith(f"{name}."):
                del _REGISTRY[id_]


@contextlib.contextmanager
def guarded(modules: Iterable[str]) -> Iterator[None]:
    """Refuse, for a `with` block, to import files of these modules' packages that others could have written."""
    guard = _Guard({module.partition(".")[0] for module in modules})
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)


class _Guard:
    """Finds what the finders after it find, and refuses foreign files of check packages before any code in them runs.

    In the way of every import, because a package may import its own parts before we know their names.
    """

    def __init__(self, packages: set[str]) -> None:
        self.packages = packages

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in self.packages:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                _refuse_foreign_module(spec)
                return spec
        return None


def _refuse_foreign_module(spec: importlib.machinery.ModuleSpec) -> None:
    files = [*(spec.submodule_search_locations or [])]
    if spec.has_location and spec.origin is not None:
        files.append(spec.origin)
    if spec.cached is not None:  # run instead of the source if it looks current
        files += [file for file in (os.path.dirname(spec.cached), spec.cached) if os.path.lexists(file)]
    for file in files:
        refuse_foreign(file)


def entry_points(group: str) -> Iterator[tuple[str, str]]:
    """Yield name and module of each entry point that installed distributions have in `group`.

    The files are read directly: `importlib.metadata` costs the prolog 25 ms to import.
    """
    for directory in sys.path:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                yield from _named_in(os.path.join(directory, name, "entry_points.txt"), group)


def _named_in(file: str, group: str) -> Iterable[tuple[str, str]]:
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return
    _, _, rest = text.partition(f"[{group}]")
    for line in rest.splitlines()[1:]:
        if line.startswith("["):
            return
        name, equals, module = line.partition("=")
        if equals:
            yield name.strip(), module.strip()


def refuse_foreign(file: str) -> None:
    """Raise PolicyError if somebody else than root or the caller could have written `file`.

    What it holds runs or decides as root. The caller is also who called sudo. A group may write
    only where root is not the one who believes the file (private groups are common on workstations).
    """
    try:
        info = os.stat(file)
    except OSError as error:
        raise PolicyError(file, "", f"cannot be read: {error.strerror}") from error
    sudo = os.environ.get("SUDO_UID", "")
    owners = {0, os.geteuid(), int(sudo) if sudo.isdecimal() and len(sudo) <= 10 else 0}
    if info.st_uid not in owners:
        raise PolicyError(file, "owner", f"expected uid {named(sorted(owners))}, found uid {info.st_uid}")
    others = 0o022 if os.geteuid() == 0 else 0o002
    if info.st_mode & others:
        raise PolicyError(file, "mode", f"expected writable by its owner alone, found {info.st_mode & 0o7777:04o}")
