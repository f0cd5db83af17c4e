"""What the agent knows of its node and has done about it, and what it tells: history, the journal, the gate file."""

import math
import re
import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence

from nodeproof.check import CheckSpec
from nodeproof.daemon import known as verdicts
from nodeproof.daemon.answers import NOTHING_DONE, gate_of
from nodeproof.daemon.judging import OPERATOR, Found, Report
from nodeproof.daemon.known import UNKNOWN, Known
from nodeproof.daemon.memory import Memory
from nodeproof.daemon.publish import Publisher, boottime_ns
from nodeproof.daemon.refusal import Refusal
from nodeproof.engine import Result
from nodeproof.policy.settings import Settings
from nodeproof.verdict import Status, harmless, ok

#: A gate file is good for so many intervals: one pass may be late, not two.
_GATE_INTERVALS = 2.5

#: The longest gap between two readings of counters, which refresh the gate file, that makes it last longer, in seconds.
_BEAT_S = 60.0

#: What differs between two decisions that are the same: ids of drains, and how long ago something was.
_PASSING = re.compile(r"nodeproof\[\w*\]|[0-9.]+ (s|min|h|d)\b|\d+")

_LINE_CHARS = 600


class Findings:
    """Verdicts, whatever pass each came from, and the last decision. `say` gets what an administrator should read."""

    def __init__(
        self,
        memory: Memory,
        publisher: Publisher,
        specs: Mapping[str, CheckSpec],
        settings: Callable[[], Settings],
        say: Callable[[str], None],
    ) -> None:
        self._memory, self._publisher, self._specs = memory, publisher, specs
        self._settings, self._say = settings, say
        self._before = memory.history.standings()
        self._judged_ns: int | None = None
        self._decided = ""
        self.known: dict[str, Known] = {}
        self.streaks: Mapping[str, tuple[int, int]] = {}
        self.action: Mapping[str, object] = NOTHING_DONE
        self.actions: Tally[str] = Tally()
        self.refusal = Refusal()
        self.gate_until_ns = 0

    def status_of(self, check_id: str) -> Status:
        known = self.known.get(check_id)
        return Status.OK if known is None else known.verdict.status

    def results(self) -> tuple[Result, ...]:
        return verdicts.results(self.known, self._specs, self._settings())

    def take(self, found: Sequence[Found]) -> None:
        """Take verdicts, keep what changed, and say what got worse."""
        now = time.time()
        self.known = verdicts.updated(self.known, found, now, self._before)
        long = verdicts.unknown_for_long(self.known, now, self._settings().agent.unknown_after_s)
        if long is not None or UNKNOWN in self.known:
            found = [*found, long or Found(UNKNOWN, ok("no check is unknown for long"), 0.0)]
            self.known = verdicts.updated(self.known, found[-1:], now)
        rows = [(f.id, f.verdict.status.word, f.verdict.summary, f.verdict.evidence) for f in found]
        for check_id, _ in self._memory.history.add_verdicts(now, rows):
            verdict = self.known[check_id].verdict
            if verdict.status > Status.SKIP or check_id == OPERATOR:
                self._say(harmless(f"{verdict.status.word}: {check_id}: {verdict.summary}", _LINE_CHARS))

    def forget(self, keep: Callable[[str], bool]) -> None:
        """Forget what no pass judges any more; what was a finding of our own is over, and history has that."""
        gone = [id_ for id_ in self.known if not keep(id_)]
        over = [Found(id_, ok("no longer so"), 0.0) for id_ in gone if id_ not in self._specs]
        self.take(over)
        for id_ in gone:
            del self.known[id_]

    def decided(self, report: Report) -> None:
        """Take what a pass did, and tell it if it is news."""
        action = report.action
        self.streaks, self.refusal = report.streaks, report.refusal
        self.action = action
        self.actions[str(action["result"])] += 1
        decided = f"{action['intent']} {action['result']} {_PASSING.sub('', str(action['summary']))}"
        if decided != self._decided:
            self._memory.history.add_action(time.time(), {**action, "evidence": report.bundle})
            self._say(harmless(str(action["summary"]), _LINE_CHARS))
        self._decided = decided
        for warning in report.warnings:
            self._say(warning)

    def judged(self) -> None:
        """A health check has come to its end: the gate is good from now on."""
        self._judged_ns = boottime_ns()

    def publish(self) -> None:
        """Leave the answers for slurmd's hooks, good until the next passes should have come; none before the first.

        By the clock since boot: one that is set must not make an answer older or younger.
        """
        if self._judged_ns is None:
            return
        agent = self._settings().agent
        age_s = (boottime_ns() - self._judged_ns) / 1e9
        good_s = min(agent.interval_s * _GATE_INTERVALS - age_s, max(agent.counters_s, _BEAT_S) * _GATE_INTERVALS)
        if good_s <= 0:
            self._publisher.no_gate()
            return
        self.gate_until_ns = boottime_ns() + int(good_s * 1e9)
        made = gate_of(self.results(), self.action, self.refusal, self._memory.boot_id, self.gate_until_ns)
        self._publisher.gate(made)


def again_in_s(found: Sequence[Found]) -> float:
    """Return after how many seconds time alone could change one of these verdicts: infinity if never."""
    waits = [f.verdict.evidence.get("again_in_s") for f in found]
    return min((max(0.0, float(w)) for w in waits if isinstance(w, int | float)), default=math.inf)
