"""What follows when everything is measured: suspects are measured again, and confirmed ones are drained."""

import hashlib
import time
from collections.abc import Callable, Mapping

from nodeproof.policy.hosts import folded
from nodeproof.policy.settings import Settings
from nodeproof.slurm.carry import carry_out
from nodeproof.slurm.node import Node
from nodeproof.slurm.outcome import Denied, Drained, Foreign, HeldBack, Outcome, Standing, Unsure
from nodeproof.slurm.rest import Client
from nodeproof.slurm.wish import MAX_TEXT_BYTES, Wish, check_of
from nodeproof.verdict import harmless
from nodeproof_bench.campaign import confirming
from nodeproof_bench.campaign.book_rows import FindingRow, NodeEvent
from nodeproof_bench.campaign.ledger import Ledger
from nodeproof_bench.campaign.phases import CONFIRM
from nodeproof_bench.campaign.plan import Plan

#: How long drains may take altogether: an unknown outcome is looked at, and written, again.
_DRAIN_S = 120.0

#: Most of what is kept of what came of a drain: it may quote Slurm.
_ACTION_CHARS = 200


class FollowUp:
    """Assesses a campaign whose tasks are over, and acts as its plan says. `drain_s` bounds how long drains take."""

    def __init__(  # noqa: PLR0913  # what it works with, each of its own kind
        self,
        ledger: Ledger,
        plan: Plan,
        client: Client,
        settings: Settings,
        say: Callable[[str], None],
        *,
        drain_s: float = _DRAIN_S,
    ) -> None:
        self._ledger = ledger
        self._book = ledger.book
        self._id = ledger.campaign_id
        self._plan = plan
        self._client = client
        self._settings = settings
        self._say = say
        self._drain_s = drain_s

    def confirm(self) -> bool:
        """Assess, and add what measures suspects again. Returns whether there is something left to do."""
        from nodeproof_bench.campaign.assess import assess

        assessed = assess(self._book, self._id)
        findings = self._book.findings(self._id)
        if not self._plan.act.confirmations or any(t.phase.startswith(CONFIRM) for t in self._ledger.tasks.values()):
            return False
        measured = self._book.measured(self._id)
        found = confirming.suspects(findings, measured, self._plan, assessed.doubts, assessed.check_phases)
        nodes = self._book.nodes(self._id)
        good = confirming.known_good(nodes, [*findings, *assessed.judgement.doubts], self._ledger.tasks.values())
        switches = {row.node: row.switch for row in nodes if row.switch}
        first = max(self._ledger.tasks, default=0) + 1
        tasks = confirming.tasks(self._id, self._plan, found, good, switches, first)
        if tasks:
            self._say(f"measured again to confirm: {folded(found.nodes)}")
            self._ledger.add(tasks)
        return bool(tasks)

    def act(self) -> None:
        """Drain the nodes with confirmed findings, if the plan says so. The guard has its say, as for any drain."""
        findings = self._book.findings(self._id)
        confirmed = [f for f in findings if f.state == "confirmed" and f.node and is_slow(f)]
        if self._plan.act.findings != "drain" or not confirmed:
            return
        decisive = {f.node: f for f in sorted(confirmed, key=lambda f: (f.detector == "limit", f.loss or 0.0))}
        outcomes = self._drained(decisive)
        for node, outcome in outcomes.items():
            self._say(f"{node}: {action_of(outcome)}: {decisive[node].text}")
        acted = {f: f._replace(action=action_of(outcomes[f.node])) for f in confirmed}
        self._book.set_findings(self._id, [acted.get(f, f) for f in findings])
        self._book.add_events([self._event(f, out) for f in decisive.values() if (out := _out(outcomes[f.node]))])

    def _drained(self, decisive: Mapping[str, FindingRow]) -> Mapping[str, Outcome]:
        """Return what came of draining each node for the finding that decides."""
        from random import SystemRandom

        self._client.renew(self._drain_s)
        wishes = [self._wish(finding) for finding in decisive.values()]
        return carry_out(wishes, self._client, self._settings.guard, is_alone=False, random=SystemRandom())

    def _event(self, finding: FindingRow, node: Node) -> NodeEvent:
        """Return a drain as an event, at Slurm's own time: a controller that died meanwhile adds no second."""
        return NodeEvent(finding.node, float(node.reason_changed_at), "drain", reason_text(finding), self._id)

    def _wish(self, finding: FindingRow) -> Wish:
        """Return a drain. Its id follows from campaign and node: a controller that died meanwhile makes no second."""
        drain_id = hashlib.sha256(f"{self._id}/{finding.node}".encode()).hexdigest()[:8]
        text = reason_text(finding)
        return Wish(finding.node, "drain", drain_id, text, (check_of(text),), decided_at=int(time.time()))


def is_slow(finding: FindingRow) -> bool:
    """Tell whether something was measured that speaks against a node; of failed checks, policy says what follows."""
    return finding.detector not in {"check", "too_good", "disturbed"}


def check_id(finding: FindingRow) -> str:
    """Return what stands for a check in the reason: `campaign.` and the benchmark."""
    return f"campaign.{finding.metric.partition(' ')[0]}"


def reason_text(finding: FindingRow) -> str:
    """Return the reason of a drain, in ASCII: what is wrong, how much, and in which campaign it was found."""
    text = f"{check_id(finding)}: {finding.node} {_what(finding)}, confirmed in {finding.campaign_id}"
    return harmless(text.encode("ascii", "replace").decode(), MAX_TEXT_BYTES).replace("…", "~")


def _what(finding: FindingRow) -> str:
    """Return what is wrong. Where nothing may be wrong, no share is beyond the limit: what was wrong is counted."""
    percent = f"{100 * (finding.loss or 0.0):.0f} %"
    match finding.detector:
        case "limit" if not finding.expected:
            count = f"{finding.value or 0.0:.0f}"
            return f"found {count} wrong {'value' if count == '1' else 'values'} in {finding.metric}"
        case "limit":
            figures = finding.text.partition(" (")[0].removeprefix(f"{finding.metric} is ").replace("µ", "u")
            return f"has {finding.metric} at {figures}"  # 7.71 us, 6.7 times beyond the limit of 1.00 us
        case "distribution":
            return f"varies too much in {finding.metric}"
        case _:
            return f"is {percent} slow in {finding.metric}"


def _out(outcome: Outcome) -> Node | None:
    """Return the node if it is out of service by our drain, made now or by a controller that died after it."""
    return outcome.node if isinstance(outcome, Drained | Standing) else None


def action_of(outcome: Outcome) -> str:
    """Return in a few words what came of a drain, printable."""
    return harmless(_came_of(outcome), _ACTION_CHARS)


def _came_of(outcome: Outcome) -> str:
    match outcome:
        case Drained() | Standing():
            return "drained"
        case HeldBack():
            return f"held back: {outcome.why}"
        case Foreign():
            return "left: out of service by somebody else"
        case Unsure() | Denied():
            return f"not drained: {outcome.words}"
        case _:
            return f"not drained: {type(outcome).__name__}"
