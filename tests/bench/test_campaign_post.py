"""Results that are posted: real sockets, a server that goes away, and whoever has no business there."""

import asyncio
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from campaign_results import CAMPAIGN, ONE, bench_line, book_at, free_port, result_file
from nodeproof.controller.http import Request
from nodeproof.controller.listening import opened_at
from nodeproof.controller.place import Listen
from nodeproof.errors import NodeproofError
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.collect import files, server
from nodeproof_bench.campaign.collect.server import ResultServer
from nodeproof_bench.campaign.collect.spool import Spool, Taken
from nodeproof_bench.campaign.collect.tokens import read_secret, token
from nodeproof_bench.campaign.node.post import Endpoint, PostImpossible, PostRefused, post
from nodeproof_bench.campaign.order import Key

SECRET = b"5" * 64
TOKEN = token(SECRET, ONE)

#: More than one part, and more than the server takes in one request.
LARGE = result_file(*({"kind": "problem", "text": "x" * 290} for _ in range(600)))


class Site:
    """A spool that an endpoint fills, at a port that stays the same from start to start."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.spool = Spool(str(directory), CAMPAIGN)
        self.spool.prepare()

    @contextmanager
    def serving(self, tls: ssl.SSLContext | None = None) -> Iterator[None]:
        listening = opened_at(Listen("127.0.0.1", self.port), 16)
        with ResultServer(str(self.directory), CAMPAIGN, SECRET, listening, tls) as server:
            yield
        assert server.problem == ""

    def post(self, content: bytes, key: Key = ONE, credential: str = TOKEN, within_s: float = 0.0) -> None:
        post(Endpoint(self.url, credential), key, content, time.monotonic() + within_s)

    def raw(self, content: bytes, place: str = "", path: str = "", credential: str = TOKEN) -> int:
        url = f"{self.url}{path or f'/v1/results/{CAMPAIGN}/{ONE.name}'}?{place or f'at=0&of={len(content)}'}"
        headers = {"Authorization": f"Bearer {credential}"}
        return httpx.post(url, content=content, headers=headers, trust_env=False).status_code

    @property
    def file(self) -> Path:
        return self.directory / CAMPAIGN / "1.1.n1.jsonl"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "spool")


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with book_at(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("content", [result_file(), LARGE])
def test_what_is_posted_comes_into_the_book(site: Site, book: Book, content: bytes) -> None:
    with site.serving():
        site.post(content)

    assert site.file.read_bytes() == content
    assert stat.S_IMODE(site.file.stat().st_mode) == 0o640
    assert os.listdir(site.file.parent) == [site.file.name]
    assert [taken.outcome for taken in site.spool.collect(book)] == ["stored"]


def test_a_second_copy_changes_nothing_and_another_one_is_refused_and_noted(site: Site, book: Book) -> None:
    first, other = result_file(bench_line(5e10)), result_file(bench_line(6e10))
    with site.serving():
        assert [site.raw(content) for content in (first, first, other)] == [201, 200, 409]
        with pytest.raises(PostRefused, match="another result of this job is here"):
            site.post(other)
    site.spool.collect(book)

    assert site.file.read_bytes() == first
    assert "another file with other content came later" in book.results(CAMPAIGN)[0].problem
    assert [sample.value for sample in book.samples(CAMPAIGN)] == [5e10]


def test_a_node_speaks_only_for_itself(site: Site) -> None:
    others = [Key(CAMPAIGN, 1, 1, "n2"), Key(CAMPAIGN, 2, 1, "n1"), Key(CAMPAIGN, 1, 2, "n1"), Key("rack", 1, 1, "n1")]
    wrong = ["-", "x", TOKEN[:-1], TOKEN + "0", *(token(SECRET, key) for key in others), token(b"6" * 64, ONE)]
    with site.serving():
        assert {site.raw(result_file(), credential=credential) for credential in wrong} == {401}
        with pytest.raises(PostRefused, match="401"):
            site.post(result_file(), credential=token(SECRET, others[0]))

    assert os.listdir(site.file.parent) == []


def test_who_comes_with_a_wrong_token_is_remembered_once_and_not_without_end(tmp_path: Path) -> None:
    endpoint = server.Endpoint(str(tmp_path), CAMPAIGN, SECRET)
    for task in (1, 1, *range(2, 100)):
        path = f"/v1/results/{CAMPAIGN}/{task}.1.n1?at=0&of=1"
        answer = asyncio.run(endpoint.answer(Request("POST", path, "Bearer x", b"x", "192.0.2.7")))
        assert answer.status == 401

    assert endpoint.strangers == [f"{task}.1.n1 from 192.0.2.7" for task in range(1, 21)]


@pytest.mark.parametrize(
    ("content", "place", "path", "status"),
    [
        (result_file(), "", "/v1/results/other/1.1.n1", 404),
        (result_file(), "", "/", 404),
        (result_file(), "", f"/v1/results/{CAMPAIGN}/1.1.n%2F..", 400),
        (result_file(), "", f"/v1/results/{CAMPAIGN}/../../x", 400),
        (result_file(), "", "//[..", 404),
        (result_file(), "at=0", "", 400),
        (result_file(), "at=-1&of=9", "", 400),
        (result_file(), "at=0&of=1", "", 400),
        (b"", "at=0&of=0", "", 400),
        (result_file(), f"at=0&of={files.MOST_BYTES + 1}", "", 413),
        (b"x" * 100_000, "", "", 413),
        (result_file(), "at=7&of=99999", "", 416),
        (result_file()[:-1], "", "", 400),
        (result_file(key=Key(CAMPAIGN, 1, 1, "n2")), "", "", 400),
    ],
)
def test_what_is_no_result_is_refused(site: Site, content: bytes, place: str, path: str, status: int) -> None:
    with site.serving():
        if ".." in path:  # httpx would tidy it
            assert _status(site, path, content) in {400, 404}
        else:
            assert site.raw(content, place, path) == status

    assert not site.file.exists()


def _status(site: Site, path: str, content: bytes) -> int:
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        head = f"POST {path}?at=0&of={len(content)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        return int(connection.recv(4096).split()[1])


@pytest.mark.parametrize("content", [result_file()[:-1], result_file(node="n2")])
def test_what_was_refused_is_in_the_book(site: Site, book: Book, content: bytes) -> None:
    with site.serving():
        assert site.raw(content) == 400

    [taken] = site.spool.collect(book)
    assert taken.outcome == "refused"
    assert book.results(CAMPAIGN)[0].problem == taken.problem


def test_a_result_is_whole_although_the_server_was_restarted_in_the_middle(site: Site, book: Book) -> None:
    third = len(LARGE) // 3 + 1
    with site.serving():
        assert site.raw(LARGE[:third], f"at=0&of={len(LARGE)}") == 202
    assert site.spool.collect(book) == []  # nothing of it is taken yet
    with site.serving():
        assert site.raw(LARGE[third : 2 * third], f"at={third}&of={len(LARGE)}") == 202
        assert site.raw(LARGE[third : 2 * third], f"at={third}&of={len(LARGE)}") == 202  # the answer was lost
        assert site.raw(LARGE[2 * third :], f"at={2 * third}&of={len(LARGE)}") == 201

    assert site.spool.collect(book) == [Taken(ONE, "stored", book.results(CAMPAIGN)[0].problem)]
    assert site.file.read_bytes() == LARGE


def test_a_node_waits_for_a_server_that_is_away(site: Site) -> None:
    failed: list[BaseException] = []

    def send() -> None:
        try:
            site.post(LARGE, within_s=20)
        except BaseException as error:  # noqa: BLE001  # for the thread that waits
            failed.append(error)

    node = threading.Thread(target=send)
    node.start()
    time.sleep(0.3)
    with site.serving():
        node.join(timeout=20)

    assert not failed
    assert site.file.read_bytes() == LARGE


def test_a_node_gives_up_when_its_time_is_over_and_names_no_token(site: Site) -> None:
    with pytest.raises(TimeoutError) as raised:
        site.post(result_file())

    assert "ConnectError" in str(raised.value)
    assert TOKEN not in str(raised.value)


def test_a_spool_that_cannot_be_written_is_worth_another_try(site: Site) -> None:
    Path(site.spool.directory).rmdir()
    with site.serving():
        with pytest.raises(TimeoutError, match="503"):
            site.post(result_file())
        site.spool.prepare()
        site.post(result_file())

    assert site.file.exists()


def test_over_tls_the_certificate_must_be_right(site: Site, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    for name, ca in (("ca.pem", authority), ("other.pem", stranger)):
        ca.cert_pem.write_to_path(tmp_path / name)
    url = site.url.replace("http:", "https:")
    with site.serving(tls):
        with pytest.raises(TimeoutError, match="certificate"):
            post(Endpoint(url, TOKEN, str(tmp_path / "other.pem")), ONE, result_file(), time.monotonic())
        with pytest.raises(PostImpossible, match="cannot be used"):
            post(Endpoint(url, TOKEN, str(tmp_path / "none.pem")), ONE, result_file(), time.monotonic())
        assert not site.file.exists()
        post(Endpoint(url, TOKEN, str(tmp_path / "ca.pem")), ONE, result_file(), time.monotonic())

    assert site.file.exists()


def test_a_secret_is_made_once_for_us_alone(tmp_path: Path) -> None:
    file = tmp_path / "campaign.secret"
    secret = read_secret(str(file))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_secret(str(file)) == secret
    assert read_secret(str(tmp_path / "another")) != secret


@pytest.mark.parametrize(("text", "mode"), [("a" * 63, 0o600), ("", 0o600), ("a" * 64, 0o640), ("a" * 64, 0o604)])
def test_a_secret_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    file.chmod(mode)

    with pytest.raises(NodeproofError, match="expected"):
        read_secret(str(file))
