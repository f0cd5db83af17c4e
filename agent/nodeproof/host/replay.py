"""A machine that is read back: a recording, or any directory tree that mirrors `/`."""

import json
import os
from typing import Any

from nodeproof.errors import KINDS, FactError, RecordingError
from nodeproof.host.base import HostCall, call_name, read_regular, walk

#: Name and version of the file that holds what a tree cannot: errors, links, calls.
SIDECAR = "host.json"
SCHEMA = "nodeproof.recording/1"

#: Largest `host.json`, in bytes: Python takes twenty times as much memory for hostile JSON.
MAX_SIDECAR_BYTES = 16 << 20


class Replay:
    """Answers from a tree. A recording (a tree with `host.json`) knows what it was not asked.

    In a recording, what is neither in the tree nor in `host.json` was never asked for:
    that is `not_recorded`, not `absent`. In a plain tree, and in one whose `host.json` says
    `"complete": true`, whatever is missing is absent.
    """

    can_hang = False

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        sidecar = self._sidecar()
        self.is_recording = sidecar is not None and not sidecar.get("complete", False)
        sidecar = sidecar or {}
        self.globs: list[str] = sidecar.get("globs", [])
        self.errors: dict[str, list[str]] = sidecar.get("errors", {})
        self.links: dict[str, str] = sidecar.get("links", {})
        self.calls: dict[str, Any] = sidecar.get("calls", {})
        #: How many members the archive has that this was unpacked from.
        self.members: int | None = sidecar.get("members")

    def read(self, path: str) -> bytes:
        self._raise_recorded(path)
        real = self._inside(path)
        if self.is_recording and not os.path.isfile(real):
            raise FactError(path, "not_recorded")
        return read_regular(real, path)

    def glob(self, pattern: str) -> list[str]:
        self._raise_recorded(pattern)
        if self.is_recording and pattern not in self.globs:
            raise FactError(pattern, "not_recorded")
        return [p for p in walk(self.root, pattern) if p != f"/{SIDECAR}" and self._is_inside(os.path.dirname(p))]

    def link(self, path: str) -> str:
        if path in self.links:
            return self.links[path]
        self._raise_recorded(path)
        if self.is_recording:
            raise FactError(path, "not_recorded")
        return os.readlink(os.path.join(self._inside(os.path.dirname(path)), os.path.basename(path)))

    def call(self, function: HostCall, *args: Any) -> Any:
        name = call_name(function, *args)
        self._raise_recorded(name)
        if name not in self.calls:
            raise FactError(name, "not_recorded")
        return self.calls[name]

    def close(self) -> None:
        """Nothing is held open."""

    def _raise_recorded(self, name: str) -> None:
        if name in self.errors:
            kind, detail = self.errors[name]
            raise FactError(name, kind, detail)  # type: ignore[arg-type]  # checked in _sidecar

    def _is_inside(self, path: str) -> bool:
        return (os.path.realpath(self.root + path) + "/").startswith(self.root + "/")

    def _inside(self, path: str) -> str:
        """Return where `path` lies in the tree; a link that leads out of the tree is refused."""
        real = os.path.realpath(self.root + path)
        if not self._is_inside(path):
            raise FactError(path, "denied", "a link that leads out of the recording")
        return real

    def _sidecar(self) -> dict[str, Any] | None:
        file = os.path.join(self.root, SIDECAR)
        try:
            content = read_regular(file, file, MAX_SIDECAR_BYTES + 1)
            if len(content) > MAX_SIDECAR_BYTES:
                raise RecordingError(file, f"larger than {MAX_SIDECAR_BYTES >> 20} MiB")
            sidecar = json.loads(content)
        except FileNotFoundError:
            return None
        except FactError as error:
            raise RecordingError(file, error.detail) from error
        except (OSError, ValueError, RecursionError) as error:
            raise RecordingError(file, f"not readable as JSON: {error}") from error
        _validate(file, sidecar)
        return dict(sidecar)


def _validate(file: str, sidecar: Any) -> None:
    if not isinstance(sidecar, dict) or sidecar.get("schema") != SCHEMA:
        raise RecordingError(file, f'key "schema": expected "{SCHEMA}"')
    if not _is_texts(sidecar.get("globs", [])):
        raise RecordingError(file, 'key "globs": expected a list of text')
    if type(sidecar.get("members", 0)) is not int:
        raise RecordingError(file, 'key "members": expected a whole number')
    for key in ("errors", "links", "calls"):
        if not isinstance(sidecar.get(key, {}), dict):
            raise RecordingError(file, f'key "{key}": expected an object')
    for name, error in sidecar.get("errors", {}).items():
        if not (_is_texts(error) and len(error) == 2 and error[0] in KINDS):
            raise RecordingError(file, f'key "errors", "{name}": expected [kind, detail]')
    for name, target in sidecar.get("links", {}).items():
        if not isinstance(target, str):
            raise RecordingError(file, f'key "links", "{name}": expected text')


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
