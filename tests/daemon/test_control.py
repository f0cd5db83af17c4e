"""The control socket: who may ask what, and what bad requests get."""

import asyncio
import grp
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nodeproof.daemon.control import Control, ask
from nodeproof.errors import NodeproofError

Work = Callable[[Path], Awaitable[Any]]


async def _status(request: dict[str, Any]) -> dict[str, Any]:
    return {"asked": request}


async def _drain(request: dict[str, Any]) -> dict[str, Any]:
    if not request.get("reason"):
        raise NodeproofError("expected a reason")
    return {"drained": request["reason"]}


def serving(directory: Path, work: Callable[[], Any], group: str = "") -> tuple[Any, str]:
    """Do blocking work in another thread while the socket is served. Returns what it returned, and the warning."""

    async def both() -> tuple[Any, str]:
        control = Control(str(directory), {"status": _status, "drain": _drain})
        warning = await control.start(group)
        try:
            return await asyncio.to_thread(work), warning
        finally:
            await control.stop()

    return asyncio.run(both())


def test_a_command_is_answered(tmp_path: Path) -> None:
    answer, warning = serving(tmp_path, lambda: ask(str(tmp_path), {"do": "drain", "reason": "fan"}, 20))

    assert (answer, warning) == ({"drained": "fan"}, "")


def test_an_error_of_a_command_is_raised_where_it_was_asked(tmp_path: Path) -> None:
    with pytest.raises(NodeproofError, match="expected a reason"):
        serving(tmp_path, lambda: ask(str(tmp_path), {"do": "drain"}, 20))


@pytest.mark.parametrize("raw", [b"", b"\n", b"[]\n", b'{"do": "explode"}\n', b"{" * 3000 + b"\n", b"x" * 100_000])
def test_what_is_no_request_is_refused_and_hurts_nobody(tmp_path: Path, raw: bytes) -> None:
    def work() -> tuple[bytes, dict[str, Any]]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(tmp_path / "control"))
            try:
                client.sendall(raw)
                client.shutdown(socket.SHUT_WR)
                refusal = client.recv(4096)
            except (BrokenPipeError, ConnectionResetError):
                refusal = b""
        return refusal, ask(str(tmp_path), {"do": "status"}, 20)

    (refusal, after), _ = serving(tmp_path, work)

    assert not refusal or "expected one line of JSON" in json.loads(refusal)["error"]
    assert after == {"asked": {"do": "status"}}


def test_it_is_for_its_owner_alone_unless_a_group_is_let_in(tmp_path: Path) -> None:
    def mode() -> int:
        return stat.S_IMODE(os.stat(tmp_path / "control").st_mode)

    assert serving(tmp_path, mode) == (0o600, "")
    group = grp.getgrgid(os.getgid()).gr_name
    assert serving(tmp_path, mode, group) == (0o660, "")
    found, warning = serving(tmp_path, mode, "no-such-group")
    assert found == 0o600
    assert "agent.socket_group 'no-such-group' cannot be let in" in warning


@pytest.fixture
def nobodys(tmp_path: Path) -> Path:
    for directory in (tmp_path, *tmp_path.parents[:3]):
        directory.chmod(directory.stat().st_mode | 0o055)
    return tmp_path


@pytest.mark.root
def test_another_user_of_the_group_may_read_the_status_and_nothing_else(nobodys: Path) -> None:
    reading, writing = os.pipe()

    def as_nobody() -> list[str]:
        if (child := os.fork()) == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            said = []
            for name in ("status", "drain"):
                try:
                    said.append(str(ask(str(nobodys), {"do": name, "reason": "mine"}, 20)))
                except NodeproofError as error:
                    said.append(str(error))
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
        os.waitpid(child, 0)
        return list(json.loads(os.read(reading, 4096)))

    said, _ = serving(nobodys, as_nobody, grp.getgrgid(65534).gr_name)

    assert said == [str({"asked": {"do": "status", "reason": "mine"}}), "drain is for root (this is user 65534)"]


def test_no_agent_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(NodeproofError, match="no agent is running here"):
        ask(str(tmp_path), {"do": "status"}, 1)


def test_a_dead_socket_is_replaced_and_another_file_is_not(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control"))
    with pytest.raises(NodeproofError, match="no agent is running here"):
        ask(str(tmp_path), {"do": "status"}, 1)
    assert serving(tmp_path, lambda: ask(str(tmp_path), {"do": "status"}, 20))[0]

    (tmp_path / "control").write_text("precious")
    with pytest.raises(FileExistsError):
        serving(tmp_path, lambda: None)
    assert (tmp_path / "control").read_text() == "precious"
