"""A libcuda.so.1 and a libnvidia-ml.so.1 without a GPU, and results of `nodeproof-bench` with them."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

ROOT = Path(__file__).parents[1]
FAKE = ROOT / "tests/fake_cuda"
KERNELS = ROOT / "native/gpu"
ABI = ROOT / "native/src/bench"

Bench = Callable[..., "subprocess.CompletedProcess[str]"]

_SOURCES = ("cuda.cpp", "work.cpp", "fibers.cpp", "kernels.cpp")


@cache
def library() -> Path:
    """Build both libraries once for all workers, the kernels of native/gpu with them; return their folder."""
    compilers = [shutil.which(name) for name in ("c++", "cc")]
    if None in compilers:
        pytest.skip("no C++ compiler to build a libcuda.so.1")
    folder = ROOT / "build/tests-fake-cuda"
    folder.mkdir(parents=True, exist_ok=True)
    sources = [*FAKE.iterdir(), *KERNELS.glob("*.cu"), *KERNELS.glob("*.h"), ABI / "cuda_abi.h"]
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "libcuda.so.1"
        if not made.exists() or made.stat().st_mtime < max(source.stat().st_mtime for source in sources):
            _build(folder, str(compilers[0]), str(compilers[1]))
    return folder


def _build(folder: Path, cxx: str, cc: str) -> None:
    common = ["-O3", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    headers = [word for path in (ABI, FAKE, KERNELS) for word in ("-I", str(path))]
    sensors = ["-std=gnu17", "-o", str(folder / "libnvidia-ml.so.1"), str(FAKE / "sensors.c")]
    subprocess.run([cc, *common, *sensors], check=True)
    driver = [
        "-std=c++17",
        "-march=native",
        "-ffp-contract=off",
        "-Wno-unknown-pragmas",
        "-pthread",
        *headers,
        "-o",
        str(folder / "new"),
    ]
    subprocess.run([cxx, *common, *driver, *(str(FAKE / name) for name in _SOURCES)], check=True)
    (folder / "new").replace(folder / "libcuda.so.1")


def environment(**words: object) -> dict[str, str]:
    """Return the environment of a program that finds fake GPUs, told to behave like this: one small one by default."""
    told = {"gpus": 1, "sms": 2} | words
    return os.environ | {
        "LD_LIBRARY_PATH": str(library()),
        "FAKE_CUDA": " ".join(f"{name}={value}" for name, value in told.items()),
    }


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((ROOT / "native/schema/result.schema.json").read_text()))


def measured(bench: Bench, name: str, *args: str, seconds: str = "0.02", **words: object) -> dict[str, Any]:
    """Run a benchmark on fake GPUs; return its result, which follows the schema."""
    done = bench(name, "--seconds", seconds, *args, env=environment(**words))
    assert done.returncode == 0, done.stderr
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    result: dict[str, Any] = json.loads(done.stdout)
    _validator().validate(result)
    return result
