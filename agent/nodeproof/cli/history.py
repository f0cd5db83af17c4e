"""`nodeproof history`: what happened on this node."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from nodeproof.files import state_directory
from nodeproof.history.read import KINDS, Entry, Wanted, database_in, read
from nodeproof.report import human
from nodeproof.report.human import Row
from nodeproof.verdict import Status, named

SCHEMA = "nodeproof.history/1"

_UNITS_S = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS_S)})")


def _when(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return a time in seconds since the epoch: `2h` before now, or a date, of this node's zone if it names none."""
    if value is None:
        return None
    if match := _AGO.fullmatch(value.strip()):
        return time.time() - float(match[1]) * _UNITS_S[match[2]]
    try:
        return datetime.fromisoformat(value.strip()).timestamp()
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{value!r}: expected such as 30min, 2h, 3d or 2026-11-26T20:00", ctx, param
        ) from error


@click.command("history")
@click.option("--since", callback=_when, metavar="TIME", help="From then on: 30min, 2h, 3d, or a date.")
@click.option("--until", callback=_when, metavar="TIME", help="Up to then.")
@click.option("--check", default="", metavar="GLOB", help="Verdicts of these checks, and events of these rules, alone.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only entries of this kind.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(min=1), help="The latest so many.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
@click.option("--state-dir", help="Where the agent keeps its history.")
@click.option("--database", type=click.Path(), help="A copy of a history, instead of this node's.")
def command(  # noqa: PLR0913, PLR0917  # one parameter for each option
    since: float | None,
    until: float | None,
    check: str,
    kinds: tuple[str, ...],
    limit: int,
    is_json: bool,
    state_dir: str | None,
    database: str | None,
) -> None:
    """Show what happened on this node, the latest last: events, verdicts that changed, actions, what jobs saw.

    Works beside a running agent and without one. To look at a history elsewhere, copy history.db together with
    history.db-wal, if that is there: it holds what was written last.
    """
    path = database or database_in(state_dir or state_directory())
    entries, has_more = read(path, Wanted(since, until, kinds or KINDS, check, limit))
    if is_json:
        made = [{"at": e.at, "kind": e.kind, **e.content} for e in entries]
        click.echo(
            json.dumps({"schema": SCHEMA, "database": path, "is_complete": not has_more, "entries": made}, indent=2)
        )
        return
    human.write(_rows(entries, has_more=has_more, limit=limit))


def _rows(entries: list[Entry], *, has_more: bool, limit: int) -> Iterator[Row]:
    if has_more:
        yield Row("", "", f"older entries are left out: these are the latest {limit} (--limit)")
    if not entries:
        yield Row("", "", "nothing happened that is asked for")
    for entry in entries:
        word, name, text, style = _ROWS[entry.kind](entry.content)
        yield Row(f"{_local_time(entry.at)}  {word:<7}", name, text, style)


def _verdict(content: Mapping[str, Any]) -> tuple[str, str, str, str]:
    word = str(content["status"])
    style = human.STYLES.get(Status.__members__.get(word.upper(), Status.OK), "")
    return word, str(content["check_id"]), str(content["summary"]), style


def _event(content: Mapping[str, Any]) -> tuple[str, str, str, str]:
    times = f" ({content['count']} times)" if content["count"] > 1 else ""
    where = f"{content['part']}: " if content["part"] else ""
    return "event", str(content["rule"]), f"{where}{content['text']}{times}", "cyan"


def _action(content: Mapping[str, Any]) -> tuple[str, str, str, str]:
    evidence = f" [{content['evidence']}]" if content.get("evidence") else ""
    return "action", str(content.get("result", "")), f"{content.get('summary', '')}{evidence}", "bold"


def _job(content: Mapping[str, Any]) -> tuple[str, str, str, str]:
    others = content.get("others") or []
    beside = f" (beside job {named(others)})" if others else ""
    seen = f"{content.get('name', '')} of {content.get('part') or 'this node'} rose by {content.get('delta', '')}"
    return "job", str(content.get("job_id", "")), f"{seen}{beside}", ""


_ROWS = {"verdict": _verdict, "event": _event, "action": _action, "job": _job}


def _local_time(at: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))
    except (OverflowError, ValueError, OSError):  # a clock or a copied file that is out of its mind
        return f"{at:.0f} s"
