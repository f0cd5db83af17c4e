"""Which API version is spoken, what finding out costs, and what an old Slurm cannot do."""

import json
from pathlib import Path

import pytest

from nodeproof.errors import PolicyError, SlurmError, SlurmReadOnly, SlurmRejected
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm import Client
from nodeproof.slurm.answer import Applied, Refused
from nodeproof.slurm.versions import FILE_NAME, TRIED, Versions, can_batch, can_write
from slurm_replay import Answer, Slurmrestd, said

DRAIN = {"state": ["DRAIN"], "reason": "x"}
NODE, UPDATED, PING = said("v0.0.42-node"), said("v0.0.42-update-drain"), said("v0.0.42-ping")
OLD_NODE, NOT_ALLOWED = said("22.05/v0.0.38-node-drained"), said("22.05/v0.0.38-node-update-node-n1")
WHY = "Slurm before 23.02 cannot drain a node through slurmrestd; nodeproof only reads there"


def offering(server: Slurmrestd, *versions: int) -> None:
    """Let the server speak these versions and no others."""
    server.script = {}
    for n in versions:
        server.on("GET", f"/slurm/v0.0.{n}/ping/", PING)
        server.on("GET", f"/slurm/v0.0.{n}/node/n1", NODE if n > 38 else OLD_NODE)
        server.on("POST", f"/slurm/v0.0.{n}/node/n1", UPDATED if n > 38 else NOT_ALLOWED)


def asked(server: Slurmrestd) -> list[int]:
    return [int(r.path.split("/")[2].rpartition(".")[2]) for r in server.requests]


@pytest.mark.parametrize(
    ("offered", "tried"),
    [
        ((43, 44, 45, 46), [45]),  # 26.11
        ((42, 43, 44, 45), [45]),  # 26.05
        ((41, 42, 43, 44), [45, 42]),  # 25.11
        ((40, 41, 42), [45, 42]),  # 24.11
        ((39, 40, 41), [45, 42, 44, 43, 41]),  # 24.05
        ((37, 38, 39), [45, 42, 44, 43, 41, 40, 39]),  # 23.02
        ((36, 37, 38), [45, 42, 44, 43, 41, 40, 39, 38]),  # 22.05
        ((44,), [45, 42, 44]),  # slurmrestd -d v0.0.44
    ],
)
def test_a_read_finds_the_version_by_itself(server: Slurmrestd, offered: tuple[int, ...], tried: list[int]) -> None:
    offering(server, *offered)

    with Client(SlurmSettings(url=server.url)) as client:
        assert client.node("n1").name == "n1"
        client.node("n1")

    assert asked(server) == [*tried, tried[-1]]
    assert client.version() == f"v0.0.{tried[-1]}"


def test_every_known_version_is_tried_once() -> None:
    assert sorted(TRIED) == [f"v0.0.{n}" for n in range(36, 46)]
    assert [v for v in TRIED if can_write(v)][-1] == "v0.0.39"
    assert min(v for v in TRIED if can_batch(v)) == "v0.0.42"


def test_a_write_that_comes_first_finds_the_version_too(server: Slurmrestd) -> None:
    offering(server, 40, 41, 42)

    with Client(SlurmSettings(url=server.url)) as client:
        assert client.update(["n1"], DRAIN) == Applied(())

    assert asked(server) == [45, 42]  # a 404 has changed nothing


def test_a_slurmrestd_that_offers_nothing_we_know_is_told(server: Slurmrestd) -> None:
    offering(server)

    with Client(SlurmSettings(url=server.url)) as client, pytest.raises(SlurmRejected) as caught:
        client.node("n1")

    assert str(caught.value) == (
        f"slurmrestd refused (HTTP 404): slurmrestd at {server.url} does not offer any of v0.0.36 to v0.0.45: "
        "is it a slurmrestd?"
    )
    assert len(server.requests) == len(TRIED)


def test_a_pinned_version_is_the_only_one_tried(server: Slurmrestd) -> None:
    offering(server, 42, 43, 44, 45)

    with Client(SlurmSettings(url=server.url, api_version="v0.0.43")) as client:
        client.node("n1")
        client.update(["n1"], DRAIN)

    assert asked(server) == [43, 43]


def test_a_newer_version_than_we_know_is_spoken_if_it_is_pinned(server: Slurmrestd) -> None:
    offering(server, 46)

    with Client(SlurmSettings(url=server.url, api_version="v0.0.46")) as client:
        assert client.node("n1").name == "n1"


def test_a_pinned_version_that_is_not_there_is_told(server: Slurmrestd) -> None:
    offering(server, 42)

    with (
        Client(SlurmSettings(url=server.url, api_version="v0.0.45")) as client,
        pytest.raises(SlurmRejected, match=r"does not offer v0\.0\.45, which policy's slurm\.api_version pins"),
    ):
        client.node("n1")

    assert asked(server) == [45]


@pytest.mark.parametrize("text", ["42", "v0.0.x", "v0.0.42/../..", "v0.0.42\n", "V0.0.42", "v0.0.042"])
def test_what_is_no_version_is_never_asked_for(server: Slurmrestd, text: str) -> None:
    with pytest.raises(PolicyError, match=r"slurm\.api_version"):
        Client(SlurmSettings(url=server.url, api_version=text))


def test_what_was_found_is_remembered_from_run_to_run(server: Slurmrestd, tmp_path: Path) -> None:
    offering(server, 40, 41)
    for _ in range(3):
        with Client(SlurmSettings(url=server.url), versions=Versions(str(tmp_path))) as client:
            client.node("n1")

    assert asked(server) == [45, 42, 44, 43, 41, 41, 41]
    file = tmp_path / FILE_NAME
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == {server.url: "v0.0.41"}


def test_what_is_remembered_and_gone_is_found_anew(server: Slurmrestd, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({server.url: "v0.0.40", "http://other": "v0.0.41"}))
    offering(server, 42, 43, 44, 45)

    with Client(SlurmSettings(url=server.url), versions=Versions(str(tmp_path))) as client:
        client.node("n1")

    assert asked(server) == [40, 45]
    assert Versions(str(tmp_path)).of(server.url) == "v0.0.45"


def test_a_slurm_that_is_updated_under_a_long_life_is_found_anew(server: Slurmrestd) -> None:
    offering(server, 36, 37, 38)
    with Client(SlurmSettings(url=server.url)) as client:
        client.node("n1")
        offering(server, 40, 41, 42)
        client.node("n1")
        assert client.update(["n1"], DRAIN) == Applied(())


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 50_000, '{"URL": 45}', '{"URL": "v0.0.42/../x"}', "\xff"])
def test_a_file_that_makes_no_sense_is_as_none(server: Slurmrestd, tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_bytes(text.replace("URL", server.url).encode("latin-1"))
    offering(server, 45)

    with Client(SlurmSettings(url=server.url), versions=Versions(str(tmp_path))) as client:
        client.node("n1")

    assert asked(server) == [45]


def test_a_directory_that_cannot_be_written_is_no_hindrance(server: Slurmrestd, tmp_path: Path) -> None:
    offering(server, 42)
    kept = Versions(str(tmp_path / "missing"))

    for _ in range(2):
        with Client(SlurmSettings(url=server.url), versions=kept) as client:
            client.node("n1")

    assert asked(server) == [45, 42, 42]  # the process still knows


@pytest.mark.parametrize("answer", [said("24.11/v0.0.42-auth-no-token"), Answer(502, {"message": "Bad Gateway"})])
def test_what_is_answered_to_every_path_tells_no_version(server: Slurmrestd, tmp_path: Path, answer: Answer) -> None:
    server.on("GET", "/slurm/v0.0.45/node/n1", answer)

    with (
        Client(SlurmSettings(url=server.url), versions=Versions(str(tmp_path))) as client,
        pytest.raises(SlurmError, match=r"Authentication failure|Bad Gateway"),
    ):
        client.node("n1")

    assert not (tmp_path / FILE_NAME).exists()


def test_ping_is_asked_where_nothing_else_was(server: Slurmrestd) -> None:
    server.on("GET", "/slurm/v0.0.42/ping/", said("v0.0.42-ctld-down-ping"))  # it speaks, whatever it says of slurmctld

    with Client(SlurmSettings(url=server.url)) as client:
        assert client.version() == "v0.0.42"
        assert client.version() == "v0.0.42"

    assert asked(server) == [45, 42]


def test_a_token_that_is_not_taken_ends_the_search(server: Slurmrestd) -> None:
    server.on("GET", "/slurm/v0.0.45/ping/", said("24.11/v0.0.42-auth-no-token"))

    with Client(SlurmSettings(url=server.url)) as client, pytest.raises(SlurmRejected, match="Authentication failure"):
        client.version()

    assert asked(server) == [45]


def test_an_old_slurm_is_read_and_never_written(server: Slurmrestd) -> None:
    offering(server, 36, 37, 38)
    server.on("GET", "/slurm/v0.0.38/nodes/", said("22.05/v0.0.38-nodes"))

    with Client(SlurmSettings(url=server.url)) as client:
        node = client.node("n1")
        assert list(client.nodes()) == ["n1", "n2", "n3"]
        for names in (["n1"], ["n1", "n2"]):
            with pytest.raises(SlurmReadOnly) as caught:
                client.update(names, DRAIN)

    assert (node.base_state, set(node.flags), node.reason) == ("IDLE", {"DRAIN"}, "set by scontrol")
    assert str(caught.value) == f"slurmrestd at {server.url} offers v0.0.38 at most: {WHY}"
    assert server.writes() == []


def test_a_write_that_comes_first_learns_that_it_is_not_possible(server: Slurmrestd) -> None:
    offering(server, 36, 37, 38)

    with Client(SlurmSettings(url=server.url)) as client, pytest.raises(SlurmReadOnly, match=WHY):
        client.update(["n1"], DRAIN)


def test_a_proxy_that_lets_only_reads_through_is_no_old_slurm(server: Slurmrestd) -> None:
    offering(server, 42)
    server.on("POST", "/slurm/v0.0.42/node/n1", Answer(403, "Forbidden"))

    with Client(SlurmSettings(url=server.url)) as client:
        assert client.update(["n1"], DRAIN) == Refused(403, 0, "Forbidden")
