"""Metrics as they are served over HTTP, on real sockets, and written for node_exporter."""

import asyncio
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from nodeproof.controller.listening import opened_at
from nodeproof.controller.place import Listen
from nodeproof.daemon import metrics
from nodeproof.daemon.exposition import OPENMETRICS, TEXT
from nodeproof.daemon.metrics import MetricsPage, render
from nodeproof.daemon.snapshot import Snapshot
from planted_snapshot import NOW, SNAPSHOT, check_now


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(
    port: int, method: str = "GET", path: str = "/metrics", accept: str = "", host: str = "127.0.0.1"
) -> Reply:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Reply(int(first.split()[1]), headers, body)


def served(
    work: Callable[[MetricsPage], Awaitable[None]], listen: str = "127.0.0.1:0", snapshot: Snapshot = SNAPSHOT
) -> list[str]:
    """Run a page, and `work` with it. Returns what it said."""
    said: list[str] = []

    async def run() -> None:
        page = MetricsPage(lambda: snapshot, said.append, retry_s=0.05)
        await page.start(listen)
        try:
            await work(page)
        finally:
            await page.stop()

    asyncio.run(run())
    return said


@contextmanager
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield other.getsockname()[1]


def test_both_formats_are_served() -> None:
    async def work(page: MetricsPage) -> None:
        text = await ask(page.port)
        assert (text.status, text.headers["content-type"]) == (200, TEXT)
        assert text.body == render(SNAPSHOT, is_openmetrics=False)
        other = await ask(page.port, accept="application/openmetrics-text;version=1.0.0", path="/metrics?x=1")
        assert (other.status, other.headers["content-type"]) == (200, OPENMETRICS)
        assert other.body == render(SNAPSHOT, is_openmetrics=True)

    assert served(work) == []


def test_nothing_else_is_served() -> None:
    async def work(page: MetricsPage) -> None:
        assert (await ask(page.port, path="/")).status == 404
        assert (await ask(page.port, path="/metrics/../x")).status == 404
        assert (await ask(page.port, method="POST")).status == 405
        head = await ask(page.port, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) == len(render(SNAPSHOT, is_openmetrics=False))

    assert served(work) == []


def test_ipv6_is_served() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")

    async def both(page: MetricsPage) -> None:
        assert [(await ask(page.port, host=host)).status for host in ("::1", "127.0.0.1")] == [200, 200]

    async def one(page: MetricsPage) -> None:
        assert (await ask(page.port, host="::1")).status == 200

    assert served(both, ":0") == served(one, "[::1]:0") == []


def test_who_asks_often_gets_the_same_page(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Snapshot] = []

    def snapshot() -> Snapshot:
        made.append(SNAPSHOT._replace(cpu_s=float(len(made))))
        return made[-1]

    async def run() -> None:
        page = MetricsPage(snapshot, print)
        await page.start("127.0.0.1:0")
        bodies = [(await ask(page.port)).body for _ in range(3)]
        assert bodies == [render(made[0], is_openmetrics=False)] * 3
        monkeypatch.setattr(metrics, "_SAME_PAGE_S", 0.0)
        assert (await ask(page.port)).body == render(made[1], is_openmetrics=False)
        await page.stop()

    monkeypatch.setattr(metrics, "_SAME_PAGE_S", 600.0)
    asyncio.run(run())
    assert len(made) == 2


def test_an_address_that_is_taken_is_said_once_and_tried_again() -> None:
    with taken_port() as port:

        async def work(page: MetricsPage) -> None:
            await asyncio.sleep(0.2)
            assert page.port == 0

        said = served(work, f"127.0.0.1:{port}")
    assert len(said) == 1
    assert said[0].startswith(f"no metrics on 127.0.0.1:{port} (agent.metrics_listen) yet: Address already in use")


def test_an_address_that_becomes_free_is_used() -> None:
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]

    async def work(page: MetricsPage) -> None:
        assert page.port == 0
        other.close()
        async with asyncio.timeout(20):
            while not page.port:  # noqa: ASYNC110  # a page tells nobody
                await asyncio.sleep(0.02)
        assert (await ask(port)).status == 200

    with closing(other):
        said = served(work, f"127.0.0.1:{port}")
    assert [line[:22] for line in said] == ["no metrics on 127.0.0.", "metrics: it works agai"]


@pytest.mark.parametrize(
    ("listen", "expected"),
    [("9836", "expected address:port"), ("host.example:9836", "expected an IP address, found host.example")],
)
def test_an_address_that_will_not_do_is_said_and_ends_nothing(listen: str, expected: str) -> None:
    async def work(page: MetricsPage) -> None:
        await asyncio.sleep(0.1)
        assert page.port == 0

    said = served(work, listen)
    assert len(said) == 1
    assert "agent.metrics_listen" in said[0]
    assert expected in said[0]


def test_no_address_serves_nothing() -> None:
    async def work(page: MetricsPage) -> None:
        assert page.port == 0

    assert served(work, "") == []


def test_another_address_takes_the_place_of_the_first() -> None:
    async def work(page: MetricsPage) -> None:
        first = page.port
        await page.start("127.0.0.1:0")
        assert page.port == first
        await page.start("localhost:0")
        assert page.port != first
        assert (await ask(page.port)).status == 200
        with pytest.raises(ConnectionRefusedError):
            await ask(first)

    assert served(work) == []


def test_a_child_that_does_not_die_keeps_no_address() -> None:
    held: list[int] = []

    async def work(page: MetricsPage) -> None:
        assert page._listening is not None
        held[:] = [os.dup(page._listening.fileno()), page.port]

    served(work)
    try:
        opened_at(Listen("127.0.0.1", held[1]), 1).close()
    finally:
        os.close(held[0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "textfile" / "nodeproof.prom"


def page_of(snapshots: list[Snapshot], said: list[str]) -> MetricsPage:
    return MetricsPage(lambda: snapshots[-1], said.append)


def test_the_textfile_can_be_read_by_others_whatever_the_umask(file: Path) -> None:
    file.parent.mkdir()
    before = os.umask(0o077)
    try:
        page_of([SNAPSHOT], []).write(str(file))
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert file.read_bytes() == render(SNAPSHOT, is_openmetrics=False)
    assert list(file.parent.iterdir()) == [file]


def test_the_textfile_is_written_when_it_says_something_new(file: Path) -> None:
    file.parent.mkdir()
    snapshots, said = [SNAPSHOT], list[str]()
    page = page_of(snapshots, said)
    page.write(str(file))
    snapshots.append(SNAPSHOT._replace(at=NOW + 9, cpu_s=13.0, gate_until=NOW + 709))
    page.write(str(file))
    assert file.read_bytes() == render(SNAPSHOT, is_openmetrics=False), "nothing but time has passed"
    snapshots.append(snapshots[-1]._replace(checks=(check_now("gpu.count", "ok"),)))
    page.write(str(file))
    assert file.read_bytes() == render(snapshots[-1], is_openmetrics=False)
    snapshots.append(snapshots[-1]._replace(at=NOW + 60))
    page._file_s -= 60
    page.write(str(file))
    assert file.read_bytes() == render(snapshots[-1], is_openmetrics=False), "a minute later it is written anyway"
    assert said == []


def test_a_missing_directory_is_one_warning(file: Path) -> None:
    said: list[str] = []
    page = page_of([SNAPSHOT], said)
    page.write("")
    for _ in range(3):
        page.write(str(file))
    assert said == [f"no metrics in {file} (agent.metrics_file): No such file or directory"]
    file.parent.mkdir()
    page.write(str(file))
    assert file.exists()
    assert [line[:16] for line in said[1:]] == ["metrics: it work"]
