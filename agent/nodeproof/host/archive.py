"""Recordings on disk: written whole or not at all, read with distrust."""

import atexit
import contextlib
import gzip
import io
import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from nodeproof.errors import RecordingError
from nodeproof.host.record import Notes
from nodeproof.host.replay import MAX_SIDECAR_BYTES, SIDECAR, Replay

#: Most that an archive may unpack to, in bytes and members: recordings come from other people.
MAX_ARCHIVE_BYTES = 256 << 20
MAX_ARCHIVE_MEMBERS = 200_000

#: Most bytes between two members: tarfile keeps extended headers in memory, of whatever length they claim.
MAX_HEADER_BYTES = 64 << 10

#: Deepest path in an archive: what removes a tree recurses, and holds each level open.
MAX_PATH_PARTS = 100


def write(notes: Notes, out: Path, beside: Mapping[str, bytes] | None = None) -> None:
    """Write a recording to `out`: an archive if it ends in .tar.gz or .tgz, else a new directory.

    `beside` are files for people, by name, that lie beside `host.json` and that no replay looks at.
    Archive or tree is written beside `out` first and renamed: a full disk leaves nothing half done.
    Raises RecordingError.
    """
    if out.name.endswith((".tar.gz", ".tgz")):
        write_part, part = _write_archive, out.with_name(f".{out.name}.{os.getpid()}")
    else:
        write_part, part = _write_tree, out.with_name(f".{out.name}.{os.getpid()}")
        if out.is_dir() and any(out.iterdir()):
            raise RecordingError(str(out), "the directory is not empty")
    try:
        write_part(notes, part, beside or {})
        part.replace(out)
    except OSError as error:
        _remove(part)
        raise RecordingError(str(out), f"cannot write: {error.strerror or error}") from error


def _write_archive(notes: Notes, part: Path, beside: Mapping[str, bytes]) -> None:
    # for its owner alone: a recording may hold what only root could read. O_EXCL: never through a planted link
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            directories = _empty_directories(notes)
            # first, and with their number: tarfile takes a damaged header for the end of the archive
            sidecar = json.loads(notes.sidecar()) | {"members": 1 + len(beside) + len(directories) + len(notes.files)}
            first = json.dumps(sidecar, indent=1, sort_keys=True).encode() + b"\n"
            for path, content in [("/" + SIDECAR, first), *beside.items(), *sorted(notes.files.items())]:
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))
            for path in directories:
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
        stream.flush()
        os.fsync(stream.fileno())


def _write_tree(notes: Notes, part: Path, beside: Mapping[str, bytes]) -> None:
    part.mkdir(mode=0o700)
    for path in _empty_directories(notes):
        (part / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for path, content in notes.files.items():
        file = part / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for name, content in {SIDECAR: notes.sidecar(), **beside}.items():
        (part / name).write_bytes(content)


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
            members = _unpack(archive, self._directory)
            super().__init__(str(self._directory))
            if self.members is None:
                raise RecordingError(archive, f"not a recording: no {SIDECAR} that counts its members")
            if self.members != members:
                raise RecordingError(archive, f"damaged: {members} of {self.members} members")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        atexit.unregister(self.close)
        shutil.rmtree(self._directory, ignore_errors=True)


class _Unzipped:
    """A gzip stream that is read no further than it was told to expect."""

    def __init__(self, archive: str) -> None:
        self._archive = archive
        self._stream = gzip.GzipFile(archive)
        self._read_bytes = 0
        self.expect(0)

    def expect(self, content_bytes: int) -> None:
        """Allow for one header and as much content. tarfile reads up to a record ahead."""
        self._limit_bytes = min(self._read_bytes + MAX_HEADER_BYTES + content_bytes, MAX_ARCHIVE_BYTES)

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._read_bytes += len(content)
        if self._read_bytes > self._limit_bytes:
            raise RecordingError(self._archive, "too large to be a recording of a node")
        return content

    def drain(self) -> None:
        """Read to the end: the checksum stands there."""
        self.expect(MAX_ARCHIVE_BYTES)
        while self.read(tarfile.RECORDSIZE):
            pass

    def close(self) -> None:
        self._stream.close()


def _unpack(archive: str, target: Path) -> int:
    """Write the members below `target` and return how many there are. Raises RecordingError."""
    members = 0
    try:
        with contextlib.closing(_Unzipped(archive)) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]  # it only reads
                while member := tar.next():
                    members += 1
                    is_too_large = members > MAX_ARCHIVE_MEMBERS or not 0 <= member.size <= MAX_SIDECAR_BYTES
                    if is_too_large or tar.pax_headers:  # these are kept for all members, and add up
                        raise RecordingError(archive, "too large to be a recording of a node")
                    stream.expect(member.size)
                    _unpack_member(archive, tar, member, target)
                    tar.members = []  # a stream never looks back
                    stream.expect(0)
            stream.drain()
    # what hostile headers make of tarfile: a name with NUL, a number that is none, damaged compression
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise RecordingError(archive, f"not a recording: {error}") from error
    return members


def _unpack_member(archive: str, tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one file or directory. `record` writes nothing else, and no name that climbs.

    By hand, because Debian 12's Python is older than tarfile's extraction filters.
    """
    parts = Path(member.name).parts
    is_known = (member.isfile() and not member.issparse()) or member.isdir()
    if ".." in parts or len(parts) > MAX_PATH_PARTS or member.name.startswith("/") or not is_known:
        raise RecordingError(archive, f"not a recording: member {member.name!r}")
    path = target.joinpath(*parts)
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None  # it is a file
    path.write_bytes(content.read())
