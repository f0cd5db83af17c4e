"""What the doctor found: a verdict about one part of the wiring, and what to do if it is broken."""

from collections.abc import Generator
from typing import NamedTuple

from nodeproof.verdict import Verdict, skip


class Finding(NamedTuple):
    """`name` is `subject.condition`, like the id of a check."""

    name: str
    verdict: Verdict
    remedy: str = ""


Findings = Generator[Finding, None, bool]
"""Findings in their order. Returns whether what comes after can be looked at at all."""


def not_asked(names: str, why: str) -> Findings:
    """Yield a skip for each of the parts that could not be looked at."""
    for name in names.split():
        yield Finding(name, skip(f"not looked at: {why}"))
    return False
