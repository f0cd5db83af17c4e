"""Measure links of Soft-RoCE with our benchmarks and with perftest, in turns, and print one line of JSON a pair.

`tests/performance/rdma_peers.py` runs it in a virtual machine: `rdma_pairs.py PROGRAM PAIRS KINDS LINK…`. Kinds are
latency, bandwidth, or both with a comma between. A link is of rxe0
with itself (`self`), or with rxe1 over the wire between their interfaces (`ports`). Both programs have CPUs 0 and 1,
one for each end.
"""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

BYTES, BULK_BYTES = 8, 65536

#: Messages for a second or so on an emulated machine; over the wire, round trips take ten times as long.
TRIPS, BULKS = {"self": 5000, "ports": 1000}, 400

#: Where others want the CPUs, each message of perftest waits for a tick; such a pair is left out.
LIMIT_S = 30

PEERS = {"write": "ib_write_lat", "send": "ib_send_lat", "bandwidth": "ib_write_bw"}

OPERATIONS = {"latency": ("write", "send"), "bandwidth": ("bandwidth",)}

#: Columns of perftest: the typical half round trip in microseconds, and the average bandwidth in MiB/s.
COLUMNS = {"write": (4, 1e-6), "send": (4, 1e-6), "bandwidth": (3, 2**20)}


def gid_index(device: str, *, of_link: bool) -> int:
    """Return the index of the GID that our benchmark chooses: the first of the link, else the first IPv4 one."""
    prefix = "fe80:" if of_link else "0000:0000:0000:0000:0000:ffff:"
    gids = Path(f"/sys/class/infiniband/{device}/ports/1/gids")
    return min(int(g.name) for g in gids.iterdir() if g.read_text().startswith(prefix))


def ours(program: str, name: str, between: str) -> dict[str, float]:
    """Return the median of each operation of one of our benchmarks, and of a bandwidth what it can do, too."""
    devices = "rxe0/1,rxe1/1" if between == "ports" else "rxe0/1"
    argv = [program, name, "--device", devices, "--between", between, "--cpus", "0,1", "--seconds", "1.5"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    points = json.loads(done.stdout)["points"]
    if name == "rdma.bandwidth":
        return {"bandwidth": points[0]["sustained"], "capability": points[0]["value"]}
    return {p["operation"]: p["sustained"] for p in points}


def peer(operation: str, between: str) -> float:
    """Return what perftest says of an operation: its typical half round trip, or its average bandwidth."""
    bulk = operation == "bandwidth"
    size, turns = (BULK_BYTES, BULKS) if bulk else (BYTES, TRIPS[between])
    argv = [PEERS[operation], "-F", "-s", str(size), "-n", str(turns)]

    def end(cpu: int, device: str, *host: str) -> list[str]:
        index = gid_index(device, of_link=between == "ports")
        return ["taskset", "-c", str(cpu), *argv, "-d", device, "-x", str(index), *host]

    other = "rxe1" if between == "ports" else "rxe0"
    with subprocess.Popen(end(1, other), stdout=subprocess.DEVNULL) as server:
        for _ in range(100):
            time.sleep(0.1)
            if ":4853 " in Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text():  # port 18515
                break
        try:
            done = subprocess.run(
                end(0, "rxe0", "127.0.0.1"), capture_output=True, text=True, check=False, timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            server.kill()
            return math.nan
        if done.returncode != 0:
            server.kill()
            raise SystemExit(done.stdout + done.stderr)
    rows = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == [str(size)]]
    column, unit = COLUMNS[operation]
    return float(rows[0][column]) * unit


def pair(program: str, kinds: list[str], between: str, *, is_ours_first: bool) -> dict[str, object]:
    """Measure a link once with each, kind by kind."""
    both: dict[str, dict[str, float]] = {"ours": {}, "peer": {}}

    def take_turn(name: str, operations: tuple[str, ...], *, is_ours: bool) -> None:
        if is_ours:
            both["ours"] |= ours(program, name, between)
        else:
            both["peer"] |= {operation: peer(operation, between) for operation in operations}

    for kind in kinds:
        for is_ours in (is_ours_first, not is_ours_first):
            take_turn(f"rdma.{kind}", OPERATIONS[kind], is_ours=is_ours)
    return {"between": between, **both}


def main() -> None:
    """Measure."""
    program, pairs, kinds, *links = sys.argv[1:]
    for i in range(int(pairs)):
        for between in links:
            print(json.dumps(pair(program, kinds.split(","), between, is_ours_first=i % 2 == 0)), flush=True)


if __name__ == "__main__":
    main()
