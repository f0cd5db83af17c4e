"""Keep exactly what a Host was asked and what it answered, errors included."""

import json
import os
from pathlib import Path
from typing import Any

from nodeproof.errors import FactError, RecordingError
from nodeproof.host.base import HostCall, Machine, call_name, fact_error
from nodeproof.host.replay import SCHEMA, SIDECAR


class Notes:
    """Questions and answers: what a recording holds. `found` are the paths that `globs` matched."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.globs: set[str] = set()
        self.found: set[str] = set()
        self.links: dict[str, str] = {}
        self.errors: dict[str, list[str]] = {}
        self.calls: dict[str, Any] = {}

    def add(self, other: "Notes") -> None:
        self.files |= other.files
        self.globs |= other.globs
        self.found |= other.found
        self.links |= other.links
        self.errors |= other.errors
        self.calls |= other.calls

    def add_error(self, name: str, error: FactError) -> None:
        self.errors[name] = [error.kind, error.detail]

    def sidecar(self) -> bytes:
        """Return `host.json`: what a tree cannot hold."""
        content = {
            "schema": SCHEMA,
            "globs": sorted(self.globs),
            "errors": self.errors,
            "links": self.links,
            "calls": self.calls,
        }
        return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


class Recorder:
    """A machine that notes down every answer of the machine below it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.can_hang = machine.can_hang
        self.notes = Notes()

    def read(self, path: str) -> bytes:
        self.notes.files[path] = answer = self._noted(path, self.machine.read, path)
        return bytes(answer)

    def glob(self, pattern: str) -> list[str]:
        found: list[str] = self._noted(pattern, self.machine.glob, pattern)
        self.notes.globs.add(pattern)
        self.notes.found.update(found)
        return found

    def link(self, path: str) -> str:
        self.notes.links[path] = answer = self._noted(path, self.machine.link, path)
        return str(answer)

    def call(self, function: HostCall, *args: Any) -> Any:
        name = call_name(function, *args)
        self.notes.calls[name] = answer = self._noted(name, self.machine.call, function, *args)
        return answer

    def _noted(self, name: str, ask: Any, *args: Any) -> Any:
        try:
            return ask(*args)
        except OSError as error:
            self.notes.add_error(name, fact_error(name, error))
            raise
        except FactError as error:
            self.notes.add_error(name, error)
            raise


def write(notes: Notes, out: Path) -> None:
    """Write a recording to `out`: an archive if it ends in .tar.gz or .tgz, else a new directory.

    Either is written beside `out` first and renamed: a full disk leaves nothing half done.
    Raises RecordingError.
    """
    is_archive = out.name.endswith((".tar.gz", ".tgz"))
    if not is_archive and out.is_dir() and any(out.iterdir()):
        raise RecordingError(str(out), "the directory is not empty")
    part = out.with_name(out.name + ".part")
    try:
        _write_archive(notes, part) if is_archive else _write_tree(notes, part)
        os.replace(part, out)
    except OSError as error:
        _remove(part)
        raise RecordingError(str(out), f"cannot write: {error.strerror or error}") from error


def _write_archive(notes: Notes, part: Path) -> None:
    import io
    import tarfile

    # 0600: a recording may hold what only root could read
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
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
    _remove(part)
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
    import shutil

    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
