"""What each tool prints, as figures in SI base units by name. Raises ValueError where it is not what was expected."""

import json
import re
from collections.abc import Callable
from typing import Any

Figures = dict[str, float]
Parser = Callable[[str], Figures]

_MIB, _MEGA, _MICRO = 1 << 20, 1e6, 1e-6

_LIKWID_LEAST_S = 0.3

#: Decimal, as qperf prints them unless told otherwise.
_QPERF_UNITS = {"us": 1e-6, "ms": 1e-3, "sec": 1, "MB/sec": 1e6, "GB/sec": 1e9, "bytes/sec": 1, "KB/sec": 1e3}


def _find(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise ValueError(f"no line like {pattern!r} in {text[-200:]!r}")
    return match


def nodeproof(text: str) -> Figures:
    """`nodeproof-bench`: the numbers of the result, and as `point.key` those of its parts, the first of a name."""
    result: dict[str, Any] = json.loads(text)
    figures = _numbers(result, "")
    for point in result.get("points", []):
        figures = _numbers(point, f"{_label(point)}.") | figures
    return figures


def _numbers(values: dict[str, Any], prefix: str) -> Figures:
    return {
        f"{prefix}{key}": float(value)
        for key, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _label(point: dict[str, Any]) -> str:
    """Return what tells a point from the others: a name such as its precision, else a number such as its size."""
    return next((value for value in point.values() if isinstance(value, str)), str(next(iter(point.values()))))


def likwid_bandwidth(text: str) -> Figures:
    return _likwid(text, "MByte/s")


def likwid_flops(text: str) -> Figures:
    return _likwid(text, "MFlops/s")


def _likwid(text: str, rate: str) -> Figures:
    """Refuse a run that was over at once: ten iterations are likwid-bench's answer to a time that it cannot read."""
    iterations = _find(r"^Iterations per thread:\s+(\d+)", text)
    seconds = float(_find(r"^Time:\s+([\d.e+-]+) sec", text)[1])
    if seconds < _LIKWID_LEAST_S:
        raise ValueError(f"only {seconds:g} s were measured")
    return {"rate": float(_find(rf"^{rate}:\s+([\d.]+)", text)[1]) * _MEGA, "iterations": float(iterations[1])}


def stream(text: str) -> Figures:
    """Our STREAM: a line per kernel, in bytes a second."""
    figures = {name: float(value) for name, value in (line.split() for line in text.splitlines())}
    if "triad" not in figures:
        raise ValueError(f"no triad in {text[-200:]!r}")
    return figures


def chase(text: str) -> Figures:
    """Our chases: bytes and seconds; the last line is the largest working set."""
    lines = [line.split() for line in text.splitlines()]
    return {size: float(latency) for size, latency in lines} | {"latency": float(lines[-1][1])}


def pingpong(text: str) -> Figures:
    return {"latency": float(text)}


def dgemm(text: str) -> Figures:
    """Our caller of OpenBLAS: the kernels that the library chose, then the rate."""
    return {"rate": float(_find(r"^\w+ ([\d.e+]+)$", text)[1])}


def sysbench(text: str) -> Figures:
    return {"rate": float(_find(r"\(([\d.]+) MiB/sec\)", text)[1]) * _MIB}


def stress_ng(text: str) -> Figures:
    """`stress-ng --stream`: its mean over four kernels, reads and writes apart, in MiB/s despite the unit it names."""
    match = _find(r"memory rate: ([\d.]+) MB read/sec, ([\d.]+) MB write/sec", text)
    return {"rate": (float(match[1]) + float(match[2])) * _MIB}


def fio(text: str) -> Figures:
    """`fio --output-format=json --lat_percentiles=1` of one reading job: from submission to completion."""
    read = json.loads(text[text.index("{") :])["jobs"][0]["read"]
    return {"rate": float(read["bw_bytes"]), "latency": read["lat_ns"]["percentile"]["50.000000"] * 1e-9}


def sockperf(text: str) -> Figures:
    return {"round_trip": float(_find(r"percentile 50\.000 =\s+([\d.]+)", text)[1]) * _MICRO}


def qperf(text: str) -> Figures:
    """`qperf tcp_lat tcp_bw`: its latency is half a round trip."""
    latency = _find(r"latency\s+=\s+([\d.]+) (\S+)", text)
    rate = _find(r"bw\s+=\s+([\d.]+) (\S+)", text)
    return {
        "round_trip": 2 * float(latency[1]) * _QPERF_UNITS[latency[2]],
        "rate": float(rate[1]) * _QPERF_UNITS[rate[2]],
    }


def oslat(text: str) -> Figures:
    return {"worst": float(_find(r"^\s*Maximum:\s+(\d+)", text)[1]) * _MICRO}


def cyclictest(text: str) -> Figures:
    return {"worst": float(_find(r"Max:\s+(\d+)", text)[1]) * _MICRO}


def suite(text: str) -> Figures:
    """`nodeproof bench … --json`: only a suite that was run to its end has a wall time to compare."""
    run = json.loads(text)
    if run["failures"] or not run["is_complete"]:
        raise ValueError(f"the suite was not completed: {str(run['failures'])[:200]}")
    return {"seconds": float(run["seconds"]), "results": len(run["results"])}
