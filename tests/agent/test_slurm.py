"""The slurmrestd client against recorded answers of a real slurmrestd, over real sockets."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from nodeproof import slurm
from nodeproof.errors import PolicyError, SlurmError, SlurmNotFound, SlurmRejected, SlurmUnreachable
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm import rest
from nodeproof.slurm.answer import AlreadySo, Applied, NotFound, OurBug, Refused, Unknown
from nodeproof.slurm.answer import Answer as Meaning
from nodeproof.slurm.backoff import delays_s
from nodeproof.slurm.rest import Client
from slurm_replay import SILENCE, Answer, Slurmrestd, recordings, said

REASON = "nodehealth: disk sda failing"  # of the recorded drain
IDLE, DRAINED = said("v0.0.42-node"), said("v0.0.42-update-drain-after")
DRAIN = {"state": ["DRAIN"], "reason": "x"}
NODES = "/slurm/v0.0.42/nodes/"


def client(server: Slurmrestd, limit_s: float | None = None, **keys: Any) -> Client:
    return Client(SlurmSettings(url=server.url, **keys), limit_s)


def error_of_read(server: Slurmrestd, *answers: Answer) -> SlurmError:
    server.on_node(*answers)
    with client(server) as c, pytest.raises(SlurmError) as caught:
        c.node("n1")
    return caught.value


def answer_of_update(server: Slurmrestd, answer: Answer) -> Meaning:
    server.on_node(IDLE, update=answer)
    with client(server) as c:
        c.node("n1")
        return c.update(["n1"], DRAIN)


def test_a_node_is_read_in_one_request_more_for_each_version_that_is_not_there(server: Slurmrestd) -> None:
    server.on_node(DRAINED)

    with client(server) as c:
        node = c.node("n1")
        c.node("n1")

    assert node == slurm.Node("n1", "IDLE", frozenset({"DRAIN"}), REASON, "root", 1795436536, "", ("all",))
    assert [r.path for r in server.requests] == [
        "/slurm/v0.0.45/node/n1",
        "/slurm/v0.0.42/node/n1",
        "/slurm/v0.0.42/node/n1",
    ]
    assert c.requests == 3
    assert c.warnings == []


def test_all_nodes_are_read_in_one_request(server: Slurmrestd) -> None:
    server.on("GET", NODES, said("24.11/v0.0.42-nodes"))

    with client(server, api_version="v0.0.42") as c:
        nodes = c.nodes()

    assert list(nodes) == ["n1", "n2", "n3"]
    assert all(name == node.name and node.partitions == ("all",) for name, node in nodes.items())
    assert c.requests == 1


def test_an_unknown_node_is_http_200_without_nodes(server: Slurmrestd) -> None:
    error = error_of_read(server, said("v0.0.42-node-unknown-get"))

    assert isinstance(error, SlurmNotFound)
    assert str(error) == "Slurm knows no node n1; its name there is policy's slurm.node_name"


@pytest.mark.parametrize(
    ("case", "expected", "words"),
    [
        ("24.11/v0.0.42-auth-no-token", SlurmRejected, "Authentication failure (no token"),
        ("24.11/v0.0.42-auth-expired-token", SlurmRejected, "Protocol authentication error (1007)"),
        ("24.11/v0.0.42-ctld-down-node", SlurmUnreachable, "Unable to contact slurm controller (connect failure)"),
        ("24.11/v0.0.42-ctld-hung-node", SlurmUnreachable, "Socket timed out on send/recv operation (5004)"),
    ],
)
def test_what_cannot_be_read_is_an_error(server: Slurmrestd, case: str, expected: type, words: str) -> None:
    error = error_of_read(server, said(case))

    assert type(error) is expected
    assert words in str(error)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("24.11/v0.0.42-update-drain", Applied),
        ("24.11/v0.0.42-auth-no-token", Refused),
        ("24.11/v0.0.42-perm-alice-update", Refused),
        ("24.11/v0.0.42-update-unknown-node", NotFound),
        ("24.11/v0.0.42-update-resume-idle", AlreadySo),
        ("26.05/v0.0.45-update-resume-idle", AlreadySo),
        ("24.11/v0.0.42-ctld-down-update", Unknown),
        ("24.11/v0.0.42-ctld-hung-update", Unknown),
        ("24.11/v0.0.42-body-malformed-json", OurBug),
    ],
)
def test_what_came_of_an_update_is_a_type(server: Slurmrestd, case: str, expected: type) -> None:
    answer = answer_of_update(server, said(case))

    assert type(answer) is expected
    assert server.writes() == [DRAIN]


def test_one_request_changes_several_nodes(server: Slurmrestd) -> None:
    server.on("POST", NODES, said("24.11/v0.0.42-update-nodes-list"))

    with client(server, api_version="v0.0.42") as c:
        c.version()
        assert c.update(["n1", "n2"], DRAIN) == Applied(())

    assert [r.path for r in server.requests] == ["/slurm/v0.0.42/ping/", NODES]
    assert server.writes() == [{"name": ["n1", "n2"], **DRAIN}]


def test_before_v42_several_names_are_in_the_path(server: Slurmrestd) -> None:
    server.on("GET", "/slurm/v0.0.41/ping/", said("24.11/v0.0.41-ping"))
    server.on("POST", "/slurm/v0.0.41/node/n1%2Cn2", said("24.11/v0.0.41-update-drain"))

    with client(server, api_version="v0.0.41") as c:
        assert c.update(["n1", "n2"], DRAIN) == Applied(())

    assert server.writes() == [DRAIN]


def test_no_names_are_no_request(server: Slurmrestd) -> None:
    with client(server) as c:
        assert c.update([], DRAIN) == Applied(())

    assert server.requests == []


def test_a_half_applied_batch_is_no_success(server: Slurmrestd) -> None:
    server.on("POST", NODES, said("24.11/v0.0.42-update-nodes-with-unknown"))

    with client(server, api_version="v0.0.42") as c:
        assert isinstance(c.update(["n1", "nope", "n3"], DRAIN), NotFound)


def test_what_slurmrestd_complains_of_is_kept_once_and_within_bounds(server: Slurmrestd) -> None:
    def complaint(server: Slurmrestd) -> Answer:
        return Answer(200, {"errors": [], "warnings": ["always the same", f"no {len(server.requests)}"]})

    server.on("POST", "/slurm/v0.0.42/node/n1", complaint)
    with client(server, api_version="v0.0.42") as c:
        for _ in range(2 * rest.MOST_WARNINGS):
            c.update(["n1"], DRAIN)

    assert c.warnings[:3] == ["always the same", "no 1", "no 2"]
    assert len(c.warnings) == rest.MOST_WARNINGS


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        [],
        {},
        {"errors": [], "nodes": {}},
        {"errors": [], "nodes": []},
        {"errors": [], "nodes": [1]},
        {"errors": [], "nodes": [{"name": "n1"}]},
        {"errors": [], "nodes": [{"name": "n1", "state": None}]},
        {"errors": [], "nodes": [{"name": "n1", "state": ["IDLE"], "reason_changed_at": {"number": "soon"}}]},
        {"errors": [], "nodes": [{"name": "n2", "state": ["IDLE"]}]},
        {"errors": [], "nodes": [{"name": "\x1b[2Jn1" + "x" * 100_000, "state": ["IDLE"]}]},
        {"errors": [], "nodes": IDLE.body["nodes"] * 2},
        {"errors": ["what"], "nodes": IDLE.body["nodes"]},
        {"errors": [{"error_number": "x"}]},
        "[" * 200_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_and_no_crash(server: Slurmrestd, body: object) -> None:
    error = error_of_read(server, Answer(200, body))

    assert len(str(error)) < 600
    assert str(error).isprintable()


@pytest.mark.parametrize("name", ["", "n[1-3]", "n1,n2", "../nodes", "n 1", "n1/", "-n1", "n1\n"])
@pytest.mark.parametrize("ask", [lambda c, n: c.node(n), lambda c, n: c.update([n], DRAIN)])
def test_a_name_that_is_not_one_node_is_never_asked_for(
    server: Slurmrestd, name: str, ask: Callable[[Client, str], object]
) -> None:
    with client(server) as c, pytest.raises(PolicyError, match="not the name of one node"):
        ask(c, name)

    assert server.requests == []


def test_nobody_listens() -> None:
    with Client(SlurmSettings(url="http://127.0.0.1:1", api_version="v0.0.42")) as c:
        with pytest.raises(SlurmUnreachable, match=r"no answer from slurmrestd at http://127\.0\.0\.1:1: ConnectError"):
            c.node("n1")
        assert isinstance(c.update(["n1"], DRAIN), Unknown)


def test_silence_ends_with_the_time_there_is_for_all_requests_together(server: Slurmrestd) -> None:
    server.on_node(SILENCE, IDLE, update=SILENCE)
    began = time.monotonic()

    with client(server, 0.5, api_version="v0.0.42") as c:
        with pytest.raises(SlurmUnreachable, match="ReadTimeout"):
            c.node("n1")
        assert c.time_left_s() <= 0
        with pytest.raises(SlurmUnreachable, match="no time left to ask"):
            c.node("n1")
        assert c.requests == 1
        c.renew(0.5)
        assert c.node("n1").base_state == "IDLE"
        assert isinstance(c.update(["n1"], DRAIN), Unknown)

    assert time.monotonic() - began < 3
    assert server.writes() == [DRAIN]  # once: it may have been applied


def test_policy_gives_the_time_where_the_caller_does_not(server: Slurmrestd) -> None:
    with client(server, timeout_s=7.0) as c:
        assert 6.0 < c.time_left_s() <= 7.0


def test_the_account_is_the_tokens_and_a_socket_has_none(server: Slurmrestd, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("x")

    with (
        client(server, user_name="nodeproof") as without,
        client(server, user_name="nodeproof", token_file=str(token)) as with_token,
    ):
        assert (without.account, with_token.account) == ("", "nodeproof")


def test_the_servers_clock_is_read_where_it_says_its_time(server: Slurmrestd) -> None:
    server.on_node(IDLE)

    with client(server, api_version="v0.0.42") as c:
        assert c.server_time() is None
        c.node("n1")
        assert abs((c.server_time() or 0) - time.time()) < 5


def test_every_recorded_answer_ends_an_update_without_a_crash(server: Slurmrestd) -> None:
    answers = [said(f"{release}/{case}") for release in ("22.05", "24.11", "26.05") for case in recordings(release)]
    server.on("POST", "/slurm/v0.0.42/node/n1", *(a for a in answers if a.status >= 200 and a.status not in {304, 404}))

    with client(server, api_version="v0.0.42") as c:
        for _ in answers:
            assert isinstance(c.update(["n1"], DRAIN), Meaning)


def test_delays_grow_to_a_bound_and_are_anywhere_below_it() -> None:
    rows = [list(itertools.islice(delays_s(Random(seed), 1.0, 60.0), 10)) for seed in range(300)]
    columns = list(zip(*rows, strict=True))

    bounds = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert all(0 <= delay <= bound for row in rows for delay, bound in zip(row, bounds, strict=True))
    for column, bound in zip(columns, bounds, strict=True):
        assert min(column) < 0.05 * bound
        assert max(column) > 0.95 * bound
