"""Keep exactly what a Host was asked and what it answered, errors included."""

import json
from typing import Any

from nodeproof.errors import FactError
from nodeproof.host.base import HostCall, Machine, call_name, fact_error
from nodeproof.host.replay import SCHEMA


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

    def close(self) -> None:
        self.machine.close()

    def _noted(self, name: str, ask: Any, *args: Any) -> Any:
        try:
            return ask(*args)
        except OSError as error:
            self.notes.add_error(name, fact_error(name, error))
            raise
        except FactError as error:
            self.notes.add_error(name, error)
            raise
