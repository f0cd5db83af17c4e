"""What a pass over the links and counters of ten InfiniBand ports takes in one process, in interleaved rounds.

The ports are files in memory, read as the live machine's are: what the kernel and an adapter's firmware take to
answer is not among it. Facts are read and judged one after the other, without workers. Prints medians with their
spread, and the median of CPU time. Run it with `make ib-pass`.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from ib_node import IbNode
from nodeproof.check import CheckSpec, registry
from nodeproof.engine.run import judge
from nodeproof.engine.worker import Reading, read_facts
from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.base import Live, walk
from nodeproof.policy.settings import CheckSettings
from nodeproof.probes.ib_counters import IbCounters
from nodeproof.probes.ib_ports import IbSubnets
from nodeproof.probes.infiniband import Infiniband

PORTS, ROUNDS, GOAL_MS = 10, 101, 20.0


class Elsewhere(Live):
    """The live machine's reader, below another root; what no file holds is answered as planted."""

    can_hang = False

    def __init__(self, root: str, calls: dict[tuple[Any, ...], Any]) -> None:
        super().__init__()
        self.root = root
        self.calls = calls

    def read(self, path: str) -> bytes:
        return super().read(self.root + path)

    def glob(self, pattern: str) -> list[str]:
        return walk(self.root, pattern)

    def link(self, path: str) -> str:
        return os.readlink(self.root + path)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.calls[function, *args]


def plant(root: Path) -> Host:
    node = IbNode(count=PORTS)
    for path, target in node.links.items():
        # directories of a class are links into the tree of devices, as in sysfs
        place = root / path.lstrip("/")
        real = (place.parent / target).resolve()
        real.mkdir(parents=True, exist_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    for path, text in node.files.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Host(Elsewhere(str(root), node.calls))


class Spent(NamedTuple):
    """Milliseconds by the clock, and of this process on a CPU: others on this machine lengthen the first."""

    wall: float
    cpu: float


def spent(work: Callable[[], object]) -> Spent:
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    return Spent((time.perf_counter() - began) * 1000, (time.process_time() - began_cpu) * 1000)


def checked(host: Host, specs: list[CheckSpec], policy: dict[str, dict[str, object]]) -> dict[str, Any]:
    facts = list(dict.fromkeys(fact for spec in specs for fact in spec.facts))
    readings = read_facts(host, facts, deadline_s=5, until_s=float("inf"))
    return {spec.id: judge(spec, CheckSettings(policy[spec.id]), readings) for spec in specs}


def learnt(host: Host, specs: list[CheckSpec]) -> dict[str, dict[str, object]]:
    facts = list(dict.fromkeys(fact for spec in specs for fact in spec.facts))
    readings: dict[type, Reading] = read_facts(host, facts, deadline_s=5, until_s=float("inf"))
    values = {spec.id: [readings[fact].value for fact in spec.facts] for spec in specs}
    return {
        spec.id: dict(spec.learn(*values[spec.id]))
        if spec.learn and not any(isinstance(value, FactError) for value in values[spec.id])
        else {}
        for spec in specs
    }


def main() -> None:
    specs = [spec for spec in registry().values() if spec.subject == "ib"]
    links = [spec for spec in specs if spec.id in ("ib.port", "ib.firmware", "ib.subnet_manager")]
    with tempfile.TemporaryDirectory(prefix="nodeproof-ib-pass-", dir="/dev/shm") as directory:
        host = plant(Path(directory))
        policy = learnt(host, specs)
        facts: list[Any] = [
            fact for fact in dict.fromkeys(f for spec in specs for f in spec.facts) if is_there(host, fact)
        ]
        work: dict[str, Callable[[], object]] = {fact.__name__: partial(fact.read, host) for fact in facts}
        work[IbCounters.__name__] = partial(IbCounters.read, host)
        work["state and rate"] = lambda: checked(host, [spec for spec in links if spec.id == "ib.port"], policy)
        work["links and counters"] = lambda: (checked(host, links, policy), IbCounters.read(host))
        work["every check of ib.*"] = lambda: checked(host, specs, policy)
        rounds = [{name: spent(one) for name, one in work.items()} for _ in range(ROUNDS)]
        _print(rounds, len(IbCounters.read(host).known))
        assert len(Infiniband.read(host).ports) == len(IbSubnets.read(host).known) == PORTS


def is_there(host: Host, fact: Any) -> bool:
    try:
        fact.read(host)
    except FactError:
        return False
    return True


def _print(rounds: list[dict[str, Spent]], counted: int) -> None:
    print(f"{counted} of {PORTS} ports with counters, {len(rounds)} rounds")
    print(f"{'':<22} {'median':>8} {'min':>8} {'p90':>8} {'max':>8} {'CPU':>8} ms")
    for name in rounds[0]:
        times = sorted(r[name].wall for r in rounds)
        p90, cpu = times[len(times) * 9 // 10], statistics.median(r[name].cpu for r in rounds)
        print(f"{name:<22} {statistics.median(times):8.2f} {times[0]:8.2f} {p90:8.2f} {times[-1]:8.2f} {cpu:8.2f}")
    median = statistics.median(r["links and counters"].wall for r in rounds)
    print(f"links and counters: {median:.1f} ms, the goal is at most {GOAL_MS:g}")


if __name__ == "__main__":
    main()
