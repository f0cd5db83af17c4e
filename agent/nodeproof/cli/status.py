"""`nodeproof status`: what the agent of this node knows now."""

import json
import time
from collections.abc import Iterator
from typing import Any

import click

from nodeproof.daemon.control import ask
from nodeproof.host.base import RUN_DIR
from nodeproof.verdict import harmless, plural

_LIMIT_S = 10.0

#: Statuses that ask for somebody's attention, worst first.
_LOUD = ("fail", "unknown", "warn")

_EXIT_CODES = {"fail": 1, "unknown": 3}


@click.command("status")
@click.option("--run-dir", default=RUN_DIR, show_default=True, help="The agent's run directory.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(run_dir: str, is_json: bool) -> int:
    """Say what the agent knows: the verdict, how old it is, what is failing and since when, what it did or would do.

    Exit code: as of `nodeproof check` (0, 1 failing, 3 something is unknown); 2 if no agent answers.
    """
    document = ask(run_dir, {"do": "status"}, _LIMIT_S)
    return show(document, is_json=is_json)


def show(document: dict[str, Any], *, is_json: bool) -> int:
    """Print a status and return its exit code."""
    click.echo(json.dumps(document, indent=2) if is_json else "\n".join(harmless(x, 400) for x in lines(document)))
    return _EXIT_CODES.get(worst(document), 0)


def worst(document: dict[str, Any]) -> str:
    found = {c["status"] for c in document["checks"]}
    return next((status for status in _LOUD if status in found), "ok")


def lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield the report, what matters first."""
    now = document["at"]
    yield f"{document['node']}: {_verdict(document)}"
    if document["out_of_service"]:
        yield f"  out of service: {document['out_of_service']}"
    for status in _LOUD:
        for check in document["checks"]:
            if check["status"] == status:
                yield f"  {status:7} {check['id']}: {check['summary']} (for {age(now - check['since'])})"
                if status == "fail" and check["remedy"]:
                    yield f"          {check['remedy']}"
    for incident in document["incidents"]:
        if incident["members"]:
            more = ", ".join(incident["members"])
            yield f"  one cause: {incident['cause']} ({incident['part'] or 'this node'}) explains {more}"
    if document["last_action"]["summary"]:
        yield f"  last decision: {document['last_action']['summary']}"
    yield from _agent(document)


def _verdict(document: dict[str, Any]) -> str:
    health = next((g for g in document["groups"] if g["name"] == "health"), None)
    if health is None or not health["last_at"]:
        return "not judged yet"
    counts = ", ".join(
        f"{n} {status}"
        for status in ("fail", "unknown", "warn", "ok", "skip")
        if (n := sum(c["status"] == status for c in document["checks"]))
    )
    return f"{worst(document)} ({counts}), judged {age(document['at'] - health['last_at'])} ago"


def _agent(document: dict[str, Any]) -> Iterator[str]:
    policy = f"policy {document['policy_digest']}, mode {document['mode']}"
    up = age(document["at"] - document["started_at"])
    yield f"  agent {document['version']}, up {up}, {policy}, {document['resident_bytes'] / 2**20:.0f} MiB"
    if document["policy_problem"]:
        yield f"  policy is broken, the last good one is in force: {document['policy_problem']}"
    for name, problem in document["sources"].items():
        if problem:
            yield f"  not followed: {name}: {problem}"
    for name, count in document["lost"].items():
        yield f"  lost: {plural(count, 'event')} of {name}"
    for warning in document["warnings"]:
        yield f"  warning: {warning}"


def age(seconds: float) -> str:
    """Return a duration as people say it."""
    seconds = max(0, round(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}" if seconds < 10 * size else f"{seconds // size} {unit}"
    return f"{seconds} s"


def local_time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
