"""A libcuda.so.1, libnvidia-ml.so.1 and libcublasLt.so without a GPU, and results of `nodeproof-bench` with them."""

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

#: Names that cuBLASLt has: each in a folder of its own, for it is there in few tests.
CUBLASLT = tuple(f"libcublasLt.so{version}" for version in (".13", ".12", ".11", ""))


@cache
def library() -> Path:
    """Build the libraries once for all workers, the kernels of native/gpu with them; return their folder."""
    compilers = [shutil.which(name) for name in ("c++", "cc")]
    if None in compilers:
        pytest.skip("no C++ compiler to build a libcuda.so.1")
    folder = ROOT / "build/tests-fake-cuda"
    folder.mkdir(parents=True, exist_ok=True)
    sources = [*FAKE.iterdir(), *KERNELS.glob("*.cu"), *KERNELS.glob("*.h"), *ABI.glob("*_abi.h")]
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
    program = ["-std=c++17", "-march=native", "-ffp-contract=off", "-Wno-unknown-pragmas", "-pthread", *headers]
    driver = [*program, "-Wl,-soname,libcuda.so.1", "-o", str(folder / "new")]
    subprocess.run([cxx, *common, *driver, *(str(FAKE / name) for name in _SOURCES)], check=True)
    products = [*program, "-o", str(folder / "products"), str(FAKE / "cublaslt.cpp"), str(folder / "new")]
    subprocess.run([cxx, *common, *products], check=True)
    for name in CUBLASLT:
        (folder / f"with-{name}").mkdir(exist_ok=True)
        (folder / f"with-{name}" / name).unlink(missing_ok=True)
        (folder / f"with-{name}" / name).symlink_to(folder / "products")
    (folder / "new").replace(folder / "libcuda.so.1")


def environment(**words: object) -> dict[str, str]:
    """Return the environment of a program that finds fake GPUs, told to behave like this: one small one by default.

    `cublaslt` is the name under which cuBLASLt is there as well.
    """
    told = {"gpus": 1, "sms": 2} | words
    cublaslt = told.pop("cublaslt", None)
    folders = [library(), *([library() / f"with-{cublaslt}"] if cublaslt else [])]
    return os.environ | {
        "LD_LIBRARY_PATH": ":".join(map(str, folders)),
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
