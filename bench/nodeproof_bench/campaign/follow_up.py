"""What follows when everything is measured: suspects are measured again, and confirmed ones are drained."""

import hashlib
import time
from collections.abc import Callable

from nodeproof.policy.settings import Settings
from nodeproof.slurm.carry import carry_out
from nodeproof.slurm.outcome import Denied, Drained, Foreign, HeldBack, Outcome, Standing, Unsure
from nodeproof.slurm.rest import Client
from nodeproof.slurm.wish import MAX_TEXT_BYTES, Wish
from nodeproof.verdict import harmless
from nodeproof_bench.campaign import confirming
from nodeproof_bench.campaign.book_rows import FindingRow, NodeEvent
from nodeproof_bench.campaign.ledger import Ledger
from nodeproof_bench.campaign.phases import CONFIRM
from nodeproof_bench.campaign.plan import Plan

#: How long drains may take altogether: an unknown outcome is looked at, and written, again.
_DRAIN_S = 120.0


class FollowUp:
    """Assesses a campaign whose tasks are over, and acts as its plan says."""

    def __init__(
        self, ledger: Ledger, plan: Plan, client: Client, settings: Settings, say: Callable[[str], None]
    ) -> None:
        self._ledger = ledger
        self._book = ledger.book
        self._id = ledger.campaign_id
        self._plan = plan
        self._client = client
        self._settings = settings
        self._say = say

    def confirm(self) -> bool:
        """Assess, and add what measures suspects again. Returns whether there is something left to do."""
        from nodeproof_bench.campaign.assess import assess

        assess(self._book, self._id)
        findings = self._book.findings(self._id)
        if not self._plan.act.confirmations or any(t.phase.startswith(CONFIRM) for t in self._ledger.tasks.values()):
            return False
        found = confirming.suspects(findings, self._book.measured(self._id), self._plan)
        nodes = self._book.nodes(self._id)
        good = {row.node for row in nodes if row.state == "included"} - {f.node for f in findings if is_slow(f)}
        switches = {row.node: row.switch for row in nodes if row.switch}
        first = max(self._ledger.tasks, default=0) + 1
        tasks = confirming.tasks(self._id, self._plan, found, good, switches, first)
        if tasks:
            self._say(f"measured again to confirm: {', '.join(sorted(found.nodes))}")
            self._ledger.add(tasks)
        return bool(tasks)

    def act(self) -> None:
        """Drain the nodes with confirmed findings, if the plan says so. The guard has its say, as for any drain."""
        findings = self._book.findings(self._id)
        confirmed = [f for f in findings if f.state == "confirmed" and f.node and is_slow(f)]
        if self._plan.act.findings != "drain" or not confirmed:
            return
        decisive = {f.node: f for f in sorted(confirmed, key=lambda f: (f.detector == "limit", f.loss or 0.0))}
        wishes = [self._wish(f) for f in decisive.values()]
        self._client.renew(_DRAIN_S)
        from random import SystemRandom

        outcomes = carry_out(wishes, self._client, self._settings.guard, is_alone=False, random=SystemRandom())
        for node, outcome in outcomes.items():
            self._say(f"{node}: {action_of(outcome)}: {decisive[node].text}")
        acted = [f._replace(action=action_of(outcomes[f.node])) if f.node in outcomes else f for f in findings]
        self._book.set_findings(self._id, acted)
        drained = [f for f in decisive.values() if isinstance(outcomes[f.node], Drained)]
        self._book.add_events([NodeEvent(f.node, time.time(), "drain", reason_text(f), self._id) for f in drained])

    def _wish(self, finding: FindingRow) -> Wish:
        """Return a drain. Its id follows from campaign and node: a controller that died meanwhile makes no second."""
        drain_id = hashlib.sha256(f"{self._id}/{finding.node}".encode()).hexdigest()[:8]
        text = reason_text(finding)
        return Wish(finding.node, "drain", drain_id, text, (check_id(finding),), decided_at=int(time.time()))


def is_slow(finding: FindingRow) -> bool:
    """Tell whether something was measured that speaks against a node; of failed checks, policy says what follows."""
    return finding.detector not in {"check", "too_good", "disturbed"}


def check_id(finding: FindingRow) -> str:
    """Return what stands for a check in the reason: `campaign.` and the benchmark."""
    return f"campaign.{finding.metric.partition(' ')[0]}"


def reason_text(finding: FindingRow) -> str:
    """Return the reason of a drain, in ASCII: what is wrong, how much, and in which campaign it was found."""
    percent = f"{100 * (finding.loss or 0.0):.0f} %"
    what = {
        "limit": f"is {percent} beyond the limit of {finding.metric}",
        "distribution": f"varies too much in {finding.metric}",
    }.get(finding.detector, f"is {percent} slow in {finding.metric}")
    text = f"{check_id(finding)}: {finding.node} {what}, confirmed in {finding.campaign_id}"
    return harmless(text.encode("ascii", "replace").decode(), MAX_TEXT_BYTES).replace("…", "~")


def action_of(outcome: Outcome) -> str:
    """Return in a few words what came of a drain."""
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
