"""What the judgement of a fleet is made from, and what comes out of it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis.robust import Floats


class Metric(NamedTuple):
    """What is measured. `floor` is the value, in `unit`, beyond which it is wrong whatever others have."""

    name: str
    unit: str
    is_higher_better: bool
    floor: float | None = None
    floor_source: str = ""


class Fleet(NamedTuple):
    """All that a campaign measured on single nodes; NaN where there is no value.

    `values` is node x metric x repeat, `earlier` node x metric x campaign with the medians of earlier campaigns,
    `disturbed` node x metric says how many repeats gave no value because the machine was disturbed; `floors` node x
    metric are limits of single nodes (NaN: none), beside those of metrics.
    """

    nodes: Sequence[str]
    classes: Sequence[str]
    metrics: Sequence[Metric]
    values: Floats
    earlier: Floats | None = None
    disturbed: NDArray[np.int64] | None = None
    floors: Floats | None = None


class Rules(NamedTuple):
    """What is worth reporting. A finding needs to be certain and large enough.

    `false_discovery_rate`: of all nodes that are found, this share is expected to be chance; `rate_again` is the same
    for what was measured again, by all repeats. `least_loss`: what is
    worse by a smaller share is no finding. `least_class_nodes`: fewer nodes are no class to compare with.
    `least_spread_times`, `least_spread`: a noisy node's repeats are so many times farther apart than its class's,
    and so far as a share of their median. `doubt`: of healthy nodes, about this share looks odd enough to be measured
    again; `most_doubtful`: never more than this share of all nodes, beside those that were found already. `find_loss`:
    a node is measured again where a loss of this share is not ruled out, unless that is so of more than the share
    `most_undecided` of its class: then it is the metric that cannot tell. What is in doubt is measured again until its
    standard error is `good_error`, at most `most_times` as often as what was found.
    """

    false_discovery_rate: float = 0.005
    rate_again: float = 0.07
    least_loss: float = 0.03
    least_class_nodes: int = 8
    least_spread_times: float = 2.5
    least_spread: float = 0.005
    doubt: float = 0.2
    most_doubtful: float = 0.05
    find_loss: float = 0.05
    most_undecided: float = 0.2
    good_error: float = 0.004
    most_times: int = 6


#: Whatever it takes: where repeats scatter, all nodes are measured again, and again.
THOROUGH = Rules(most_undecided=1.0, good_error=0.003, most_times=24)


class Finding(NamedTuple):
    """A node that is not as it should be. `loss` is the share by which `value` is worse than `expected`.

    `detector` is limit, class, part (metrics that belong together), history, profile (its own other metrics),
    distribution, disturbed or too_good. Of distribution, value and expected are how far the repeats are apart, as a
    share of their median; of disturbed, shares of repeats. `z`, `p` and `q` of a limit are None: it is no chance.
    """

    node: str
    metric: str
    detector: str
    value: float
    expected: float
    loss: float
    z: float | None
    p: float | None
    q: float | None
    text: str


class Baseline(NamedTuple):
    """What the nodes of a class have that were not found: the median in the metric's unit, the scatter as a share."""

    median: float
    scaled_mad: float
    count: int  # type: ignore[assignment]  # tuple has a method of that name; the report knows this field by it


class Judgement(NamedTuple):
    """`tests` were made; of the nodes that they found, so many as `expected_false` are chance.

    `shifts`: by which share the class as a whole is worse than in earlier campaigns, where that is at least
    `least_loss`: no comparison among its nodes shows it. `doubts` and `undecided` are no findings, and to be
    measured again: what may be chance, and where a loss that is to be found is not ruled out.
    """

    findings: tuple[Finding, ...]
    baselines: Mapping[tuple[str, str], Baseline]
    tests: int
    expected_false: float
    shifts: Mapping[tuple[str, str], float]
    doubts: tuple[Finding, ...] = ()
    undecided: tuple[Finding, ...] = ()
