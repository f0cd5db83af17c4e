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
    """Where slurmrestd is and who we are there. No `url`: this node cannot act.

    `url` is `http://host:port`, `https://host:port` or `unix:/path`. `node_name` empty: the short host name.
    """

    url: str = ""
    token_file: str = ""
    user_name: str = "root"
    node_name: str = ""
    ca_file: str = ""
    timeout_s: float = 20.0


class Settings(NamedTuple):
    """The effective policy of one node.

    `doubts` say why the node's classes are not known for sure: whoever acts on these settings could act on
    those of another class, and drain what is exempt or resume what is sick.
    """

    mode: Mode = "observe"
    budget_s: float = 30.0
    deadline_s: float = 5.0
    slurm: SlurmSettings = SlurmSettings()
    classes: tuple[str, ...] = ()
    checks: Mapping[str, CheckSettings] = {}
    origin: Mapping[str, str] = {}
    doubts: tuple[str, ...] = ()

    def of(self, check_id: str) -> CheckSettings:
        return self.checks.get(check_id, _DEFAULT)


_DEFAULT = CheckSettings()
