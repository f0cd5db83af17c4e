"""The door to the machine: live, recorded, replayed, and what hostile or broken recordings do."""

import gzip
import io
import json
import lzma
import os
import resource
import signal
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeproof.errors import FactError, RecordingError
from nodeproof.host import Host, open_host
from nodeproof.host.archive import write
from nodeproof.host.base import Live
from nodeproof.host.record import Notes, Recorder
from nodeproof.host.replay import MAX_SIDECAR_BYTES
from support import Machine, as_nobody


def answer(value: str) -> dict[str, str]:
    return {"value": value}


def refused(value: str) -> None:
    raise PermissionError(1, value)


def kind_of(host: Host, path: str) -> str:
    with pytest.raises(FactError) as caught:
        host.text(path)
    return caught.value.kind


@pytest.mark.parametrize("name", ["out", "out.tar.gz"])
def test_a_recording_answers_as_the_machine_did(tmp_path: Path, name: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("one\n")
    (tmp_path / "real/unread").write_text("two\n")
    (tmp_path / "real/link").symlink_to("a")
    recorder = Recorder(Live())
    host, real = Host(recorder), str(tmp_path / "real")

    def ask(h: Host) -> list[object]:
        errors = []
        for question in (lambda: h.text(f"{real}/gone"), lambda: h.call(refused, "x")):
            with pytest.raises(FactError) as caught:
                question()
            errors.append((caught.value.kind, caught.value.detail))
        return [h.text(f"{real}/a"), h.glob(f"{real}/*"), h.link(f"{real}/link"), h.call(answer, "x"), errors]

    live = ask(host)
    write(recorder.notes, tmp_path / name)

    assert ask(open_host(tmp_path / name)) == live
    assert live[-1] == [("absent", "ENOENT"), ("denied", "EPERM")]


def test_what_was_never_asked_is_not_absent(tmp_path: Path) -> None:
    recorder = Recorder(Live())
    Host(recorder).text("/proc/version")
    write(recorder.notes, tmp_path / "out")
    host = open_host(tmp_path / "out")

    assert kind_of(host, "/proc/uptime") == "not_recorded"
    assert kind_of(host, "/proc") == "not_recorded"
    with pytest.raises(FactError, match="not recorded"):
        host.call(answer, "x")
    with pytest.raises(FactError, match="not recorded"):
        host.glob("/proc/*")


def test_a_plain_tree_is_a_machine_too(tmp_path: Path) -> None:
    (tmp_path / "sys/class/net/eth0").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth0/mtu").write_text("1500\n")
    host = open_host(tmp_path)

    assert host.text("/sys/class/net/eth0/mtu") == "1500"
    assert kind_of(host, "/sys/class/net/eth1/mtu") == "absent"
    assert host.glob("/sys/class/net/*") == ["/sys/class/net/eth0"]


def test_numbers_sort_as_numbers(machine: Machine) -> None:
    host = machine({}, directories=("/cpu10", "/cpu2", "/cpu1", "/node0"))

    assert host.glob("/*[0-9]") == ["/cpu1", "/cpu2", "/cpu10", "/node0"]


def test_a_link_cannot_lead_out_of_a_tree(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    root = tmp_path / "root"
    root.mkdir()
    (root / "inside").symlink_to(secret)
    (root / "up").symlink_to("..")

    assert kind_of(open_host(root), "/inside") == "denied"
    assert kind_of(open_host(root), "/up/secret") == "denied"
    assert open_host(root).glob("/up/*") == []
    assert kind_of(open_host(root), "/a\0b") == "malformed"


def test_an_archive_cannot_write_outside(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        entry = tarfile.TarInfo("../../evil")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))

    with pytest.raises(RecordingError, match="not a recording"):
        open_host(archive)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "not readable as JSON"),
        ("[]", 'key "schema"'),
        ('{"schema": "nodeproof.recording/9"}', 'key "schema"'),
        ('{"schema": "nodeproof.recording/1", "calls": []}', 'key "calls"'),
        ('{"schema": "nodeproof.recording/1", "errors": {"/x": ["tired", ""]}}', 'key "errors", "/x"'),
        ('{"schema": "nodeproof.recording/1", "errors": {"/x": [[], "x"]}}', 'key "errors", "/x"'),
        ('{"schema": "nodeproof.recording/1", "errors": {"/x": ["denied", 1]}}', 'key "errors", "/x"'),
        ('{"schema": "nodeproof.recording/1", "globs": [{}]}', 'key "globs"'),
        ('{"schema": "nodeproof.recording/1", "links": {"/x": 1}}', 'key "links", "/x"'),
        ('{"schema": "nodeproof.recording/1", "members": "1"}', 'key "members"'),
        pytest.param("[" * 100_000, "not readable as JSON", id="deep"),
        pytest.param(" " * (MAX_SIDECAR_BYTES + 1), "larger than 16 MiB", id="large"),
    ],
)
def test_a_broken_sidecar_is_one_clear_error(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "host.json").write_text(content)

    with pytest.raises(RecordingError) as caught:
        open_host(tmp_path)
    assert expected in str(caught.value)
    assert "host.json" in str(caught.value)


def test_no_such_recording_and_garbage(tmp_path: Path) -> None:
    (tmp_path / "garbage.tar.gz").write_bytes(b"\x1f\x8bgarbage")

    with pytest.raises(RecordingError, match="no such recording"):
        open_host(tmp_path / "gone")
    with pytest.raises(RecordingError, match="not a recording"):
        open_host(tmp_path / "garbage.tar.gz")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    recorder = Recorder(Live())
    Host(recorder).text("/proc/version")

    with pytest.raises(RecordingError, match="cannot write"):
        write(recorder.notes, tmp_path / "no/such/directory/out.tar.gz")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_content_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")

    with pytest.raises(RecordingError, match="not empty"):
        write(Recorder(Live()).notes, tmp_path)
    assert (tmp_path / "precious").exists()


def test_an_archive_is_for_its_owner_only(tmp_path: Path) -> None:
    write(Recorder(Live()).notes, tmp_path / "out.tar.gz")

    assert os.stat(tmp_path / "out.tar.gz").st_mode & 0o077 == 0


def test_a_directory_that_may_not_be_listed_is_denied_not_empty(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)

    with as_nobody(), pytest.raises(FactError) as caught:
        Host().glob(f"{tmp_path}/closed/*")
    assert caught.value.kind == "denied"


def test_a_recorded_denial_of_a_listing_is_replayed(machine: Machine) -> None:
    host = machine({}, errors={"/closed/*": ("denied", "EACCES")})

    with pytest.raises(FactError, match="denied"):
        host.glob("/closed/*")


def test_the_sidecar_is_no_part_of_the_machine(machine: Machine) -> None:
    assert machine({}).glob("/*") == []
    assert json.loads((Path(machine({}).machine.root) / "host.json").read_text())["complete"]  # type: ignore[attr-defined]


@pytest.fixture
def patience() -> Iterator[None]:
    """Five seconds, so that what hangs fails instead."""

    def give_up(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("patience")
def test_a_fifo_in_a_tree_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert kind_of(open_host(tmp_path), "/fifo") == "failed"


@pytest.mark.usefixtures("patience")
def test_a_fifo_as_the_sidecar_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "host.json")

    with pytest.raises(RecordingError, match="not a regular file"):
        open_host(tmp_path)


def sample() -> Notes:
    notes = Notes()
    notes.files = {f"/sys/{n}": b"0123456789abcdef\n" for n in range(20)}
    notes.globs, notes.found = {"/dev/*"}, {"/dev/null"}
    return notes


def repack(archive: Path, tar: bytes) -> Path:
    archive.write_bytes(gzip.compress(tar))
    return archive


def pack(archive: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive


def refused_archive(archive: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        open_host(archive)
    return caught.value.reason


def test_an_archive_tells_first_how_many_members_it_has(tmp_path: Path) -> None:
    write(sample(), tmp_path / "out.tar.gz")

    with tarfile.open(tmp_path / "out.tar.gz") as tar:
        names = tar.getnames()
        content = tar.extractfile("host.json")
        assert content is not None
        assert json.load(content)["members"] == len(names) == 22
    assert names[0] == "host.json"


@pytest.mark.parametrize("member", [1, 10, 21])
def test_a_damaged_header_is_not_the_end_of_an_archive(tmp_path: Path, member: int) -> None:
    """tarfile alone would take it for that."""
    archive = tmp_path / "out.tar.gz"
    write(sample(), archive)
    with tarfile.open(archive) as opened:
        offset = opened.getmembers()[member].offset
    tar = bytearray(gzip.decompress(archive.read_bytes()))
    tar[offset : offset + 8] = b"\xff" * 8

    assert refused_archive(repack(archive, bytes(tar))) == f"damaged: {member} of 22 members"


def test_an_archive_is_read_to_its_checksum(tmp_path: Path) -> None:
    archive = tmp_path / "out.tar.gz"
    write(sample(), archive)
    content = bytearray(archive.read_bytes())
    content[-6] ^= 1

    archive.write_bytes(content)
    assert "CRC" in refused_archive(archive)
    archive.write_bytes(content[:-9])
    assert "not a recording" in refused_archive(archive)


def test_an_archive_without_a_sidecar_is_no_recording(tmp_path: Path) -> None:
    archive = pack(tmp_path / "out.tar.gz", (tarfile.TarInfo("proc/version"), b"Linux"))

    assert "no host.json" in refused_archive(archive)


def test_an_archive_that_does_not_count_its_members_is_refused(tmp_path: Path) -> None:
    content = b'{"schema": "nodeproof.recording/1"}'
    archive = pack(tmp_path / "out.tar.gz", (tarfile.TarInfo("host.json"), content))

    assert "no host.json that counts its members" in refused_archive(archive)


def hostile(name: str = "x", **pax_headers: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.pax_headers = pax_headers
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        hostile(path="a\0b"),
        hostile(size="-5"),
        hostile(**{"GNU.sparse.size": "10000000000", "GNU.sparse.map": "0,1"}),
        hostile("/".join(["d"] * 101)),
        hostile(comment="x" * 100_000),
    ],
    ids=["name with NUL", "negative size", "sparse", "deep", "long header"],
)
def test_hostile_headers_are_refused(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    assert "a recording" in refused_archive(pack(tmp_path / "out.tar.gz", (entry, b"x")))


def test_global_headers_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "out.tar.gz", "w:gz", pax_headers={"comment": "x"}) as tar:
        tar.addfile(tarfile.TarInfo("x"))

    assert "a recording" in refused_archive(tmp_path / "out.tar.gz")


def test_only_gzip_is_read(tmp_path: Path) -> None:
    write(sample(), tmp_path / "out.tar.gz")
    tar = gzip.decompress((tmp_path / "out.tar.gz").read_bytes())
    (tmp_path / "out.tar").write_bytes(tar)
    (tmp_path / "out.tar.xz").write_bytes(lzma.compress(tar)[:-40] + b"x" * 40)

    assert "not a recording" in refused_archive(tmp_path / "out.tar")
    assert "not a recording" in refused_archive(tmp_path / "out.tar.xz")


def test_damaged_compression_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "out.tar.gz"
    write(sample(), archive)
    content = archive.read_bytes()
    archive.write_bytes(content[:20] + b"\xff" * 40 + content[60:])

    assert "not a recording" in refused_archive(archive)


def test_a_long_header_is_not_taken_into_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 300 << 20
    with gzip.open(tmp_path / "out.tar.gz", "wb", compresslevel=1) as stream:
        stream.write(header.tobuf())
        for _ in range(300):
            stream.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert "too large" in refused_archive(tmp_path / "out.tar.gz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


def test_a_refused_archive_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(sample(), tmp_path / "out.tar.gz")
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "unpacked"))
    with open_host(tmp_path / "out.tar.gz"):
        assert len(list((tmp_path / "unpacked").iterdir())) == 1
    tar = gzip.decompress((tmp_path / "out.tar.gz").read_bytes())

    refused_archive(repack(tmp_path / "out.tar.gz", tar[: 12 * 512]))
    assert list((tmp_path / "unpacked").iterdir()) == []
