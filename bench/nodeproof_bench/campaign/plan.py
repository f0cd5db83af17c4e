"""What the plan of a campaign may say: strict models of its TOML file.

Deliberately not here: what is said about a file that does not follow them (`campaign.plan_file`), and what a plan
comes down to on real nodes (`campaign.phases`).
"""

import fnmatch
import os
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from nodeproof.policy.hosts import host_set
from nodeproof.policy.problems import nearest
from nodeproof_bench.campaign.times import seconds_of, window_of
from nodeproof_bench.suites import BENCHMARKS

#: Most nodes of one campaign: a set such as n[1-999999999] is refused before it fills the memory.
MOST_NODES = 100_000

#: Keys that a phase may have besides kind and name.
_KEYS: Mapping[str, frozenset[str]] = {
    "inventory": frozenset({"limit_s"}),
    "bench": frozenset({"suite", "benchmarks", "repeats", "seconds", "limit_s"}),
    "pairs": frozenset({"benchmarks", "rounds", "seconds", "limit_s"}),
    "stress": frozenset({"duration", "limit_s"}),
    "repeat": frozenset({"suite", "benchmarks", "repeats", "seconds", "limit_s"}),
}

#: What two nodes can measure together.
PAIR_BENCHMARKS = ("net.latency", "net.bandwidth", "rdma.latency", "rdma.bandwidth")


def _absolute(path: str) -> str:
    if not os.path.isabs(path) or not path.isprintable():
        raise ValueError(f"expected an absolute path, found {path!r}")
    return os.path.normpath(path)


def _nodes(words: str) -> str:
    if any(len(part) > 9 for part in _digits(words)):  # before ClusterShell makes a set of all of them
        raise ValueError(f"expected at most {MOST_NODES} nodes")
    if len(host_set(words)) > MOST_NODES:
        raise ValueError(f"expected at most {MOST_NODES} nodes")
    return words


def _digits(words: str) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in words).split()


def _duration(words: str) -> str:
    seconds_of(words)
    return words


def _window(words: str) -> str:
    window_of(words)
    return words


def _benchmark(name: str) -> str:
    if not any(fnmatch.fnmatchcase(known, name) for known in BENCHMARKS):
        raise ValueError(f"expected a benchmark, {nearest(name, list(BENCHMARKS))}")
    return name


_Name = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,39}$", title="lower-case letters, digits, dots and dashes, 40 at most")
]
_PhaseName = Annotated[
    str,
    Field(pattern=r"^([a-z0-9][a-z0-9.-]{0,39})?$", title="lower-case letters, digits, dots and dashes, 40 at most"),
]
_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@:/,-]{1,200}$", title="a name as Slurm has it")]
_AbsolutePath = Annotated[str, AfterValidator(_absolute), Field(title="an absolute path")]
_Seconds = Annotated[float, Field(gt=0, le=1_000_000, title="a number of seconds above 0")]
_Count = Annotated[int, Field(ge=1, le=100_000, title="a whole number above 0")]
_Duration = Annotated[str, AfterValidator(_duration), Field(title="a time such as 90s, 30m or 1h30m")]
_Benchmarks = Annotated[
    tuple[Annotated[str, AfterValidator(_benchmark)], ...],
    Field(min_length=1, max_length=100, strict=False, title="a list of benchmarks"),
]
_MaybeSeconds = Annotated[_Seconds | None, Field(title="a number of seconds above 0")]
_MaybeCount = Annotated[_Count | None, Field(title="a whole number above 0")]
_MaybePath = Annotated[_AbsolutePath | None, Field(title="an absolute path")]
_MaybeDuration = Annotated[_Duration | None, Field(title="a time such as 90s, 30m or 1h30m")]
_MaybeBenchmarks = Annotated[_Benchmarks | None, Field(title="a list of benchmarks")]
_Flag = Annotated[bool, Field(title="true or false")]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Submit(_Table):
    """How jobs are submitted. `switch_feature` is the prefix of the node feature that names a node's switch.

    `patience` is how long a node that goes out of service is waited for, `output` where a job's own output goes, with
    Slurm's patterns such as %x: of use where a job brings no result.
    """

    partition: Annotated[_Word | None, Field(title="a partition")] = None
    account: Annotated[_Word | None, Field(title="an account")] = None
    qos: Annotated[_Word | None, Field(title="a QOS")] = None
    reservation: Annotated[_Word | None, Field(title="a reservation")] = None
    nice: Annotated[int, Field(ge=-2_147_483_645, le=2_147_483_645, title="a whole number")] = 0
    nodes_at_once: _Count = 32
    share_of_partition: Annotated[float, Field(gt=0, le=1, title="a share above 0, of at most 1")] = 0.5
    requests_per_s: Annotated[float, Field(gt=0, le=1000, title="requests a second, above 0")] = 5.0
    poll_s: Annotated[float, Field(ge=0.1, le=600, title="seconds from 0.1 to 600")] = 10.0
    window: Annotated[
        Annotated[str, AfterValidator(_window)] | None, Field(title="a time of day such as 22:00-06:00")
    ] = None
    preempt: _Flag = False
    patience: _Duration = "30m"
    directory: _AbsolutePath = "/tmp"  # noqa: S108  # a job must begin somewhere; nothing is written there
    output: _AbsolutePath = "/dev/null"
    switch_feature: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.=:-]{0,80}$", title="the prefix of a feature")] = ""


class Results(_Table):
    """Where result files go: to a directory that all nodes share, or to the controller's own endpoint."""

    spool: _MaybePath = None
    post: Annotated[
        str | None,
        Field(pattern=r"^https?://[^/?#@\s]+/?$", title="an address such as https://login1:7443"),
    ] = None
    listen: Annotated[str, Field(pattern=r"^\S{0,200}$", title="address:port")] = ""
    certificate_file: _MaybePath = None
    key_file: _MaybePath = None
    ca_file: _MaybePath = None
    database: Annotated[
        str | None, Field(pattern=r"^(sqlite|postgresql)\S*://\S+$", title="sqlite:////file or postgresql+psycopg://…")
    ] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.spool is None) == (self.post is None):
            raise ValueError("expected exactly one of spool and post")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("expected certificate_file and key_file together")
        return self


class OnNode(_Table):
    """What runs on a node. `policy` is its directory of policy files, where that is not the usual one.

    `disk` is the directory for the files of disk benchmarks and for what could not be delivered. Pairs meet on one of
    the 128 ports from `port` on.
    """

    program: _AbsolutePath = "/usr/bin/nodeproof"
    policy: _MaybePath = None
    disk: _MaybePath = None
    port: Annotated[int, Field(ge=1024, le=65000, title="a port from 1024 to 65000")] = 23500


class Act(_Table):
    """What is done about findings, and how often a suspect is measured again before.

    `effort` is how much is measured again to see a loss of 5 %: thorough does so for all nodes and as often as it takes
    where repeats scatter, which may take several times as long as all phases together.
    """

    findings: Annotated[Literal["report", "drain"], Field(title='"report" or "drain"')] = "report"
    confirmations: Annotated[int, Field(ge=0, le=20, title="a whole number from 0 to 20")] = 2
    effort: Annotated[Literal["usual", "thorough"], Field(title='"usual" or "thorough"')] = "usual"

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if self.effort == "thorough" and not self.confirmations:
            raise ValueError("expected confirmations above 0: a thorough campaign measures again")
        return self


class Phase(_Table):
    """A part of the campaign. Which keys mean something depends on `kind`."""

    kind: Annotated[
        Literal["inventory", "bench", "pairs", "stress", "repeat"],
        Field(title='"inventory", "bench", "pairs", "stress" or "repeat"'),
    ]
    name: _PhaseName = ""
    suite: Annotated[Literal["quick", "standard"] | None, Field(title='"quick" or "standard"')] = None
    benchmarks: _MaybeBenchmarks = None
    repeats: _MaybeCount = None
    seconds: _MaybeSeconds = None
    duration: _MaybeDuration = None
    rounds: Annotated[Literal["all"] | _Count | None, Field(title='"all" or a number of rounds')] = None
    limit_s: _MaybeSeconds = None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        given = self.model_fields_set - {"kind", "name"}
        if foreign := sorted(given - _KEYS[self.kind]):
            known = ", ".join(sorted(_KEYS[self.kind]))
            raise ValueError(f"{foreign[0]} means nothing to a phase of kind {self.kind!r}, which has {known}")
        if self.suite and self.benchmarks:
            raise ValueError("expected suite or benchmarks, found both")
        if self.kind == "pairs" and (wrong := set(self.benchmarks or ()) - set(PAIR_BENCHMARKS)):
            raise ValueError(f"a pair measures {', '.join(PAIR_BENCHMARKS)}: found {min(wrong)}")
        return self


#: What a campaign does where its plan does not say: from quick to long, and the quick part again at the end.
_PHASES = (
    Phase(kind="inventory", name="inventory"),
    Phase(kind="bench", name="bench", suite="quick", repeats=5),
    Phase(kind="pairs", name="pairs"),
    Phase(kind="stress", name="stress", duration="10m"),
    Phase(kind="repeat", name="repeat", suite="quick", repeats=3),
)


class Plan(_Table):
    """A whole plan. Exactly one of `nodes`, `partition` and `reservation` says which nodes."""

    name: _Name
    nodes: Annotated[
        Annotated[str, AfterValidator(_nodes)] | None, Field(title="host names such as gpu[001-128]!gpu007")
    ] = None
    partition: Annotated[_Word | None, Field(title="a partition")] = None
    reservation: Annotated[_Word | None, Field(title="a reservation")] = None
    out_of_service: Annotated[Literal["skip", "include"], Field(title='"skip" or "include"')] = "skip"
    seed: Annotated[int, Field(ge=0, le=2**62, title="a whole number from 0")] = 1
    submit: Annotated[Submit, Field(title="a table")] = Submit()
    results: Annotated[Results, Field(title="a table with spool or post")]
    node: Annotated[OnNode, Field(title="a table")] = OnNode()
    act: Annotated[Act, Field(title="a table")] = Act()
    phases: Annotated[tuple[Phase, ...], Field(strict=False, min_length=1, max_length=100, title="phases")] = _PHASES

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if [self.nodes, self.partition, self.reservation].count(None) != 2:
            raise ValueError("expected exactly one of nodes, partition and reservation")
        names = [phase.name for phase in self.phases if phase.name]
        if taken := [name for name in names if name.startswith("confirm.")]:
            raise ValueError(f"expected a phase of another name: {taken[0]!r} is kept for what confirms findings")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"expected phases of different names, found {twice[0]!r} twice")
        return self

    def named_phases(self) -> tuple[Phase, ...]:
        """Return the phases, those without a name called by their kind, with a number where there are several."""
        taken = {phase.name for phase in self.phases}
        named = []
        for phase in self.phases:
            name = phase.name or next(n for n in _names(phase.kind) if n not in taken)
            taken.add(name)
            named.append(phase.model_copy(update={"name": name}))
        return tuple(named)

    @property
    def job_partition(self) -> str:
        """Return the partition that jobs are submitted to; "" is Slurm's default one."""
        return self.submit.partition or self.partition or ""

    def database(self) -> str:
        """Return the URL of the book; the plan's, or a file in the state directory."""
        from nodeproof_bench.campaign.report.opened import default_database

        return self.results.database or default_database()


def _names(kind: str) -> list[str]:
    return [kind, *(f"{kind}-{n}" for n in range(2, 102))]
