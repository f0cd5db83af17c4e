"""From a policy directory and a node to settings, through the plan that was compiled last."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nodeproof.check import CheckSpec
from nodeproof.errors import PolicyError
from nodeproof.host import Host
from nodeproof.policy import cache as plans
from nodeproof.policy.known import Known, all_of, parameters_of
from nodeproof.policy.load import policy_files
from nodeproof.policy.plan import (
    NO_POLICY,
    Plan,
    bind,
    compile_plan,
    entries,
    has_host_sets,
    keys_matched_on,
    with_values,
)
from nodeproof.policy.settings import Settings
from nodeproof.probes.identity import Identity, host_name, key_of_source

DEFAULT_DIRECTORY = "/etc/nodeproof/policy.d"

Specs = Mapping[str, CheckSpec]


def load_settings(
    directory: str | None,
    node: Identity | Host,
    specs: Specs | Known,
    *,
    cache: str | None = None,
    identify: Callable[[Host], Identity] = Identity.read,
) -> tuple[Settings, list[str]]:
    """Return the effective settings of a node, and warnings.

    `directory` None is the default one, which need not exist. `specs` are all checks, not a selection.
    `cache` is where compiled plans are kept; empty: nowhere, as for recordings. A broken policy gives
    the last good one and a warning for each thing that is wrong; raises PolicyError if there is none.
    A Host is identified only if classes match on more than its name.
    """
    name = node.host_name if isinstance(node, Identity) else host_name(node)
    plan, warnings = load_plan(directory, name, specs, cache=cache)
    wanted = keys_matched_on(plan)
    if isinstance(node, Host):
        node = identify(node) if wanted else Identity(name)
    doubts = [str(e) for e in node.unread if key_of_source(e.source) in {None, *wanted}] if wanted else []
    if not name and has_host_sets(plan):
        doubts.append("the host name is not known")
    return bind(plan, node)._replace(doubts=tuple(doubts)), warnings


def load_plan(
    directory: str | None, node_name: str, specs: Specs | Known, *, cache: str | None = None
) -> tuple[Plan, list[str]]:
    """Return the compiled plan of a node, and warnings. For the rest see `load_settings`."""
    where = os.path.abspath(directory or DEFAULT_DIRECTORY)
    if not os.path.isdir(where):
        if directory is None and not os.path.lexists(where):
            return NO_POLICY, []
        raise PolicyError(where, "", "no such directory")
    cache = plans.default_directory() if cache is None else cache
    saved = plans.read(cache, where, node_name) if cache else None
    try:
        files = policy_files(where)
        key = plans.key_of(files, parameters_of(specs))
        if saved is not None and saved.key == key:
            return saved.plan, []
        plan = compile_plan(files, all_of(specs), node_name)
    except PolicyError as error:
        if saved is None:
            raise
        return _still_known(saved.plan, all_of(specs)), [
            f"{line}; the last good policy stays" for line in str(error).split("\n")
        ]
    if cache:
        plans.write(cache, where, node_name, plans.Saved(key, plan))
    return plan, []


def check_policy(directory: str, specs: Specs) -> Plan:
    """Return the plan of a policy, compiled for no node in particular. Raises PolicyErrors with all that is wrong."""
    if not os.path.isdir(directory):
        raise PolicyError(directory, "", "expected a directory of policy files")
    plan = compile_plan(policy_files(directory), specs, "")
    if not any({"slurm.url", "controller.url"} & set(layer["values"]) for layer in plan["layers"]):
        for values, key, value in entries(plan):
            if (key, value) == ("mode", "enforce"):
                raise PolicyError(values[key][1], key, "enforce needs slurm.url or controller.url, which no file sets")
    return plan


def parse_override(text: str, specs: Specs) -> tuple[str, str, Any]:
    """Return (check id, key, value) of an override such as `cpu.governor.required=performance`.

    The value is TOML, or the text itself where TOML would not fit. Raises PolicyError with file `-p`.
    """
    from nodeproof.policy.problems import checked_values, nearest

    key, equals, word = text.partition("=")
    subject, _, rest = key.strip().partition(".")
    condition, _, name = rest.partition(".")
    if not equals or not name:
        raise PolicyError("-p", key.strip(), "expected CHECK.PARAMETER=VALUE, e.g. cpu.governor.required=performance")
    spec = specs.get(f"{subject}.{condition}")
    if spec is None:
        raise PolicyError("-p", key.strip(), f"unknown check, {nearest(f'{subject}.{condition}', list(specs))}")
    try:
        return spec.id, name, checked_values(spec, {name: _as_toml(word)})[name]
    except PolicyError as as_toml:
        try:
            return spec.id, name, checked_values(spec, {name: word})[name]
        except PolicyError:
            raise PolicyError("-p", as_toml.key, as_toml.expected) from as_toml


def with_overrides(settings: Settings, overrides: Iterable[tuple[str, str, Any]]) -> Settings:
    """Return settings with overrides from the command line over them; their origin is `-p`."""
    checks = dict(settings.checks)
    for check_id, name, value in overrides:
        checks[check_id] = with_values(settings._replace(checks=checks).of(check_id), [(name, value, "-p")])
    return settings._replace(checks=checks)


def _as_toml(word: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(f"value = {word}")["value"]
    except ValueError:
        return word


def _still_known(plan: Plan, specs: Specs) -> Plan:
    """Return a plan without what checks no longer have: it may be older than this nodeproof."""
    from nodeproof.policy.problems import checked_values

    for values, key, value in entries(plan):
        if not key.startswith("check."):
            continue
        _, subject, condition, name = key.split(".", 3)
        spec = specs.get(f"{subject}.{condition}")
        try:
            if spec is None:
                del values[key]
            else:
                checked_values(spec, {name: value})
        except PolicyError:
            del values[key]
    return plan
