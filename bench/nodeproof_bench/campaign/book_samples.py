"""How samples are kept: a row of the table holds all repeats of one metric in one result, packed.

A fleet of ten thousand nodes has millions of samples. As a row for each they took nine tenths of the time that it
takes to judge a campaign.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nodeproof_bench.campaign.book_rows import Sample

#: One repeat, the same bytes on all machines and without gaps between them. What is not known is NaN.
REPEAT = np.dtype(
    [("repeat", "<i4"), ("value", "<f8"), ("sustained", "<f8"), ("stability", "<f8"), ("is_inconclusive", "?")]
)


class SampleRow(NamedTuple):
    """A row of the table: what its repeats share, they themselves, and their reasons as JSON (empty without one)."""

    campaign_id: str
    task: int
    attempt: int
    node: str
    peer: str
    phase: str
    metric: str
    unit: str
    is_higher_better: bool
    repeats: bytes
    reasons: str


def packed(samples: Iterable[Sample]) -> list[SampleRow]:
    """Return the rows for the samples of one result, or of several."""
    of_row = dict[tuple[Any, ...], list[Sample]]()
    for sample in samples:
        key = (*sample[:6], sample.metric, sample.unit, sample.is_higher_better)
        of_row.setdefault(key, []).append(sample)
    return [SampleRow._make((*key, _repeats(of_one), _reasons(of_one))) for key, of_one in of_row.items()]


def _repeats(samples: Sequence[Sample]) -> bytes:
    return np.array(
        [(s.repeat, s.value, _number(s.sustained), _number(s.stability), s.is_inconclusive) for s in samples], REPEAT
    ).tobytes()


def _reasons(samples: Sequence[Sample]) -> str:
    reasons = [sample.reason for sample in samples]
    return json.dumps(reasons) if any(reasons) else ""


def _number(value: float | None) -> float:
    return math.nan if value is None else value


class Repeat(NamedTuple):
    """What differs between the samples of one row."""

    repeat: int
    value: float
    sustained: float | None
    stability: float | None
    is_inconclusive: bool


def repeats_of(packed_repeats: bytes) -> Iterator[Repeat]:
    """Yield the repeats of a row, or of several if they are joined."""
    for repeat, value, sustained, stability, is_inconclusive in np.frombuffer(packed_repeats, REPEAT).tolist():
        yield Repeat(repeat, value, _known(sustained), _known(stability), is_inconclusive)


def unpacked(row: Sequence[Any]) -> Iterator[Sample]:
    """Yield the samples of a row of the table."""
    found = SampleRow(*row)
    repeats = list(repeats_of(found.repeats))
    reasons = json.loads(found.reasons) if found.reasons else [""] * len(repeats)
    for one, reason in zip(repeats, reasons, strict=True):
        yield Sample(
            *found[:6],
            one.repeat,
            found.metric,
            found.unit,
            found.is_higher_better,
            one.value,
            one.sustained,
            one.stability,
            one.is_inconclusive,
            reason,
        )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
