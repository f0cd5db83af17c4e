"""Lines of real kernels against the rules: each tells what it should, and nothing else tells anything."""

import re

import pytest

from event_corpus import BENIGN, SAMPLES, Sample
from nodeproof.events.catalogue import RULES
from nodeproof.events.kmsg import Record
from nodeproof.events.match import Match
from nodeproof.events.recognise import Recogniser

#: Told by the agent itself from other sources than the kernel's log.
NOT_IN_THE_LOG = {"event.crash"}


RECOGNISER = Recogniser(RULES)


def told(lines: list[str], recogniser: Recogniser = RECOGNISER, facility: int = 0) -> list[Match]:
    """Return what the lines tell, one record each."""
    found: list[Match] = []
    for sequence, line in enumerate(lines):
        found += recogniser.take(Record(level=4, facility=facility, sequence=sequence, at_us=sequence, text=line))
    return found + recogniser.flush()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.where)
def test_line_tells_its_event(sample: Sample) -> None:
    matches = told(sample.lines)

    usual = "1" if sample.lines[0].startswith("{") else str(len(sample.lines))
    assert len(matches) == int(sample.expected.get("lines", usual))
    expected = {key: value for key, value in sample.expected.items() if key != "lines"}
    for match in matches:
        found = {**match.fields, "part": match.part, "variant": match.variant, "count": str(match.times)}
        assert match.rule.id == sample.rule
        assert {key: found.get(key, "") for key in expected} == expected


def test_every_rule_and_each_of_its_lines_is_in_the_corpus() -> None:
    lines = [line for sample in SAMPLES for line in sample.lines]

    assert {r.id for r in RULES} - {s.rule for s in SAMPLES} == NOT_IN_THE_LOG
    unseen = [
        (r.id, line.pattern) for r in RULES for line in r.lines if not any(map(re.compile(line.pattern).match, lines))
    ]
    assert unseen == []


def test_benign_lines_tell_nothing() -> None:
    assert len(BENIGN) >= 400
    assert len(set(BENIGN)) == len(BENIGN)
    assert [(m.rule.id, m.record.text) for line in BENIGN for m in told([line])] == []


def test_no_line_tells_two_events_when_read_twice() -> None:
    line = "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."

    assert [m.record.sequence for m in told([line, line])] == [0, 1]
