"""Lemons: nodes that fail again and again, and pass every test in between. Pure: events come in, a ranking goes out.

Meta's study of two research clusters found few nodes behind many failed jobs, and told them by counting over weeks
what each had: excluded by users, XIDs, tickets, times out of service, failed jobs (Kokolis and others, Revisiting
Reliability in Large-Scale Machine Learning Research Clusters, HPCA 2025, section on lemon nodes).

Here, what happens to a node within a day of the first event is one incident, because a fault, its XIDs and the drain
that they led to are one story. An incident counts as much as the heaviest kind in it, and half as much after each
`HALF_LIFE_S`. A node is a lemon by two incidents or more, never by one, and by a score that one of them cannot reach.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from nodeproof_bench.campaign.book_rows import NodeEvent

#: How much an incident of each kind counts: what took the node away from users most, what one cannot see at once least.
WEIGHTS = {"drain": 4.0, "failure": 4.0, "xid": 3.0, "slow": 2.0, "flap": 1.0}

#: After so long an incident counts half, and so long it goes on at most.
HALF_LIFE_S, INCIDENT_S = 30 * 86400.0, 86400.0

#: A lemon has at least so many incidents and such a score: more than the heaviest incident has by itself.
LEAST_INCIDENTS, LEAST_SCORE = 2, 4.5

#: Words of an incident that are kept as evidence.
_MOST_DETAILS = 5


class Incident(NamedTuple):
    """What happened to a node within a day. `weight` is that of the heaviest kind, `score` what is left of it."""

    at: float
    kinds: tuple[str, ...]
    weight: float
    score: float
    details: tuple[str, ...]


class Ranked(NamedTuple):
    """A node, its incidents, newest first, and how many events of each kind it had."""

    node: str
    score: float
    is_lemon: bool
    incidents: Sequence[Incident]
    counts: dict[str, int]


def ranked(events: Iterable[NodeEvent], now: float) -> list[Ranked]:
    """Return all nodes to which something happened, the worst first. Events of unknown kinds count nothing."""
    by_node: dict[str, list[NodeEvent]] = {}
    for event in events:
        if event.kind in WEIGHTS and event.at <= now:
            by_node.setdefault(event.node, []).append(event)
    found = [_rank(node, sorted(own, key=lambda e: e.at), now) for node, own in by_node.items()]
    return sorted(found, key=lambda r: (not r.is_lemon, -r.score, r.node))


def _rank(node: str, events: Sequence[NodeEvent], now: float) -> Ranked:
    groups: list[list[NodeEvent]] = []
    for event in events:
        if not groups or event.at - groups[-1][0].at > INCIDENT_S:
            groups.append([])
        groups[-1].append(event)
    incidents = [_incident(group, now) for group in reversed(groups)]
    score = sum(incident.score for incident in incidents)
    is_lemon = len(incidents) >= LEAST_INCIDENTS and score >= LEAST_SCORE
    return Ranked(node, score, is_lemon, incidents, dict(Counter(event.kind for event in events)))


def _incident(events: Sequence[NodeEvent], now: float) -> Incident:
    at = events[0].at
    weight = max(WEIGHTS[event.kind] for event in events)
    kinds = tuple(sorted({event.kind for event in events}, key=lambda kind: (-WEIGHTS[kind], kind)))
    details = tuple(dict.fromkeys(f"{event.kind}: {event.detail}" for event in events if event.detail))
    return Incident(at, kinds, weight, weight * 0.5 ** ((now - at) / HALF_LIFE_S), details[:_MOST_DETAILS])


def document(nodes: Sequence[Ranked], since: float, now: float) -> dict[str, Any]:
    """Return the ranking as JSON values, with what is needed to reckon it again."""
    return {
        "schema": "nodeproof.lemons/1",
        "since": since,
        "now": now,
        "weights": WEIGHTS,
        "half_life_s": HALF_LIFE_S,
        "incident_s": INCIDENT_S,
        "least_incidents": LEAST_INCIDENTS,
        "least_score": LEAST_SCORE,
        "nodes": [
            {**node._asdict(), "incidents": [incident._asdict() for incident in node.incidents]} for node in nodes
        ],
    }
