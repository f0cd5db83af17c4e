"""Benchmark results as facts: what `nodeproof bench` measured on this machine and kept.

Nothing is measured here: results are read back from the history file, so that a check, a recording and
another machine judge the very same figures. Deliberately not here: how the file is written
(`nodeproof_bench.store`), and how good a result has to be (`nodeproof_bench.checks`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

from nodeproof.errors import KINDS, FactError, Kind
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof_bench.strict_json import loads

#: Where root's `nodeproof bench` keeps its results: one run of the command on each line, the newest last.
HISTORY = "/var/lib/nodeproof/bench.jsonl"

RUN_SCHEMA = "nodeproof.benchrun/1"

#: Words of the command line that say how long to measure, not what or where.
_DURATION = "--seconds"

#: What a line says of an estimated value.
_FIGURES = frozenset({"sustained", "stability", "interval", "is_converged"})

_T = TypeVar("_T")


class BenchResult(NamedTuple):
    """One line of `nodeproof-bench`, in SI base units.

    `value` is what the hardware can do (a high quantile of rates, a low one of times), `sustained` the median,
    `stability` how alike the samples are (0 to 1), `interval` a distribution-free 95 % interval of `value`; without
    one there were too few samples. A count is its own median, and stable. `points` are the parts of a scan or
    matrix, `fields` all other keys. `is_inconclusive`: the machine was disturbed, `reason` says by what, and the
    value says nothing of the hardware.
    """

    name: str
    args: tuple[str, ...]
    unit: str
    value: float
    sustained: float
    stability: float
    interval: tuple[float, float] | None
    is_converged: bool
    samples: int
    seconds: float
    cpus: str
    threads: int
    node: int | None
    isa: str
    points: tuple[Mapping[str, Any], ...] = ()
    is_inconclusive: bool = False
    reason: str = ""
    fields: Mapping[str, Any] = {}

    @property
    def what(self) -> tuple[str, ...]:
        """What was measured: the benchmark and its options, however long it took."""
        return (self.name, *without_duration(self.args))

    @property
    def where(self) -> tuple[object, ...]:
        """What two results must share to be of the same hardware, measured in the same way."""
        return (*self.what, self.unit, self.cpus, self.threads, self.node, self.isa)

    @property
    def is_time(self) -> bool:
        """Whether less is better: times and counts of faults, as opposed to rates."""
        return self.unit in {"s", "1"}


class BenchFailure(NamedTuple):
    """A benchmark that gave no result. Kind `absent`: this machine or this build does not have what it needs."""

    name: str
    args: tuple[str, ...]
    kind: Kind
    reason: str


class BenchRun(NamedTuple):
    """What one run of `nodeproof bench` came to. `time_s` is in seconds since the epoch."""

    time_s: float
    boot_id: str
    suite: str
    host: str
    conditions: Mapping[str, Any]
    results: tuple[BenchResult, ...]
    failures: tuple[BenchFailure, ...] = ()

    def tried(self, name: str) -> bool:
        """Tell whether this run has a result of the benchmark, or a reason why there is none."""
        return any(r.name == name for r in self.results) or any(f.name == name for f in self.failures)


@fact(HISTORY)
class BenchHistory(NamedTuple):
    """All runs of `nodeproof bench` that are kept, the newest last."""

    runs: tuple[BenchRun, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where nothing was ever measured, `malformed` naming the first bad line."""
        text = host.data(HISTORY).decode(errors="replace")
        return cls(tuple(_run_of_line(line, n) for n, line in enumerate(text.splitlines(), 1)))

    def latest(self, name: str) -> tuple[BenchResult, ...]:
        """Return the results of the newest run that tried benchmark `name`: none if all of them failed there."""
        run = self._newest(name)
        return tuple(r for r in run.results if r.name == name) if run else ()

    def failures(self, name: str) -> tuple[BenchFailure, ...]:
        """Return what gave no result in the run that `latest` speaks of."""
        run = self._newest(name)
        return tuple(f for f in run.failures if f.name == name) if run else ()

    def need(self, name: str) -> tuple[BenchResult, ...]:
        """Return `latest(name)`, or raise the FactError that says why there is nothing to judge."""
        results, failures = self.latest(name), self.failures(name)
        if results:
            return results
        if not failures:
            raise FactError(f"bench {name}", "absent", "not measured: `nodeproof bench` does")
        worst = min(failures, key=lambda f: f.kind == "absent")
        raise FactError(" ".join(["bench", name, *worst.args]), worst.kind, worst.reason)

    def earlier(self, result: BenchResult) -> tuple[BenchResult, ...]:
        """Return conclusive results of the same hardware, measured in the same way, before the run of `latest`."""
        runs = list(self.runs)
        while runs and not runs.pop().tried(result.name):
            pass
        found = (r for run in runs for r in run.results if r.where == result.where)
        return tuple(r for r in found if not r.is_inconclusive)

    def _newest(self, name: str) -> BenchRun | None:
        return next((run for run in reversed(self.runs) if run.tried(name)), None)


def without_duration(args: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a command line without `--seconds S`."""
    return tuple(a for a, before in zip(args, ("", *args), strict=False) if _DURATION not in (a, before))


def _run_of_line(line: str, number: int) -> BenchRun:
    source = f"{HISTORY}:{number}"
    try:
        return run_of(loads(line))
    except ValueError as error:
        raise FactError(source, "malformed", str(error)[:200]) from error


def run_of(document: object) -> BenchRun:
    """Return a run from its JSON values. Raises ValueError that says what is wrong."""
    if not isinstance(document, dict) or document.get("schema") != RUN_SCHEMA:
        raise ValueError(f'expected an object of schema "{RUN_SCHEMA}"')
    return BenchRun(
        time_s=_number(document, "time_s"),
        boot_id=_typed(document, "boot_id", str),
        suite=_typed(document, "suite", str),
        host=_typed(document, "host", str),
        conditions=_typed(document, "conditions", dict),
        results=tuple(_each(document, "results", result_of)),
        failures=tuple(_each(document, "failures", _failure_of)),
    )


def result_of(value: object) -> BenchResult:
    """Return a result from the JSON values of one line. Raises ValueError that says what is wrong."""
    line = _object(value)
    if not _FIGURES & line.keys():  # a count, such as that of wrong values: there is nothing to estimate
        line = {**line, "sustained": line.get("value"), "stability": 1, "is_converged": True}
    return BenchResult(
        name=_typed(line, "name", str),
        args=_words(line.get("args", [])),
        unit=_typed(line, "unit", str),
        value=_number(line, "value"),
        sustained=_number(line, "sustained"),
        stability=_number(line, "stability"),
        interval=_interval(line.get("interval")),
        is_converged=_typed(line, "is_converged", bool),
        samples=_typed(line, "samples", int),
        seconds=_number(line, "seconds"),
        cpus=_typed(line, "cpus", str),
        threads=_typed(line, "threads", int),
        node=None if line.get("node") is None else _typed(line, "node", int),
        isa=_typed(line, "isa", str),
        points=tuple(_each(line, "points", _object)) if "points" in line else (),
        is_inconclusive=_typed(line, "is_inconclusive", bool) if "is_inconclusive" in line else False,
        reason=_typed(line, "reason", str) if "reason" in line else "",
        fields={k: v for k, v in line.items() if k not in BenchResult._fields},
    )


def _failure_of(value: object) -> BenchFailure:
    failure = _object(value)
    kind = failure.get("kind")
    if kind not in KINDS:
        raise ValueError(f'"kind" is {kind!r:.80}')
    return BenchFailure(_typed(failure, "name", str), _words(failure.get("args")), kind, _typed(failure, "reason", str))


def _each(document: Mapping[str, Any], key: str, make: Callable[[object], _T]) -> Iterable[_T]:
    for n, value in enumerate(_typed(document, key, list)):
        try:
            yield make(value)
        except ValueError as error:
            raise ValueError(f'"{key}", {n}: {error}') from error


def _typed(document: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    value = document.get(key)
    if type(value) is not kind:
        raise ValueError(f'"{key}" is {value!r:.80}, expected {kind.__name__}')
    return value


def _number(document: Mapping[str, Any], key: str) -> float:
    value: Any = document.get(key)
    try:
        if type(value) in (int, float):
            return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        pass
    raise ValueError(f'"{key}" is {value!r:.80}, expected a number')


def _interval(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f'"interval" is {value!r:.80}, expected two numbers')
    low, high = (_number({"interval": v}, "interval") for v in value)
    return low, high


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError(f'"args" is {value!r:.80}, expected a list of words')
    return tuple(value)


def _object(value: object) -> Mapping[str, Any]:
    return _typed({"value": value}, "value", dict)
