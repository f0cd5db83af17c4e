"""Two runs of `nodeproof bench` side by side: how much they differ, and whether that is more than chance."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from nodeproof.errors import FactError, NodeproofError
from nodeproof.host.base import read_regular
from nodeproof_bench.result import BenchResult, BenchRun, run_of
from nodeproof_bench.store import Store
from nodeproof_bench.strict_json import loads
from nodeproof_bench.table import aligned, place_of, shown


class CompareError(NodeproofError):
    """A run that is to be compared is not there, or not readable."""


class Difference(NamedTuple):
    """One benchmark at one place in both runs. `ratio` is B over A; `word` says what follows for B."""

    first: BenchResult
    second: BenchResult
    ratio: float | None
    word: str


def load(word: str, store: Store) -> BenchRun:
    """Return a run that was saved to a file, or the one that `last`, `last~1` … names in the history."""
    if word == "last" or word.startswith("last~"):
        return _from_history(word, store)
    try:
        return run_of(loads(read_regular(word, word)))
    except FactError as error:
        raise CompareError(str(error)) from error
    except OSError as error:
        raise CompareError(f"{word}: {error.strerror}") from error
    except ValueError as error:
        raise CompareError(f"{word}: not a result of `nodeproof bench --save`: {str(error)[:200]}") from error


def _from_history(word: str, store: Store) -> BenchRun:
    back = word.removeprefix("last").removeprefix("~") or "0"
    if not (back.isascii() and back.isdecimal() and len(back) < 4):
        raise CompareError(f"{word}: expected `last` or `last~N`")
    runs = store.load()
    if int(back) >= len(runs):
        raise CompareError(f"{word}: {store.path} holds {len(runs)} runs")
    return run_of(runs[-1 - int(back)])


def differences(first: BenchRun, second: BenchRun) -> list[Difference]:
    """Return what both runs measured, in the order of the second."""
    by_what = {r.what: r for r in first.results}
    return [_difference(by_what[r.what], r) for r in second.results if r.what in by_what]


def _difference(first: BenchResult, second: BenchResult) -> Difference:
    ratio = second.value / first.value if first.value else None
    return Difference(first, second, ratio, _word(first, second))


def _word(first: BenchResult, second: BenchResult) -> str:
    if first.is_inconclusive or second.is_inconclusive:
        return "inconclusive"
    if first.value == second.value:
        return "same"
    if first.interval is None or second.interval is None:
        return "too few samples"
    if first.interval[0] <= second.interval[1] and second.interval[0] <= first.interval[1]:
        return "same (intervals overlap)"
    return "better" if (second.value < first.value) == first.is_time else "worse"


def lines(found: Sequence[Difference]) -> list[str]:
    """Return the table for people."""
    rows = [["BENCHMARK", "WHERE", "A", "B", "B/A", "B IS"]]
    for first, second, ratio, word in found:
        values = [shown(r, r.value) for r in (first, second)]
        rows.append([second.name, place_of(second), *values, "-" if ratio is None else f"{ratio:.3f}", word])
    return aligned(rows, right=(2, 3, 4))


def document(found: Sequence[Difference]) -> list[dict[str, Any]]:
    """Return the comparison as JSON values."""
    return [
        {
            "name": d.second.name,
            "args": list(d.second.args),
            "unit": d.second.unit,
            "values": [d.first.value, d.second.value],
            "intervals": [d.first.interval, d.second.interval],
            "ratio": d.ratio,
            "word": d.word,
        }
        for d in found
    ]
