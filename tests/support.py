"""Plant a machine for a test: a tree of files, links and errors that a real Host then reads."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nodeproof.check import CheckSpec, registry
from nodeproof.engine.run import judge
from nodeproof.engine.worker import Reading, read_facts
from nodeproof.host import Host, HostCall, open_host
from nodeproof.host.base import call_name
from nodeproof.host.replay import SCHEMA, SIDECAR
from nodeproof.policy.settings import CheckSettings
from nodeproof.verdict import Verdict

Files = Mapping[str, str | bytes]
Machine = Callable[..., Host]


def plant(
    root: Path,
    files: Files,
    *,
    links: Mapping[str, str] | None = None,
    errors: Mapping[str, tuple[str, str]] | None = None,
    calls: Mapping[tuple[Any, ...], Any] | None = None,
    directories: tuple[str, ...] = (),
) -> Host:
    """Return a Host over a tree: what is not planted is absent.

    `errors` maps a path, a glob pattern or a call name to (kind, detail); `calls` maps
    (function, *args) to its answer.
    """
    for path in directories:
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    sidecar = {
        "schema": SCHEMA,
        "complete": True,
        "links": dict(links or {}),
        "errors": {name: list(error) for name, error in (errors or {}).items()},
        "calls": {call_name(*call): answer for call, answer in (calls or {}).items()},
    }
    (root / SIDECAR).write_text(json.dumps(sidecar))
    return open_host(root)


def verdict_of(check_id: str, host: Host, *, if_absent: str = "skip", **parameters: object) -> Verdict:
    """Return what the engine says of one check on a planted machine: probes, check and errors together."""
    spec: CheckSpec = registry()[check_id]
    settings = CheckSettings(parameters=parameters, if_absent=if_absent)  # type: ignore[arg-type]
    readings: dict[type, Reading] = read_facts(host, spec.facts, deadline_s=5, until_s=float("inf"))
    return judge(spec, settings, readings)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root for a while; an ordinary user stays as they are."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


__all__ = ["Files", "HostCall", "Machine", "as_nobody", "plant", "verdict_of"]


def write_if_other(file: Path, text: str) -> None:
    """Write a file unless it has this text: a policy that was written anew is compiled anew."""
    if not file.exists() or file.read_text() != text:
        file.write_text(text)
