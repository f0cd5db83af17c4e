"""Which checks there are, known without importing them: a run needs some of them, and to import all takes longest.

The first run imports all, as `nodeproof.check.registry` does, and keeps where each check is and what it is chosen by,
beside the compiled plans. That holds for as long as no file that was imported for it has changed, and no package came
or went; while a plug-in is broken nothing is kept, so that each run says so. What a plug-in takes from other packages
may change unseen, and so may the path that a plug-in is found by: nodeproof runs with a path of its own (`python -I`).
"""

import os
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import nodeproof
from nodeproof.check import ENTRY_POINTS, CheckSpec, broken_packages, declared, entry_points, registry
from nodeproof.policy import cache as plans

_BEGAN_NS = time.time_ns()

#: What is kept stands beside the plans of policy directories, under the directory and the kind of what it is of.
_OF = (os.path.dirname(nodeproof.__file__), f"checks for {sys.implementation.cache_tag}")


class Known(NamedTuple):
    """Module and tags of all checks by id, in id order. `parameters` is a checksum of the parameters of all of them."""

    modules: Mapping[str, str]
    tags: Mapping[str, frozenset[str]]
    parameters: int

    def of(self, ids: Iterable[str]) -> list[CheckSpec]:
        """Import checks and return them in id order, less what is not known, or a plug-in does not bring any more."""
        wanted = sorted(self.modules.keys() & set(ids))
        specs = declared(sorted({self.modules[id_] for id_ in wanted}), self.modules.values())
        if not specs.keys() >= set(wanted):
            specs = registry()
        return [specs[id_] for id_ in wanted if id_ in specs]


def known_checks(cache: str | None = None) -> Known:
    """Return all checks that are installed. `cache` is as for `load_settings`."""
    cache = plans.default_directory() if cache is None else cache
    packages = sorted(map(list, entry_points(ENTRY_POINTS)))
    saved = plans.read(cache, *_OF) if cache else None
    if saved is not None and saved.key == _key(packages, saved.plan["files"]):
        modules = {id_: module for id_, (module, _) in saved.plan["checks"].items()}
        tags = {id_: frozenset(words) for id_, (_, words) in saved.plan["checks"].items()}
        return Known(modules, tags, saved.plan["parameters"])
    specs = registry()
    modules = {id_: spec.function.__module__ for id_, spec in specs.items()}
    known = Known(modules, {id_: spec.tags for id_, spec in specs.items()}, parameters_of(specs))
    if cache and not broken_packages():
        _keep(cache, packages, known)
    return known


def parameters_of(checks: Mapping[str, CheckSpec] | Known) -> int:
    """Return a checksum of the parameters of all checks: a plan was made for them."""
    if isinstance(checks, Known):
        return checks.parameters
    parameters = repr([(id_, *s.parameters.values()) for id_, s in sorted(checks.items())])
    return zlib.crc32(parameters.encode(errors="replace"))


def all_of(checks: Mapping[str, CheckSpec] | Known) -> Mapping[str, CheckSpec]:
    """Return all checks by id; where they are only known, each is imported when it is asked for."""
    return _Imported(checks) if isinstance(checks, Known) else checks


class _Imported(Mapping[str, CheckSpec]):
    def __init__(self, known: Known) -> None:
        self._known = known

    def __getitem__(self, id_: str) -> CheckSpec:
        found = self._known.of([id_])
        if not found:
            raise KeyError(id_)
        return found[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known.modules)

    def __len__(self) -> int:
        return len(self._known.modules)


def _keep(cache: str, packages: list[list[str]], known: Known) -> None:
    """Keep what is known, unless a file may be another than the one that was imported."""
    modules = {*known.modules.values(), *(module for _, module in packages)}
    files = _imported({"nodeproof", *(module.partition(".")[0] for module in modules)})
    key = _key(packages, files)
    if key is None or any(changed_ns >= _BEGAN_NS for _, changed_ns, *_ in key["files"]):
        return
    checks = {id_: [module, sorted(known.tags[id_])] for id_, module in known.modules.items()}
    plan = {"files": files, "checks": checks, "parameters": known.parameters}
    plans.write(cache, *_OF, plans.Saved(key, plan))


def _imported(packages: set[str]) -> list[str]:
    """Return the files that were imported from these packages so far, and the directories that may have more."""
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in packages]
    found = {file for m in modules for file in (getattr(m, "__file__", None), *getattr(m, "__path__", ())) if file}
    return sorted(found)


def _key(packages: list[list[str]], files: Iterable[str]) -> dict[str, Any] | None:
    """Return what is known depends on, or None where a file is gone."""
    try:
        stats = [os.stat(file) for file in files]
    except OSError:
        return None
    return {
        "nodeproof": nodeproof.__version__,
        "packages": packages,
        "files": [[s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino, s.st_uid, s.st_mode] for s in stats],
    }
