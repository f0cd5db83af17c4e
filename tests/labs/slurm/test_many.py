"""A thousand nodes of a real Slurm fail at once, each writes for itself, and the budget holds.

The nodes are simulated: they have no slurmd. What each of them does is what `nodeproof check --act` does.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from mini_slurm import Slurm
from nodeproof.policy.settings import GuardSettings, SlurmSettings
from nodeproof.slurm import Client, Drained, HeldBack, Outcome, Record, Standing, Unsure, Wish, carry_out
from nodeproof.slurm.versions import Versions

pytestmark = pytest.mark.slurm

NAMES = [f"sim{n}" for n in range(1, 1001)]

#: A hundredth of the nodes, whatever the checks and the hour: what is tried here is the budget.
GUARD = GuardSettings(share=0.01, drains=1000, same_check_nodes=1000)
MOST = 10

#: How many of them come back, as far as this test waits for them.
AGAIN = 60

#: As in a health check: all the time for Slurm, and over how much of it the nodes spread.
LIMIT_S, JITTER_S = 20.0, 4.0


class Fleet:
    """A thousand nodes that fail, and what each of them remembers."""

    def __init__(self, slurm: Slurm, directory: Path, guard: GuardSettings) -> None:
        token_file = directory / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(slurm.token("slurm"))
        self.settings = SlurmSettings(slurm.url, str(token_file), "slurm")
        self.guard = guard
        self.versions = Versions()
        self.records: dict[str, Record] = {}
        with self.client() as client:
            client.nodes()

    def client(self, limit_s: float = LIMIT_S) -> Client:
        return Client(self.settings, limit_s, self.versions)

    def fail(self, names: list[str], jitter_s: float, workers: int) -> dict[str, Outcome]:
        """Let these nodes ask for a drain, `workers` of them at a time. Returns what came of it."""

        def act(name: str) -> Outcome:
            random = Random(name)
            waited_s = random.uniform(0.0, jitter_s)
            time.sleep(waited_s)
            wish = Wish(name, "drain", f"{int(name[3:]):08x}", "fs.mounted: /scratch is not mounted", ("fs.mounted",))
            with self.client(LIMIT_S - waited_s) as client:
                made = carry_out(
                    [wish._replace(record=self.records.get(name), decided_at=int(time.time()))],
                    client,
                    self.guard,
                    is_alone=False,
                    random=random,
                    before_write=lambda w: self.records.update({name: Record(w.id, w.reason, w.checks)}),
                )
            return made[name]

        with ThreadPoolExecutor(workers) as pool:
            return dict(zip(names, pool.map(act, names), strict=True))

    def drained(self) -> list[str]:
        with self.client() as client:
            return sorted(name for name, node in client.nodes().items() if node.is_drained)


@pytest.fixture
def idle(big_slurm: Slurm) -> Slurm:
    """Return a Slurm whose simulated nodes are all in service, and have no reason."""
    for change in (["state=down", "reason=x"], ["state=resume"], ["reason="]):
        big_slurm.exec("scontrol", "update", "nodename=sim[1-1000]", *change)
    return big_slurm


def latency_s(slurm: Slurm) -> float:
    """Return how long slurmctld takes to tell of one node, the start of scontrol included."""
    began_s = time.monotonic()
    slurm.node("n1")
    return time.monotonic() - began_s


def latencies_s(slurm: Slurm, is_over: threading.Event) -> Iterator[float]:
    while not is_over.wait(0.5):
        yield latency_s(slurm)


def test_of_a_thousand_nodes_that_fail_at_once_the_budget_stays_drained(idle: Slurm, tmp_path: Path) -> None:
    """All at once they ask for more than slurmrestd can answer: what is not answered drains nothing.

    Then some of them come back, as they do when HealthCheckNodeState has CYCLE.
    """
    fleet, is_over = Fleet(idle, tmp_path, GUARD), threading.Event()
    before_s = max(latency_s(idle) for _ in range(3))
    with ThreadPoolExecutor(1) as pool:
        measured = pool.submit(lambda: list(latencies_s(idle, is_over)))
        outcomes = fleet.fail(NAMES, JITTER_S, workers=len(NAMES))
        is_over.set()
        during_s = measured.result()
    with idle.stopped("slurmrestd-tcp"):  # what it still has to do is for nodes that have long given up
        pass
    print(f"\n{idle.release}, at once: {_kinds(outcomes)}; drained {len(fleet.drained())}")
    print(f"slurmctld's latency {before_s:.2f} s before, {max(during_s):.2f} s at most during")
    assert set(map(type, outcomes.values())) <= {Drained, HeldBack, Unsure}
    assert len(fleet.drained()) <= MOST

    open_ = [name for name, o in outcomes.items() if isinstance(o, Unsure)]
    written = [name for name in open_ if name in fleet.records]
    back = fleet.fail([*written, *(name for name in open_ if name not in written)][:AGAIN], 0.0, workers=16)

    print(f"{idle.release}, {len(back)} of them again: {_kinds(back)}; drained {len(fleet.drained())}")
    outcomes |= back
    kept = {name for name, o in outcomes.items() if isinstance(o, Drained | Standing)}
    assert set(map(type, back.values())) <= {Drained, Standing, HeldBack}
    assert kept == set(fleet.drained())
    assert 0 < len(kept) <= MOST


def _kinds(outcomes: Mapping[str, Outcome]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in Counter(type(o).__name__ for o in outcomes.values()).items())
