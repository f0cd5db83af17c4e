"""The benchmarks on a machine with two NUMA nodes, with CPUs that others use, and with a disk that is dead.

An emulated machine tells nothing of speed: its cores differ by a factor of four. What is asked here is where memory
and threads are, and that it shows whose time others took.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from native_lab import Builds
from vm_lab import boot

pytestmark = pytest.mark.vm

MACHINE = ("--cpus", "8", "--numa", "2", "--nic", "0")

NODES = ((0, 0), (0, 1), (1, 0), (1, 1))

MATRICES = """
set -e
bench() { /host/nodeproof-bench "$@"; }
bench numa.bandwidth --bytes 12M --seconds 2 > /host/numa.bandwidth.json
bench numa.latency --bytes 8M --seconds 2 > /host/numa.latency.json
for node in 0 1; do bench memory.triad --node $node --bytes 12M --seconds 0.5 > /host/triad$node.json; done
nodeproof bench memory.triad --seconds 0.5 --no-history --program /host/nodeproof-bench --json > /host/run.json || true
"""

#: A core that gives two others a part of its time, and a quarter of a CPU for all.
DISTURBED = """
for hog in 1 2; do taskset -c 2 sh -c 'while :; do :; done' & hogs="$hogs $!"; done
bench cpu.per_core --seconds 1 > /host/hog.json
kill $hogs
mkdir /cgroup && mount -t cgroup2 cgroup2 /cgroup
echo +cpu > /cgroup/cgroup.subtree_control
mkdir /cgroup/quarter && echo "25000 100000" > /cgroup/quarter/cpu.max
(echo $BASHPID > /cgroup/quarter/cgroup.procs; bench cpu.per_core --seconds 1 > /host/quota.json)
"""

#: All that is read and written waits, in a sleep that no signal ends, until the device is resumed.
DEAD_DISK = """
modprobe loop; modprobe dm-mod; modprobe ext4
truncate -s 64M /tmp/disk
losetup /dev/loop0 /tmp/disk
echo "0 $((64 * 2048)) linear /dev/loop0 0" | dmsetup create scratch
mkfs.ext4 -q /dev/mapper/scratch
mkdir -p /scratch && mount /dev/mapper/scratch /scratch
bench disk.latency --path /scratch --bytes 8M --seconds 0.2 > /host/disk.json
/host/nodeproof-bench disk.latency --path /scratch --bytes 8M --seconds 100 2> /host/dead-disk & dying=$!
sleep 3
dmsetup suspend --noflush --nolockfs scratch
sleep 1
kill $dying
for _ in $(seq 100); do grep -q cancelled /host/dead-disk && break; sleep 0.2; done
cp /host/dead-disk /host/said-while-dead
dmsetup resume scratch
wait $dying && status=$? || status=$?
echo $status > /host/dead-disk-status
ls -A /scratch > /host/left-on-disk
"""


@pytest.fixture(scope="module")
def share(site: Path, builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run everything on one machine: all results end up in the shared folder."""
    share = tmp_path_factory.mktemp("share")
    shutil.copy(builds.get("gcc") / "nodeproof-bench", share)
    boot(site, share, MACHINE, MATRICES + DISTURBED + DEAD_DISK, timeout_s=600)
    return share


def load(share: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((share / f"{name}.json").read_text())
    return loaded


@pytest.mark.parametrize("name", ["numa.bandwidth", "numa.latency"])
def test_a_matrix_has_a_cell_for_each_pair_of_nodes_with_its_memory_where_it_should_be(share: Path, name: str) -> None:
    result = load(share, name)

    assert sorted((p["cpu_node"], p["memory_node"]) for p in result["points"]) == sorted(NODES)
    assert [p["local_share"] for p in result["points"]] == [1] * 4
    assert result["nodes"] == [0, 1]
    assert result["local_remote_ratio"] > 0


@pytest.mark.parametrize("node", [0, 1])
def test_triad_uses_the_cores_and_the_memory_of_its_node(share: Path, node: int) -> None:
    result = load(share, f"triad{node}")

    assert (result["node"], result["local_share"], result["wrong_elements"]) == (node, 1, 0)
    assert result["cpus"] == ("0-3", "4-7")[node]
    assert not result["is_partial"]


def test_each_node_is_measured_by_itself(share: Path) -> None:
    run = load(share, "run")

    assert run["failures"] == []
    assert [(r["name"], r["node"]) for r in run["results"]] == [("memory.triad", 0), ("memory.triad", 1)]


def test_a_core_that_others_use_is_known_by_its_share(share: Path) -> None:
    points = load(share, "hog")["points"]
    shares = {p["cpu"]: p["on_cpu_share"] for p in points}

    assert sorted(shares) == list(range(8))
    assert min(shares, key=lambda cpu: shares[cpu]) == 2
    assert shares[2] < 0.6
    assert min(share for cpu, share in shares.items() if cpu != 2) > 0.8


def test_a_limit_of_processor_time_is_known_by_the_share_of_every_core(share: Path) -> None:
    shares = [p["on_cpu_share"] for p in load(share, "quota")["points"]]

    assert len(shares) == 8
    assert max(shares) < 0.6


def test_a_dead_disk_holds_nobody_up(share: Path) -> None:
    assert load(share, "disk")["wrong_blocks"] == 0
    assert "cancelled" in (share / "said-while-dead").read_text()
    assert (share / "dead-disk-status").read_text() == "143\n"
    assert (share / "left-on-disk").read_text() == "lost+found\n"
