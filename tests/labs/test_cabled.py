"""Two machines with eight cables between them, a Soft-RoCE device on each end: one link that adds a delay is named.

Emulated machines need some 150 µs for half a round trip, and a multiple of that where others use the CPUs. So the delay
is a multiple of what the same links took without one: 50 µs are 25 times the 2 µs of a real port.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from nodeproof.verdict import Status, Verdict
from nodeproof_bench.port_kinds import PortKinds
from nodeproof_bench.result import BenchResult, result_of
from planted_bench import history, verdict
from vm_lab import boot_pair

pytestmark = pytest.mark.vm

CABLES, BAD = 8, 2

BAD_LINK = [f"rxe{BAD}/1 (to rxe{BAD}/1 of the other host)"]

#: How much longer half a round trip gets on the bad link, in multiples of the usual one. The delay is on one end only,
#: hence in every second of the messages, and twice as long.
STEPS: Mapping[str, float] = {"clean": 0, "slow25": 25, "slow10": 10, "slow5": 5, "slow2": 2, "again": 0}

LINKS = """
set -e
modprobe rdma_rxe; modprobe sch_netem
last=$((CABLES - 1))
for n in $(seq 0 $last); do ip addr add 10.9.$n.OWN/24 dev eth$n; ip link set eth$n up; done
for n in $(seq 0 $last); do rdma link add rxe$n type rxe netdev eth$n; done
sleep 2
ports=$(seq -f rxe%g/1 -s, 0 $last)
measure() {
    for _ in $(seq 5); do
        /ro/bin/nodeproof-bench rdma.latency --device "$ports" --seconds 3 "$2" 10.9.0.1:7000 --session "$1" \\
            > /host/$1.json 2> /host/$1.log && return
        sleep 1
    done
    cat /host/$1.log; return 1
}
""".replace("CABLES", str(CABLES))

SERVER = LINKS.replace("OWN", "1") + "\n".join(f"measure {step} --listen" for step in STEPS)

#: The delay that makes half a round trip so many times longer than it usually was in an earlier step: the machines that
#: others use, too, get slower and faster from one to the next. No more than 0.1 s, for a run has its deadline.
DELAY = """
delay() {
    python3 -c '
import json, statistics, sys
points = json.load(open(f"/host/{sys.argv[2]}.json"))["points"]
usual_s = statistics.median(p["sustained"] for p in points)
print(f"{1e6 * min(0.1, 2 * usual_s * float(sys.argv[1])):.0f}us")' "$1" "$2"
}
"""


def _step(name: str, times: float, before: str) -> str:
    slow = f'tc qdisc replace dev eth{BAD} root netem delay "$(delay {times:g} {before})" limit 10000'
    usual = f"tc qdisc del dev eth{BAD} root 2> /dev/null || true"
    return f"{slow if times else usual}\nmeasure {name} --connect"


CLIENT = (
    LINKS.replace("OWN", "2")
    + DELAY
    + "\n".join(_step(name, times, before) for (name, times), before in zip(STEPS.items(), ["", *STEPS], strict=False))
)


@pytest.fixture(scope="module")
def results(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, BenchResult]:
    """Measure between the two machines, and return what the client says of each step."""
    shares = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("client")
    boot_pair(site, shares, CABLES, (SERVER, CLIENT))
    return {step: result_of(json.loads((shares[1] / f"{step}.json").read_text())) for step in STEPS}


def judged(result: BenchResult) -> Verdict:
    """Judge a result as one of CPUs that were not contended: emulated ones are, and disturb all links alike."""
    undisturbed = result._replace(fields={**result.fields, "is_contended": False})
    return verdict("rdma.latency", history(undisturbed), PortKinds({}))


@pytest.mark.parametrize("step", ["clean", "again"])
def test_links_that_are_alike_raise_no_alarm(results: dict[str, BenchResult], step: str) -> None:
    found = judged(results[step])

    assert found.status == Status.OK, found.summary
    assert found.summary.startswith("8 links: ")


@pytest.mark.parametrize("step", ["slow25", "slow10"])
def test_the_link_that_adds_a_delay_is_named(results: dict[str, BenchResult], step: str) -> None:
    found = judged(results[step])

    assert found.status == Status.FAIL, found.summary
    assert found.evidence["ports"] == BAD_LINK


@pytest.mark.parametrize("step", ["slow5", "slow2"])
def test_a_delay_that_is_hardly_seen_is_blamed_on_no_other_link(results: dict[str, BenchResult], step: str) -> None:
    assert judged(results[step]).evidence.get("ports", BAD_LINK) == BAD_LINK
