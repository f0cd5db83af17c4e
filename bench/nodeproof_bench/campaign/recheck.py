"""What came of measuring suspects again, in the phases that only confirm findings."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nodeproof_bench.analysis import robust
from nodeproof_bench.analysis.fleet import Rules
from nodeproof_bench.analysis.measured import spread
from nodeproof_bench.campaign.book_rows import FindingRow, Task
from nodeproof_bench.campaign.figures import Figure, label

#: What is measured again confirms a finding if at least this share of the loss is still there.
_SAME = 0.5

#: So many repeats at least tell how far apart they are.
_LEAST_FOR_SPREAD = 3


class Recheck(NamedTuple):
    """The repeats of each time that a finding's metric was measured again."""

    is_higher_better: bool
    times: Sequence[Sequence[float]]

    def votes(self, finding: FindingRow, rules: Rules) -> tuple[int, int]:
        """Return how many times it was still as bad, and how many times not."""
        told = [still for repeats in self.times if (still := self._still(finding, repeats, rules)) is not None]
        return sum(told), len(told) - sum(told)

    def _still(self, finding: FindingRow, repeats: Sequence[float], rules: Rules) -> bool | None:
        values, expected, loss = np.array(repeats), finding.expected or 0.0, finding.loss or 0.0
        if finding.detector == "distribution":
            if len(values) < _LEAST_FOR_SPREAD:
                return None
            return float(spread(values)) - expected >= _SAME * loss
        value = float(robust.better_middle(values, np.array(self.is_higher_better)))
        if finding.detector == "limit":
            value = value if expected else float(values.max())  # what may never be wrong was, if it was once
            return value < expected if self.is_higher_better else value > expected
        worse = expected - value if self.is_higher_better else value - expected
        return worse >= max(_SAME * loss, rules.least_loss) * expected


def recheck(samples: Iterable[Figure], tasks: Sequence[Task]) -> Mapping[tuple[str, str], Recheck]:
    """Return what was measured again, by node or path and metric, from samples that only confirm.

    A path was by all pairs on it.
    """
    task_of = {task.task: task for task in tasks}
    times = defaultdict[tuple[str, str], dict[int, list[float]]](lambda: defaultdict(list))
    is_higher = dict[str, bool]()
    for figure in samples:
        task = task_of.get(figure.task)
        if task is None or figure.is_inconclusive:
            continue
        for name, value in _named(figure, task.kind):
            is_higher[name] = bool(figure.is_higher_better)
            for place in {figure.node, figure.peer, task.path if figure.peer else ""} - {""}:
                times[place, name][figure.task].append(value)
    return {(place, name): Recheck(is_higher[name], [*by.values()]) for (place, name), by in times.items()}


def _named(figure: Figure, kind: str) -> list[tuple[str, float]]:
    """Return the names under which a sample is judged, with its values."""
    if figure.peer:
        return [(figure.metric, figure.value)]
    if kind not in {"bench", "repeat", "stress"}:
        return []
    both = ((False, figure.value), (True, figure.sustained))
    return [(label(figure.metric, kind, is_sustained=is_it), value) for is_it, value in both if value is not None]
