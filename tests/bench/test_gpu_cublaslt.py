"""Matrix products by cuBLASLt beside our own, over a library that multiplies on the CPU, refuses, or is not there."""

import ctypes.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_gpus import ABI, CUBLASLT, FAKE, ROOT, environment, library, measured

Bench = Callable[..., "subprocess.CompletedProcess[str]"]

GPU = "ffff:1b:00.0"
NEWEST = CUBLASLT[0]

#: An older GPU, without FP8, and the smallest matrices: each product takes the CPU some milliseconds.
SMALL: dict[str, Any] = {"memory_kib": 2048, "capability": 80}

OURS = ["bf16", "tf32", "fp64"]
THEIRS = [f"{kind}_cublaslt" for kind in OURS]
BOTH = [operation for pair in zip(OURS, THEIRS, strict=True) for operation in pair]

#: What is said of the library where there is nothing to say.
NOTHING: dict[str, Any] = {"library": None, "version": None, "reason": None, "wrong_elements": 0, "left_out": []}


def gemm(bench: Bench, **words: Any) -> dict[str, Any]:
    return measured(bench, "gpu.gemm", **SMALL | words)


def operations(result: dict[str, Any]) -> list[str]:
    return [point["operation"] for point in result["points"]]


def left_out(result: dict[str, Any]) -> dict[str, str]:
    parts = result["cublaslt"]["left_out"]
    assert {part["device"] for part in parts} <= {GPU}
    return {part["operation"]: part["reason"] for part in parts}


def test_both_multiply_the_same_matrices_and_the_figure_is_that_of_our_own(bench: Bench) -> None:
    result = gemm(bench, cublaslt=NEWEST, capability=90)
    points = {point["operation"]: point for point in result["points"]}

    assert list(points) == [*BOTH, "fp8", "fp8_cublaslt"]
    assert all(points[kind]["bytes"] == points[f"{kind}_cublaslt"]["bytes"] for kind in (*OURS, "fp8"))
    assert (result["operation"], result["value"]) == ("bf16", points["bf16"]["value"])
    assert result["wrong_elements"] == 0
    assert result["cublaslt"] == NOTHING | {"library": NEWEST, "version": 130101}


@pytest.mark.parametrize(("name", "driver"), [(CUBLASLT[1], 12040), (CUBLASLT[3], 13000)])
def test_the_library_that_goes_with_the_driver_is_found_by_its_name(bench: Bench, name: str, driver: int) -> None:
    result = gemm(bench, cublaslt=name, driver=driver)

    assert (result["cublaslt"]["library"], operations(result)) == (name, BOTH)


def test_without_a_library_for_the_driver_ours_are_measured_and_the_reason_is_said(bench: Bench) -> None:
    if ctypes.util.find_library("cublasLt"):
        pytest.skip("this machine has cuBLASLt")
    result = gemm(bench, cublaslt=NEWEST, driver=12040)

    reason = "no libcublasLt.so is installed for a driver of CUDA 12"
    assert operations(result) == OURS
    assert result["cublaslt"] == NOTHING | {"reason": reason}


@pytest.mark.parametrize(
    ("words", "refused", "reason"),
    [
        ({"refuse": 1}, THEIRS[2:], "cublasLtMatmulAlgoGetHeuristic: status 15 (not supported)"),
        ({"none": 1}, THEIRS, "cublasLtMatmulAlgoGetHeuristic: status 15 (not supported)"),
        ({"fail": "cublasLtCreate:1:0"}, THEIRS, "cublasLtCreate: status 1 (not initialized)"),
        ({"fail": "cublasLtMatmul:14:1"}, THEIRS, "cublasLtMatmul: status 14 (internal error)"),
        ({"fail": "cublasLtMatrixLayoutCreate:99:4"}, THEIRS[2:], "cublasLtMatrixLayoutCreate: status 99 (unknown)"),
    ],
    ids=["one type", "no way to compute", "no handle", "while it multiplies", "unheard of"],
)
def test_what_the_library_refuses_is_left_out_with_its_word(
    bench: Bench, words: dict[str, object], refused: list[str], reason: str
) -> None:
    result = gemm(bench, cublaslt=NEWEST, **words)

    assert left_out(result) == dict.fromkeys(refused, reason)
    assert operations(result) == [operation for operation in BOTH if operation not in refused]
    assert result["wrong_elements"] == 0


@pytest.mark.parametrize("words", [{"wrong_column": 255}, {"idle": 1}], ids=["a wrong column", "nothing computed"])
def test_a_wrong_product_of_the_library_is_found(bench: Bench, words: dict[str, object]) -> None:
    result = gemm(bench, cublaslt=NEWEST, **words)

    assert result["wrong_elements"] == result["cublaslt"]["wrong_elements"] > 0


def test_a_gpu_that_is_lost_while_the_library_multiplies_fails_as_it_is(bench: Bench) -> None:
    done = bench("gpu.gemm", "--seconds", "0.02", env=environment(**SMALL, cublaslt=NEWEST, lost="0:6"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"nodeproof-bench: gpu.gemm: GPU 0 ({GPU}): ")
    assert "CUDA_ERROR_719" in done.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [("text", f"cannot load {NEWEST}: "), ("other functions", f"{NEWEST} has no cublasLtGetVersion")],
)
def test_a_file_of_its_name_that_is_something_else_is_told_by_the_loader(
    bench: Bench, tmp_path: Path, content: str, reason: str
) -> None:
    if content == "text":
        (tmp_path / NEWEST).write_text("none\n")
    else:
        (tmp_path / NEWEST).symlink_to(library() / "libnvidia-ml.so.1")
    env = environment(**SMALL)
    env["LD_LIBRARY_PATH"] += f":{tmp_path}"
    done = bench("gpu.gemm", "--seconds", "0.02", env=env)
    found = json.loads(done.stdout)["cublaslt"]

    assert (done.returncode, done.stderr, found["library"]) == (0, "", None)
    assert found["reason"].startswith(reason)


def test_our_declarations_are_those_of_the_library() -> None:
    compiler = shutil.which("cc")
    toolkits = sorted(Path("/usr/local").glob("cuda*/include"))
    headers = [folder for folder in toolkits if (folder / "cublasLt.h").exists()]
    if compiler is None or not headers:
        pytest.skip("needs a C compiler and the header of cuBLASLt")
    paths = [word for path in (headers[-1], ABI, ROOT / "native/include") for word in ("-I", str(path))]
    subprocess.run([compiler, "-std=gnu17", "-fsyntax-only", *paths, str(FAKE / "same_cublaslt_abi.c")], check=True)
