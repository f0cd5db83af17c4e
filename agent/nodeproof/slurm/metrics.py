"""slurmctld's own count of nodes, where it offers one (`/metrics/nodes`, Slurm 25.11 and newer).

Enough to say no without reading all nodes: a mass failure costs slurmctld a fraction of what its nodes would
ask for else. It tells no partitions and no reasons, so a yes still needs the nodes themselves.
"""

import re
from typing import NamedTuple

from nodeproof.errors import SlurmUnreachable
from nodeproof.policy.settings import GuardSettings
from nodeproof.slurm.guard import usage_of
from nodeproof.verdict import harmless, plural

_LINE = re.compile(r"^slurm_nodes(?:_(down|drain|fail))? (\d{1,9})(?:\.0+)?$", re.ASCII | re.MULTILINE)

#: 14 lines a node: 10,000 nodes are 7 MB.
_MOST_BYTES = 32 << 20


class Counts(NamedTuple):
    """Nodes in all, and by state; one that is down and drained is in both."""

    total: int
    down: int
    drain: int
    fail: int


def why_full(counts: Counts, settings: GuardSettings) -> str:
    """Return why no further node may be drained, or nothing if that is not sure."""
    total, out, limit = usage_of(counts.total, max(counts.down, counts.drain, counts.fail), settings)
    if out + 1 <= limit:
        return ""
    return f"at least {out} of {plural(total, 'node')} are out of service, the limit is {limit}"


def counts_in(text: str) -> Counts | None:
    """Return the counts in what slurmctld says in Prometheus' format, or None if one is missing."""
    found = {state or "total": int(number) for state, number in _LINE.findall(text)}
    return Counts(**found) if set(found) == set(Counts._fields) else None


def read_counts(url: str, limit_s: float) -> Counts:
    """Ask slurmctld at `url`, without credentials. Raises SlurmUnreachable."""
    import httpx

    try:
        with httpx.Client(timeout=max(0.1, limit_s), trust_env=False) as http:
            answer = http.get(f"{url.rstrip('/')}/metrics/nodes")
        text = answer.text if answer.status_code == 200 and len(answer.content) <= _MOST_BYTES else ""
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SlurmUnreachable(harmless(f"no metrics from {url}: {type(error).__name__}: {error}", 300)) from error
    counts = counts_in(text)
    if counts is None:
        raise SlurmUnreachable(f"no metrics from {url}: HTTP {answer.status_code} without counts (is MetricsType set?)")
    return counts
