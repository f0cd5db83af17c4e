"""Compare our RDMA benchmarks with perftest, in turns in one boot of a virtual machine with Soft-RoCE.

A pair is one measurement with each, right after another; their order changes from pair to pair. The ratio of a pair is
ours to perftest's: below 1 is better for a latency (half a round trip of 8 bytes: our median, its t_typical), above 1
for a bandwidth (64 KiB writes: our median and what we say the link can do, both beside its average). Run it as root, on
a quiet machine with two cores to spare:
`PYTHONPATH=tests .venv/bin/python tests/performance/rdma_peers.py`.
"""

import argparse
import json
import math
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import vm_lab

#: The kernel is told to trust the emulated TSC, which perftest reads too: any other clock there is a device of its own,
#: and asking it keeps the other processor from the network's.
KERNEL = "console=ttyS0 panic=-1 quiet net.ifnames=0 mitigations=off tsc=reliable clocksource=tsc"
MACHINE = ("--cpus", "2", "--numa", "1", "--nic", "2", "--qemu", "-append", "--qemu", KERNEL)

SCRIPT = f"""
set -e
{vm_lab.SOFT_ROCE}
python3 /host/rdma_pairs.py /ro/bin/nodeproof-bench PAIRS KINDS LINKS > /host/pairs
"""

UNITS = {"write": (1e6, "us"), "send": (1e6, "us"), "bandwidth": (1e-6, "MB/s"), "capability": (1e-6, "MB/s")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--links", nargs="+", choices=("self", "ports"), default=["self", "ports"])
    parser.add_argument("--kinds", nargs="+", choices=("latency", "bandwidth"), default=["latency", "bandwidth"])
    parser.add_argument("--keep", type=Path, help="file for what was measured, a line of JSON a pair")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rdma-peers-") as directory:
        share = Path(directory)
        shutil.copy(vm_lab.LABS / "in_guest/rdma_pairs.py", share)
        script = SCRIPT.replace("PAIRS", str(options.pairs)).replace("LINKS", " ".join(options.links))
        script = script.replace("KINDS", ",".join(options.kinds))
        vm_lab.boot(vm_lab.build(), share, MACHINE, script, timeout_s=60 + 60 * options.pairs)
        text = (share / "pairs").read_text()
    if options.keep:
        options.keep.write_text(text)
    pairs = [json.loads(line) for line in text.splitlines()]
    print(f"{'link':6} {'operation':10} {'ours':>12} {'perftest':>12}   ratio: median (95 %), quartiles; pairs")
    for between in options.links:
        for operation in (name for name in UNITS if name in pairs[0]["ours"]):
            _print_row(operation, [pair for pair in pairs if pair["between"] == between])


def _print_row(operation: str, pairs: list[dict[str, Any]]) -> None:
    scale, unit = UNITS[operation]
    of_peer = "bandwidth" if operation == "capability" else operation
    measured = [pair for pair in pairs if not math.isnan(pair["peer"][of_peer])]
    ours, peer = [pair["ours"][operation] for pair in measured], [pair["peer"][of_peer] for pair in measured]
    ratios = sorted(one / other for one, other in zip(ours, peer, strict=True))
    if len(ratios) < 2:
        print(f"{pairs[0]['between']:6} {operation:10} too few pairs: {len(ratios)} of {len(pairs)}")
        return
    low, median, high = statistics.quantiles(ratios, n=4)
    least, most = _interval(ratios)
    print(
        f"{pairs[0]['between']:6} {operation:10} {statistics.median(ours) * scale:7.1f} {unit:4}"
        f" {statistics.median(peer) * scale:7.1f} {unit:4}   {median:.3f} ({least:.3f}-{most:.3f}),"
        f" {low:.3f}-{high:.3f}; {len(ratios)} of {len(pairs)}"
    )


def _interval(ratios: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median of sorted values: by their order, whatever their distribution."""
    count, chance, rank = len(ratios), 0.0, 0
    while chance + math.comb(count, rank) / 2**count <= 0.025:
        chance += math.comb(count, rank) / 2**count
        rank += 1
    rank = max(rank - 1, 0)
    return ratios[rank], ratios[-1 - rank]


if __name__ == "__main__":
    main()
