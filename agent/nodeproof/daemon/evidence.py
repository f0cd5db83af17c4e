"""What a drain was decided on, in one file: a recording that replays to the same verdicts, thresholds, the kernel log.

Written by the child that made the pass, which may wait for the disk.
"""

import json
import os
import platform
import re
import stat
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nodeproof
from nodeproof.decide.incidents import Relations, incidents
from nodeproof.engine import Result
from nodeproof.engine.identity import read_identity
from nodeproof.errors import FactError, RecordingError
from nodeproof.files import state_directory
from nodeproof.host import Host, archive
from nodeproof.host.base import Live
from nodeproof.host.record import Notes, Recorder
from nodeproof.policy import shown
from nodeproof.policy.settings import Settings
from nodeproof.probes.identity import HOST_NAME, Identity
from nodeproof.slurm.wish import parts
from nodeproof.verdict import harmless

DIRECTORY = "evidence"
SCHEMA = "nodeproof.evidence/1"
KERNEL_LOG = "/dev/kmsg"

#: What is kept of earlier drains.
MOST_BUNDLES = 50
MOST_BYTES = 100_000_000

#: How much of the kernel log goes along: its last minutes, and of these the last lines.
_WINDOW_US = 15 * 60 * 1_000_000
_MOST_LINES = 2000

#: A record of the kernel log is at most this long, prefix and all (PRINTK_MESSAGE_MAX, kernel/printk/printk.c), and so
#: many are read: whoever floods the log must not keep us reading.
_RECORD_BYTES = 8192
_MOST_RECORDS = 200_000
_LINE_CHARS = 4000

#: Our names of bundles: nothing else in the directory is ever removed.
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-z]+\.tar\.gz")


def write_bundle(  # noqa: PLR0913, PLR0917  # all that a pass came to
    state_dir: str,
    notes: Notes,
    results: Sequence[Result],
    settings: Settings,
    action: Mapping[str, object],
    relations: Relations | None = None,
) -> tuple[str, str]:
    """Leave the evidence of a drain, and return its path and "", or "" and why there is none, in one sentence.

    `notes` are what the pass was told by the machine, `results` what it made of that, `action` what came of it.
    """
    ours = parts(str(action.get("reason", "")))
    name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{ours[0] if ours else 'drain'}.tar.gz"
    recorded = Notes()
    recorded.add(notes)
    identity = _identity(recorded)
    try:
        directory = _directory(os.path.join(state_dir or state_directory(), DIRECTORY))
        make_room(directory)
        about = {"action": dict(action), "incidents": _incidents(results, relations)}
        beside = {
            "evidence.json": _content(about, results, settings, identity),
            "kmsg.txt": kernel_log().encode(errors="replace"),
        }
        archive.write(recorded, Path(directory, name), beside)
    except (OSError, RecordingError) as error:
        words = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        return "", f"no evidence of this drain is kept: {words}"
    return os.path.join(directory, name), ""


def make_room(directory: str) -> None:
    """Remove the oldest bundles, until another one may be added. Raises OSError."""
    found = sorted(name for name in os.listdir(directory) if _NAME.fullmatch(name))
    sizes = [os.lstat(os.path.join(directory, name)).st_size for name in found]
    while len(found) >= MOST_BUNDLES or sum(sizes) > MOST_BYTES:
        os.unlink(os.path.join(directory, found.pop(0)))
        sizes.pop(0)


def kernel_log(path: str = KERNEL_LOG) -> str:
    """Return the last lines of the kernel log as text, each with its seconds since boot and its level."""
    try:
        log = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}\n"
    try:
        return window(log)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}\n"
    finally:
        os.close(log)


def window(log: int) -> str:
    """Return what the last minutes of an open kernel log say, as far as it can be read without waiting."""
    kept: deque[tuple[int, str]] = deque(maxlen=_MOST_LINES)
    for record in _records(log):
        prefix, _, text = record.partition(b";")
        level, _, at_us, *_ = (*prefix.split(b","), b"", b"", b"")
        if level.isdigit() and at_us.isdigit():
            line, *_ = text.decode(errors="replace").split("\n")  # what follows names the device in other words
            kept.append((int(at_us), f"[{int(at_us) / 1e6:12.6f}] <{int(level) & 7}> {harmless(line, _LINE_CHARS)}\n"))
    newest_us = max((at_us for at_us, _ in kept), default=0)
    return "".join(line for at_us, line in kept if at_us >= newest_us - _WINDOW_US)


def _records(log: int) -> Iterator[bytes]:
    """Yield records until the log has no more. Source: kernel documentation, ABI/testing/dev-kmsg."""
    for _ in range(_MOST_RECORDS):
        try:
            record = os.read(log, _RECORD_BYTES)
        except BlockingIOError:
            return
        except BrokenPipeError:  # overwritten while we read: the next read goes on with what is there
            continue
        if not record:
            return
        yield record


def _identity(recorded: Notes) -> Identity:
    """Return which node this is, and see that it is recorded: policy's classes match by it in a replay, too."""
    with Host(Recorder(Live())) as host:
        identity = read_identity(host)
        assert isinstance(host.machine, Recorder)
        asked = host.machine.notes
    if HOST_NAME not in recorded.files:
        asked.add(recorded)  # what the pass was told stands
        recorded.add(asked)
    return identity


def _content(about: Mapping[str, object], results: Sequence[Result], settings: Settings, identity: Identity) -> bytes:
    """Return what people read: verdicts, what follows from which, and by which thresholds, each with its origin."""
    made = {
        "schema": SCHEMA,
        "at": time.time(),
        "since_boot_s": time.clock_gettime(time.CLOCK_BOOTTIME),
        "nodeproof": nodeproof.__version__,
        "kernel": platform.release(),
        "python": platform.python_version(),
        **about,
        "verdicts": [_verdict(r) for r in results],
        "policy_digest": settings.digest,
        "policy": shown.document(settings, identity, {r.spec.id: r.spec for r in results}),
    }
    return json.dumps(made, indent=1, default=_plain, skipkeys=True).encode() + b"\n"


def _incidents(results: Sequence[Result], relations: Relations | None) -> list[dict[str, object]]:
    return [
        {"cause": i.cause.spec.id, "part": i.part, "members": [r.spec.id for r in i.members]}
        for i in incidents(results, relations)
    ]


def _verdict(result: Result) -> dict[str, object]:
    verdict = result.verdict
    return {
        "id": result.spec.id,
        "status": verdict.status.word,
        "summary": verdict.summary,
        "evidence": dict(verdict.evidence),
        "remedy": result.remedy,
    }


def _plain(value: object) -> object:
    """Return evidence that JSON has no word for in plain values."""
    if isinstance(value, FactError):
        return str(value)
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


def _directory(path: str) -> str:
    """Make the directory, or see that nobody else can write it. Raises OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    for directory in (path, os.path.dirname(path)):
        status = os.lstat(directory)
        if status.st_uid not in {0, os.geteuid()} or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(1, "others may write there (expected an own directory, 0700)", directory)
    return path
