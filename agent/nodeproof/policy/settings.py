"""What policy comes down to for one node. Plain values: the fast path loads this and no pydantic."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Mode = Literal["observe", "enforce"]
OnFail = Literal["drain", "report", "ignore"]
IfAbsent = Literal["skip", "fail"]

Path = tuple[str | int, ...]
"""Keys from the top of a policy file down; list items by number."""


class CheckSettings(NamedTuple):
    """How one check is run and what its failure means on this node.

    `after` and `clear_after` count consecutive failing and passing passes. `if_absent` says what it
    means that the part is not there. `origin` maps a key (`parameters.required`, `on_fail`, …) to
    the `file:line` that set it; a key without an origin has its default.
    """

    parameters: Mapping[str, object] = {}
    on_fail: OnFail = "drain"
    after: int = 1
    clear_after: int = 3
    if_absent: IfAbsent = "skip"
    origin: Mapping[str, str] = {}


#: The keys of a check's table in a policy file that are not its parameters.
CHECK_KEYS = ("on_fail", "after", "clear_after", "if_absent")


class SlurmSettings(NamedTuple):
    """Where slurmrestd is and who we are there. No `url`, and no controller's: this node cannot act.

    `url` is `http://host:port`, `https://host:port` or `unix:/path`. `node_name` empty: the short host name.
    `timeout_s` is all the time for Slurm in one pass, `prolog_timeout_s` the same in a prolog. Nodes that
    write by themselves wait up to `jitter_s` first, and at most a fifth of that time. `prolog_unsure`: what a
    prolog does on a sick node of which Slurm cannot be told; if it fails, Slurm drains the node, and asks no guard.
    """

    url: str = ""
    token_file: str = ""
    user_name: str = "root"
    node_name: str = ""
    ca_file: str = ""
    client_certificate_file: str = ""
    client_key_file: str = ""
    api_version: str = ""
    timeout_s: float = 20.0
    prolog_timeout_s: float = 5.0
    prolog_unsure: Literal["fail", "pass"] = "fail"
    metrics_url: str = ""
    jitter_s: float = 4.0


class GuardSettings(NamedTuple):
    """How many nodes nodeproof may take out of service (`nodeproof.slurm.guard`).

    A drain must leave at most `share` of all nodes out of service, and of each of the node's partitions
    too, but `nodes` of them always may be; in `window_s` seconds at most `drains` nodes are drained, and
    at most `same_check_nodes` for the same check.
    """

    share: float = 0.05
    nodes: int = 2
    drains: int = 10
    window_s: float = 600.0
    same_check_nodes: int = 5


class ControllerSettings(NamedTuple):
    """The drain controller: `url`, `ca_file` and `credential_file` on a node, the rest where it runs.

    No `url`: each node writes by itself. `batch_s` is how long it gathers wishes before it carries them out.
    """

    url: str = ""
    ca_file: str = ""
    credential_file: str = ""
    listen: str = "127.0.0.1:6890"
    certificate_file: str = ""
    key_file: str = ""
    secret_file: str = ""
    batch_s: float = 0.3


class AgentSettings(NamedTuple):
    """The resident agent (`nodeproof agent`): how often it looks, what it keeps, and what it publishes.

    `interval_s` is that of a health check, `counters_s` that of reading counters; each is spread over
    `jitter_share` of itself, so that the nodes of a fleet do not act in step. `metrics_listen` empty: no metrics
    over HTTP; `metrics_file`: for node_exporter's textfile collector. `socket_group` may read `nodeproof status`.
    A node that was drained and resumed `flaps` times in `flap_window_h` hours stays drained. A check that is unknown
    for `unknown_after_s` is a finding.
    """

    interval_s: float = 300.0
    counters_s: float = 60.0
    jitter_share: float = 0.1
    metrics_listen: str = "127.0.0.1:9836"
    metrics_file: str = ""
    socket_group: str = ""
    history_days: float = 90.0
    history_mb: float = 64.0
    flaps: int = 3
    flap_window_h: float = 24.0
    unknown_after_s: float = 3600.0


class Settings(NamedTuple):
    """The effective policy of one node.

    `doubts` say why the node's classes are not known for sure: whoever acts on these settings could act on
    those of another class, and drain what is exempt or resume what is sick.
    """

    mode: Mode = "observe"
    budget_s: float = 30.0
    deadline_s: float = 5.0
    slurm: SlurmSettings = SlurmSettings()
    guard: GuardSettings = GuardSettings()
    controller: ControllerSettings = ControllerSettings()
    agent: AgentSettings = AgentSettings()
    classes: tuple[str, ...] = ()
    checks: Mapping[str, CheckSettings] = {}
    origin: Mapping[str, str] = {}
    doubts: tuple[str, ...] = ()

    def of(self, check_id: str) -> CheckSettings:
        return self.checks.get(check_id, _DEFAULT)

    @property
    def digest(self) -> str:
        """A short name for what policy says: the same on all nodes for which it says the same."""
        import hashlib  # not for the fast path, as json
        import json

        raw = json.dumps(self, default=str, sort_keys=True).encode(errors="backslashreplace")
        return hashlib.sha256(raw).hexdigest()[:12]


_DEFAULT = CheckSettings()

#: The tables of a policy file that stand for one field of `Settings` each.
TABLES: Mapping[str, type[SlurmSettings] | type[GuardSettings] | type[ControllerSettings] | type[AgentSettings]] = {
    "slurm": SlurmSettings,
    "guard": GuardSettings,
    "controller": ControllerSettings,
    "agent": AgentSettings,
}
