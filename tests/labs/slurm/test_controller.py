"""The drain controller on a real Slurm: one node and another, tokens, a kill, and a thousand nodes at once."""

import json
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlled import Controller, controlling, private, site_of
from many_nodes import Asked, ask_at_once
from mini_slurm import Slurm
from nodeproof.controller.client import send
from nodeproof.errors import PolicyError
from nodeproof.slurm import Denied, Drained, HeldBack, Record, Standing, Unsure, Wish

pytestmark = pytest.mark.slurm

#: What slurm.conf needs for slurmctld's own metrics, which 24.11 does not have.
SLURM_CONF = {"forky": "MetricsType=metrics/openmetrics\n"}


def drain(node: str, text: str = "fs.mounted: /scratch is not mounted") -> Wish:
    return Wish(node, "drain", "00c0ffee", text, (text.partition(":")[0],), decided_at=int(time.time()))


# One node


def test_a_node_cannot_drain_another(controller: Controller, slurm: Slurm, n1: str) -> None:
    before = slurm.node(n1)["state"]

    with pytest.raises(PolicyError, match="it is the credential of n2, which cannot speak for n1"):
        send(drain(n1), controller.node(n1, controller.site.credential("n2")), 10)

    assert slurm.node(n1)["state"] == before


def test_a_batch_with_an_unknown_name_drains_the_others(controller: Controller, slurm: Slurm, n1: str) -> None:
    slurm.free("n2")

    asked = ask_at_once(controller, [drain("n2"), drain("nope"), drain(n1)], limit_s=10)

    assert {name: type(outcome) for name, outcome in asked.outcomes.items()} == {
        "n1": Drained,
        "n2": Drained,
        "nope": Denied,
    }
    slurm.free("n2")


def test_a_slurmrestd_that_is_down_is_told(controller: Controller, slurm: Slurm, n1: str) -> None:
    with slurm.stopped("slurmrestd-tcp"):
        outcome = send(drain(n1), controller.node(n1), 10)
    assert isinstance(outcome, Unsure)
    assert "no answer from slurmrestd at" in outcome.words

    assert isinstance(send(drain(n1), controller.node(n1), 10), Drained)


def test_a_token_without_rights_is_told_to_the_nodes(slurm: Slurm, n1: str, tmp_path: Path) -> None:
    with controlling(site_of(slurm, tmp_path, user="alice")) as controller:
        outcome = send(drain(n1), controller.node(n1), 10)

    assert isinstance(outcome, Denied)
    assert "Invalid user id" in outcome.words


def test_a_token_that_is_renewed_is_read_again(slurm: Slurm, n1: str, tmp_path: Path) -> None:
    site = site_of(slurm, tmp_path)
    good = Path(str(site.slurm["token_file"])).read_bytes()
    private(tmp_path / "token", good[:-8] + b"AAAAAAAA")
    with controlling(site) as controller:
        assert isinstance(send(drain(n1), controller.node(n1), 10), Denied)
        private(tmp_path / "token", good)
        assert isinstance(send(drain(n1), controller.node(n1), 10), Drained)
    assert good.decode() not in controller.log


def test_a_controller_killed_in_the_middle_of_a_drain_loses_nothing(slurm: Slurm, n1: str, tmp_path: Path) -> None:
    site = site_of(slurm, tmp_path)
    drains = drains_of(slurm, n1)
    with controlling(site) as controller:
        send(Wish(n1, "look"), controller.node(n1), 10)
        with slurm.hung("slurmctld"):
            outcome = send(drain(n1), controller.node(n1), 1)
            controller.end(signal.SIGKILL)
    assert isinstance(outcome, Unsure)

    with controlling(site) as controller:
        wish = drain(n1)
        again = send(wish._replace(record=Record(wish.id, wish.reason, wish.checks)), controller.node(n1), 10)
    assert isinstance(again, Drained | Standing)
    assert slurm.node(n1)["reason"] == wish.reason
    assert drains_of(slurm, n1) == drains + 1


def drains_of(slurm: Slurm, node: str) -> int:
    """Return how often slurmctld has drained a node: it logs a line for the state, and one for the reason."""
    return slurm.log.read_text().count(f" update_node: node {node} state set to DRAIN")


def test_the_guard_shows_what_it_counts(controller: Controller, slurm: Slurm, n1: str, tmp_path: Path) -> None:
    site = site_of(slurm, tmp_path)
    host, _, port = slurm.url.rpartition(":")
    site.slurm["metrics_url"] = f"{host}:{int(port) - 1}"  # slurmctld's own port
    site.write()
    assert isinstance(send(drain(n1), controller.node(n1), 10), Drained)

    done = subprocess.run(
        [sys.executable, "-I", "-m", "nodeproof", "fleet", "guard", "--policy", str(site.policy), "--json"],
        capture_output=True,
        check=True,
    )

    shown = json.loads(done.stdout)
    assert shown["shares"][0] == {"partition": None, "total": 2, "out": 1, "limit": 2, "why_not": None}
    assert [n["node"] for n in shown["drained"]] == [n1]
    if slurm.suite in SLURM_CONF:
        assert (shown["metrics"]["total"], shown["metrics"]["drain"]) == (2, 1)
    else:
        assert shown["metrics"]["error"].startswith("no metrics from ")


# A thousand nodes


ROOMY = "[guard]\nshare = 1.0\ndrains = 100000\nsame_check_nodes = 100000\n"

NAMES = [f"sim{k}" for k in range(1, 1001)]


@pytest.fixture
def idle(big_slurm: Slurm) -> Slurm:
    put_back(big_slurm)
    return big_slurm


def put_back(slurm: Slurm) -> None:
    """Put all simulated nodes back into service, with no reason."""
    for change in (["state=down", "reason=x"], ["state=resume"], ["reason="]):
        slurm.exec("scontrol", "update", "nodename=sim[1-1000]", *change)


class Pings:
    """How long slurmctld takes to answer a ping through slurmrestd, ten times a second."""

    def __init__(self, slurm: Slurm) -> None:
        import httpx  # whoever collects these tests needs it not

        headers = {"X-SLURM-USER-NAME": "slurm", "X-SLURM-USER-TOKEN": slurm.token("slurm")}
        self._http = httpx.Client(base_url=slurm.url, headers=headers, timeout=60, verify=False)

    def once_s(self) -> float:
        started_s = time.monotonic()
        body = self._http.get("/slurm/v0.0.42/ping/").json()
        assert body["pings"][0]["responding"] is not False
        return time.monotonic() - started_s

    def close(self) -> None:
        self._http.close()

    @contextmanager
    def measured(self) -> Iterator[list[float]]:
        """Ping during a `with` block. Gives what it took each time, in seconds."""
        took_s, ended = list[float](), threading.Event()

        def ping() -> None:
            while not ended.wait(0.1):
                took_s.append(self.once_s())

        thread = threading.Thread(target=ping)
        thread.start()
        try:
            yield took_s
        finally:
            ended.set()
            thread.join()


def requests_of(controller: Controller) -> int:
    """Return how many requests to slurmrestd the controller told of."""
    lines = [line for line in controller.lines if " requests in " in line or " request in " in line]
    return sum(int(line.rpartition("; ")[2].split()[0]) for line in lines)


def ask_and_measure(slurm: Slurm, controller: Controller, wishes: list[Wish], what: str) -> Asked:
    pings = Pings(slurm)
    before_s = [pings.once_s() for _ in range(20)]
    with pings.measured() as during_s:
        asked = ask_at_once(controller, wishes, limit_s=20)
    pings.close()
    print(
        f"\n{slurm.release}, {what}: {asked}; {requests_of(controller)} requests to slurmrestd; "
        f"slurmctld's ping {statistics.median(before_s) * 1e3:.1f} ms before, "
        f"{statistics.median(during_s) * 1e3:.1f} ms during, {max(during_s) * 1e3:.1f} ms at most; "
        f"the controller has {controller.rss_bytes() / 1e6:.0f} MB, and said: {controller.lines[-1]}"
    )
    return asked


def drained_in(slurm: Slurm) -> int:
    return int(slurm.exec("sinfo", "-h", "-t", "drain", "-o", "%D").strip() or "0")


def test_of_a_thousand_nodes_with_one_fault_none_is_drained(idle: Slurm, tmp_path: Path) -> None:
    with controlling(site_of(idle, tmp_path)) as controller:
        asked = ask_and_measure(idle, controller, [drain(n) for n in NAMES], "one fault")

    assert asked.kinds == {"HeldBack": 1000}
    assert drained_in(idle) == 0
    whys = {outcome.why for outcome in asked.outcomes.values() if isinstance(outcome, HeldBack)}
    assert all("a fault of the check or the fabric" in why for why in whys)


@pytest.mark.parametrize(("more", "most"), [("", 10), ("[guard]\ndrains = 1000\n", 50)], ids=["rate", "share"])
def test_of_a_thousand_nodes_with_faults_of_their_own_the_budget_is_drained(
    idle: Slurm, tmp_path: Path, more: str, most: int
) -> None:
    wishes = [drain(name, f"x.c{k % 300}: broken") for k, name in enumerate(NAMES)]
    with controlling(site_of(idle, tmp_path, more)) as controller:
        asked = ask_and_measure(idle, controller, wishes, "faults of their own")

    assert asked.kinds == {"Drained": most, "HeldBack": 1000 - most}
    assert drained_in(idle) == most


def test_a_thousand_nodes_with_one_reason_are_few_requests(idle: Slurm, tmp_path: Path) -> None:
    """How long it takes is printed and not judged: a thousand nodes and Slurm share this machine with other tests."""
    with controlling(site_of(idle, tmp_path, ROOMY)) as controller:
        asked = ask_and_measure(idle, controller, [drain(n) for n in NAMES], "guard wide open")
    assert asked.kinds == {"Drained": 1000}
    assert drained_in(idle) == 1000
    assert requests_of(controller) <= 10
