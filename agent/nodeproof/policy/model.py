"""What a policy file may say: a strict pydantic model, built from the checks that are installed.

Imported only where a policy is compiled or a value is checked, never on the fast path.
Deliberately not here: what is said about a file that does not follow it (`nodeproof.policy.problems`).
"""

import functools
import types
import typing
import weakref
from collections.abc import Callable, Collection, Container, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from nodeproof.check import CheckSpec, Parameter
from nodeproof.policy.hosts import host_set
from nodeproof.policy.settings import CHECK_KEYS, TABLES, CheckSettings, Settings
from nodeproof.verdict import Verdict

Specs = Mapping[str, CheckSpec]

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

_URL = r"^(https?://[^/?#@\s]+/?|unix:/\S+)?$"

_API_VERSION = r"^(v0\.0\.[0-9]{2,3})?$"

_HTTP_URL = r"^(https?://[^/?#@\s]+(/[^?#@\s]*)?)?$"

#: node_exporter reads no file of another name.
_TEXTFILE = r"^(/.+\.prom)?$"

_FRACTION: dict[str, float | str] = {"ge": 0, "le": 1}
_COUNT: dict[str, float | str] = {"ge": 0, "le": 1_000_000}
_SPREAD: dict[str, float | str] = {"ge": 0, "le": 600}
_UNKNOWN_S: dict[str, float | str] = {"ge": 0, "le": 31_536_000}
_TIMEOUT: dict[str, float | str] = {"gt": 0, "le": 600}

#: The keys of settings.py: what they mean, and what limits their values. Those of a table carry its name.
_MEANING: dict[str, tuple[str, dict[str, float | str]]] = {
    "mode": ("observe says what it would do, enforce does it", {}),
    "budget_s": ("seconds that a whole pass may take", {"gt": 0, "le": 3600}),
    "deadline_s": ("seconds that one question to the machine may take", {"gt": 0, "le": 600}),
    "on_fail": ("drain the node, only report, or ignore: the check is switched off", {}),
    "after": ("consecutive failures before a failure counts", {"ge": 1}),
    "clear_after": ("consecutive passes before a failure is over", {"ge": 1}),
    "if_absent": ("what it means that the part is not there", {}),
    "slurm.url": ("slurmrestd: http://host:port, https://host:port or unix:/path", {"pattern": _URL}),
    "slurm.token_file": ("file that holds the JSON web token, or credential:NAME of systemd", {}),
    "slurm.user_name": ("Slurm user that the token belongs to", {}),
    "slurm.node_name": ("name of this node in Slurm; empty: the short host name", {}),
    "slurm.ca_file": ("certificates that slurmrestd's is checked against; empty: the system's", {}),
    "slurm.client_certificate_file": ("certificate that we show to slurmrestd, where it asks for one", {}),
    "slurm.client_key_file": ("private key of that certificate, mode 0600", {}),
    "slurm.api_version": ("slurmrestd's API version, such as v0.0.42; empty: the newest", {"pattern": _API_VERSION}),
    "slurm.timeout_s": ("seconds that all requests of one pass to slurmrestd may take together", _TIMEOUT),
    "slurm.prolog_timeout_s": ("the same in a prolog, which keeps a job waiting", _TIMEOUT),
    "slurm.prolog_unsure": (
        "what a prolog does on a sick node of which Slurm cannot be told: if it fails, Slurm drains past the guard",
        {},
    ),
    "slurm.metrics_url": ("slurmctld's own metrics (25.11 and newer), such as http://ctl:6817", {"pattern": _HTTP_URL}),
    "slurm.jitter_s": ("seconds over which nodes spread their drains, at most a fifth of their time", _SPREAD),
    "guard.share": ("share of all nodes, and of each partition, that may be out of service", _FRACTION),
    "guard.nodes": ("nodes that may be out of service however few there are", _COUNT),
    "guard.drains": ("drains in a window of time", _COUNT),
    "guard.window_s": ("seconds of that window", {"ge": 1, "le": 86400}),
    "guard.same_check_nodes": ("nodes drained for one check in that window: more is a fault of the check", _COUNT),
    "controller.url": ("drain controller that writes for this node; empty: it writes itself", {"pattern": _HTTP_URL}),
    "controller.ca_file": ("certificates that the controller's is checked against; empty: the system's", {}),
    "controller.credential_file": ("file with what lets this node speak for itself, mode 0600", {}),
    "controller.listen": ("address:port that the controller listens on", {}),
    "controller.certificate_file": ("the controller's certificate", {}),
    "controller.key_file": ("private key of that certificate, mode 0600", {}),
    "controller.secret_file": ("secret that the nodes' credentials are made from, mode 0600", {}),
    "controller.batch_s": ("seconds that the controller gathers wishes before it writes", {"ge": 0, "le": 60}),
    "agent.interval_s": ("seconds from one health check of the agent to the next", {"ge": 1, "le": 86400}),
    "agent.counters_s": ("seconds from one reading of counters to the next", {"ge": 1, "le": 86400}),
    "agent.jitter_share": ("share of an interval over which nodes spread", {"ge": 0, "le": 1}),
    "agent.metrics_listen": ("address:port of metrics over HTTP; empty: none", {}),
    "agent.metrics_file": (
        "file for node_exporter's textfile collector, /…/NAME.prom; empty: none",
        {"pattern": _TEXTFILE},
    ),
    "agent.socket_group": ("group whose members may read the agent's status; empty: root alone", {}),
    "agent.history_days": ("days that history is kept", {"gt": 0, "le": 3650}),
    "agent.history_mb": ("size of the history in MB", {"ge": 1, "le": 65536}),
    "agent.flaps": ("times a node may be drained and resumed in the window below before it stays drained", _COUNT),
    "agent.flap_window_h": ("hours of that window", {"gt": 0, "le": 8760}),
    "agent.unknown_after_s": ("seconds that a check may be unknown before that is a finding", _UNKNOWN_S),
}
_TABLES = {
    "slurm": "where slurmrestd is, and who we are there",
    "guard": "how many nodes may be taken out of service",
    "controller": "the drain controller: where it is, and how it runs",
    "agent": "the resident agent: how often it looks, what it keeps and what it publishes",
}
_NUMBERS = (int, float, int | None, float | None)

_LIMIT_WORDS = {"gt": "above", "ge": "of at least", "le": "and at most"}

_MATCH = {
    "hosts": "host set in ClusterShell's syntax, such as gpu[001-128]!gpu007",
    "product": "shell pattern for the product name in SMBIOS",
    "cpu_model": "shell pattern for the model name of the CPU",
    "gpu_model": "shell pattern for the model of at least one GPU",
}


class Key(NamedTuple):
    """One key of a policy file. `type_name` is how an administrator reads its type; a table is a model."""

    annotation: Any
    type_name: str
    description: str
    default: object = None
    is_required: bool = False
    limits: Mapping[str, float | str] = {}

    def field(self, name: str) -> tuple[Any, Any]:
        """Return the key as a field for pydantic, the type name as its title."""
        words = (f"{_LIMIT_WORDS[kind]} {limit:g}" for kind, limit in self.limits.items() if kind in _LIMIT_WORDS)
        default = list(self.default) if isinstance(self.default, tuple) else self.default
        extra: Any = None if default is not None else _without_default
        return _listed(self.annotation), Field(
            default=... if self.is_required else default,
            alias=name,
            title=" ".join([self.type_name, *words]),
            description=self.description,
            json_schema_extra=extra,
            **typing.cast("dict[str, Any]", self.limits),
        )


class Named(NamedTuple):
    """What a policy file names: checks by id, subjects that it claims something of, and its tables."""

    checks: Collection[str]
    subjects: Container[str]
    tables: Container[str]


def policy_model(specs: Specs, named: Named | None = None) -> type[BaseModel]:
    """Return the model of one policy file: of one that names nothing but this, if it is given.

    A model of all checks takes a third of a second to make, and most files name few of them.
    """
    if named is None:
        claiming, checks, tables = specs, specs, set(TABLES)
    else:
        of_subjects = (specs.get(id_) for id_ in specs if id_.partition(".")[0] in named.subjects)
        claiming = {spec.id: spec for spec in of_subjects if spec is not None}  # a plug-in may have broken meanwhile
        checks = {id_: specs[id_] for id_ in sorted(named.checks) if id_ in specs}
        tables = {table for table in TABLES if table in named.tables}
    both = {"mode": _of_contract("mode", Settings), "claims": _claims(claiming), "check": _checks(checks)}
    match = {name: Key(str, "str", text) for name, text in _MATCH.items()}
    match["hosts"] = match["hosts"]._replace(annotation=Annotated[str, AfterValidator(_host_set)])
    node_class = {
        "name": Key(str, "str", "name of the class, for reports", is_required=True),
        "match": _table("match", match, "which nodes are of this class: all keys must match; none: every node"),
        **both,
    }
    top = {
        "budget_s": _of_contract("budget_s", Settings),
        "deadline_s": _of_contract("deadline_s", Settings),
        **{table: _contract_table(table) for table in TABLES if table in tables},
        **both,
        "class": Key(list[_model("class", node_class)], "list of tables", "classes of nodes"),  # type: ignore[misc]
    }
    return _model("nodeproof policy", top)


@functools.cache
def _contract_table(table: str) -> Key:
    kind = TABLES[table]
    return _table(table, {key: _of_contract(key, kind, f"{table}.") for key in kind._fields}, _TABLES[table])


def policy_schema(specs: Specs) -> dict[str, Any]:
    """Return the JSON Schema of one policy file."""
    schema = policy_model(specs).model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def check_model(spec: CheckSpec) -> type[BaseModel]:
    """Return the model of one check, with what claims set."""
    return _model(spec.id, _check_keys(spec))


def _checks(specs: Specs) -> Key:
    subjects: dict[str, dict[str, Key]] = {}
    for spec in specs.values():
        subjects.setdefault(spec.subject, {})[spec.id.partition(".")[2]] = _check_table(spec)
    tables = {name: _table(f"checks of {name}", keys, f"checks of {name}") for name, keys in subjects.items()}
    return _table("checks", tables, "parameters of checks, by subject and condition")


def _check_table(spec: CheckSpec) -> Key:
    """Return the table of a check, of whose function all in it is: made once, for it takes milliseconds."""
    made = _made.get(spec.function)
    if made is None or made.title != spec.id:
        keys = {name: key for name, key in _check_keys(spec).items() if name != "claimed"}
        made = _made[spec.function] = _Made(spec.id, _table(spec.id, keys, spec.title))
    return made.table


class _Made(NamedTuple):
    title: str
    table: Key


_made = weakref.WeakKeyDictionary[Callable[..., Verdict], _Made]()


def _check_keys(spec: CheckSpec) -> dict[str, Key]:
    parameters = {name: _of_parameter(p) for name, p in spec.parameters.items()}
    return parameters | {name: _of_contract(name, CheckSettings) for name in CHECK_KEYS}


def _claims(specs: Specs) -> Key:
    claimed = {s.subject: s.parameters["claimed"] for s in specs.values() if "claimed" in s.parameters}
    return _table("claims", {subject: _of_parameter(p) for subject, p in claimed.items()}, "what the node must have")


def _of_parameter(parameter: Parameter) -> Key:
    default = None if parameter.is_required else parameter.default
    # no check has a use for a negative number: all are sizes, counts, shares or times
    limits = {"ge": 0} if parameter.annotation in _NUMBERS else {}
    return Key(parameter.annotation, parameter.type_name, parameter.description, default, limits=limits)


def _of_contract(name: str, settings: Any, prefix: str = "") -> Key:
    """Return a key of settings.py."""
    description, limits = _MEANING[prefix + name]
    default = settings._field_defaults[name]
    parameter = Parameter(name, _type_hints(settings)[name], description, default, is_required=False)
    return _of_parameter(parameter)._replace(limits=limits)


@functools.cache
def _type_hints(settings: Any) -> dict[str, Any]:
    return typing.get_type_hints(settings)


def _table(title: str, keys: Mapping[str, Key], description: str) -> Key:
    return Key(_model(title, keys), "table", description)


def _model(title: str, keys: Mapping[str, Key]) -> type[BaseModel]:
    """Return a model whose keys are aliases: a key may be called `json` or `copy`, a field of pydantic may not."""
    fields: dict[str, Any] = {f"field_{n}": key.field(name) for n, (name, key) in enumerate(keys.items())}
    return create_model(title.replace(".", "_"), __config__=_STRICT, **fields)


def _host_set(hosts: str) -> str:
    host_set(hosts)
    return hosts


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _listed(annotation: Any) -> Any:
    """Return the annotation with `list` for `tuple`: what TOML and JSON have."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return list[_listed(args[0])]  # type: ignore[misc]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(map(_listed, args))]  # noqa: UP007  # from a tuple of types
    return annotation
