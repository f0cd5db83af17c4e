"""How labs get at slurmrestd with the client alone: a token, changes, and what each release offers."""

from pathlib import Path
from typing import Any

import pytest

from mini_slurm import Slurm
from nodeproof.errors import SlurmNotFound
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm import Client, Node
from nodeproof.slurm.answer import Answer
from nodeproof.slurm.versions import Versions

LIMIT_S = 30.0
OFFERED = {"22.05": (36, 37, 38), "24.11": (40, 41, 42), "26.05": (42, 43, 44, 45)}
REASON = "nodeproof[c0ffee00]: client.test"
DRAIN: dict[str, object] = {"state": ["DRAIN"], "reason": REASON}
UNDRAIN: dict[str, object] = {"state": ["UNDRAIN"], "reason": "nodeproof: resumed c0ffee00"}


class Door:
    """How to get at a cluster: a token file, and clients that use it."""

    def __init__(self, slurm: Slurm, token_file: Path) -> None:
        self.slurm = slurm
        self.token_file = token_file
        self.token_file.touch(mode=0o600)
        self.take("slurm")

    def take(self, user: str, seconds: int = 86400) -> None:
        """Put a new token of a user into the file."""
        self.token_file.write_text(self.slurm.token(user, seconds))

    def client(self, *, keep_alive: bool = False, versions: Versions | None = None, **keys: Any) -> Client:
        known = {"url": self.slurm.url, "token_file": str(self.token_file), "user_name": "slurm"}
        return Client(SlurmSettings(**known | keys), LIMIT_S, versions, keep_alive=keep_alive)

    def node(self, name: str = "n1") -> Node:
        with self.client() as client:
            return client.node(name)

    def update(self, *names: str, changes: dict[str, object] = DRAIN, **keys: Any) -> Answer:
        with self.client(**keys) as client:
            answer = client.update(names, changes)
        assert client.warnings == []
        return answer


def assert_reads(door: Door) -> None:
    """Read all nodes, one, and one that is not there."""
    newest = max(OFFERED[door.slurm.release])
    with door.client() as client:
        nodes = client.nodes()
        assert nodes["n1"] == client.node("n1")
        assert int(client.version().rpartition(".")[2]) == newest
        with pytest.raises(SlurmNotFound, match="Slurm knows no node nope"):
            client.node("nope")
    assert {"n1", "n2"} <= set(nodes)
    assert (nodes["n1"].base_state, nodes["n1"].partitions) == ("IDLE", ("all",))
    assert client.warnings == []
