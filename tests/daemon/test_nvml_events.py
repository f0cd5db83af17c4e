"""XIDs from NVML: the real pynvml in a real child, with a fake libnvidia-ml.so.1 below it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FAKE_NVML = Path(__file__).parent.parent / "fake_nvml"

Follow = Callable[..., "Followed"]


class Followed:
    """A process that follows NVML's events, and what it says, one line at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []

    def until(self, key: str, value: object = None) -> dict[str, Any]:
        """Return the next line that has this key, and this value where one is asked for."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))
            if key in self.said[-1] and value in (None, self.said[-1][key]):
                return self.said[-1]
        raise AssertionError((key, value, self.said, self.process.stderr and self.process.stderr.read()))

    def event(self) -> dict[str, Any]:
        [event] = self.until("events")["events"]
        return dict(event)


@pytest.fixture
def follow(fake_library: Path, tmp_path: Path) -> Iterator[Follow]:
    with contextlib.ExitStack() as stack:

        def start(scenario: str, *, is_there: bool = True, quiet_s: float = 30.0, again_s: float = 60.0) -> Followed:
            library = str(fake_library if is_there else tmp_path)
            environment = os.environ | {"LD_LIBRARY_PATH": library, "FAKE_NVML": scenario}
            command = [sys.executable, str(FAKE_NVML / "follow.py"), str(quiet_s), str(again_s)]
            process = subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True)
            for pipe in (process.stdout, process.stderr):
                assert pipe is not None
                stack.callback(pipe.close)  # a child that lives on has them open too
            stack.callback(process.wait)
            stack.callback(process.kill)
            return Followed(process)

        yield start


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until_dead(pid: int) -> None:
    until = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < until, f"{pid} lives on"
        time.sleep(0.01)


def test_an_xid_is_told_with_gpu_and_code(follow: Follow) -> None:
    followed = follow("gpus=8 xid=79 xid_gpu=3")

    before = time.time()
    event = followed.event()
    assert before - 1 < event.pop("at") < time.time() + 1
    assert event == {
        "rule": "event.xid",
        "boot_id": "boot",
        "source": "nvml",
        "text": "NVML: Xid 79 on 0000:1e:00.0",
        "part": "pci:0000:1e:00.0",
        "variant": "79",
        "sequence": None,
        "fields": {"code": "79", "pci": "0000:1e:00.0", "told_by": "nvml"},
        "count": 1,
    }


def test_a_gpu_that_is_lost_at_the_start_keeps_no_other_from_being_followed(follow: Follow) -> None:
    assert follow("gpus=4 lost=0 xid=31 xid_gpu=2").event()["part"] == "pci:0000:1d:00.0"


def test_a_child_that_crashes_is_said_and_started_again(follow: Follow) -> None:
    followed = follow("gpus=1 xid=79 after=-1", again_s=0.1)

    followed.event()
    assert followed.until("problem", "the process that asks NVML ended")
    assert {"lost": 1} in followed.said
    followed.event()


def test_an_error_of_nvml_ends_the_child_and_is_said(follow: Follow) -> None:
    followed = follow("gpus=1 xid=79 after=15", again_s=0.1)

    assert followed.until("problem", "no XIDs from NVML: GPU is lost")
    followed.event()  # by the next child
    assert {"lost": 1} not in followed.said


def test_without_the_library_nothing_is_followed_or_tried_again(follow: Follow) -> None:
    followed = follow("", is_there=False, quiet_s=1.0, again_s=0.1)

    assert followed.until("stopped")["child"] == 0
    problems = [said["problem"] for said in followed.said if "problem" in said]
    assert problems == ["NVML has not answered yet", "no XIDs from NVML: NVML Shared Library Not Found"]


def test_gpus_that_tell_nothing_are_said(follow: Follow) -> None:
    assert follow("gpus=2 deaf=1").until("problem", "no GPU tells NVML of XIDs")


def test_a_library_that_hangs_holds_nobody_up(follow: Follow) -> None:
    followed = follow("hang=-1", quiet_s=0.3)

    stopped = followed.until("stopped")
    assert [said["problem"] for said in followed.said if "problem" in said] == ["NVML has not answered yet"]
    wait_until_dead(stopped["child"])


@pytest.mark.parametrize("scenario", ["gpus=1", "hang=-1"])
def test_the_child_dies_with_the_agent(follow: Follow, scenario: str) -> None:
    followed = follow(scenario)

    agent = followed.until("pid")["pid"]
    child = followed.until("problem", "" if scenario == "gpus=1" else None)["child"]
    assert is_alive(child)
    os.kill(agent, signal.SIGKILL)
    wait_until_dead(child)


def test_the_child_holds_none_of_the_agents_files(follow: Follow) -> None:
    child = follow("gpus=1").until("problem", "")["child"]

    names = [os.readlink(f"/proc/{child}/fd/{fd}") for fd in os.listdir(f"/proc/{child}/fd") if int(fd) > 2]
    assert [name.partition(":")[0] for name in names] == ["pipe"]
