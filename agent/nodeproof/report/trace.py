"""Where the time of a pass went, per fact and per check."""

import sys
from collections.abc import Mapping

from nodeproof.engine import Pass


def write(outcome: Pass, stages: Mapping[str, float]) -> None:
    """Print stages, facts and checks with their milliseconds, slowest first, to standard error.

    Facts are read by workers that run beside each other: their sum may exceed the stage `probes`.
    """
    facts = {f.__name__: r.seconds for f, r in outcome.readings.items()}
    checks = {r.spec.id: r.seconds for r in outcome.results}
    for title, costs in (("stage", stages), ("fact", facts), ("check", checks)):
        for name, seconds in sorted(costs.items(), key=lambda item: -item[1]):
            print(f"{title:<6} {name:<28} {seconds * 1000:9.3f} ms", file=sys.stderr)
