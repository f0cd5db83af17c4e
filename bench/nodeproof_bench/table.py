"""Plans, results and comparisons as text for people: aligned columns, one line for each benchmark and place."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nodeproof.verdict import harmless, plural
from nodeproof_bench.placement import Plan
from nodeproof_bench.result import BenchFailure, BenchResult
from nodeproof_bench.runner import Listed
from nodeproof_bench.suites import BENCHMARKS, SUITES
from nodeproof_bench.units import scaled

#: Coordinates of a point, as a person calls them. Others (sizes, precisions, loads) are no places.
_PLACES = {"cpu": "CPU", "to_cpu": "to CPU", "node": "node", "memory_node": "memory of node", "device": "port"}

CELL_CHARS = 200


def place_of(result: BenchResult) -> str:
    """Return where was measured, shortly: another host, GPUs, a node, a CPU, or how many CPUs."""
    if peer := result.fields.get("peer_host"):
        return f"with {peer}"
    if isinstance(gpus := result.fields.get("gpus"), list):
        return plural(len(gpus), "GPU")
    if result.node is not None:
        return f"node {result.node}"
    return f"CPU {result.cpus}" if result.threads == 1 else f"{result.threads} CPUs"


def shown(result: BenchResult, value: float) -> str:
    """Return a value of this result: of what has no unit, a count of faults as it is, a share of time in percent."""
    if result.unit != "1" or _is_of_values(result):
        return scaled(value, result.unit)
    return f"{100 * value:.3g} %"


def _is_of_values(result: BenchResult) -> bool:
    benchmark = BENCHMARKS.get(result.name)
    return benchmark is not None and benchmark.is_of_values


def results_table(results: Iterable[BenchResult], failures: Iterable[BenchFailure]) -> list[str]:
    """Return the lines of the table of results; what gave none comes last, with the reason."""
    rows = [["BENCHMARK", "WHERE", "CAPABILITY", "SUSTAINED", "STABILITY", "SAMPLES", "NOTE"]]
    rows += [
        [
            result.name,
            place_of(result),
            shown(result, result.value),
            *_spread(result),
            str(result.samples),
            _note(result),
        ]
        for result in results
    ]
    for failure in failures:
        what = "not possible here" if failure.kind == "absent" else failure.kind.replace("_", " ")
        node = f"node {failure.args[1]}" if failure.args[:1] == ("--node",) else ""
        rows.append([failure.name, node, "-", "-", "-", "-", f"{what}: {failure.reason}"])
    return aligned(rows, right=(2, 3, 4, 5))


def _spread(result: BenchResult) -> tuple[str, str]:
    if _is_of_values(result):
        return "-", "-"
    return shown(result, result.sustained), f"{result.stability:.0%}"


def _note(result: BenchResult) -> str:
    notes = [f"inconclusive: {result.reason}"] if result.is_inconclusive else []
    if not result.is_converged:
        notes.append("not converged")
    if len(result.points) > 1 and (worst := _worst(result)):
        notes.append(worst)
    if (rounds := result.fields.get("rounds")) is not None:
        low, high = (shown(result, float(result.fields[key])) for key in ("lowest", "highest"))
        notes.append(f"{rounds} rounds, {low} to {high}")
    return "; ".join(notes)


def _worst(result: BenchResult) -> str:
    """Return the worst of the points that are places, or nothing. Of several operations only the first counts."""
    operation = result.points[0].get("operation")
    places = [p for p in result.points if any(p.get(key, "") != "" for key in _PLACES)]
    points = [p for p in places if type(p.get("value")) in (int, float) and p.get("operation") == operation]
    if len(points) < 2:
        return ""
    pick = max if result.is_time else min
    worst = pick(points, key=lambda p: float(p["value"]))
    where = " ".join(f"{word} {worst[key]}" for key, word in _PLACES.items() if key in worst)
    if "gpus" in result.fields:
        where = where.replace(_PLACES["device"], "GPU", 1)
    return f"{'highest' if result.is_time else 'lowest'} of {len(points)}: {where}, {shown(result, worst['value'])}"


def plan_table(plan: Plan, has: Mapping[str, Listed] | None) -> list[str]:
    """Return the lines of a plan and their sum. `has` is what the program has, or None where there is no program."""
    rows = [["BENCHMARK", "OPTIONS", "SECONDS", "NOTE"]]
    for run in plan.runs:
        note = "" if has is None or run.name in has else "not in this build of nodeproof-bench"
        rows.append([run.name, " ".join(run.args), f"{run.estimate_s:.1f}", note])
    rows.append(["sum", "", f"{plan.estimate_s:.1f}", "and again until the time is up" if plan.is_repeated else ""])
    return aligned(rows, right=(2,))


def list_table(has: Mapping[str, Listed]) -> list[str]:
    """Return the lines that name every benchmark and the suites it is in, then the suites."""
    rows = [["BENCHMARK", "UNIT", "SUITES", "MEASURES", "NEEDS"]]
    for name in dict.fromkeys([*BENCHMARKS, *has]):
        suites = [s for s, suite in SUITES.items() if any(e.name == name for e in suite.entries)]
        listed = has.get(name, Listed("-", 0, "not in this build of nodeproof-bench", "-"))
        rows.append([name, listed.unit, " ".join(suites), listed.title, listed.needs])
    titles = [["SUITE", "RUNS"], *([name, suite.title] for name, suite in SUITES.items())]
    return [*aligned(rows), "", *aligned(titles)]


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return rows as lines with aligned columns, those in `right` to the right. Hostile text is made harmless."""
    cells = [[harmless(cell, CELL_CHARS) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            c.rjust(w) if n in right else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def as_json(plan: Plan, has: Mapping[str, Listed] | None) -> dict[str, Any]:
    """Return a plan as JSON values."""
    runs = [
        {"name": r.name, "args": list(r.args), "estimate_s": round(r.estimate_s, 2)}
        | ({} if has is None else {"is_possible": r.name in has})
        for r in plan.runs
    ]
    return {"suite": plan.suite, "runs": runs, "estimate_s": round(plan.estimate_s, 2)}
