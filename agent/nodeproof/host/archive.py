"""Recordings on disk: written whole or not at all, read with distrust."""

import atexit
import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from nodeproof.errors import RecordingError
from nodeproof.host.record import Notes
from nodeproof.host.replay import SIDECAR, Replay

#: Most that an archive may unpack to, in bytes and members: recordings come from other people.
MAX_ARCHIVE_BYTES = 256 << 20
MAX_ARCHIVE_MEMBERS = 200_000


def write(notes: Notes, out: Path) -> None:
    """Write a recording to `out`: an archive if it ends in .tar.gz or .tgz, else a new directory.

    Either is written beside `out` first and renamed: a full disk leaves nothing half done.
    Raises RecordingError.
    """
    if out.name.endswith((".tar.gz", ".tgz")):
        write_part, part = _write_archive, out.with_name(f".{out.name}.{os.getpid()}")
    else:
        write_part, part = _write_tree, out.with_name(f".{out.name}.{os.getpid()}")
        if out.is_dir() and any(out.iterdir()):
            raise RecordingError(str(out), "the directory is not empty")
    try:
        write_part(notes, part)
        part.replace(out)
    except OSError as error:
        _remove(part)
        raise RecordingError(str(out), f"cannot write: {error.strerror or error}") from error


def _write_archive(notes: Notes, part: Path) -> None:
    # for its owner alone: a recording may hold what only root could read. O_EXCL: never through a planted link
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for path in _empty_directories(notes):
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            for path, content in [*sorted(notes.files.items()), ("/" + SIDECAR, notes.sidecar())]:
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))
        stream.flush()
        os.fsync(stream.fileno())


def _write_tree(notes: Notes, part: Path) -> None:
    part.mkdir(mode=0o700)
    for path in _empty_directories(notes):
        (part / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for path, content in notes.files.items():
        file = part / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (part / SIDECAR).write_bytes(notes.sidecar())


def _empty_directories(notes: Notes) -> list[str]:
    """Return what globs found and nobody read into: without it a replayed glob would find less."""
    parents = {str(p) for path in notes.files for p in Path(path).parents}
    return sorted(path for path in notes.found if path not in parents and path not in notes.files)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class Unpacked(Replay):
    """A recording that is unpacked into a directory of its own for as long as it is open."""

    def __init__(self, archive: str) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="nodeproof-replay-"))
        atexit.register(self.close)
        try:
            _unpack(archive, self._directory)
            super().__init__(str(self._directory))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)


def _unpack(archive: str, target: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            members, total = 0, 0
            for member in tar:
                members, total = members + 1, total + member.size
                if members > MAX_ARCHIVE_MEMBERS or total > MAX_ARCHIVE_BYTES:
                    raise RecordingError(archive, "too large to be a recording of a node")
                _unpack_member(tar, member, target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RecordingError(archive, f"not a recording: {error}") from error


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one file or directory. `record` writes nothing else, and no name that climbs.

    By hand, because Debian 12's Python is older than tarfile's extraction filters.
    """
    parts = Path(member.name).parts
    if ".." in parts or member.name.startswith("/") or not (member.isfile() or member.isdir()):
        raise RecordingError(tar.name if isinstance(tar.name, str) else "", f"not a recording: member {member.name!r}")
    path = target.joinpath(*parts)
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None  # it is a file
    path.write_bytes(content.read())
