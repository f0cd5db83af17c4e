"""What GPU benchmarks say where the driver is missing, fails, hangs or crashes."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from fake_gpus import ABI, FAKE, ROOT, environment

Bench = Callable[..., "subprocess.CompletedProcess[str]"]

BENCHMARKS = (
    "gpu.hbm_bandwidth",
    "gpu.pcie_bandwidth",
    "gpu.pcie_latency",
    "gpu.p2p_bandwidth",
    "gpu.gemm",
    "gpu.memtest",
    "gpu.compute_check",
    "gpu.burn",
)

#: In what is said, for the GPU that it is said of.
_NAMED = {"IT": "GPU 0 (ffff:1b:00.0)", "OLD": "unavailable: GPU 0 (Fake GPU)"}


class Failure(NamedTuple):
    """A benchmark, how the driver behaves, and what comes of it, which begins with `IT` or `OLD` for the GPU's name."""

    name: str
    words: dict[str, object]
    status: int
    why: str
    args: tuple[str, ...] = ()

    @property
    def begin(self) -> str:
        """Return how the sentence begins."""
        for word, name in _NAMED.items():
            if self.why.startswith(word):
                return name + self.why.removeprefix(word)
        return self.why


FAILURES = (
    Failure("gemm", {"fail": "cuInit:100:0"}, 3, "unavailable: the driver sees no GPU"),
    Failure("gemm", {"gpus": 0}, 3, "unavailable: the driver sees no GPU"),
    Failure("gemm", {"capability": 75}, 3, "OLD has no tensor cores that our kernels use"),
    Failure("gemm", {"shared": 65536}, 3, "OLD has too little shared memory for our kernels"),
    Failure("burn", {"capability": 75}, 3, "OLD has no tensor cores that our kernels use"),
    Failure("hbm_bandwidth", {"ptx": 63}, 3, "unavailable: the driver is too old for these kernels, which need 418"),
    Failure("hbm_bandwidth", {"prohibited": 1}, 3, "IT is in the compute mode that prohibits all work"),
    Failure("p2p_bandwidth", {}, 3, "unavailable: it takes two GPUs, and there is one"),
    Failure("memtest", {}, 3, "there is no GPU 7", ("--device", "7")),
    Failure("memtest", {}, 3, "there is no GPU 0000:1b:00.0", ("--device", "0000:1b:00.0")),
    Failure("memtest", {}, 2, '--device takes a list such as 0,3 or 0000:1b:00.0, not ""', ("--device", "0,,1")),
    Failure("memtest", {"gpus": 2}, 2, "--device names GPU 1 twice", ("--device", "1,ffff:1c:00.0")),
    Failure("memtest", {}, 2, "--device takes a list", ("--device", "x" * 99)),
    Failure("memtest", {"fail": "cuInit:803:0"}, 1, "the CUDA driver does not initialise: an error of the fake driver"),
    Failure("memtest", {"fail": "cuDevicePrimaryCtxRetain:2:0"}, 1, "IT: no context: an error of the fake driver"),
    Failure("memtest", {"fail": "cuMemAlloc_v2:46:1"}, 1, "IT: cannot have 4194304 bytes of memory: an error of"),
    Failure("memtest", {"jit": 1}, 1, "IT: the driver cannot compile our kernels: an error of the fake driver"),
    Failure("memtest", {"lost": "0:3"}, 1, "IT: cannot fill its memory: an error of the fake driver"),
    Failure("pcie_bandwidth", {"fail": "cuMemHostRegister_v2:1:0"}, 1, "IT: cannot pin memory of the host"),
    Failure("pcie_latency", {"fail": "cuMemcpyHtoD_v2:719:9"}, 1, "IT: cannot copy: an error of the fake driver"),
    Failure("compute_check", {"fail": "cuEventQuery:719:0"}, 1, "IT: its work failed: an error of the fake driver"),
    Failure("burn", {"fail": "cuEventQuery:719:0", "hang": 0}, 1, "IT: its work failed: an error of the fake driver"),
)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f"{f.name}: {f.why[:40]}")
def test_what_fails_is_said_in_one_line(bench: Bench, failure: Failure) -> None:
    done = bench(f"gpu.{failure.name}", "--seconds", "0.02", *failure.args, env=environment(**failure.words))

    assert done.stderr.startswith(f"nodeproof-bench: gpu.{failure.name}: {failure.begin}")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (failure.status, "", 1)


def test_a_gpu_that_is_older_than_the_kernels_is_named_with_what_they_need(bench: Bench) -> None:
    done = bench("gpu.memtest", env=environment(capability=61))

    assert done.returncode == 3
    assert "(Fake GPU, compute capability 6.1) is older than our kernels, which need 7.0\n" in done.stderr


def test_the_words_of_the_drivers_compiler_are_said(bench: Bench) -> None:
    done = bench("gpu.memtest", env=environment(jit=1))

    assert done.stderr.endswith(": ptxas: a word that nobody knows\n")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_without_the_driver_it_is_not_possible_here(bench: Bench, name: str) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has the driver")
    done = bench(name)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"nodeproof-bench: {name}: unavailable: libcuda.so.1 is not installed\n"


def test_a_library_that_cannot_be_loaded_is_told_by_the_loader(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_text("none\n")
    done = bench("gpu.gemm", env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)})

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "gpu.gemm: unavailable: cannot load libcuda.so.1: " in done.stderr


def test_a_driver_that_crashes_is_a_crash(bench: Bench) -> None:
    done = bench("gpu.memtest", env=environment(crash="cuLaunchKernel"))

    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, "")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_gpu_that_hangs_is_left_when_it_is_cancelled(build: Path, name: str) -> None:
    argv = [str(build / "nodeproof-bench"), name, "--seconds", "60"]
    env = environment(hang=0, gpus=2)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as child:
        time.sleep(0.15)
        child.terminate()
        out, err = child.communicate(timeout=10)

    assert (child.returncode, out) == (-signal.SIGTERM, "")
    assert "cancelled" in err


def test_our_declarations_are_those_of_the_driver() -> None:
    compiler, headers = shutil.which("cc"), sorted(Path("/usr/local").glob("cuda*/include/cuda.h"))
    if compiler is None or not headers:
        pytest.skip("needs a C compiler and the header of the CUDA driver")
    paths = [word for path in (headers[-1].parent, ABI, ROOT / "native/include") for word in ("-I", str(path))]
    subprocess.run([compiler, "-std=gnu17", "-fsyntax-only", *paths, str(FAKE / "same_abi.c")], check=True)
