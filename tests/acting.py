"""A node over several runs of `act`, against a slurmrestd with a memory and a real state directory."""

import json
from pathlib import Path
from random import Random
from typing import Any

from fake_slurm import TIMED_OUT, VERSION, FakeSlurm, Reply
from nodeproof.act import act
from nodeproof.check import CheckSpec
from nodeproof.engine import Pass, Result
from nodeproof.policy.settings import CheckSettings, ControllerSettings, GuardSettings, Mode, Settings, SlurmSettings
from nodeproof.verdict import Status, Verdict

MOUNTED, SMT = "fs.mounted", "cpu.smt"
SICK = "/scratch is not mounted"


class Node:
    """Node n1 over several runs of `act`."""

    def __init__(self, state_dir: Path, slurm: FakeSlurm) -> None:
        self.state_dir = state_dir
        self.slurm = slurm
        self.heard: list[str] = []
        self.slept_s: list[float] = []
        self.mode: Mode = "enforce"
        self.check = CheckSettings(clear_after=2)
        self.to = SlurmSettings(url=slurm.url, api_version=VERSION, timeout_s=1.5)
        self.guard = GuardSettings()
        self.controller = ControllerSettings()
        self.doubts: tuple[str, ...] = ()

    def act(self, status: Status = Status.FAIL, summary: str = SICK, **keys: Any) -> dict[str, Any]:
        return self.judged({MOUNTED: status}, summary, **keys)

    def judged(self, statuses: dict[str, Status], summary: str = SICK, **keys: Any) -> dict[str, Any]:
        """Act on a pass that judged these checks."""
        checks = dict.fromkeys([MOUNTED, SMT], self.check)
        settings = Settings(
            mode=self.mode,
            slurm=self.to,
            guard=self.guard,
            controller=self.controller,
            checks=checks,
            doubts=self.doubts,
        )
        results = [
            Result(
                CheckSpec(id_, lambda: Verdict(Status.OK, ""), (), {}, frozenset(), "", None, beta=False),
                self.check,
                Verdict(status, summary),
                0.0,
            )
            for id_, status in statuses.items()
        ]
        self.heard.clear()
        self.slurm.requests.clear()
        return act(
            Pass(tuple(results), {}),
            settings,
            "n1.example.org",
            str(self.state_dir),
            self.heard.append,
            random=Random(1),
            sleep=self.slept_s.append,
            **keys,
        )

    def drain(self) -> str:
        done = self.act()
        assert done["result"] == "drained", done
        return str(done["reason"])

    def saved(self) -> Any:
        return json.loads((self.state_dir / "state.json").read_text())

    def states(self) -> list[Any]:
        """Return what state each write so far asked for."""
        return [changes.get("state") for _, changes in self.slurm.writes]


def hangs(slurm: FakeSlurm, *, is_applied: bool) -> None:
    """Let slurmctld hang at the next write, and answer nothing any more; applied or not once it goes on."""

    def hang(names: list[str], changes: dict[str, Any]) -> Reply:
        slurm.on_read = lambda: TIMED_OUT
        if is_applied:
            slurm.later.append(lambda: slurm.apply(names, changes) and None)
        return TIMED_OUT

    slurm.on_write = hang


def goes_on(slurm: FakeSlurm) -> None:
    slurm.on_read = lambda: None
    slurm.on_write = lambda _names, _changes: None
