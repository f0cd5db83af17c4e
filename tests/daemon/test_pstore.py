"""What an earlier boot left in pstore: whole crashes in parts, several crashes, nothing, and what cannot be read."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeproof.daemon.sources.pstore import Pstore
from nodeproof.events import Event

AT = 1_700_000_000

PANIC = (
    b"Panic#1 Part1\n<4>[  812.345678][ T4711] Call Trace:\n"
    b"<0>[  812.345690] Kernel panic - not syncing: Fatal exception in interrupt\n<4>[  812.4] ---[ end trace ]---\n"
)
BEFORE = (
    b"Panic#1 Part2\n<1>[  812.000001] BUG: unable to handle page fault for address: ffffa26487064230\n"
    b"<4>[  812.000002] Oops: 0000 [#1] PREEMPT SMP NOPTI\n"
)


@pytest.fixture
def told(tmp_path: Path) -> Callable[[dict[str, tuple[bytes, int]]], tuple[list[Event], str]]:
    """Return what is told of these files (content and time), and the problem."""

    def of(files: dict[str, tuple[bytes, int]]) -> tuple[list[Event], str]:
        for name, (content, at) in files.items():
            (tmp_path / name).write_bytes(content)
            os.utime(tmp_path / name, (at, at))
        return start(str(tmp_path))

    return of


def start(directory: str) -> tuple[list[Event], str]:
    events: list[Event] = []

    async def run() -> str:
        source = Pstore(events.extend, "b", directory)
        source.start(asyncio.get_running_loop())
        source.stop()
        return source.problem

    return events, asyncio.run(run())


Told = Callable[[dict[str, tuple[bytes, int]]], tuple[list[Event], str]]


def test_a_crash_in_two_parts_is_one_event_with_its_reason(told: Told) -> None:
    events, problem = told({"dmesg-efi-170000000001001": (PANIC, AT), "dmesg-efi-170000000002001": (BEFORE, AT + 1)})

    assert problem == ""
    assert len(events) == 1
    event = events[0]
    assert (event.rule, event.source, event.boot_id, event.at) == ("event.crash", "pstore", "", AT)
    assert event.text == "Panic#1: Kernel panic - not syncing: Fatal exception in interrupt"
    assert event.fields == {"kind": "Panic#1", "file": "dmesg-efi-170000000001001", "parts": "2"}


def test_it_is_the_same_event_at_the_next_start(told: Told) -> None:
    """The history knows an event by its number, so that a crash is not counted anew whenever the agent starts."""
    files = {"dmesg-erst-1": (PANIC, AT)}

    assert told(files)[0][0].sequence == told(files)[0][0].sequence is not None
    other = told({"dmesg-erst-2": (PANIC, AT + 5000)})[0]
    assert len({event.sequence for event in other}) == len(other) == 2


def test_an_oops_without_a_panic_says_why(told: Told) -> None:
    events, _ = told({"dmesg-ramoops-0": (BEFORE.replace(b"Panic#1 Part2", b"Oops#1 Part1"), AT)})

    assert events[0].text == "Oops#1: BUG: unable to handle page fault for address: ffffa26487064230"


def test_what_cannot_be_understood_is_still_a_crash(told: Told) -> None:
    events, problem = told(
        {"dmesg-efi-1.enc.z": (b"\x78\x9c" + bytes(range(256)), AT), "console-ramoops-0": (b"x", AT)}
    )

    assert problem == ""
    assert [e.text for e in events] == ["dmesg-efi-1.enc.z: no reason in what was kept"]
    assert events[0].text.isprintable()


def test_nothing_is_there_most_of_the_time(told: Told, tmp_path: Path) -> None:
    assert told({}) == ([], "")
    assert start(str(tmp_path / "no such")) == ([], "")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    events, problem = start(str(tmp_path / "file"))
    assert events == []
    assert problem.endswith("file cannot be read: Not a directory")
