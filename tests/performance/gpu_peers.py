"""Our GPU benchmarks beside PyTorch, nvbandwidth and the driver's own copies, on a real GPU, as a table.

`make gpu-peers`, or where nothing can be installed
`python3 tests/performance/gpu_peers.py [--device 0] [--runs 10] [--program build/…/nodeproof-bench]`

It needs nothing but Python, the driver and `nodeproof-bench`; peers that are not there (PyTorch, nvbandwidth in PATH)
are left out, and the goals that need them are said to be open. A run measures everything once, ours next to the peers',
every other run in the opposite order; all figures are medians over the runs, ratios medians of pairs of one run. The
peers live in one process of their own, whose context is there before anything is measured. Copies within a GPU count
each byte twice, for it is read and written. Products are compared twice: those of our own kernel, and those that we let
cuBLASLt compute, if it is installed or PyTorch brought it.
"""

import argparse
import ctypes
import datetime as dt
import functools
import importlib
import importlib.util
import itertools
import json
import math
import mmap
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MIB = 1 << 20

#: What of ours is compared: benchmark and operation, and the peers' name of it.
QUANTITIES = {
    "HBM copy": ("gpu.hbm_bandwidth", "copy", "d2d"),
    "host to GPU": ("gpu.pcie_bandwidth", "h2d", "h2d"),
    "GPU to host": ("gpu.pcie_bandwidth", "d2h", "d2h"),
}
QUANTITIES |= {
    f"GEMM {kind}{words}": ("gpu.gemm", f"{kind}{suffix}", kind)
    for kind in ("bf16", "tf32", "fp64", "fp8")
    for words, suffix in ((", our kernel", ""), (", our cuBLASLt", "_cublaslt"))
}
#: What is to be reached: our median over the best peer's, at least.
GOALS = {"d2d": 0.97, "h2d": 0.98, "d2h": 0.98, "bf16": 0.9}

#: How long each may measure: with the start of the driver, below five seconds but for the memory test.
SECONDS = {
    "gpu.hbm_bandwidth": 1.0,
    "gpu.pcie_bandwidth": 1.0,
    "gpu.pcie_latency": 0.3,
    "gpu.gemm": 2.5,
    "gpu.compute_check": 1.0,
    "gpu.memtest": 20.0,
}

#: Its names, and how often ours would count what it counts once.
NVBANDWIDTH = {
    "d2d": ("device_local_copy", 2),
    "h2d": ("host_to_device_memcpy_ce", 1),
    "d2h": ("device_to_host_memcpy_ce", 1),
}


class Driver:
    """Copies by the driver itself: what PyTorch's copies, and those of the runtime library, come to."""

    name = "driver's copy"

    def __init__(self, device: int, size: int) -> None:
        self.size, self.cuda = size, ctypes.CDLL("libcuda.so.1")
        context, self.stream = ctypes.c_void_p(), ctypes.c_void_p()
        self.buffers = [ctypes.c_uint64(), ctypes.c_uint64()]
        self._call("cuInit", 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._call("cuStreamCreate", ctypes.byref(self.stream), 1)
        for buffer in self.buffers:
            self._call("cuMemAlloc_v2", ctypes.byref(buffer), ctypes.c_size_t(size))
        self.memory = mmap.mmap(-1, size)
        self.host = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(self.memory)))
        ctypes.memset(self.host, 1, size)
        self._call("cuMemHostRegister_v2", self.host, ctypes.c_size_t(size), 1)
        self.events = [ctypes.c_void_p(), ctypes.c_void_p()]
        for event in self.events:
            self._call("cuEventCreate", ctypes.byref(event), 0)

    def _call(self, name: str, *args: Any) -> None:
        if code := getattr(self.cuda, name)(*args):
            raise OSError(f"{name}: CUDA error {code}")

    def rates(self) -> dict[str, float]:
        there, other = self.buffers
        copies: dict[str, tuple[int, str, tuple[Any, Any]]] = {
            "d2d": (2, "cuMemcpyDtoDAsync_v2", (other, there)),
            "h2d": (1, "cuMemcpyHtoDAsync_v2", (there, self.host)),
            "d2h": (1, "cuMemcpyDtoHAsync_v2", (self.host, there)),
        }
        return {key: each * self._rate(name, ends) for key, (each, name, ends) in copies.items()}

    def _rate(self, name: str, ends: tuple[Any, Any]) -> float:
        times = []
        for _ in range(24):
            elapsed = ctypes.c_float()
            self._call("cuEventRecord", self.events[0], self.stream)
            self._call(name, *ends, ctypes.c_size_t(self.size), self.stream)
            self._call("cuEventRecord", self.events[1], self.stream)
            self._call("cuStreamSynchronize", self.stream)
            self._call("cuEventElapsedTime", ctypes.byref(elapsed), *self.events)
            times.append(max(1e-3 * elapsed.value, 1e-6))
        return self.size / statistics.median(times[4:])


class Torch:
    """Copies and products of PyTorch, whose products are cuBLAS's."""

    name = "PyTorch"

    def __init__(self, device: int) -> None:
        torch: Any = importlib.import_module("torch")
        self.torch, self.device = torch, torch.device("cuda", device)
        torch.cuda.set_device(self.device)
        torch.backends.cuda.matmul.allow_tf32 = True

    def rates(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for key, rate in (("copies", self._copies), ("products", self._products)):
            try:
                found |= rate()
            except (RuntimeError, TypeError, AttributeError) as error:  # of an older version, or out of memory
                print(f"PyTorch, {key}: {error}", file=sys.stderr)
            self.torch.cuda.empty_cache()
        return found

    def _copies(self) -> dict[str, float]:
        torch, size = self.torch, 256 * MIB
        one, other = (torch.ones(1024 * MIB, dtype=torch.uint8, device=self.device) for _ in range(2))
        host = torch.ones(size, dtype=torch.uint8, pin_memory=True)
        return {
            "d2d": 2048 * MIB / self._time(lambda: other.copy_(one)),
            "h2d": size / self._time(lambda: one[:size].copy_(host, non_blocking=True)),
            "d2h": size / self._time(lambda: host.copy_(one[:size], non_blocking=True)),
        }

    def _products(self) -> dict[str, float]:
        torch, found = self.torch, {}
        for key, dtype, depth in (("bf16", "bfloat16", 16384), ("tf32", "float32", 8192), ("fp64", "float64", 4096)):
            # of the same shape and layout as ours, and of normal numbers, as in training
            a, b = (torch.randn(8192, depth, device=self.device, dtype=getattr(torch, dtype)) for _ in range(2))
            found[key] = 2 * 8192 * 8192 * depth / self._time(functools.partial(torch.matmul, a, b.T))
            del a, b
        return found

    def _time(self, work: Callable[[], object]) -> float:
        events = [self.torch.cuda.Event(enable_timing=True) for _ in range(25)]
        for _ in range(4):
            work()
        events[0].record()
        for event in events[1:]:
            work()
            event.record()
        self.torch.cuda.synchronize()
        return 1e-3 * statistics.median(float(a.elapsed_time(b)) for a, b in itertools.pairwise(events))


def live_as_peer(device: int, size: int) -> None:
    """Measure once for each line of input, until there is no more."""
    peers: list[Any] = []
    for make in (lambda: Driver(device, size), lambda: Torch(device)):
        try:
            peers.append(make())
        except (ImportError, OSError, RuntimeError, AssertionError) as error:
            print(f"no peer: {error}", file=sys.stderr)
    print(json.dumps([peer.name for peer in peers]), flush=True)
    for _ in sys.stdin:
        print(json.dumps({peer.name: peer.rates() for peer in peers}), flush=True)


def nvbandwidth(program: str, device: int) -> dict[str, float]:
    """Return what nvbandwidth says of one GPU; it counts a copy within the GPU once."""
    names = [word for test, _ in NVBANDWIDTH.values() for word in ("-t", test)]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": str(device)}
    done = subprocess.run([program, *names], capture_output=True, text=True, check=False, env=env, timeout=120)
    sums = dict(re.findall(r"^SUM (\w+) ([\d.]+)", done.stdout, re.MULTILINE))
    return {key: 1e9 * each * float(sums[test]) for key, (test, each) in NVBANDWIDTH.items() if test in sums}


def library_path() -> str:
    """Return where the loader looks for libraries, and last where packages of Python have cuBLASLt."""
    package = importlib.util.find_spec("nvidia")
    places = package.submodule_search_locations or [] if package else []
    found = {str(file.parent) for place in places for file in Path(place).glob("*/lib/libcublasLt.so.*")}
    return ":".join(filter(None, (os.environ.get("LD_LIBRARY_PATH"), *sorted(found))))


def ours(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Run one of our benchmarks; return its result with the wall time of the whole command."""
    began = time.monotonic()
    seconds = max(0.01, options.scale * SECONDS[name])
    argv = [options.program, name, "--device", str(options.device), "--seconds", f"{seconds:g}"]
    env = os.environ | {"LD_LIBRARY_PATH": library_path()}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, env=env)
    result: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else sys.exit(done.stderr)
    if wrong := result.get("wrong_elements", 0) or (result["unit"] == "1" and result["value"]):
        sys.exit(f"{name}: {wrong} wrong values: {result['points'][:3]}")
    return result | {"wall_s": time.monotonic() - began}


def measure(options: argparse.Namespace, peer: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    """Yield what each run found: our results by name, the peers' rates by name."""
    assert peer.stdin is not None
    assert peer.stdout is not None
    tool = shutil.which("nvbandwidth")
    for number in range(options.runs):
        found: dict[str, Any] = {"ours": {}, "peers": {}}
        for part in ("ours", "peers") if number % 2 == 0 else ("peers", "ours"):
            if part == "ours":
                found["ours"] = {name: ours(options, name) for name in SECONDS}
                continue
            peer.stdin.write("\n")
            peer.stdin.flush()
            found["peers"] = json.loads(peer.stdout.readline())
            if tool:
                found["peers"]["nvbandwidth"] = nvbandwidth(tool, options.device)
        print(f"run {number + 1} of {options.runs}", file=sys.stderr)
        yield found


def scatter(values: list[float]) -> float:
    """Return the coefficient of variation in percent."""
    return 100 * statistics.stdev(values) / statistics.mean(values) if len(values) > 1 else math.nan


def of_points(runs: list[dict[str, Any]], name: str, operation: str, figure: str) -> list[float]:
    return [p[figure] for run in runs for p in run["ours"][name]["points"] if p["operation"] == operation]


def rows(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the rows of the table, a quantity and a peer on each."""
    yield "| Quantity | Ours, capability | CV, % | Ours, sustained | Peer | Peer's | CV, % | Sustained / peer | Goal |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for title, (name, operation, key) in QUANTITIES.items():
        value, sustained = (of_points(runs, name, operation, figure) for figure in ("value", "sustained"))
        if not value:
            continue
        unit, scale = ("TFLOP/s", 1e-12) if name == "gpu.gemm" else ("GB/s", 1e-9)
        head = f"| {title} | {statistics.median(value) * scale:.4g} {unit} | {scatter(value):.2f} "
        head += f"| {statistics.median(sustained) * scale:.4g} {unit} "
        peers = {peer: [run["peers"][peer].get(key) for run in runs] for peer in runs[0]["peers"]}
        known = {peer: rates for peer, rates in peers.items() if all(rates)}
        best = max((statistics.median(rates) for rates in known.values()), default=0)
        for peer, rates in known.items():
            ratio = statistics.median(s / r for s, r in zip(sustained, rates, strict=True))
            goal = ""
            if statistics.median(rates) == best and key in GOALS:
                goal = f"{'met' if ratio >= GOALS[key] else 'NOT met'}: {GOALS[key]}"
            theirs = f"{statistics.median(rates) * scale:.4g} | {scatter(rates):.2f}"
            yield head + f"| {peer} | {theirs} | {ratio:.3f} | {goal} |"
        if not known:
            yield head + f"| none |  |  |  | {'open' if key in GOALS else ''} |"


def summary(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how long each benchmark took, what ours alone found, and the conditions."""
    yield "| Benchmark | Wall, s | Figure | CV, % |"
    yield "|---|---|---|---|"
    for name in runs[0]["ours"]:
        results = [run["ours"][name] for run in runs]
        wall = statistics.median(result["wall_s"] for result in results)
        values = [result["value"] for result in results]
        figure = f"{statistics.median(values):.4g} {results[0]['unit']}" if results[0]["unit"] != "1" else "0 wrong"
        yield f"| {name} | {wall:.2f} | {figure} | {'' if figure == '0 wrong' else f'{scatter(values):.2f}'} |"
    gemm = runs[-1]["ours"]["gpu.gemm"]
    point, library = gemm["points"][0], gemm["cublaslt"]
    seen = {key: point[key] for key in ("sm_hz", "memory_hz", "power_w", "celsius", "slowed_by")}
    yield f"\nDuring the last GEMM of {point['operation']}: {seen}"
    yield "cuBLASLt: " + (library["reason"] or f"{library['library']}, version {library['version']}")
    yield from (f"cuBLASLt left out {part['operation']}: {part['reason']}" for part in library["left_out"])


def find_program() -> str:
    beside = os.path.join(os.path.dirname(sys.executable), "nodeproof-bench")
    return beside if os.path.exists(beside) else shutil.which("nodeproof-bench") or "nodeproof-bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=int, default=0, help="number of the GPU, in the order of PCI addresses")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--scale", type=float, default=1, help="of the time that each benchmark may measure")
    parser.add_argument("--program", default=find_program())
    parser.add_argument("--copy-bytes", type=int, default=256 * MIB, help="size of the driver's own copies")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    if options.peer:
        live_as_peer(options.device, options.copy_bytes)
        return
    sizes = ["--device", str(options.device), "--copy-bytes", str(options.copy_bytes)]
    argv = [sys.executable, __file__, "--peer", *sizes]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout is not None
        peer.stdout.readline()  # its context is there
        runs = list(measure(options, peer))
    last = runs[-1]["ours"]["gpu.gemm"]
    gpu = last["gpus"][0]
    where = f"{gpu['name']} ({gpu['device']}), driver for CUDA {last['driver_version']}"
    print(f"{where}, {dt.datetime.now(tz=dt.UTC).date()}, {len(runs)} runs\n")
    print("\n".join(rows(runs)), "\n".join(summary(runs)), sep="\n\n")


if __name__ == "__main__":
    main()
