"""The door to the machine: live, recorded, replayed, and what hostile or broken recordings do."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from nodeproof.errors import FactError, RecordingError
from nodeproof.host import Host, open_host
from nodeproof.host.archive import write
from nodeproof.host.base import Live
from nodeproof.host.record import Recorder
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
