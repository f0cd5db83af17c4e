"""Learnt limits as a policy file: each with what it comes from, for who reads it before it is put in force."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import nodeproof
from nodeproof.policy.hosts import folded
from nodeproof.policy.spell import spelt, spelt_key
from nodeproof.verdict import harmless, plural
from nodeproof_bench.campaign.book_rows import Campaign
from nodeproof_bench.campaign.report.baseline import Class, Limit, by_check
from nodeproof_bench.units import scaled

_COMMENT_CHARS = 200


def policy_text(campaign: Campaign, classes: Sequence[Class]) -> str:
    """Return the TOML of all classes."""
    day = datetime.fromtimestamp(campaign.created_at, UTC).strftime("%Y-%m-%d")
    name = f"campaign {_said(campaign.id)} ({_said(campaign.name)})"
    lines = [
        f"# Limits learned by nodeproof {nodeproof.__version__} from {name} of {day}.",
        "# Only nodes that were found healthy and that no finding names are in them.",
    ]
    for found in classes:
        lines += _class(found)
    return "\n".join(lines) + "\n"


def _class(found: Class) -> Iterator[str]:
    yield from ("", f"# {plural(len(found.nodes), 'node')}, {found.healthy} of them healthy.", "[[class]]")
    yield from (f"name = {spelt(found.name or 'unknown')}", "", "[class.match]")
    hosts = folded(found.nodes)
    if not hosts:
        yield "# No node has a name that a host set could hold: say here which nodes are of this class."
    yield f"hosts = {spelt(hosts or 'nobody')}"
    for check, limits in by_check(found.limits):
        yield from _check(check, limits)
    if found.usual_bytes_per_s is not None:
        yield from ("", "# What a NUMA node of this class moves, to tell a missing memory module.")
        yield from ("[class.check.memory.peak_share]", f"usual_bytes_per_s = {found.usual_bytes_per_s!r}")
    if found.unlearned:
        yield ""
        yield from (f"# Not learned: {_said(u.metric)}: {_said(u.why)}." for u in found.unlearned)


def _check(check: str, limits: Sequence[Limit]) -> Iterator[str]:
    header = f"class.check.{'.'.join(map(spelt_key, check.split('.')))}"
    yield ""
    yield from (f"# {_from(limit)}" for limit in limits)
    yield f"[{header}]"
    for limit in limits:
        value = limit.value if limit.target.key is None else {limit.target.key: limit.value}
        yield f"{limit.target.parameter} = {spelt(value)}"


def _from(limit: Limit) -> str:
    """Return what a limit comes from, in one line."""
    measured = plural(limit.nodes, "pair" if limit.target.is_pair else "node")
    return (
        f"{limit.target.parameter}: {_said(limit.metric)}, {plural(limit.runs, 'run')} of {measured}, median "
        f"{scaled(limit.median, limit.unit)}, spread {100 * limit.sigma_share:.2f} %, margin {100 * limit.margin:.1f} %"
    )


def _said(text: str) -> str:
    return harmless(text, _COMMENT_CHARS)
