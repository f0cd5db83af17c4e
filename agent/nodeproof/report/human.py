"""A pass for people: worst first, one line a finding, the remedy under each failure, a summary line."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nodeproof.engine import Pass, Result
from nodeproof.policy.settings import Settings
from nodeproof.report.document import Context, counts
from nodeproof.verdict import Status, harmless

STYLES = {
    Status.OK: "green",
    Status.SKIP: "dim",
    Status.WARN: "yellow",
    Status.UNKNOWN: "magenta",
    Status.FAIL: "bold red",
}
WORDS = {
    Status.FAIL: "failed",
    Status.UNKNOWN: "unknown",
    Status.WARN: "warned",
    Status.SKIP: "skipped",
    Status.OK: "ok",
}

#: So many skipped checks of one subject are named together.
_MANY = 20


class Row(NamedTuple):
    """One line of the report: a mark, a name, a sentence; `style` is for terminals."""

    mark: str
    name: str
    text: str
    style: str = ""


def rows(outcome: Pass, context: Context, *, is_verbose: bool, seconds: float) -> Iterator[Row]:
    """Yield the report's lines. Skipped checks share a line per reason unless verbose."""
    for result in outcome.results:
        status = result.verdict.status
        if status != Status.SKIP or is_verbose:
            yield Row(status.word, result.spec.id, result.verdict.summary, STYLES[status])
        if status in (Status.FAIL, Status.WARN):
            yield Row("", "", f"→ {result.remedy}")
    if not is_verbose:
        yield from _skipped([r for r in outcome.results if r.verdict.status == Status.SKIP])
    for warning in context.warnings:
        yield Row("warning", "", warning, "yellow")
    if context.action is not None:
        yield Row("action", "", str(context.action.get("summary", "")), "bold")
    yield Row("", "", "")
    yield Row("", "", _summary(outcome, context, seconds), "bold")
    if context.settings == Settings():
        yield Row("", "", "No policy yet: `nodeproof policy learn` writes one that describes this node.")


def _skipped(results: list[Result]) -> Iterator[Row]:
    """Yield one line for each kind of reason: what policy leaves open, what the node does not have."""
    reasons: dict[str, list[str]] = {}
    for result in results:
        summary = result.verdict.summary
        reason = "not in policy" if summary.startswith("policy ") else "not there"
        reasons.setdefault("switched off" if summary.startswith("switched off") else reason, []).append(result.spec.id)
    for reason, ids in sorted(reasons.items()):
        yield Row("skip", f"{len(ids)} {reason}", ", ".join(_folded(ids)), "dim")


def _folded(ids: Sequence[str]) -> list[str]:
    """Return ids in order; many of one subject as one, for a node without an agent has no events at all."""
    subjects = Counter(id_.partition(".")[0] for id_ in ids)
    many = {subject for subject, count in subjects.items() if count >= _MANY}
    folded = {f"{s}.* ({subjects[s]})" if (s := id_.partition(".")[0]) in many else id_ for id_ in ids}
    return sorted(folded)


def _summary(outcome: Pass, context: Context, seconds: float) -> str:
    parts = [f"{n} {WORDS[Status[word.upper()]]}" for word, n in counts(outcome).items() if n]
    classes = ", ".join(context.settings.classes) or "no class"
    if {r.verdict.status for r in outcome.results} <= {Status.SKIP}:
        return f"{_name(context)}: nothing judged: {', '.join(parts)}"
    verdict = {Status.FAIL: "not fit to work", Status.UNKNOWN: "could not tell everything"}.get(
        outcome.worst, "fit to work"
    )
    return f"{_name(context)}: {verdict}: {', '.join(parts)} in {seconds:.2f} s ({context.settings.mode}, {classes})"


def _name(context: Context) -> str:
    return context.host_name or "(no name)"


def write(lines: Iterator[Row]) -> None:
    """Print rows: in colour and wrapped to the width on a terminal, plain elsewhere. Hostile text is made harmless."""
    lines = (r._replace(name=harmless(r.name, 100), text=harmless(r.text, 1000)) for r in lines)
    if sys.stdout.isatty():
        _write_terminal(lines)
        return
    for row in lines:
        if row.name:
            print(f"{row.mark:<8} {row.name:<28} {row.text}")
        else:
            print(f"{row.mark + ' ' if row.mark else ''}{'         ' if row.text.startswith('→') else ''}{row.text}")


def _write_terminal(lines: Iterator[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table.grid(padding=(0, 1))
    for row in lines:
        if row.name or row.text.startswith("→"):
            table.add_row(Text(row.mark, style=row.style), row.name, Text(row.text))
            continue
        console.print(table)
        table = Table.grid(padding=(0, 1))
        console.print(Text(f"{row.mark} {row.text}".strip(), style=row.style))
