"""What findings came to: the state of each by what measuring it again showed. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from nodeproof_bench.analysis.fleet import Finding, Rules
from nodeproof_bench.campaign.book_rows import FindingRow
from nodeproof_bench.campaign.failed_checks import COULD_NOT_TELL
from nodeproof_bench.campaign.recheck import Recheck

#: A node or path with a metric: what was measured again there.
Again = Mapping[tuple[str, str], Recheck]

_NOTHING = Recheck(is_higher_better=True, times=())


def row_of(campaign_id: str, found: Finding) -> FindingRow:
    """Return a finding of a node as a row of the book."""
    figures = found.value, found.expected, found.loss, found.z, found.p, found.q
    return FindingRow(campaign_id, found.node, "", found.metric, found.detector, *figures, text=found.text)


def settled(
    found: Sequence[FindingRow], by_all: Iterable[FindingRow], again: Again, needed: int, rules: Rules
) -> list[FindingRow]:
    """Return findings with their states. `by_all` are those that all repeats together show, the first and the fresh.

    What was sure at first is confirmed if most of the times that it was measured again show it once more. What all
    repeats show as surely is confirmed as well, sure at first or not, if it was measured again as often as needed.
    """
    rows = {key_of(row): row._replace(state=_state(row, _at(again, row), needed, rules)) for row in found}
    for row in by_all:
        is_new = key_of(row) not in rows or rows[key_of(row)].state != "confirmed"
        if is_new and len(_at(again, row).times) >= max(needed, 1):
            rows[key_of(row)] = row._replace(state="confirmed")
    return list(rows.values())


def key_of(row: FindingRow) -> tuple[str, str, str, str]:
    """Return what tells findings of a campaign apart."""
    return row.node, row.path, row.metric, row.detector


def _at(again: Again, row: FindingRow) -> Recheck:
    return again.get((row.node or row.path, row.metric), _NOTHING)


def _state(row: FindingRow, again: Recheck, needed: int, rules: Rules) -> str:
    """Return the state of a finding that was sure at first, by the votes of the times that it was measured again.

    What is too good is no fault, and what could not be measured is none yet: neither is ever confirmed.
    """
    if row.detector == "disturbed":
        return COULD_NOT_TELL
    if row.detector == "too_good":
        return "suspect"
    worse, fine = again.votes(row, rules)
    if worse >= needed and worse > fine:
        return "confirmed"
    if needed == 0:
        return "confirmed"
    if row.detector == "limit" and not row.expected:
        return "suspect"  # a wrong value that does not come again is no comfort
    return "cleared" if fine >= needed and fine > worse else "suspect"
