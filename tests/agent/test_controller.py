"""The drain controller from end to end: the real program, real TLS, and a slurmrestd that keeps what it is told."""

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controlled import Controller, Site, controlling, private
from fake_slurm import CTLD_DOWN, NOT_PRIVILEGED, FakeSlurm, Reply, fake_slurm
from many_nodes import ask_at_once
from nodeproof.controller.client import send
from nodeproof.controller.credentials import new_secret
from nodeproof.errors import PolicyError
from nodeproof.slurm import (
    Denied,
    Drained,
    Foreign,
    Free,
    HeldBack,
    NotReady,
    Outcome,
    Record,
    Resumed,
    Standing,
    Unsure,
    Wish,
)
from nodeproof.slurm.wish import to_json

TEXT = "fs.mounted: /scratch is not mounted"

ROOMY = "[guard]\nshare = 1.0\ndrains = 100000\nsame_check_nodes = 100000\n"


@pytest.fixture
def slurm() -> Iterator[FakeSlurm]:
    with fake_slurm() as fake:
        fake.add(*(f"n{k}" for k in range(1, 401)))
        yield fake


@pytest.fixture
def site(slurm: FakeSlurm, tmp_path: Path) -> Site:
    token = private(tmp_path / "token", b"header.payload.signature")
    return Site(tmp_path, slurm.url, token_file=str(token), user_name="nodeproof", api_version="v0.0.42")


@pytest.fixture
def controller(site: Site) -> Iterator[Controller]:
    with controlling(site) as started:
        yield started


def drain(node: str, text: str = TEXT, **keys: Any) -> Wish:
    return Wish(node, "drain", "00c0ffee", text, (text.partition(":")[0],), decided_at=int(time.time()), **keys)


def ask(controller: Controller, wish: Wish, limit_s: float = 10) -> Outcome:
    return send(wish, controller.node(wish.node), limit_s)


def ask_all(controller: Controller, wishes: list[Wish], limit_s: float = 20) -> list[Outcome]:
    """Ask for all at once, each as its node."""
    with ThreadPoolExecutor(len(wishes)) as pool:
        return list(pool.map(lambda wish: ask(controller, wish, limit_s), wishes))


def later(work: Callable[[], Outcome]) -> "Future[Outcome]":
    future: Future[Outcome] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # handed on
            future.set_exception(error)

    threading.Thread(target=run).start()
    return future


def wait_until(is_so: Callable[[], bool], limit_s: float = 10) -> None:
    until_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.01)


class Stalled:
    """A slurmctld that holds up writes until it is let go."""

    def __init__(self, slurm: FakeSlurm) -> None:
        self.seen = threading.Event()
        self.go = threading.Event()
        slurm.on_write = self.wait

    def wait(self, names: list[str], changes: dict[str, Any]) -> Reply | None:
        self.seen.set()
        self.go.wait(20)
        return None


# What nodes want


def test_a_node_is_drained_looked_at_and_resumed(controller: Controller, slurm: FakeSlurm) -> None:
    drained = ask(controller, drain("n1"))

    assert isinstance(drained, Drained)
    assert slurm.nodes["n1"].reason == drained.node.reason == f"nodeproof[00c0ffee]: {TEXT}"
    node = drained.node
    record = Record("00c0ffee", node.reason, ("fs.mounted",), node.reason_changed_at, node.reason_user)
    assert isinstance(ask(controller, Wish("n1", "look", record=record)), Standing)
    resumed = ask(controller, Wish("n1", "resume", record=record))
    assert isinstance(resumed, Resumed)
    assert not slurm.drained()
    assert isinstance(ask(controller, Wish("n1", "look", record=record)), Free)
    controller.wait_for("resumed n1")


def test_a_node_of_somebody_else_is_left_alone_and_noted(controller: Controller, slurm: FakeSlurm) -> None:
    slurm.admin("n1", state=["DRAIN"], reason="bad fan")

    outcome = ask(controller, drain("n1"))

    assert isinstance(outcome, Foreign)
    assert outcome.is_noted
    assert slurm.nodes["n1"].reason == "bad fan"
    assert json.loads(slurm.nodes["n1"].extra)["nodeproof"]["finding"] == TEXT


def test_no_forged_record_lifts_the_drain_of_an_administrator(controller: Controller, slurm: FakeSlurm) -> None:
    slurm.admin("n1", state=["DRAIN"], reason="bad fan", now=1_700_000_000)
    record = Record("00c0ffee", "bad fan", (), 1_700_000_000, "jane")

    assert isinstance(ask(controller, Wish("n1", "resume", "00c0ffee", record=record)), Foreign)
    slurm.nodes["n1"].reason = f"nodeproof[00c0ffee]: {TEXT}"
    record = record._replace(reason=slurm.nodes["n1"].reason)
    assert isinstance(ask(controller, Wish("n1", "resume", "00c0ffee", record=record)), Foreign)

    assert slurm.writes == []


def test_a_node_that_has_not_registered_is_not_resumed(controller: Controller, slurm: FakeSlurm) -> None:
    outcome = ask(controller, drain("n1"))
    assert isinstance(outcome, Drained)
    slurm.nodes["n1"].base = "UNKNOWN"
    node = outcome.node
    record = Record("00c0ffee", node.reason, (), node.reason_changed_at, node.reason_user)

    assert isinstance(ask(controller, Wish("n1", "resume", record=record)), NotReady)


def test_a_node_that_slurm_does_not_know_is_told_so(controller: Controller) -> None:
    outcome = ask(controller, drain("nowhere"))

    assert isinstance(outcome, Denied)
    assert "Slurm knows no node nowhere" in outcome.words


# Batches and the guard


def test_one_reason_is_one_write_with_one_id(site: Site, slurm: FakeSlurm) -> None:
    site.write(ROOMY)
    with controlling(site) as controller:
        outcomes = ask_all(controller, [drain(f"n{k}")._replace(id=f"{k:08x}") for k in range(1, 41)])

    assert {type(outcome) for outcome in outcomes} == {Drained}
    assert len({outcome.node.reason for outcome in outcomes if isinstance(outcome, Drained)}) <= 3
    assert len(slurm.writes) <= 3  # one, unless the threads here were held up
    assert len(slurm.drained()) == 40


def test_of_many_nodes_with_one_fault_none_is_drained(controller: Controller, slurm: FakeSlurm) -> None:
    outcomes = ask_all(controller, [drain(f"n{k}") for k in range(1, 41)])

    held = [outcome.why for outcome in outcomes if isinstance(outcome, HeldBack)]
    assert len(held) >= 35  # all, unless the threads here were held up
    assert slurm.most_drained <= 5
    assert "fs.mounted fails on" in held[0]
    assert "a fault of the check or the fabric" in held[0]


def test_the_sixth_node_with_one_fault_is_held_back_also_after_a_restart(site: Site, slurm: FakeSlurm) -> None:
    with controlling(site) as controller:
        assert [type(ask(controller, drain(f"n{k}"))) for k in range(1, 6)] == [Drained] * 5
        assert isinstance(ask(controller, drain("n6")), HeldBack)
        assert isinstance(ask(controller, drain("n7", "gpu.count: 7 GPUs, expected 8")), Drained)
        controller.end(signal.SIGKILL)

    with controlling(site) as controller:
        sixth = ask(controller, drain("n6"))
        assert isinstance(sixth, HeldBack)
        assert "fs.mounted fails on 6 nodes at once, the limit is 5" in sixth.why
        assert controller.wait_for("held back n6: fs.mounted fails on 6 nodes")
    assert len(slurm.drained()) == 6


def test_nodes_that_were_held_back_count_while_they_ask(site: Site, slurm: FakeSlurm) -> None:
    site.write("[guard]\nnodes = 2\nshare = 0.0\nsame_check_nodes = 3\n")
    with controlling(site) as controller:
        ask(controller, drain("n1"))
        ask(controller, drain("n2"))
        third, fourth = (ask(controller, drain(name)) for name in ("n3", "n4"))

    assert isinstance(third, HeldBack)
    assert "2 of 400 nodes are out of service" in third.why
    assert isinstance(fourth, HeldBack)
    assert "fs.mounted fails on 4 nodes at once" in fourth.why


def test_many_nodes_with_one_reason_are_few_requests(site: Site, slurm: FakeSlurm) -> None:
    """Drain 200: a thousand are a lab's business."""
    site.write(ROOMY)
    names = [f"n{k}" for k in range(1, 201)]
    slurm.add(*names)
    with controlling(site) as controller:
        asked = ask_at_once(controller, [drain(name) for name in names], limit_s=20)
        print(f"\n200 nodes: {asked}; {len(slurm.requests)} requests; {controller.rss_bytes() / 1e6:.0f} MB")

    assert asked.kinds == {"Drained": 200}
    assert len(slurm.requests) <= 10
    assert len({node.reason for node in slurm.nodes.values()}) <= 2
    assert slurm.drained() == sorted(names)


def test_of_many_nodes_with_faults_of_their_own_the_budget_is_drained(site: Site, slurm: FakeSlurm) -> None:
    site.write("[guard]\ndrains = 1000\n")
    names = [f"n{k}" for k in range(1, 401)]
    with controlling(site) as controller:
        asked = ask_at_once(controller, [drain(n, f"x.c{k}: y") for k, n in enumerate(names[:100])], limit_s=20)

    assert asked.kinds == {"Drained": 20, "HeldBack": 80}
    assert slurm.most_drained == 20


# Who speaks


def test_a_node_cannot_speak_for_another(controller: Controller, site: Site, slurm: FakeSlurm) -> None:
    with pytest.raises(PolicyError) as caught:
        send(drain("n2"), controller.node("n2", site.credential("n1")), 10)

    assert caught.value.key == "controller.credential_file"
    assert caught.value.file.endswith("n2.credential")
    assert "it is the credential of n1, which cannot speak for n2" in caught.value.expected
    controller.wait_for("REFUSED: 127.0.0.1 speaks for n2 with the credential of n1")
    assert slurm.requests == []


def test_a_forged_credential_is_refused_and_repeated_nowhere(controller: Controller, site: Site) -> None:
    forged = site.credential("n1")[:-8] + "00000000"

    with pytest.raises(PolicyError, match="does not take it: it is forged or cut short") as caught:
        send(drain("n1"), controller.node("n1", forged), 10)

    controller.wait_for("refused a credential from 127.0.0.1: it is forged or cut short")
    assert forged not in controller.log + str(caught.value)
    assert forged[-64:] not in controller.log


def test_a_secret_is_exchanged_while_nodes_go_on(site: Site) -> None:
    old_secret, old = site.secret_file.read_bytes(), site.credential("n1")
    private(site.secret_file, new_secret().encode() + old_secret)
    with controlling(site) as controller:
        assert isinstance(send(Wish("n1", "look"), controller.node("n1", old), 10), Free)
        assert isinstance(send(Wish("n1", "look"), controller.node("n1"), 10), Free)
    private(site.secret_file, site.secret_file.read_bytes().split()[0])
    with controlling(site) as controller:
        assert isinstance(send(Wish("n1", "look"), controller.node("n1"), 10), Free)
        with pytest.raises(PolicyError, match="it was made from no secret that holds now"):
            send(Wish("n1", "look"), controller.node("n1", old), 10)


def test_secrets_stay_out_of_the_log_and_the_process_list(site: Site, slurm: FakeSlurm) -> None:
    with controlling(site) as controller:
        ask(controller, drain("n1"))
        slurm.on_write = lambda _names, _changes: NOT_PRIVILEGED
        ask(controller, drain("n2"))
        arguments = Path(f"/proc/{controller.process.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{controller.process.pid}/environ").read_bytes()
    said = controller.log.encode() + arguments + environment
    for secret in (b"signature", site.credential("n1")[-64:].encode(), site.secret_file.read_bytes().strip()):
        assert secret not in said


# What is no wish


def post(
    controller: Controller, body: bytes, credential: str, path: str = "/v1/wish", method: str = "POST"
) -> tuple[int, Any]:
    connection = http.client.HTTPSConnection("127.0.0.1", controller.port, timeout=10, context=controller.site.tls())
    try:
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


GOOD = to_json(drain("n1"))


NO_WISHES = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    b"[" * 60_000,
    b'{"node": "n1"}',
    json.dumps(GOOD | {"more": 1}).encode(),
    json.dumps(GOOD | {"action": "down"}).encode(),
    json.dumps(GOOD | {"action": ["drain"]}).encode(),
    json.dumps(GOOD | {"text": "a.b: \u202e"}).encode(),
    json.dumps(GOOD | {"text": "a.b: " + "x" * 300}).encode(),
    json.dumps(GOOD | {"text": "a.b: $(reboot)"}).encode(),
    json.dumps(GOOD | {"text": "a.b: x\nDRAINED"}).encode(),
    json.dumps(GOOD | {"decided_at": 1e9}).encode(),
    json.dumps(GOOD | {"id": "0"}).encode(),
    *(json.dumps(GOOD | {"node": name}).encode() for name in ("n[1-3]", "n1,n2", "../n1", "", "n1\n", "ALL ", 7)),
]


def test_what_is_no_wish_is_refused(controller: Controller, site: Site, slurm: FakeSlurm) -> None:
    for k, body in enumerate(NO_WISHES):
        status, answer = post(controller, body, site.credential(f"n{k}"))

        assert (status, set(answer)) == (400, {"error"}), body
        controller.wait_for(f"refused a request of n{k} from 127.0.0.1: ")
    assert slurm.requests == []


def test_a_body_beyond_64_kib_is_refused(controller: Controller, site: Site) -> None:
    assert post(controller, b" " * 70_000, site.credential("n1"))[0] == 413


def test_without_a_credential_there_is_only_healthz(controller: Controller) -> None:
    assert post(controller, b"", "", "/healthz", "GET") == (200, {"status": "ok"})
    assert post(controller, json.dumps(GOOD).encode(), "")[0] == 401
    assert post(controller, b"", "", "/", "GET")[0] == 404
    assert post(controller, b"", "", "/v1/wish", "GET")[0] == 405
    assert post(controller, b"", "", "/healthz")[0] == 405


def test_a_node_that_asks_too_often_is_put_off(controller: Controller) -> None:
    node = controller.node("n1")
    with ThreadPoolExecutor(40) as pool:
        outcomes = list(pool.map(lambda _: send(Wish("n1", "look"), node, 20), range(40)))

    words = [outcome.words for outcome in outcomes if isinstance(outcome, Unsure)]
    assert sum("HTTP 429: n1 asks too often" in said for said in words) >= 15
    assert any(isinstance(outcome, Free) for outcome in outcomes)
    assert {"n1 has asked again since"} >= {said for said in words if "HTTP 429" not in said}
    assert isinstance(ask(controller, Wish("n2", "look")), Free)


# When something is away


def test_while_slurm_is_away_nodes_are_told_and_may_ask_again(site: Site, slurm: FakeSlurm) -> None:
    site.slurm["timeout_s"] = 2
    site.write()
    slurm.on_read = lambda: CTLD_DOWN
    with controlling(site) as controller:
        outcomes = ask_all(controller, [drain(f"n{k}") for k in range(1, 4)])
        assert {type(outcome) for outcome in outcomes} == {Unsure}
        assert "Unable to contact slurm controller" in str(outcomes[0])
        slurm.on_read = lambda: None
        assert {type(o) for o in ask_all(controller, [drain(f"n{k}") for k in range(1, 4)])} == {Drained}
    assert slurm.drained() == ["n1", "n2", "n3"]


def test_a_controller_that_is_killed_loses_nothing(site: Site, slurm: FakeSlurm) -> None:
    stalled = Stalled(slurm)
    with controlling(site) as controller:
        waiting = later(lambda: ask(controller, drain("n1")))
        assert stalled.seen.wait(10)
        controller.end(signal.SIGKILL)
        outcome = waiting.result(10)
        assert isinstance(outcome, Unsure)
        assert "no answer from the controller at 127.0.0.1:" in outcome.words
    stalled.go.set()
    wait_until(lambda: slurm.drained() == ["n1"])

    with controlling(site) as controller:
        again = ask(controller, drain("n1", record=Record("00c0ffee", f"nodeproof[00c0ffee]: {TEXT}", ("fs.mounted",))))
    assert isinstance(again, Standing)
    assert len(slurm.writes) == 1


def test_at_its_end_the_batch_at_hand_is_finished_and_the_others_are_told(site: Site, slurm: FakeSlurm) -> None:
    stalled = Stalled(slurm)
    with controlling(site) as controller:
        first = later(lambda: ask(controller, drain("n1"), 20))
        assert stalled.seen.wait(10)
        others = [later(lambda k=k: ask(controller, drain(f"n{k}"), 20)) for k in range(2, 12)]  # type: ignore[misc]
        time.sleep(1)
        controller.process.send_signal(signal.SIGTERM)
        outcomes = [other.result(10) for other in others]
        assert {type(outcome) for outcome in outcomes} == {Unsure}
        assert "HTTP 503: the controller is about to end" in str(outcomes[0])
        stalled.go.set()
        assert isinstance(first.result(10), Drained)
        assert controller.ended() == 0
    assert slurm.drained() == ["n1"]
    assert controller.lines[-1] == "nodeproof: ended"


def test_a_client_that_has_gone_disturbs_nobody(controller: Controller, site: Site, slurm: FakeSlurm) -> None:
    stalled = Stalled(slurm)
    gone = ask(controller, drain("n1"), 0.8)
    assert isinstance(gone, Unsure)
    stalled.go.set()

    assert isinstance(ask(controller, Wish("n2", "look")), Free)
    assert slurm.drained() == ["n1"]


# Its start


def test_systemd_is_told_when_it_is_ready_and_when_it_ends(site: Site, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        with controlling(site, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as controller:
            assert systemd.recv(100) == b"READY=1"
            controller.end()
            assert systemd.recv(100) == b"STOPPING=1"


def test_systemds_credentials_are_taken(site: Site, tmp_path: Path) -> None:
    passed = tmp_path / "credentials"
    passed.mkdir()
    for name, file in (("secret", site.secret_file), ("key", site.key_file)):
        private(passed / name, file.read_bytes())
    site.write(secret_file="credential:secret", key_file="credential:key")
    with controlling(site, environment={"CREDENTIALS_DIRECTORY": str(passed)}) as controller:
        assert isinstance(ask(controller, Wish("n1", "look")), Free)


@contextmanager
def failing(site: Site, **keys: object) -> Iterator[str]:
    """Start a controller that ends at once. Gives what it says."""
    site.write(**keys)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="the controller has ended") as caught:
        Controller(site)
    yield str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_what_will_not_do_is_said_before_anybody_is_served(site: Site) -> None:
    with failing(site, secret_file="") as said:
        assert "controller.secret_file: not set" in said
    site.key_file.chmod(0o644)
    with failing(site) as said:
        assert "controller.key_file: has mode 0644, expected 0600" in said
    site.key_file.chmod(0o600)
    with failing(site, listen="0.0.0.0:0", certificate_file="", key_file="") as said:
        assert "controller.certificate_file: needed to listen on anything but loopback" in said
    site.slurm["url"] = ""
    with failing(site) as said:
        assert "slurm.url: not set, and the controller writes through it" in said
