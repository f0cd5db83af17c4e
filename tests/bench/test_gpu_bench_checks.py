"""Judgement of GPUs by what was measured on them, and where they are measured."""

from typing import Any, NamedTuple

import pytest

from nodeproof.errors import KINDS
from nodeproof.verdict import Status, Verdict
from nodeproof_bench.placement import Place, Topology, plan
from nodeproof_bench.result import BenchHistory, BenchResult
from planted_bench import failure, history, learnt, result, run, verdict
from planted_cpus import small_machine
from support import Machine

GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x1B, 0x1B + 8)]


def point(device: str, operation: str, value: float, **more: Any) -> dict[str, Any]:
    figures = {"value": value, "sustained": 0.98 * value, "stability": 0.97, "interval": None, "is_converged": True}
    seen = {"sm_hz": 1.9e9, "power_w": 650.0, "celsius": 60.0, "slowed_by": ["power_cap"]}
    return {"device": device, "peer": device, "operation": operation, "samples": 50} | figures | seen | more


def measured(name: str, points: list[dict[str, Any]], unit: str = "B/s", **more: Any) -> BenchResult:
    gpus = [{"device": gpu, "name": "NVIDIA H100"} for gpu in GPUS]
    fields: dict[str, Any] = {"gpus": gpus, "wrong_elements": 0} | more
    return result(name, points[0]["value"], unit, points=points, threads=1, cpus="0", isa="sm_90", **fields)


def eight(name: str, operation: str, value: float, odd: dict[str, Any] | None = None, unit: str = "B/s") -> BenchResult:
    """Return eight GPUs of which the fourth is `odd`."""
    points = [point(gpu, operation, value * (1 + 0.002 * n)) for n, gpu in enumerate(GPUS)]
    points[3] |= odd or {}
    return measured(name, points, unit)


def judge(found: BenchResult, **parameters: object) -> Verdict:
    return verdict(found.name, history(found), **parameters)


class Speed(NamedTuple):
    """A check of a speed: what its benchmark measures, and the parameter that limits it."""

    name: str
    operation: str
    value: float
    unit: str
    key: str

    def result(self, share: float = 1, odd_share: float | None = None, **odd: Any) -> BenchResult:
        """Return eight GPUs of this share of the speed, of which the fourth has another share and fields of its own."""
        value, odd_value = (self.value / s if self.unit == "s" else self.value * s for s in (share, odd_share or share))
        return eight(self.name, self.operation, value, {"value": odd_value} | odd, self.unit)


SPEEDS = [
    Speed("gpu.hbm_bandwidth", "copy", 2.9e12, "B/s", "min_bytes_per_s"),
    Speed("gpu.pcie_bandwidth", "h2d", 55e9, "B/s", "min_bytes_per_s"),
    Speed("gpu.pcie_latency", "flag", 1.5e-6, "s", "max_latency_s"),
    Speed("gpu.p2p_bandwidth", "copy", 390e9, "B/s", "min_bytes_per_s"),
    Speed("gpu.gemm", "bf16", 640e12, "FLOP/s", "min_flop_per_s"),
    Speed("gpu.burn", "bf16", 600e12, "FLOP/s", "min_flop_per_s"),
]

each_speed = pytest.mark.parametrize("speed", SPEEDS, ids=lambda speed: speed.name)


@each_speed
def test_equal_gpus_pass_and_a_slow_one_is_named(speed: Speed) -> None:
    assert judge(speed.result()).status == Status.OK
    found = judge(speed.result(odd_share=0.4, slowed_by=["hardware_thermal"]))
    assert found.status == Status.FAIL
    assert "GPU 0000:1e:00.0" in found.summary
    assert "hardware" in found.summary


@each_speed
def test_what_is_learnt_holds_for_the_same_gpus_and_fails_all_of_them_when_all_are_slow(speed: Speed) -> None:
    limits = learnt(speed.name, history(speed.result()))

    assert list(limits) == [speed.key]
    assert judge(speed.result(), **limits).status == Status.OK
    found = judge(speed.result(0.75), **limits)
    assert found.status == Status.FAIL
    assert ("expected at most" if speed.unit == "s" else "expected at least") in found.summary


def test_a_gpu_that_answers_late_is_named() -> None:
    limits = learnt("gpu.pcie_latency", history(eight("gpu.pcie_latency", "flag", 1.5e-6, unit="s")))

    found = judge(eight("gpu.pcie_latency", "flag", 1.5e-6, {"value": 9e-6}, "s"))
    assert found.summary.startswith("GPU 0000:1e:00.0 has 9.00 µs of flag")
    assert found.summary.endswith("its siblings 1.51 µs")
    slow = judge(eight("gpu.pcie_latency", "flag", 3e-6, unit="s"), **limits)
    assert "expected at most 1.91 µs" in slow.summary


def test_words_of_a_healthy_node_have_the_range_of_each_operation() -> None:
    points = [point(gpu, what, rate) for gpu in GPUS for what, rate in (("copy", 2.9e12), ("read", 3.0e12))]

    assert judge(measured("gpu.hbm_bandwidth", points)).summary == "8 GPUs: copy 2.90 TB/s, read 3.00 TB/s"


def test_of_two_gpus_that_differ_none_is_the_odd_one() -> None:
    points = [point(GPUS[0], "copy", 2.9e12), point(GPUS[1], "copy", 2.0e12)]

    assert judge(measured("gpu.hbm_bandwidth", points)).status == Status.OK


def test_gpus_of_another_kind_are_not_compared() -> None:
    found = eight("gpu.hbm_bandwidth", "copy", 2.9e12, {"value": 1.4e12})
    gpus = [{"device": gpu, "name": "NVIDIA A100" if gpu == GPUS[3] else "NVIDIA H100"} for gpu in GPUS]

    assert judge(found._replace(fields={**found.fields, "gpus": gpus})).status == Status.OK


def test_pairs_that_go_by_way_of_the_host_are_not_compared_with_the_others() -> None:
    pairs = [(a, b) for a in GPUS[:4] for b in GPUS[:4] if a != b]
    points = [point(a, "copy", 390e9, peer=b, access="peer") for a, b in pairs]
    points[0] |= {"value": 20e9, "access": "staged"}

    assert judge(measured("gpu.p2p_bandwidth", points)).status == Status.OK
    found = judge(measured("gpu.p2p_bandwidth", [points[0] | {"access": "peer"}, *points[1:]]))
    assert found.summary.startswith("GPU 0000:1b:00.0 to 0000:1c:00.0 has 20.0 GB/s of copy")


def test_products_of_our_own_kernel_and_of_cublaslt_are_judged_apart() -> None:
    rates = {"bf16": 6.4e14, "bf16_cublaslt": 7.6e14}
    points = [point(gpu, kind, rate) for gpu in GPUS for kind, rate in rates.items()]
    found = measured("gpu.gemm", points, "FLOP/s")

    assert judge(found).summary == "8 GPUs: bf16 640 TFLOP/s, bf16_cublaslt 760 TFLOP/s"
    assert learnt("gpu.gemm", history(found)) == {"min_flop_per_s": {"bf16": 5.88e14, "bf16_cublaslt": 6.99e14}}
    points[7] |= {"value": 6.4e14}  # what our own kernel reaches, and less than what the library does elsewhere
    slow = judge(measured("gpu.gemm", points, "FLOP/s"))
    assert slow.summary.startswith("GPU 0000:1e:00.0 has 640 TFLOP/s of bf16_cublaslt")


def test_a_gpu_that_its_hardware_slows_down_at_full_load_fails_however_fast_it_is() -> None:
    found = judge(eight("gpu.burn", "bf16", 6e14, {"slowed_by": ["power_cap", "power_brake"]}, "FLOP/s"))

    assert found.summary == "GPU 0000:1e:00.0 was slowed down by its hardware at full load: power brake"


def test_a_gpu_that_is_too_hot_at_full_load_fails() -> None:
    found = judge(eight("gpu.burn", "bf16", 6e14, {"celsius": 88.0}, "FLOP/s"), max_temp_celsius=85)

    assert found.summary == "GPU 0000:1e:00.0 reached 88 °C at full load, expected at most 85"


@each_speed
def test_a_slow_gpu_of_a_disturbed_run_is_not_condemned(speed: Speed) -> None:
    slow = speed.result(odd_share=0.4)
    found = judge(slow._replace(is_inconclusive=True, reason="busy"))

    assert (found.status, "inconclusive: busy" in found.summary) == (Status.UNKNOWN, True)


@each_speed
def test_wrong_values_fail_whatever_the_speed_and_however_busy_the_machine_was(speed: Speed) -> None:
    good = speed.result()
    wrong = good._replace(fields={**good.fields, "wrong_elements": 3}, is_inconclusive=True, reason="busy")
    found = judge(wrong)

    assert (found.status, found.summary) == (
        Status.FAIL,
        f"{speed.name} on 8 GPUs had 3 wrong values, expected none",
    )


@each_speed
def test_a_malformed_point_is_unknown_beside_a_slow_one_and_so_is_a_result_without_points(speed: Speed) -> None:
    slow = speed.result(odd_share=0.4)

    assert judge(slow._replace(points=())).status == Status.UNKNOWN
    for wrong in ({"value": "fast"}, {"value": -1.0}, {"value": None}, {"celsius": "hot"}):
        points = (*slow.points[:-1], {**slow.points[-1], **wrong})
        assert judge(slow._replace(points=points)).status == Status.UNKNOWN, wrong


def count(name: str, points: list[dict[str, Any]], **fields: Any) -> BenchResult:
    wrong = sum(p["value"] for p in points)
    return result(name, wrong, "1", points=points, threads=1, cpus="0", gpus=[{}], **fields)


BIT = {"expected": "0x0000000000000000", "found": "0x0000000000000040", "address": "0x00007f0000001000"}
MEMORY = {"value": 2, "gpu": GPUS[1], "index": 1, "pattern": "zeros", "is_reproduced": True} | BIT
UNIT = {"value": 3, "gpu": GPUS[0], "index": 0, "multiprocessor": 17, "kernel": "fma_chain", "is_reproduced": True}


GOOD = [
    *(speed.result() for speed in SPEEDS),
    count("gpu.memtest", [], bytes_tested=79_000_000_000, is_complete=True),
    count("gpu.compute_check", [], multiprocessors_seen=132, multiprocessors=132),
]

each_check = pytest.mark.parametrize("good", GOOD, ids=lambda good: good.name)


@each_check
def test_a_node_without_gpus_is_skipped(good: BenchResult) -> None:
    absent = failure(good.name, kind="absent", reason="unavailable: libcuda.so.1 is not installed")

    assert verdict(good.name, history(failures=[absent])).status == Status.SKIP


@each_check
def test_a_benchmark_that_failed_is_unknown_alone_and_beside_a_good_result(good: BenchResult) -> None:
    assert judge(good).status == Status.OK
    for kind in KINDS - {"absent"}:
        broken = [failure(good.name, "--device", "1", kind=kind, reason="its work failed")]
        assert verdict(good.name, history(failures=broken)).status == Status.UNKNOWN, kind
        assert verdict(good.name, history(good, failures=broken)).status == Status.UNKNOWN, kind


def test_memory_that_keeps_what_was_written_passes() -> None:
    found = judge(count("gpu.memtest", [], bytes_tested=79_000_000_000, is_complete=True))

    assert found.summary == "79.0 GB of GPU memory kept what was written to it"


def test_multiprocessors_that_computed_nothing_are_unknown_and_few_are_said() -> None:
    none, few = (count("gpu.compute_check", [], multiprocessors_seen=n, multiprocessors=132) for n in (0, 130))

    assert judge(none).status == Status.UNKNOWN
    assert judge(few).summary == "130 of 132 multiprocessors computed what they must"


def test_memory_that_was_not_tested_is_unknown() -> None:
    assert judge(count("gpu.memtest", [], bytes_tested=0, is_complete=False)).status == Status.UNKNOWN


@pytest.mark.parametrize(
    ("good", "key"), [(GOOD[-2], "bytes_tested"), (GOOD[-1], "multiprocessors_seen")], ids=["memtest", "compute_check"]
)
def test_a_malformed_count_is_unknown(good: BenchResult, key: str) -> None:
    for wrong in (None, "all", True, float("nan")):
        assert judge(good._replace(fields={**good.fields, key: wrong})).status == Status.UNKNOWN, wrong


@pytest.mark.parametrize(("name", "point"), [("gpu.memtest", MEMORY), ("gpu.compute_check", UNIT)])
def test_a_busy_machine_excuses_no_wrong_value(name: str, point: dict[str, Any]) -> None:
    busy = count(name, [point], bytes_tested=1, multiprocessors_seen=1, multiprocessors=1)._replace(
        is_inconclusive=True, reason="busy"
    )

    assert judge(busy).status == Status.FAIL
    once = busy._replace(points=(point | {"is_reproduced": False},))
    assert judge(once).status == Status.WARN


def test_a_bad_word_is_named_with_its_bits_and_one_that_was_bad_once_is_tested_again() -> None:
    found = judge(count("gpu.memtest", [MEMORY], bytes_tested=1))

    assert found.status == Status.FAIL
    assert found.summary == (
        "GPU 1 (0000:1c:00.0): memory at 0x00007f0000001000 did not keep the pattern zeros: "
        "expected 0x0000000000000000, found 0x0000000000000040 (bit 6)"
    )
    once = judge(count("gpu.memtest", [MEMORY | {"is_reproduced": False}], bytes_tested=1))
    assert (once.status, once.summary.endswith("once: test again by `nodeproof bench gpu.memtest`")) == (
        Status.WARN,
        True,
    )


def test_a_multiprocessor_that_computes_wrongly_is_named() -> None:
    found = judge(count("gpu.compute_check", [UNIT], multiprocessors_seen=132, multiprocessors=132))

    assert (found.status, found.summary) == (
        Status.FAIL,
        "GPU 0 (0000:1b:00.0): multiprocessor 17 computed fma_chain wrongly",
    )
    assert judge(count("gpu.compute_check", [], multiprocessors_seen=132, multiprocessors=132)).summary == (
        "132 multiprocessors computed what they must"
    )


def test_a_gpu_that_became_slower_than_it_was_is_named() -> None:
    before, now = (run(eight("gpu.hbm_bandwidth", "copy", rate)) for rate in (2.9e12, 2.8e12))
    found = verdict("bench.drift", BenchHistory((*[before] * 15, *[now] * 5)))

    assert found.status == Status.FAIL
    assert "gpu.hbm_bandwidth of 0000:1b:00.0 (copy) went from 2.90 TB/s to 2.80 TB/s, 3.4% slower" in found.summary


# Where it is measured

SMALL = Topology(sockets=1, cores=2, cpus=2, places=(Place(0, 2, 256 << 30, 32 << 20, 32 << 20),), cells=1)


def words(*names: str, gpus: int) -> list[str]:
    return [r.words for r in plan(names, SMALL._replace(gpus=gpus)).runs if r.name.startswith("gpu.")]


def test_suites_leave_gpus_out_where_there_is_none() -> None:
    assert not words("quick", "standard", "burnin", gpus=0)


def test_a_suite_measures_longer_on_more_gpus_and_pairs_where_there_are_any() -> None:
    assert words("quick", gpus=8) == ["gpu.hbm_bandwidth --seconds 3.2", "gpu.gemm --seconds 8"]
    assert "gpu.p2p_bandwidth --seconds 2.8" in words("standard", gpus=8)
    assert not [w for w in words("standard", gpus=1) if "p2p" in w]
    assert not [w for w in words("standard", gpus=8) if "burn" in w]
    assert "gpu.burn --seconds 60" in words("burnin", gpus=8)


def test_asked_for_by_name_they_are_planned_anywhere() -> None:
    assert words("gpu.burn", "gpu.memtest", gpus=0) == ["gpu.burn --seconds 30", "gpu.memtest --seconds 2"]


def test_the_quick_suite_takes_no_longer_than_promised_with_gpus() -> None:
    assert plan(["quick"], SMALL._replace(gpus=8)).estimate_s <= 45


def test_gpus_are_counted_without_asking_their_driver(machine: Machine) -> None:
    bus = {
        f"/sys/bus/pci/devices/{gpu}/{key}": value
        for gpu in GPUS[:2]
        for key, value in (("vendor", "0x10de"), ("class", "0x030200"))
    }

    assert Topology.read(machine({**small_machine(), **bus})).gpus == 2
    others = {path: value.replace("0x10de", "0x1002") for path, value in bus.items()}
    assert Topology.read(machine({**small_machine(), **others})).gpus == 0
