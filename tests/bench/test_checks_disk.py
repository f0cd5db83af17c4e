"""Judgement of disks and of the loopback."""

from typing import Any

import pytest

from nodeproof.errors import FactError
from nodeproof.probes.nvme import NvmeDrive, NvmeDrives
from nodeproof.probes.pci import Link, PciDevice, PciLink, PciLinks
from nodeproof.verdict import Status
from nodeproof_bench.result import BenchResult
from planted_bench import history, learnt, point, result, verdict

DEVICE = "/dev/nvme0n1p2"


def bandwidth(read: float = 6.5e9, write: float = 4e9, **more: Any) -> BenchResult:
    points = [point(read, operation="read", queue_depth=32), point(write, operation="write", queue_depth=32)]
    more = {"device": DEVICE, "filesystem": "xfs", "wrong_blocks": 0, **more}
    return result("disk.bandwidth", read, points=points, threads=1, cpus="0", **more)


def latency(value: float = 80e-6, **more: Any) -> BenchResult:
    more = {"device": DEVICE, "filesystem": "xfs", "wrong_blocks": 0, "p99_s": 2 * value, **more}
    return result("disk.latency", value, "s", threads=1, cpus="0", points=[point(value, operation="read")], **more)


def test_a_fast_disk_is_ok() -> None:
    found = verdict("disk.bandwidth", history(bandwidth()), min_bytes_per_s=5e9)

    assert found.status == Status.OK
    assert found.summary == "disk /dev/nvme0n1p2 reads 6.50 GB/s"


def test_a_slow_disk_fails() -> None:
    found = verdict("disk.bandwidth", history(bandwidth(2e9)), min_bytes_per_s=5e9)
    assert found.status == Status.FAIL
    assert found.summary == "disk /dev/nvme0n1p2 reads 2.00 GB/s, expected at least 5.00 GB/s"

    writes = verdict("disk.bandwidth", history(bandwidth(write=1e9)), min_bytes_per_s=5e9, min_write_bytes_per_s=3e9)
    assert writes.summary == "disk /dev/nvme0n1p2 writes 1.00 GB/s, expected at least 3.00 GB/s"


@pytest.mark.parametrize("noise", [{"reason": "busy"}, {"is_contended": True}, {"stability": 0.2}])
def test_a_slow_disk_that_others_used_is_unknown(noise: dict[str, Any]) -> None:
    disturbed = history(bandwidth(2e9, **noise))

    assert verdict("disk.bandwidth", disturbed, min_bytes_per_s=5e9).status == Status.UNKNOWN
    assert verdict("disk.bandwidth", disturbed, min_bytes_per_s=1e9).status == Status.OK


def test_wrong_blocks_fail_however_fast() -> None:
    wrong = verdict("disk.bandwidth", history(bandwidth(wrong_blocks=1)), min_bytes_per_s=5e9)
    assert (wrong.status, wrong.summary) == (
        Status.FAIL,
        "disk.bandwidth on CPU 0 had 1 wrong block, expected none",
    )

    found = verdict("disk.latency", history(latency(wrong_blocks=2, reason="busy")), max_latency_s=1e-3)
    assert found.status == Status.FAIL


def test_small_reads_are_judged_by_their_latency_and_their_tail() -> None:
    assert verdict("disk.latency", history(latency()), max_latency_s=1e-4, max_p99_s=2e-4).status == Status.OK
    slow = verdict("disk.latency", history(latency(2e-4)), max_latency_s=1e-4)
    assert slow.summary == "disk /dev/nvme0n1p2 reads 4 KiB in 200 µs, expected at most 100 µs"
    tail = verdict("disk.latency", history(latency(p99_s=3e-3)), max_latency_s=1e-4, max_p99_s=2e-4)
    assert tail.summary == "disk /dev/nvme0n1p2 takes 3.00 ms for one of 100 reads, expected at most 200 µs"
    assert verdict("disk.latency", history(latency(2e-4, reason="busy")), max_latency_s=1e-4).status == Status.UNKNOWN
    assert verdict("disk.latency", history(latency(p99_s=None)), max_latency_s=1e-4, max_p99_s=1e-9).status == Status.OK


def test_limits_of_disks_are_learnt_with_much_room() -> None:
    assert learnt("disk.bandwidth", history(bandwidth())) == {"min_bytes_per_s": 5.2e9}
    assert learnt("disk.latency", history(latency())) == {"max_latency_s": 1.2e-4}
    assert learnt("disk.latency", history(latency(stability=0.4))) == {}


# disk.link

DRIVES = NvmeDrives({"nvme0": NvmeDrive("X", "S1", "1", "live", "0000:41:00.0")}, {})


def links(gt_per_s: float | None = 16.0, lanes: int = 4) -> PciLinks:
    now = Link(gt_per_s, lanes)
    device = PciDevice("144d:a80a", "nvme", is_virtual_function=False)
    return PciLinks({"0000:41:00.0": PciLink(device, "0000:40:01.1", now, now, is_answering=True)}, {})


def test_a_drive_below_its_link_is_ok() -> None:
    found = verdict("disk.link", history(bandwidth()), DRIVES, links())

    assert found.status == Status.OK
    assert found.summary == "the link of nvme0 carries 7.88 GB/s (16 GT/s x4), 83% of it was read"


def test_a_drive_beyond_its_link_is_a_cache() -> None:
    found = verdict("disk.link", history(bandwidth(11e9)), DRIVES, links())

    assert found.status == Status.WARN
    assert found.summary == (
        "/dev/nvme0n1p2 reads 11.0 GB/s, but the link of nvme0 carries 7.88 GB/s (16 GT/s x4): a cache was measured"
    )


@pytest.mark.parametrize("device", ["/dev/sda1", "/dev/mapper/vg-scratch", "server:/export", None])
def test_what_hangs_on_no_link_that_is_known_is_a_skip(device: str | None) -> None:
    assert verdict("disk.link", history(bandwidth(device=device)), DRIVES, links()).status == Status.SKIP


def test_a_link_of_unknown_speed_is_a_skip() -> None:
    assert verdict("disk.link", history(bandwidth()), DRIVES, links(None)).status == Status.SKIP
    assert verdict("disk.link", history(bandwidth()), DRIVES, links(99.0)).status == Status.SKIP
    absent = (NvmeDrives, FactError("/sys/class/nvme/nvme*", "absent"))
    assert verdict("disk.link", history(bandwidth()), absent, links()).status == Status.SKIP


# net.loopback


def loopback(spinning: float = 7e-6, blocking: float = 60e-6, rate: float = 4e9, **more: Any) -> BenchResult:
    points = [point(spinning, mode="spinning", unit="s"), point(blocking, mode="blocking", unit="s")]
    points.append(point(rate, mode="throughput", unit="B/s"))
    return result("net.loopback", spinning, "s", threads=2, cpus="0-1", points=points, **{"wrong_messages": 0, **more})


def judged(*results: BenchResult, **parameters: object) -> Any:
    limits = {"max_spinning_s": 1e-5, "max_blocking_s": 1e-4, "min_bytes_per_s": 3e9}
    return verdict("net.loopback", history(*results), **(limits | parameters))


def test_a_healthy_loopback_is_ok() -> None:
    assert judged(loopback()).summary == "a round trip over loopback takes 7.00 µs (spinning)"
    assert judged(loopback(rate=3e9)).status == Status.OK  # what is asked for is enough


@pytest.mark.parametrize(
    ("slow", "words"),
    [
        ({"spinning": 2e-5}, "over loopback a round trip takes 20.0 µs (spinning), expected at most 10.0 µs"),
        ({"blocking": 3e-4}, "over loopback a round trip takes 300 µs (blocking), expected at most 100 µs"),
        ({"rate": 1e9}, "over loopback 1.00 GB/s go through, expected at least 3.00 GB/s"),
    ],
)
def test_each_way_of_the_loopback_has_its_limit(slow: dict[str, float], words: str) -> None:
    assert judged(loopback(**slow)).summary == words
    assert judged(loopback(**slow)).status == Status.FAIL
    assert judged(loopback(**slow, reason="busy")).status == Status.UNKNOWN


def test_wrong_messages_fail() -> None:
    assert judged(loopback(wrong_messages=1)).summary == "net.loopback on 2 CPUs had 1 wrong message, expected none"


def test_limits_of_the_loopback_are_learnt() -> None:
    assert learnt("net.loopback", history(loopback())) == {
        "max_spinning_s": 1.05e-05,
        "max_blocking_s": 9e-05,
        "min_bytes_per_s": 2.8e9,
    }
