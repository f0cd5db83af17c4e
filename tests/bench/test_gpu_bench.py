"""The benchmarks of GPUs, over a libcuda.so.1 without hardware that runs the same kernels on the CPU."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_gpus import ROOT, environment, measured
from nodeproof_bench.result import result_of
from nodeproof_bench.table import results_table

Bench = Callable[..., "subprocess.CompletedProcess[str]"]

ONE, OTHER = "ffff:1b:00.0", "ffff:1c:00.0"


def parts(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(p["device"], p["operation"]) for p in result["points"]]


@pytest.fixture(scope="module")
def memory(bench: Bench) -> dict[str, Any]:
    """Return what two GPUs did with their own memory at these clocks."""
    return measured(bench, "gpu.hbm_bandwidth", gpus=2, sm_mhz=1410, watts=400, celsius=71, reasons=0x4C)


@pytest.fixture(scope="module")
def bus(bench: Bench) -> dict[str, Any]:
    """Return what a GPU exchanged with the host over a bus with these rates."""
    return measured(bench, "gpu.pcie_bandwidth", h2d=4e9, d2h=5e9, node=0)


def test_memory_of_each_gpu_is_copied_read_written_and_combined(memory: dict[str, Any]) -> None:
    result = memory
    assert parts(result) == [(gpu, what) for gpu in (ONE, OTHER) for what in ("copy", "read", "write", "triad")]
    slowest = min((p for p in result["points"] if p["operation"] == "copy"), key=lambda p: p["sustained"])
    assert (result["sustained"], result["operation"]) == (slowest["sustained"], "copy")
    assert result["wrong_elements"] == 0
    assert [gpu["multiprocessors"] for gpu in result["gpus"]] == [2, 2]
    assert (result["isa"], result["threads"]) == ("sm_90", 1)


def test_clocks_power_and_what_slows_a_gpu_down_are_those_of_nvml(memory: dict[str, Any]) -> None:
    point = memory["points"][0]

    assert (point["sm_hz"], point["power_w"], point["celsius"]) == (1.41e9, 400, 71)
    assert point["slowed_by"] == ["power_cap", "hardware_slowdown", "hardware_thermal"]


def test_without_nvml_they_are_not_known(bench: Bench) -> None:
    point = measured(bench, "gpu.hbm_bandwidth", sensors_fail=9)["points"][0]

    assert [point[key] for key in ("sm_hz", "power_w", "celsius", "slowed_by")] == [None] * 4


def test_copies_over_the_bus_have_the_rate_that_they_have(bus: dict[str, Any]) -> None:
    rates = {p["operation"]: p["value"] for p in bus["points"]}
    assert rates["h2d"] == pytest.approx(4e9, rel=1e-3)
    assert rates["d2h"] == pytest.approx(5e9, rel=1e-3)
    assert rates["both"] == pytest.approx(8e9, rel=1e-3)  # twice the slower one: both end together
    assert bus["wrong_elements"] == 0


def test_pinned_memory_is_on_the_node_of_the_gpu(bus: dict[str, Any]) -> None:
    if not Path("/sys/devices/system/node/node0").exists():
        pytest.skip("this kernel has no NUMA nodes")
    assert bus["gpus"][0]["host_node"] == 0
    assert [p["memory_node"] for p in bus["points"] if not p["operation"].endswith("_far")] == [0, 0, 0]


def test_a_flag_goes_to_the_gpu_and_back(bench: Bench) -> None:
    result = measured(bench, "gpu.pcie_latency")

    assert parts(result) == [(ONE, "flag"), (ONE, "copy_h2d"), (ONE, "copy_d2h")]
    assert 1e-8 < result["value"] < 1


@pytest.mark.parametrize(("words", "access"), [({}, "peer"), ({"apart": 1}, "staged")], ids=["peer", "staged"])
def test_each_ordered_pair_is_measured(bench: Bench, words: dict[str, Any], access: str) -> None:
    result = measured(bench, "gpu.p2p_bandwidth", gpus=3, peer=2e10, staged=1e10, **words)

    pairs = [(p["device"][5:7], p["peer"][5:7]) for p in result["points"]]
    assert pairs == [(one, other) for one in ("1b", "1c", "1d") for other in ("1b", "1c", "1d") if one != other]
    assert {p["access"] for p in result["points"]} == {access}
    assert result["value"] == pytest.approx({"peer": 2e10, "staged": 1e10}[access], rel=1e-3)


def test_products_of_all_types_are_right(bench: Bench) -> None:
    result = measured(bench, "gpu.gemm", "--device", "1", gpus=2)

    assert parts(result) == [(OTHER, "bf16"), (OTHER, "tf32"), (OTHER, "fp64"), (OTHER, "fp8")]
    assert result["wrong_elements"] == 0


@pytest.mark.parametrize(("capability", "shared"), [(80, 163 << 10), (89, 99 << 10)])
def test_types_that_gpu_or_driver_lack_are_left_out(bench: Bench, capability: int, shared: int) -> None:
    result = measured(bench, "gpu.gemm", driver=12030, ptx=83, capability=capability, shared=shared)

    assert [p["operation"] for p in result["points"]] == ["bf16", "tf32", "fp64"]
    assert (result["isa"], result["wrong_elements"]) == (f"sm_{capability}", 0)


@pytest.mark.parametrize("wanted", ["1", "FFFF:1C:00.0", "0000ffff:1c:00.0"])
def test_the_gpus_that_are_named_are_measured(bench: Bench, wanted: str) -> None:
    result = measured(bench, "gpu.pcie_bandwidth", "--device", wanted, gpus=2)

    assert {p["device"] for p in result["points"]} == {OTHER}
    assert [gpu["index"] for gpu in result["gpus"]] == [1]


def test_all_gpus_burn_at_once(bench: Bench) -> None:
    result = measured(bench, "gpu.burn", gpus=2)

    assert parts(result) == [(ONE, "bf16"), (OTHER, "bf16")]
    assert result["wrong_elements"] == 0


# What is wrong


def test_a_slow_gpu_is_the_figure_of_the_node(bench: Bench) -> None:
    result = measured(bench, "gpu.pcie_bandwidth", gpus=2, slow="1:4", h2d=8e9)

    rates = {p["device"]: p["value"] for p in result["points"] if p["operation"] == "h2d"}
    assert rates[OTHER] == pytest.approx(rates[ONE] / 4, rel=1e-3)
    assert result["value"] == rates[OTHER]


def test_the_bit_that_does_not_change_is_found_with_its_address(bench: Bench) -> None:
    result = measured(bench, "gpu.memtest", gpus=2, flip="1:3000003:6", seconds="5")

    assert {(p["gpu"], p["index"]) for p in result["points"]} == {(OTHER, 1)}
    (point,) = result["points"]
    assert int(point["expected"], 16) ^ int(point["found"], 16) == 1 << (8 * 3 + 6)
    assert point["offset"] + 512 == 3_000_000  # before that, the driver gave away a page of ours
    assert (point["is_reproduced"], point["replays_wrong"]) == (True, point["replays"])
    assert result["value"] == point["value"] >= 3
    assert (result["is_complete"], result["bytes_checked"]) == (True, 10 * result["bytes"])


def test_good_memory_is_good_and_nearly_all_of_it_is_tested(bench: Bench) -> None:
    result = measured(bench, "gpu.memtest", seconds="5")

    assert (result["value"], result["points"], result["is_complete"]) == (0, [], True)
    assert result["bytes"] > 0.9 * result["gpus"][0]["memory_bytes"]


def test_the_multiprocessor_that_computes_wrongly_is_found(bench: Bench) -> None:
    result = measured(bench, "gpu.compute_check", wrong_sm="0:1")

    assert {(p["gpu"], p["multiprocessor"], p["kernel"]) for p in result["points"]} == {
        (ONE, 1, "fma_chain"),
        (ONE, 1, "bf16_product"),
    }
    assert all(p["is_reproduced"] for p in result["points"])
    assert result["value"] == sum(p["value"] for p in result["points"])


def test_good_multiprocessors_compute_what_the_cpu_says(bench: Bench) -> None:
    result = measured(bench, "gpu.compute_check")

    assert (result["value"], result["points"]) == (0, [])
    assert result["multiprocessors_seen"] == result["multiprocessors"] == 2


def test_an_older_gpu_is_checked_without_tensor_cores(bench: Bench) -> None:
    assert measured(bench, "gpu.compute_check", capability=70, ptx=64)["samples"] % (4 * 2) == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu.hbm_bandwidth", {"wrong_sm": "0:1"}),
        ("gpu.hbm_bandwidth", {"flip": "0:3000000:3"}),
        ("gpu.pcie_bandwidth", {"wrong_copy": 1}),
        ("gpu.p2p_bandwidth", {"wrong_copy": 1, "gpus": 2}),
        ("gpu.gemm", {"wrong_sm": "0:0", "capability": 80}),
    ],
)
def test_wrong_values_are_counted(bench: Bench, name: str, words: dict[str, Any]) -> None:
    assert measured(bench, name, **words)["wrong_elements"] > 0


def test_a_result_names_gpus_as_the_plan_and_the_table_do(bench: Bench) -> None:
    line = measured(bench, "gpu.p2p_bandwidth", gpus=2)
    table = results_table([result_of(json.loads(json.dumps(line)))], [])

    assert " 2 GPUs " in table[1]
    assert "of 2: GPU ffff:1" in table[1]


def test_the_comparison_with_peers_runs_and_fills_its_table(build: Path) -> None:
    script = ROOT / "tests/performance/gpu_peers.py"
    argv = [sys.executable, str(script), "--runs", "1", "--copy-bytes", "1048576", "--scale", "0.001"]
    env = environment(h2d=4e9, d2h=5e9, sms=1, capability=80, cublaslt="libcublasLt.so.13")
    program = ["--program", str(build / "nodeproof-bench")]
    done = subprocess.run([*argv, *program], capture_output=True, text=True, check=False, timeout=60, env=env)

    assert done.returncode == 0, done.stderr
    rows = {row.split(" | ")[0]: row.split(" | ") for row in done.stdout.splitlines() if row.startswith("| ")}
    assert rows["| host to GPU"][1:2] + rows["| host to GPU"][4:6] == ["4 GB/s", "driver's copy", "4"]
    assert rows["| GPU to host"][7:] == ["1.000", "met: 0.98 |"]
    assert {"| GEMM bf16, our kernel", "| GEMM bf16, our cuBLASLt", "| GEMM fp64, our cuBLASLt"} <= rows.keys()
    assert "cuBLASLt: libcublasLt.so.13, version 130101" in done.stdout.splitlines()
    assert float(rows["| gpu.gemm"][1]) < 60
    assert rows["| gpu.memtest"][2] == "0 wrong"
